from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sono_models.inputs import Box
from sono_models.saliency import Calibration, Pooling, frame_scores, point, sigmoid


def test_top_share_pooling_is_the_mean_of_the_top_cells() -> None:
    maps = np.linspace(0, 1, 2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
    benign, malignant = frame_scores(maps, Pooling(0.05))
    assert malignant == pytest.approx(float(np.sort(maps[1].ravel())[-13:].mean()))
    assert benign == pytest.approx(float(np.sort(maps[0].ravel())[-13:].mean()))


def test_at_least_one_cell_counts() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[1, 2, 3] = 0.9
    assert frame_scores(maps, Pooling(0.001))[1] == pytest.approx(0.9)


def test_the_box_is_around_the_peaks_own_cells() -> None:
    saliency = np.zeros((16, 16), np.float32)
    saliency[4:6, 8:12] = 0.8
    saliency[5, 9] = 0.9
    saliency[12, 2] = 0.7
    assert point(saliency) == Box(8 / 16, 4 / 16, 12 / 16, 6 / 16)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 5), st.floats(-3, 3))
def test_calibration_keeps_the_order_and_stays_a_probability(a: float, b: float, slope: float, offset: float) -> None:
    calibration = Calibration(slope, offset)
    low, high = sorted((calibration.apply(a), calibration.apply(b)))
    assert 0.0 <= low <= high <= 1.0
    assert (calibration.apply(a) <= calibration.apply(b)) or a >= b


def test_no_calibration_changes_nothing() -> None:
    assert Calibration().apply(0.3) == pytest.approx(0.3)


def test_sigmoid_stays_in_float32() -> None:
    assert sigmoid(np.array([0.0], np.float32)).dtype == np.float32
