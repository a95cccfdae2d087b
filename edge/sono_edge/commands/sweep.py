"""`sono sweep`: simulated sweeps from stills, with the truth of every frame."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sono_models.errors import BadConfig

if TYPE_CHECKING:
    from sono_edge.sweep import Still, SweepFrame
    from sono_models.table import Row

COLUMNS = ("clip", "truth", "label", "group", "still", "frames", "fps", "seed", "simulated")


def sweep(
    images: Annotated[Path, typer.Option(help="A table with image,label and, better, mask.")],
    out: Annotated[Path, typer.Option(help="An empty or new folder for what is made.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same sweeps.")] = 7,
    count: Annotated[int, typer.Option(min=1, help="How many stills, drawn from the table.")] = 12,
    where: Annotated[
        list[str] | None, typer.Option(help="Only rows whose COLUMN=VALUE; may be given several times.")
    ] = None,
    fps: Annotated[int, typer.Option(min=1, max=120, help="Frames a second.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Write simulated sweeps: a clip and a truth file for every still, and sweeps.csv."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadConfig(str(out), "it is not an empty folder", "Name a new folder with --out")
    rows = choose(images, wanted(where or ()), seed=seed, count=count)
    out.mkdir(parents=True, exist_ok=True)
    frames = 0
    with (out / "sweeps.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for number, row in enumerate(rows):
            written = write_sweep(out / f"sweep_{number:04d}", read(row), seed=(seed, number), fps=fps)
            clip, truth = f"sweep_{number:04d}.mp4", f"sweep_{number:04d}.truth.jsonl"
            table.writerow((clip, truth, row.label, row.group, row.columns["image"], written, fps, seed, 1))
            frames += written
    if as_json:
        print(json.dumps({"sweeps": len(rows), "frames": frames, "fps": fps, "out": str(out), "simulated": True}))
    else:
        print(f"{len(rows)} simulated sweeps, {frames} frames, in {out}")


def wanted(conditions: Sequence[str]) -> dict[str, list[str]]:
    """COLUMN=VALUE conditions by column; several of one column mean any of them. Raises BadConfig."""
    found: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals or not column:
            raise BadConfig(f"--where {condition}", "is not COLUMN=VALUE", "Write it like --where fold=5")
        found.setdefault(column, []).append(value)
    return found


def choose(images: Path, conditions: dict[str, list[str]], *, seed: int, count: int) -> list[Row]:
    """Draw rows of the table, in its order. Raises BadConfig when none is left."""
    import numpy as np

    from sono_models.table import read_table, where

    rows = where(read_table(images), conditions)
    if not rows:
        raise BadConfig(str(images), "no row fits --where", "Ask for a value that its column has")
    drawn = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[index] for index in sorted(drawn)]


def read(row: Row) -> Still:
    from sono_edge.sweep import Still
    from sono_models.table import read_grey, read_mask

    return Still(read_grey(row.image), row.label, read_mask(row.mask) if row.mask else None)


def write_sweep(stem: Path, still: Still, *, seed: tuple[int, ...], fps: int) -> int:
    """Write STEM.mp4 and STEM.truth.jsonl; how many frames there are."""
    from sono_edge.sweep import sweep_over, write_clip

    frames = list(sweep_over(still, seed=seed, fps=fps))
    with stem.with_suffix(".truth.jsonl").open("wb") as truth:
        truth.writelines(truth_line(frame) for frame in frames)
    return write_clip(stem.with_suffix(".mp4"), (frame.picture for frame in frames), fps)


def truth_line(frame: SweepFrame) -> bytes:
    import msgspec

    told = {
        "index": frame.index,
        "captured_s": round(frame.captured_s, 6),
        "label": frame.label,
        "box": frame.box,
        "lift_off": frame.lift_off,
    }
    return msgspec.json.encode(told) + b"\n"
