"""`sono demo`."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from sono_edge.practice import listed
from sono_models import DISCLAIMER
from sono_models.errors import BadConfig
from sono_models.runtime import RuntimeName


def demo(
    source: Annotated[
        str | None, typer.Option("--source", help="Any source; by default phantom:, the simulated one.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", metavar="NAME", help="Practise on what is named above.")
    ] = None,
    scan: Annotated[
        str | None, typer.Option("--scan", metavar="ID", help="Practise on a kept scan: its clips, in order.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="End after so many seconds.", min=1.0)] = None,
    bundle: Annotated[str | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    runtime: Annotated[RuntimeName, typer.Option("--runtime", help="Which runtime.")] = "onnx",
    port: Annotated[int, typer.Option("--port", help="The page's port; 0 is any free port.")] = 8780,
    config: Annotated[
        Path | None, typer.Option("--config", help="The agent.toml of the device that kept the scan.")
    ] = None,
    state: Annotated[Path | None, typer.Option("--state", help="Keep outbox, fleet database and logs here.")] = None,
    *,
    loop: Annotated[bool, typer.Option("--loop", help="Play a file again and again.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Print nothing but the result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Everything on one machine: broker, ingest, agent, uplink, and the live page.

    Scenarios to practise on:
    """
    from sono_edge.demo import Wanted, running, watch
    from sono_edge.practice import scenario_of

    if sum(one is not None for one in (source, scenario, scan)) > 1:
        raise BadConfig("--source, --scenario and --scan", "each names what is played", "Give one of them")
    away_s = None if scenario is None else scenario_of(scenario).broker_away_s
    chosen = source or "phantom:"
    if scenario is not None:
        chosen = f"phantom:{scenario}"
    elif scan is not None:
        chosen = f"scan:{_kept(scan, config)}"
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sono-demo-")))
        wanted = Wanted(chosen, folder.resolve(), port, runtime, bundle, seconds, loop, away_s)
        programs = stack.enter_context(running(wanted))
        if not headless:
            _greet(chosen, programs.view_url)
        totals = watch(programs, stop, _nothing if headless else _row)
    if as_json:
        print(json.dumps({**totals, "scenario": scenario}), flush=True)
    elif not headless:
        print(
            f"\n{totals['frames_in']} frames in, {totals['frames_scored']} scored. Alerts: {totals['alerts_raised']} "
            f"raised, {totals['alerts_committed']} committed in the fleet's database."
        )


demo.__doc__ = f"{demo.__doc__}\n\n{listed()}\n"


def _kept(scan: str, config: Path | None) -> Path:
    """The folder of a kept scan; an exported one may be named by its folder. Raises BadConfig."""
    from sono_edge import config as settings
    from sono_edge.scan.export import scans_of

    if Path(scan).is_dir():
        return Path(scan).resolve()
    folder = settings.load(config).state.scans
    known = [record.id for record in scans_of(folder)]
    if scan not in known:
        reason = f"there is no such scan in {folder}"
        next_step = f"Name one of {', '.join(known)}" if known else "Name the device's own agent.toml with --config"
        raise BadConfig(f"scan {scan!r}", reason, next_step)
    return (folder / scan).resolve()


def _greet(source: str, url: str) -> None:
    print(f"SonoEdge demo on {source}. {DISCLAIMER}\n\n  Page: {url}\n\nCtrl-C ends it. Alerts as they commit:\n")
    print(f"{'at':>8}  {'alert':<14} {'what':<13} {'score':>5}  {'interval':<13} {'frames':<7} sequence", flush=True)


def _row(line: dict[str, Any]) -> None:
    score, frames = line["score"], line["frames"]
    print(
        f"{line['timings']['captured_s']:>7.1f}s  {line['alert']:<14} {line['kind']:<13} {score['value']:>5.2f}  "
        f"{score['lo']:.2f} to {score['hi']:.2f}  {frames['m']} of {frames['n']}  {line['sequence']}",
        flush=True,
    )


def _nothing(line: dict[str, Any]) -> None:
    del line
