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

from sono_models import DISCLAIMER
from sono_models.runtime import RuntimeName


def demo(
    source: Annotated[str, typer.Option("--source", help="Any source; phantom: is the simulated one.")] = "phantom:",
    seconds: Annotated[float | None, typer.Option("--seconds", help="End after so many seconds.", min=1.0)] = None,
    bundle: Annotated[str | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    runtime: Annotated[RuntimeName, typer.Option("--runtime", help="Which runtime.")] = "onnx",
    port: Annotated[int, typer.Option("--port", help="The page's port; 0 is any free port.")] = 8780,
    state: Annotated[Path | None, typer.Option("--state", help="Keep outbox, fleet database and logs here.")] = None,
    *,
    loop: Annotated[bool, typer.Option("--loop", help="Play a file again and again.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Print nothing but the result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Everything on one machine: broker, ingest, agent, uplink, and the live page."""
    from sono_edge.demo import Wanted, running, watch

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sono-demo-")))
        wanted = Wanted(source, folder.resolve(), port, runtime, bundle, seconds, loop)
        programs = stack.enter_context(running(wanted))
        if not headless:
            _greet(source, programs.view_url)
        totals = watch(programs, stop, _nothing if headless else _row)
    if as_json:
        print(json.dumps(totals), flush=True)
    elif not headless:
        print(
            f"\n{totals['frames_in']} frames in, {totals['frames_scored']} scored. Alerts: {totals['alerts_raised']} "
            f"raised, {totals['alerts_committed']} committed in the fleet's database."
        )


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
