"""`sono uplink`: send the outbox's alerts until the fleet's database has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def uplink(
    config: Annotated[Path | None, typer.Option(help="agent.toml; without it the defaults hold.")] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT,…", help="Instead of the file's; a cluster's nodes.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="The folder of the outbox, instead of the file's.")] = None,
) -> None:
    """Deliver alerts, state and health over MQTT, until it is stopped. Alerts wait while there is no broker."""
    import signal
    import threading

    from sono_edge.board import Board
    from sono_edge.config import load, with_
    from sono_edge.outbox import Outbox
    from sono_edge.uplink import Uplink

    settings = with_(load(config), broker=_broker(broker), state={"folder": None if state is None else str(state)})
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    outbox = Outbox(settings.state.outbox, settings.device.site, settings.device.id)
    board = Board(settings.state.outbox.parent)
    with outbox, Uplink(settings, outbox, board, stop) as sender:
        sender.run()


def _broker(text: str | None) -> dict[str, object]:
    from sono_models.address import addresses

    if text is None:
        return {}
    (host, port), *others = addresses(text)
    return {"host": host, "port": port, "also": [f"{name}:{number}" for name, number in others]}
