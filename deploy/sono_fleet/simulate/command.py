"""`sono fleet simulate`: a thousand simulated boards through a whole roll-out with a bad model."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from sono_fleet.options import host_and_port, tell


def simulate(
    *,
    devices: Annotated[int, typer.Option(min=1, max=100_000, help="So many boards.")] = 1000,
    fault: Annotated[str, typer.Option(help="How the bad model is bad: shift, crash, silent or slow.")] = "shift",
    broker: Annotated[str, typer.Option(metavar="HOST:PORT", help="One that runs; else mosquitto is started.")] = "",
    alerts: Annotated[float, typer.Option(min=0, help="Alerts a second of the whole fleet, all the while.")] = 100.0,
    engines: Annotated[int, typer.Option(min=1, max=8, help="Engines side by side.")] = 1,
    soak: Annotated[float, typer.Option(min=0, help="Seconds that a wave soaks.")] = 2.0,
    spread: Annotated[float, typer.Option(min=0, help="Seconds over which the boards of a wave begin.")] = 8.0,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds after which a silent board has failed.")] = 60.0,
    longest: Annotated[float, typer.Option(min=1, help="Seconds after which it is given up.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> None:
    """Real broker, ingest, database and engines; simulated boards. First a good model, then a bad one."""
    from sono_fleet.simulate.device import FAULTS
    from sono_fleet.simulate.run import Wanted
    from sono_fleet.simulate.run import simulate as go

    how = next((one for one in FAULTS if one == fault), None)
    if how is None:
        raise typer.BadParameter(f"{fault!r} is none of {', '.join(FAULTS)}", param_hint="--fault")
    where = host_and_port(broker) if broker else None
    said = _quiet if as_json else print
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the programs that it started end with it
    wanted = Wanted(
        devices,
        where,
        how,
        alerts,
        engines,
        soak_s=soak,
        spread_s=spread,
        deadline_s=deadline,
        longest_s=longest,
        tell=said,
    )
    result = go(wanted)
    if as_json:
        tell(result)
        return
    print(f"{result.devices} devices, {result.waves} waves: the good model reached {result.good_share:.1%} of them")
    print(f"the bad model reached {result.bad_model_share:.2%} ({result.bad_model_devices}): {result.why}")
    print(f"back: {result.back}, the last {result.rollback_s_max} s after the gate")
    print(
        f"{result.reports} reports, {result.reports_per_s} a second, committed within {result.commit_p50_ms} ms (p50),"
        f" {result.commit_p99_ms} ms (p99), {result.lost} lost; {result.kb_per_device} kB a device in the engine"
    )


def _quiet(words: str) -> None:
    del words
