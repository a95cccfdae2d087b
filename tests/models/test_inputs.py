from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_models.inputs import Box, InputSpec, letterbox, place

SPEC = InputSpec(256, 256)
sizes = st.tuples(st.integers(2, 1200), st.integers(2, 1200))
shares = st.floats(0, 1)


@given(sizes)
@settings(max_examples=100, deadline=None)
def test_the_picture_keeps_its_aspect_and_fills_one_side(size: tuple[int, int]) -> None:
    left, top, width, height = place(*size, SPEC)
    assert width == SPEC.width or height == SPEC.height
    assert left >= 0
    assert top >= 0
    assert left + width <= SPEC.width
    assert top + height <= SPEC.height
    scale = min(SPEC.width / size[1], SPEC.height / size[0])
    assert abs(width - size[1] * scale) <= 1
    assert abs(height - size[0] * scale) <= 1


@given(sizes, st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_flat_picture_stays_flat_and_what_is_outside_is_pad(size: tuple[int, int], grey: int) -> None:
    boxed, placement = letterbox(np.full(size, grey, np.uint8), SPEC)
    assert boxed.shape == (SPEC.height, SPEC.width)
    assert set(np.unique(boxed)) <= {SPEC.pad, grey}
    share = float((boxed == grey).mean())
    assert share == pytest.approx(placement.width * placement.height, abs=1e-6)


def test_a_place_in_the_input_is_the_same_place_in_the_picture() -> None:
    picture = np.zeros((480, 640), np.uint8)
    picture[120:240, 320:480] = 255
    boxed, placement = letterbox(picture, SPEC)
    ys, xs = np.nonzero(boxed > 127)
    box = Box(xs.min() / 256, ys.min() / 256, (xs.max() + 1) / 256, (ys.max() + 1) / 256)
    found = placement.to_picture(box)
    assert found.iou(Box(0.5, 0.25, 0.75, 0.5)) > 0.95


@given(shares, shares, shares, shares)
def test_iou_is_symmetric_and_at_most_one(a: float, b: float, c: float, d: float) -> None:
    one = Box(min(a, b), min(c, d), max(a, b), max(c, d))
    other = Box(0.2, 0.2, 0.6, 0.7)
    assert 0.0 <= one.iou(other) <= 1.0
    assert one.iou(other) == pytest.approx(other.iou(one))
    if one.area() > 1e-9:
        assert one.iou(one) == pytest.approx(1.0)
