#!/usr/bin/env python3
"""`make arm`: does a 64-bit ARM board score as this machine does? Asked bit for bit, under user-mode emulation.

The same program (figures.py), the same bundle and the same clip run here and on the emulated board; what the
networks gave, the scores and the decisions are compared. It says nothing of speed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from sono_edge.bench import clip
from sono_models.bundle import default_path, find
from sono_models.errors import BadConfig, SonoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
ALLOWED_PROBABILITY = 1e-3
ALLOWED_LSB = {"onnx": 2, "litert": 0}
"""ONNX Runtime picks its int8 kernels by the processor, and they may round the last bit another way."""
PARTS = ("decoder", "letterbox")
"""What is before the network, and integer arithmetic that every processor must do alike."""
SKIPPED = 30
"""Frames of the sweep before the clip begins, so that a lesion comes into view in it and an alert is raised."""

WIDTHS = ("<22", ">8", ">8", ">11", ">11", ">13", ">11")
"""Of the table's columns."""

Arrays = dict[str, "NDArray[Any]"]


def here(bundle: Path, video: Path, out: Path) -> None:
    """The figures of this machine."""
    _run([sys.executable, str(HERE / "figures.py"), str(bundle), str(video), str(out)], {})


def emulated(root: Path, cpu: str, bundle: Path, video: Path, out: Path) -> None:
    """The figures of the emulated board: Debian's Python and the ARM wheels in `root`, our code from the checkout."""
    python = root / "usr/bin/python3.11"
    if not python.exists():
        raise BadConfig(str(root), "there is no arm64 Python in it", "Run make arm, which sets it up")
    command = ["qemu-aarch64-static", "-L", str(root), str(python), str(HERE / "figures.py")]
    path = (root / "wheels", CHECKOUT / "models", CHECKOUT / "edge")
    _run(
        [*command, str(bundle), str(video), str(out)], {"QEMU_CPU": cpu, "PYTHONPATH": os.pathsep.join(map(str, path))}
    )


