"""Stills from labelled clips, so that clips train and test a network as any table of images does.

The clips' manifest is a CSV with `clip,label,patient` (more columns are carried along). Frames are taken at
even distances over the whole clip: neighbours in a clip are nearly the same picture.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from tqdm import tqdm

from sono_models.errors import BadManifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sono_models.inputs import Grey

QUALITY = 95
"""Of the JPEG, as in the sets of stills, so that the codec is no cue."""
LONGEST = 448
"""Pixels of the longer side at most."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the manifest."""

    path: Path
    label: str
    patient: str
    columns: Mapping[str, str]


def read_clips(path: Path) -> list[Clip]:
    """Raises BadManifest naming the row and what is wrong with it."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            records = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(str(path), f"cannot be read ({error})", "Name a CSV with clip,label,patient") from error
    return [_clip(path, number, record) for number, record in enumerate(records, start=2)]


def _clip(path: Path, number: int, record: dict[str, str]) -> Clip:
    missing = [name for name in ("clip", "label", "patient") if not record.get(name)]
    if missing:
        raise BadManifest(f"{path}:{number}", f"has no {' and no '.join(missing)}", "Fill it in or delete the row")
    clip = path.parent / record["clip"]
    if not clip.is_file():
        raise BadManifest(f"{path}:{number}", f"there is no file {record['clip']}", "Copy the clip, or delete the row")
    return Clip(clip, record["label"], record["patient"], record)


def write_stills(clips: list[Clip], names: Mapping[str, str], *, count: int, out: Path) -> Path:
    """`count` stills a clip and their manifest.csv in `out`; `names` renames labels. Returns the manifest's path."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, str | int]] = []
    for clip in tqdm(clips, desc="stills", unit="clip", disable=None):
        for number, picture in _stills(clip.path, count):
            name = f"images/{clip.path.stem}_{number:05}.jpg"
            cv2.imwrite(str(out / name), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            label = names.get(clip.label, clip.label)
            line = {"image": name, "label": label, "patient": clip.patient, "clip": clip.path.name, "frame": number}
            lines.append(line)
    path = out / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("image", "label", "patient", "clip", "frame"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return path


def _stills(path: Path, count: int) -> list[tuple[int, Grey]]:
    """(frame number, picture) at even distances. Raises BadManifest for a file that is no video."""
    try:
        with av.open(str(path)) as container:
            frames = [
                _small(np.asarray(frame.to_ndarray(format="gray"), np.uint8)) for frame in container.decode(video=0)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise BadManifest(str(path), f"cannot be read as a video ({error})", "Convert it, or delete its row") from error
    chosen = sorted({int(place) for place in np.linspace(0, len(frames) - 1, min(count, len(frames)))})
    return [(number, frames[number]) for number in chosen]


def _small(picture: Grey) -> Grey:
    height, width = picture.shape
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return picture
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
