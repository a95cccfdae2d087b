"""`sono bench`: benchmarks as commands; every ratio is to the floor measured in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sono_models.runtime import RuntimeName

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Benchmarks: ratios to a floor of the same run.")

BundleOption = Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")]
RuntimeOption = Annotated[RuntimeName, typer.Option("--runtime", help="Which runtime.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]


@app.callback()
def _group() -> None:
    pass


@app.command()
def frames(
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    rounds: Annotated[int, typer.Option("--rounds", help="Interleaved rounds.", min=1)] = 5,
    *,
    as_json: JsonOption = False,
) -> None:
    """A file's frames to scores and decisions."""
    from sono_edge.bench.frames import run
    from sono_models.bundle import default_path, read

    _print(run(read(bundle or default_path()), runtime, rounds=rounds), as_json=as_json)


@app.command()
def live(
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    seconds: Annotated[float, typer.Option("--seconds", help="How long the stream runs, each round.", min=2.0)] = 20.0,
    rounds: Annotated[int, typer.Option("--rounds", help="Medians of so many.", min=1)] = 3,
    viewers: Annotated[
        int, typer.Option("--viewers", help="How many watch the page; of four, one is slow and one stops.", min=0)
    ] = 1,
    *,
    scans: Annotated[
        bool, typer.Option("--scans/--no-scans", help="Keep scans; what that costs, beside an agent without.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """A 30 fps stream into a real agent with its page watched and alerts on.

    The frame path alone unless --scans is given. With --scans, or more than one viewer, it also runs without, and
    gives ratios of the two.
    """
    from sono_edge.bench.live import run
    from sono_models.bundle import default_path, read

    chosen = read(bundle or default_path())
    result = run(chosen, runtime, seconds=seconds, viewers=viewers, rounds=rounds, scans=scans)
    _print(result, as_json=as_json)


@app.command()
def outbox(
    alerts: Annotated[int, typer.Option("--alerts", help="How many alerts are raised.", min=1)] = 1000,
    kills: Annotated[int, typer.Option("--kills", help="At least so many SIGKILLs.", min=0)] = 25,
    seed: Annotated[int, typer.Option("--seed", help="Of the times and the victims.")] = 1,
    *,
    as_json: JsonOption = False,
) -> None:
    """Alerts while broker, uplink and ingest are killed at random: how many are lost?"""
    from sono_edge.bench.outbox import run

    result = run(alerts=alerts, kills=kills, seed=seed)
    _print(result, as_json=as_json)
    raise typer.Exit(1 if result["lost"] else 0)


@app.command()
def tamper(
    count: Annotated[int, typer.Option("--count", help="So many tampered updates, at least.", min=1)] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of what is tampered with, and how.")] = 1,
    *,
    as_json: JsonOption = False,
) -> None:
    """Tampered repositories before a real updater: how many does it take? Needs the fleet's extra."""
    from sono_models.command import needs_extra

    needs_extra("fleet", "bench tamper")
    from sono_edge.bench.tamper.campaign import run

    result = run(count=count, seed=seed)
    _print(result, as_json=as_json)
    raise typer.Exit(1 if result["accepted"] or result["crashed"] else 0)


@app.command()
def repeat(
    bundle: BundleOption = None,
    repeats: Annotated[int, typer.Option("--repeats", help="So often on each runtime.", min=1)] = 10_000,
    processes: Annotated[int, typer.Option("--processes", help="So many fresh processes.", min=0)] = 3,
    *,
    as_json: JsonOption = False,
) -> None:
    """The same pictures again and again, on 1, 2 and 4 threads, after restarts: is every bit the same?"""
    from sono_edge.bench.repeat import run
    from sono_models.bundle import default_path, read

    result = run(read(bundle or default_path()), repeats=repeats, processes=processes)
    _print(result, as_json=as_json)
    raise typer.Exit(0 if result["bit_equal"] else 1)


@app.command()
def gates(
    images: Annotated[Path, typer.Option("--images", help="A table of stills, with image,label.")],
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only rows whose COLUMN=VALUE; may be given several times.")
    ] = None,
    groups: Annotated[Path | None, typer.Option("--groups", help="Only these groups or patients, one a line.")] = None,
    count: Annotated[int | None, typer.Option("--count", help="At most so many stills, drawn.", min=2)] = None,
    cine: Annotated[Path | None, typer.Option("--cine", help="A folder of clips that show no breast.")] = None,
    lung: Annotated[Path | None, typer.Option("--lung", help="A table of lung clips, with clip,patient.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn into the frames.", min=0)] = 7,
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    *,
    as_json: JsonOption = False,
) -> None:
    """Does each gate hold what it must, and nothing else? On real and made frames."""
    from sono_edge.bench.gates import run
    from sono_edge.bench.stills import stills
    from sono_models.bundle import default_path, read

    rows = stills(images, where or (), groups, count=count, seed=seed)
    _print(run(read(bundle or default_path()), runtime, rows, cine=cine, lung=lung, seed=seed), as_json=as_json)


@app.command()
def alerts(
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="A table of stills, with image,label,mask; may be repeated.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only rows whose COLUMN=VALUE; may be given several times.")
    ] = None,
    groups: Annotated[Path | None, typer.Option("--groups", help="Only these groups or patients, one a line.")] = None,
    *,
    negatives: Annotated[
        list[Path] | None, typer.Option("--negatives", help="A table of more stills for lesion-free scans.")
    ] = None,
    root: Annotated[
        list[str] | None, typer.Option("--root", help="NAME=DIR, for tables whose images are NAME:PATH (dev.csv).")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="Which lesions must be found.")] = None,
    sweeps: Annotated[int, typer.Option("--sweeps", help="So many lesion sweeps.", min=1)] = 100,
    minutes: Annotated[float, typer.Option("--minutes", help="So long without a lesion.", min=0.5)] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the sweeps and what happens in them.", min=0)] = 7,
    workers: Annotated[int, typer.Option("--workers", help="Processes that play sweeps.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Write every sweep as a clip with its truth here.")] = None,
    observations: Annotated[
        Path | None, typer.Option("--observations", help="Write what was seen of every frame here, as .npz.")
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="Write what came of each sweep here, as .csv.")
    ] = None,
    again: Annotated[
        Path | None, typer.Option("--again", help="Take what --observations wrote: no sweep, no inference.")
    ] = None,
    law: Annotated[Path | None, typer.Option("--law", help="A law as JSON, instead of the bundle's.")] = None,
    choose: Annotated[
        Path | None, typer.Option("--choose", help="Choose a law on these stills (dev, never held out); write it here.")
    ] = None,
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    as_json: JsonOption = False,
) -> None:
    """Simulated sweeps with and without a lesion through the real pipeline: lesions found, false alerts, time."""
    from sono_edge.bench.alerts_command import Order, run

    order = Order(
        tuple(images or ()),
        tuple(where or ()),
        groups,
        tuple(negatives or ()),
        tuple(root or ()),
        tuple(label or ("malignant",)),
        sweeps,
        minutes,
        seed,
        workers,
        out,
        observations,
        outcomes,
        again,
        law,
        choose,
    )
    result = run(order, bundle, runtime)
    _print(result, as_json=as_json)
    raise typer.Exit(1 if result["gated_alerts"] else 0)


