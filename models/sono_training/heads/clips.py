"""Frames of clips and pictures that are not of the organ: from files, folders and tables."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from sono_models.errors import BadManifest
from sono_models.table import read_grey

if TYPE_CHECKING:
    from sono_models.inputs import Grey

STILLS = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
DICOM = frozenset({".dcm"})
CLIPS = frozenset({".mp4", ".mov", ".mpeg", ".mpg", ".avi", ".mkv", ".webm"})


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of pictures that are not of the organ, and the patient (or file) it must not be split from."""

    path: Path
    patient: str
    kind: str

    def trained(self) -> bool:
        """Half of the patients, by sha256 of their name, are trained on; the others only measured."""
        return hashlib.sha256(self.patient.encode()).digest()[-1] % 2 == 0


def read_foreign(table: Path) -> list[Foreign]:
    """A CSV with `clip` or `image`, and if it has them `patient` or `group`, and `probe`. Raises BadManifest."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            records = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(str(table), f"not a table of negatives ({error})", "Name a CSV with clip or image") from error
    found = []
    for record in records:
        name = record.get("clip") or record.get("image")
        if not name:
            raise BadManifest(str(table), "a row without clip or image", "Name a CSV with the column clip or image")
        patient = record.get("patient") or record.get("group") or name
        found.append(Foreign(table.parent / name, patient, record.get("probe") or table.parent.name))
    return found


def under(path: Path) -> list[Foreign]:
    """A file, or every still and clip of a folder; each stands for itself. Raises BadManifest for none."""
    known = STILLS | DICOM | CLIPS
    inside = sorted(path.iterdir()) if path.is_dir() else []
    files = [path] if path.is_file() else [child for child in inside if child.suffix.lower() in known]
    if not files:
        raise BadManifest(str(path), "neither a picture, a clip nor a folder of them", "Name another --held-out")
    return [Foreign(file, file.name, path.stem) for file in files]


def read_frames(path: Path, count: int) -> list[Grey]:
    """Up to `count` grey frames, evenly spaced over the file. Raises BadManifest when it cannot be read."""
    suffix = path.suffix.lower()
    if suffix in STILLS:
        return [read_grey(path)]
    if suffix in DICOM:
        return _evenly(_dicom(path), count)
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise BadManifest(str(path), f"cannot be read as a clip ({error})", "Check the table and the file") from error
    return _evenly([np.asarray(frame, np.uint8) for frame in frames], count)


def _dicom(path: Path) -> list[Grey]:
    from pydicom import dcmread  # noqa: PLC0415  (an extra; only who gives DICOM needs it)

    pixels = np.asarray(dcmread(path).pixel_array)
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), max(float(pixels.max()), 1.0)
        pixels = ((pixels - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)
    colour = pixels.shape[-1] == 3
    stacked = pixels if pixels.ndim == 3 + colour else pixels[None]
    return [np.asarray(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), np.uint8) if colour else one for one in stacked]


def _evenly(frames: list[Grey], count: int) -> list[Grey]:
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    return [frames[index] for index in chosen]