def _run(command: list[str], environment: dict[str, str]) -> None:
    keep = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
    try:
        done = subprocess.run(  # noqa: S603  (our own program)
            command, env={**os.environ, **keep, **environment}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BadConfig(command[0], "is not installed", "apt-get install qemu-user-static") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BadConfig(command[0], f"figures.py ended with {done.returncode}: {said}", f"Run it: {' '.join(command)}")


def lsb(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> int:
    """The largest difference of a network's output, in steps of its int8 grid (read off its values)."""
    furthest = float(np.abs(ours.astype(np.float64) - theirs).max())
    gaps = np.diff(np.unique(np.stack([ours, theirs]).astype(np.float64)))
    return round(furthest / float(gaps.min())) if furthest else 0


def compared(name: str, ours: Arrays, theirs: Arrays) -> dict[str, Any]:
    """One runtime's figures from two machines."""
    outputs = [key for key in ours if key.startswith((f"{name}/golden/", f"{name}/replay/"))]
    scored = f"{name}/replay/{outputs[0].rsplit('/', 1)[1]}"
    if any(ours[key].shape != theirs[key].shape for key in outputs):
        counts = f"{len(ours[scored])} and {len(theirs[scored])}"
        raise BadConfig(name, f"the machines scored different frames ({counts})", "Compare their gates and decoders")
    same = [_same_pictures([key for key in outputs if part in key], ours, theirs) for part in ("/golden/", "/replay/")]
    identical = np.concatenate(same)
    scores = f"{name}/scores"
    return {
        "golden": len(same[0]),
        "frames": len(ours[scores]),
        "scored": len(same[1]),
        "identical_share": float(identical.mean()),
        "max_logit_lsb": max(lsb(ours[key], theirs[key]) for key in outputs),
        "scores_identical_share": float(_equal(ours[scores], theirs[scores]).mean()),
        "max_probability_diff": float(np.nanmax(np.abs(ours[scores] - theirs[scores]))),
        "decoder_identical": bool((ours[f"{name}/pictures"] == theirs[f"{name}/pictures"]).all()),
        "letterbox_identical": bool((ours[f"{name}/boxed"] == theirs[f"{name}/boxed"]).all()),
        "decisions_identical": bool((ours[f"{name}/lines"] == theirs[f"{name}/lines"]).all()),
    }


def _same_pictures(keys: list[str], ours: Arrays, theirs: Arrays) -> NDArray[np.bool_]:
    """Of each picture, whether every value of every output is the same."""
    each = [_equal(ours[key], theirs[key]) for key in keys]
    return np.asarray(np.logical_and.reduce(each))


def _equal(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.bool_]:
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return np.asarray(same.reshape(len(same), -1).all(axis=1))


def report(cpu: str, ours: Arrays, theirs: Arrays) -> dict[str, Any]:
    """The comparison; `failures` says in words why it did not pass."""
    about, board = (json.loads(str(arrays["about"])) for arrays in (ours, theirs))
    runtimes = {name: compared(name, ours, theirs) for name in about["runtimes"]}
    for name, figures in runtimes.items():
        figures["version"] = board["runtimes"][name]["version"]
        figures["golden_probability_diff"] = board["runtimes"][name]["golden_diff"]
    return {
        "machines": [about["machine"], board["machine"]],
        "cpu": cpu,
        "xnnpack": board["xnnpack"] and about["xnnpack"],
        "frames": max(figures["frames"] for figures in runtimes.values()),
        "golden": max(figures["golden"] for figures in runtimes.values()),
        "identical_share": min(figures["identical_share"] for figures in runtimes.values()),
        "max_logit_lsb": max(figures["max_logit_lsb"] for figures in runtimes.values()),
        "max_probability_diff": max(figures["max_probability_diff"] for figures in runtimes.values()),
        "runtimes": runtimes,
        "packages": board["packages"],
        "failures": failures(about, board, runtimes),
    }


def failures(about: dict[str, Any], board: dict[str, Any], runtimes: dict[str, dict[str, Any]]) -> list[str]:
    """Why the board cannot be said to score as this machine does; empty when it does."""
    found = [
        f"XNNPACK is off on {one['machine']}: LiteRT runs other kernels" for one in (about, board) if not one["xnnpack"]
    ]
    if board["machine"] != "aarch64":
        found.append(f"the board is no 64-bit ARM but {board['machine']}")
    if about["packages"] != board["packages"]:
        found.append(f"other packages: {about['packages']} here, {board['packages']} on the board")
    for name, figures in runtimes.items():
        if about["runtimes"][name]["version"] != figures["version"]:
            found.append(f"{name}: {about['runtimes'][name]['version']} here, {figures['version']} on the board")
        found += [f"{name}: the {part} gave other pixels" for part in PARTS if not figures[f"{part}_identical"]]
        moved, steps = figures["max_probability_diff"], figures["max_logit_lsb"]
        if moved > ALLOWED_PROBABILITY and steps > ALLOWED_LSB[name]:
            found.append(f"{name}: a probability differs by {moved:.6f}, a logit by {steps} LSB")
    return found


def show(result: dict[str, Any]) -> None:
    """The table for people."""
    ours, board = result["machines"]
    typer.echo(f"{ours} and emulated {board} ({result['cpu']}), XNNPACK {'on' if result['xnnpack'] else 'OFF'}")
    titles = ("runtime", "golden", "frames", "identical", "logit LSB", "probability", "decisions")
    typer.echo("".join(f"{title:{width}}" for title, width in zip(titles, WIDTHS, strict=True)))
    for figures in result["runtimes"].values():
        decisions = "same" if figures["decisions_identical"] else "differ"
        cells = [figures["version"], figures["golden"], figures["frames"], f"{figures['identical_share']:.1%}"]
        cells += [figures["max_logit_lsb"], f"{figures['max_probability_diff']:.1e}", decisions]
        typer.echo("".join(f"{cell!s:{width}}" for cell, width in zip(cells, WIDTHS, strict=True)))


def compare(
    root: Annotated[Path, typer.Option(help="The arm64 Debian that root.sh made.")] = CHECKOUT / ".arm" / "root",
    bundle: Annotated[Path | None, typer.Option(help="A bundle, or a folder of bundles.")] = None,
    cpu: Annotated[str, typer.Option(help="The board's processor, as the emulator names it.")] = "cortex-a76",
    frames: Annotated[int, typer.Option(help="Of a phantom sweep.", min=1)] = 60,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Compare the golden frames and a replay on this machine and on an emulated ARM board, bit for bit."""
    with tempfile.TemporaryDirectory(prefix="sono-arm-") as folder, ThreadPoolExecutor(2) as pool:
        tar, out = find(bundle or default_path()).resolve(), Path(folder)
        video = clip.h264(out / "sweep.mp4", clip.pictures(SKIPPED + frames)[SKIPPED:])
        jobs = [
            pool.submit(here, tar, video, out / "here.npz"),
            pool.submit(emulated, root.resolve(), cpu, tar, video, out / "board.npz"),
        ]
        for job in jobs:
            job.result()
        both = [dict(np.load(out / name)) for name in ("here.npz", "board.npz")]
    result = report(cpu, *both)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        show(result)
    for failure in result["failures"]:
        typer.echo(f"error: {failure}", err=True)
    raise typer.Exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    try:
        typer.run(compare)
    except SonoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
