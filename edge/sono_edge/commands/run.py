"""`sono run`: the agent."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from sono_models import DISCLAIMER
from sono_models.runtime import RuntimeName


def run(
    config: Annotated[Path | None, typer.Option("--config", help="agent.toml; default: the defaults.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Instead of source.uri.")] = None,
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Instead of model.bundle and of what was staged.")
    ] = None,
    runtime: Annotated[RuntimeName | None, typer.Option("--runtime", help="Instead of model.runtime.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Instead of model.profile.")] = None,
    profile_key: Annotated[str | None, typer.Option("--profile-key", help="Instead of model.profile_key.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Instead of view.port; 0 is any free port.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Instead of state.folder.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="End after so many seconds.", min=0.1)] = None,
    *,
    loop: Annotated[bool, typer.Option("--loop", help="Play a file again and again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line when ready, and the totals at the end.")] = False,
) -> None:
    """The agent: frames in, a live page and recorded alerts out."""
    from sono_edge import config as settings
    from sono_edge.compose import running

    chosen = settings.with_(
        settings.load(config),
        source={"uri": source},
        model={"bundle": bundle, "runtime": runtime, "profile": profile, "profile_key": profile_key},
        view={"port": port},
        state={"folder": state},
        trial={"folder": "" if bundle else None},  # a bundle that is named here is the one that judges
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    timer = threading.Timer(seconds, stop.set) if seconds else None
    with running(chosen, loop=loop) as agent:
        if as_json:
            print(json.dumps({"ready": True, "view_url": agent.parts.view_url}), flush=True)
        else:
            print(f"SonoEdge is scoring {chosen.source.uri}. {DISCLAIMER}\nPage: {agent.parts.view_url}", flush=True)
        if timer is not None:
            timer.start()
        try:
            agent.run(stop)
        finally:
            if timer is not None:
                timer.cancel()
    totals = agent.totals()
    print(json.dumps(totals) if as_json else _in_words(totals), flush=True)


def _in_words(totals: dict[str, object]) -> str:
    return (
        f"{totals['frames_in']} frames in, {totals['frames_scored']} scored, {totals['frames_reused']} reused, "
        f"{totals['frames_dropped']} dropped, {totals['alerts_raised']} alerts"
    )
