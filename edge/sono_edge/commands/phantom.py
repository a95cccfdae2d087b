"""`sono phantom`: simulated breast pictures with their truth, to train on or to sweep over."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sono_models.errors import BadConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_PX = 448
"""The longest side of a still on disk, as in the real sets it is trained beside."""
SIZES = ((640, 480), (640, 480), (560, 480), (480, 480), (400, 480))
"""Shapes of the stills before they are made smaller, (width, height)."""


def phantom(
    out: Annotated[Path, typer.Option(help="An empty or new folder for what is made.")],
    count: Annotated[int, typer.Option(min=1, help="How many stills; a third of each label.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 7,
    sweep: Annotated[float | None, typer.Option(min=0.1, help="Instead of stills, a sweep of so many seconds.")] = None,
) -> None:
    """Write simulated breast ultrasound: stills with masks, or a sweep with the truth of every frame."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadConfig(str(out), "it is not an empty folder", "Name a new folder with --out")
    if sweep is None:
        written = write_stills(out, count=count, seed=seed)
        print(f"{written} stills in {out}")
    else:
        written = write_sweep(out, seconds=sweep, seed=seed)
        print(f"{written} frames in {out}")


def write_stills(out: Path, *, count: int, seed: int) -> int:
    """Write images/, masks/ and manifest.csv; how many stills there are."""
    from sono_edge.phantom.stills import StillKind, still

    kinds: tuple[StillKind, ...] = ("normal", "benign", "malignant")
    (out / "images").mkdir(parents=True)
    (out / "masks").mkdir()
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("image", "mask", "label", "group", "simulated"))
        for number in range(count):
            kind = kinds[number % 3]
            anatomy = seed * 1_000_000 + number
            picture, mask = still(seed=anatomy, kind=kind, size=SIZES[(number // 3) % len(SIZES)])
            image_name, mask_name = f"images/phantom_{number:05d}.jpg", f"masks/phantom_{number:05d}.png"
            _save_still(out / image_name, out / mask_name, picture, mask)
            rows.writerow((image_name, mask_name, kind, f"phantom_{anatomy}", 1))
    return count


def _save_still(image: Path, mask: Path, picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    import cv2

    height, width = picture.shape
    shrink = min(1.0, LONGEST_PX / max(height, width))
    size = (round(width * shrink), round(height * shrink))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(image), small, [cv2.IMWRITE_JPEG_QUALITY, 95])
    cv2.imwrite(str(mask), cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST))


def write_sweep(out: Path, *, seconds: float, seed: int) -> int:
    """Write frames/ and truth.jsonl (one object a frame); how many frames there are."""
    import cv2
    import msgspec

    from sono_edge.phantom.sweep import sweep as frames

    (out / "frames").mkdir(parents=True)
    written = 0
    with (out / "truth.jsonl").open("wb") as truth:
        for frame in frames(seed=seed, seconds=seconds):
            name = f"frames/{frame.index:06d}.png"
            cv2.imwrite(str(out / name), frame.picture)
            line = {
                "image": name,
                "index": frame.index,
                "captured_s": frame.captured_s,
                "contact": frame.contact,
                "frozen": frame.frozen,
                "lesions": frame.lesions,
            }
            truth.write(msgspec.json.encode(line) + b"\n")
            written += 1
    return written
