"""Whether a reading points at the lesion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sono_models.inputs import Box, Placement
from sono_models.localisation import Localised, against, bounds, localised, peak, summary
from sono_models.reader import Reading
from sono_models.table import Row

WHOLE = Placement(0.0, 0.0, 1.0, 1.0)


def a_map(row: int, column: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    found = np.full((8, 8), 0.01, np.float32)
    found[row : row + 2, column : column + 2] = 0.9
    return found


@pytest.fixture
def row(tmp_path: Path) -> Row:
    mask = np.zeros((64, 64), np.uint8)
    mask[8:24, 32:48] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return Row(tmp_path / "image.png", "malignant", "g", tmp_path / "mask.png", {})


def test_without_a_lesion_map_the_two_maps_together_point(row: Row) -> None:
    there, elsewhere = a_map(1, 4), a_map(5, 0) * 0.5
    reading = Reading(0.2, 0.8, Box(0, 0, 1, 1), np.stack([elsewhere, there]))
    assert localised(reading, WHOLE, row) == Localised(hit=True, iou=1.0)
    other = Reading(0.2, 0.8, Box(0, 0, 1, 1), np.stack([a_map(5, 0), there * 0.5]))
    assert localised(other, WHOLE, row) == Localised(hit=False, iou=0.0)


def test_the_lesion_map_and_the_readings_box_come_first(row: Row) -> None:
    box = Box(0.5, 0.125, 0.75, 0.25)  # the upper half of the lesion
    reading = Reading(0.2, 0.8, box, np.stack([a_map(5, 0), a_map(5, 0)]), lesion=a_map(1, 4))
    assert localised(reading, WHOLE, row) == Localised(hit=True, iou=0.5)


def test_the_peak_is_taken_back_into_the_picture() -> None:
    lower_half = Placement(0.0, 0.5, 1.0, 0.5)
    cell = lower_half.to_picture(peak(a_map(4, 0)))
    assert cell.centre() == (0.0625, 0.125)


def test_no_mask_or_an_empty_one_is_no_judgement(row: Row, tmp_path: Path) -> None:
    reading = Reading(0.2, 0.8, Box(0, 0, 1, 1), np.stack([a_map(1, 4)] * 2))
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((64, 64), np.uint8))
    for mask in (None, tmp_path / "absent.png", tmp_path / "empty.png"):
        assert localised(reading, WHOLE, Row(row.image, "normal", "g", mask, {})) is None
    assert summary([None, None]) is None


def test_the_figures_of_many() -> None:
    mask = np.zeros((10, 10), np.bool_)
    mask[:5, :5] = True
    assert bounds(mask) == Box(0.0, 0.0, 0.5, 0.5)
    found = [
        against(Box(0, 0, 0.1, 0.1), Box(0, 0, 0.5, 0.4), mask),
        against(Box(0.9, 0.9, 1, 1), Box(0, 0, 1, 1), mask),
    ]
    assert summary([*found, None]) == {"n": 2, "pointing_hit": 0.5, "box_recall_iou50": 0.5}
