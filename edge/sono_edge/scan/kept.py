"""From a judged frame to the files of a capture: nothing leaves here that was not cleaned first. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from sono_edge.scan.privacy import cleaned
from sono_edge.scan.records import CaptureKind, CaptureRecord
from sono_edge.scan.region import Region, find, follow
from sono_edge.scan.selection import worth
from sono_edge.scan.sight import Sight
from sono_models.inputs import Grey, InputSpec, place
from sono_models.saliency import MALIGNANT

SALIENCY_PX = 128
"""The longer side of a saliency picture: the map itself has fewer cells."""


def storable(picture: Grey) -> Grey | None:
    """What may be stored of a frame; None where its region cannot be found, and nothing may."""
    region = find(picture)
    return None if region is None else cleaned(picture, region)


class Cleaner:
    """What may be stored of frames that follow one another, with the region followed."""

    def __init__(self) -> None:
        self._region: Region | None = None

    def storable(self, picture: Grey) -> Grey | None:
        """As the function, at a third of its cost."""
        self._region = follow(self._region, picture)
        return None if self._region is None else cleaned(picture, self._region)


def storable_all(pictures: Iterator[tuple[float, Grey]]) -> Iterator[tuple[float, Grey]]:
    """Of a clip's frames those that may be stored, cleaned."""
    cleaner = Cleaner()
    for captured_s, picture in pictures:
        clean = cleaner.storable(picture)
        if clean is not None:
            yield captured_s, clean


def png(picture: Grey) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(picture), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def saliency(sight: Sight, spec: InputSpec) -> Grey | None:
    """Where the frame's score came from, over exactly the frame's picture: 255 is certain. None if not scored."""
    if sight.reading is None or sight.picture is None:
        return None
    grid = np.rint(sight.reading.saliency[MALIGNANT] * 255.0).astype(np.uint8)
    boxed = cv2.resize(grid, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
    rows, columns = sight.picture.shape
    left, top, across, down = place(rows, columns, spec)
    inside = boxed[top : top + down, left : left + across]
    scale = min(1.0, SALIENCY_PX / max(inside.shape))
    size = (max(1, round(across * scale)), max(1, round(down * scale)))
    return np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_AREA), np.uint8)


def described(sight: Sight, name: str, kind: CaptureKind, began_s: float, alert: str = "") -> CaptureRecord:
    """What the record says of a frame; its files are not there yet."""
    score = 0.0 if sight.reading is None else sight.reading.malignant
    return CaptureRecord(
        name,
        kind,
        round(sight.captured_s - began_s, 3),
        sight.state.name,
        round(sight.attention, 4),
        round(sight.quality, 3),
        round(max(score * sight.quality, worth(sight)), 4),
        sight.box,
        alert,
    )