@app.command()
def swap(
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    swaps: Annotated[int, typer.Option("--swaps", help="Updates that succeed, one after the other.", min=1)] = 100,
    fps: Annotated[float, typer.Option("--fps", help="Of the live stream.", min=1.0)] = 30.0,
    *,
    as_json: JsonOption = False,
) -> None:
    """Real updates of a live agent: frames missed, memory, and how fast a bad one is undone."""
    from sono_edge.bench.swap import run
    from sono_models.bundle import default_path, read

    result = run(read(bundle or default_path()), runtime, swaps=swaps, fps=fps)
    _print(result, as_json=as_json)
    raise typer.Exit(1 if result["wrong"] else 0)


@app.command()
def powercut(
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    points: Annotated[int, typer.Option("--points", help="So many power cuts.", min=1)] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Of where and when they strike.")] = 7,
    rot_every: Annotated[int, typer.Option("--rot-every", help="Durable files rot at one in so many.", min=1)] = 20,
    *,
    as_json: JsonOption = False,
) -> None:
    """The power goes at every step of an update: does the board always come up with a whole, verified bundle?"""
    from sono_edge.bench.powercut import run
    from sono_models.bundle import default_path, read

    result = run(read(bundle or default_path()), runtime, points=points, seed=seed, rot_every=rot_every)
    _print(result, as_json=as_json)
    raise typer.Exit(0 if result["whole"] == points else 1)


@app.command()
def clips(
    table: Annotated[Path, typer.Option("--table", help="A table of real clips, with clip,label,patient[,probe].")],
    groups: Annotated[Path | None, typer.Option("--groups", help="Only these patients, one a line.")] = None,
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    *,
    as_json: JsonOption = False,
) -> None:
    """Real clips, of this bundle's organ or another's, as video: alerts, gated frames, and each clip's class."""
    import sys

    from sono_edge.bench.real_clips import read_clips, run
    from sono_models.bundle import default_path, read
    from sono_models.options import read_groups

    found = read_clips(table, read_groups(groups) if groups else None)
    hidden = not sys.stderr.isatty()
    with typer.progressbar(length=len(found), label="clips", file=sys.stderr, hidden=hidden) as bar:
        result = run(read(bundle or default_path()), runtime, found, told=bar.update)
    _print(result, as_json=as_json)


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:>16}  {value}")
