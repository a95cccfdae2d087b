"""Whether a reading points at the lesion: by the mask of those who drew it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sono_models.inputs import Box
from sono_models.saliency import point
from sono_models.table import read_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.inputs import Placement
    from sono_models.reader import Reading
    from sono_models.table import Row


@dataclass(frozen=True, slots=True)
class Localised:
    """`hit`: the peak of the map lies on the lesion; `iou`: of the map's box and the mask's."""

    hit: bool
    iou: float


def localised(reading: Reading, placement: Placement, row: Row) -> Localised | None:
    """How well the reading of a row's picture points; None where the row has no mask, or an empty one."""
    if row.mask is None or not row.mask.is_file():
        return None
    mask = read_mask(row.mask)
    return against(*_pointed(reading, placement), mask) if mask.any() else None


def against(cell: Box, box: Box, mask: NDArray[np.bool_]) -> Localised:
    """A peak's cell and a box, both in fractions of the picture, against a mask (height, width) that is not empty."""
    x, y = cell.centre()
    height, width = mask.shape
    hit = bool(mask[min(int(y * height), height - 1), min(int(x * width), width - 1)])
    return Localised(hit, box.iou(bounds(mask)))


def bounds(mask: NDArray[np.bool_]) -> Box:
    """The box around a mask (height, width), in fractions of it."""
    ys, xs = np.nonzero(mask)
    height, width = mask.shape
    return Box(
        float(xs.min()) / width, float(ys.min()) / height, float(xs.max() + 1) / width, float(ys.max() + 1) / height
    )


def peak(lesion: NDArray[np.float32]) -> Box:
    """The cell of a map (rows, columns) that holds its largest value, in fractions of the model's input."""
    rows, columns = lesion.shape
    row, column = divmod(int(lesion.argmax()), columns)
    return Box(column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)


def summary(found: Sequence[Localised | None]) -> dict[str, float | int] | None:
    """`pointing_hit`: share whose peak lies on the lesion; `box_recall_iou50`: share whose box meets the mask's."""
    judged = [each for each in found if each is not None]
    if not judged:
        return None
    recall = float(np.mean([each.iou >= 0.5 for each in judged]))
    return {"n": len(judged), "pointing_hit": float(np.mean([each.hit for each in judged])), "box_recall_iou50": recall}


def _pointed(reading: Reading, placement: Placement) -> tuple[Box, Box]:
    """The peak's cell and the box: of the lesion map where the model has one, else of its two maps together."""
    if reading.lesion is not None:
        return placement.to_picture(peak(reading.lesion)), reading.box
    either = reading.saliency.max(axis=0)
    return placement.to_picture(peak(either)), placement.to_picture(point(either))
