"""`sono updater`: fetch, verify and stage what the fleet wants, then end. A timer starts it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_edge.outbox import Outbox
    from sono_models.updates import UpdateReport


class Told:
    """Puts each phase into the outbox, for the fleet, and says it on standard output."""

    def __init__(self, outbox: Outbox, *, as_json: bool) -> None:
        self._outbox, self._as_json = outbox, as_json

    def report(self, report: UpdateReport) -> None:
        import msgspec

        self._outbox.report(report)

        if self._as_json:
            print(msgspec.json.encode(report).decode(), flush=True)
        else:
            because = f": {report.reason}" if report.reason else ""
            print(f"{report.name} {report.version}: {report.phase}{because}", flush=True)


def updater(
    config: Annotated[Path | None, typer.Option("--config", help="agent.toml; default: the defaults.")] = None,
    stick: Annotated[
        Path | None, typer.Option("--from", help="A folder with the repository (a USB stick), instead of the network.")
    ] = None,
    state: Annotated[str | None, typer.Option("--state", help="Instead of state.folder.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="A line a phase, then one object.")] = False,
) -> None:
    """One run: what the fleet ordered, fetched where it broke off, verified (TUF), staged for the agent."""
    import signal
    import threading

    from sono_edge.config import load, with_
    from sono_edge.outbox import Outbox
    from sono_edge.updater.compose import updating

    settings = with_(load(config), state={"folder": state})
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, settings.update.longest_s)
    try:
        with (
            Outbox(settings.state.outbox, settings.device.site, settings.device.id) as outbox,
            updating(settings, Told(outbox, as_json=as_json), stop, stick=stick) as run,
        ):
            outcome = run.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps({"outcome": outcome}) if as_json else _in_words(outcome), flush=True)


def _too_long(*_: object) -> None:
    """Ends even a read that a server keeps alive drop by drop."""
    from sono_models.errors import Stopped

    raise Stopped("the updater", "it ran longer than update.longest_s", "The next run goes on where it ended")


def _in_words(outcome: str) -> str:
    return {
        "nothing-ordered": "Nothing is ordered.",
        "not-yet": "Ordered for later.",
        "done-before": "What is ordered is here already.",
        "staged": "Staged: the agent takes it between two scans.",
    }[outcome]
