"""The score's interval, and every reason to say nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sono_models.errors import BadBundle
from sono_models.inputs import Box
from sono_models.reader import Reading
from sono_models.saliency import Calibration
from sono_models.uncertainty import CLOSE, FAR, TORN, Band, Learned, Uncertainty, expit, logit, uncalibrated

MALIGNANT, BENIGN = Calibration(0.7, -0.2), Calibration(0.65, 0.54)
KNOTS = np.linspace(-8, 8, 17)


def a_band() -> Band:
    point = MALIGNANT.slope * KNOTS + MALIGNANT.offset
    raw, lo, hi = (tuple(float(value) for value in expit(each)) for each in (KNOTS, point - 0.4, point + 0.5))
    return Band(raw, lo, hi)


KNOWN = Uncertainty(
    band=a_band(),
    threshold=0.2,
    close=0.25,
    torn=0.4,
    benign=BENIGN,
    share=0.1,
    frozen_on="dev split",
    learned=Learned((1.0, 2.0**0.5, 3.0**0.5), ((2.0,), (0.0, 2.0), (0.0, 0.0, 1.0)), 2.0),
)
FAMILIAR = np.array([1.0, 2.0, 3.0], np.float32)


def a_reading(benign_raw: float, malignant_raw: float, embedding: np.ndarray | None = FAMILIAR) -> Reading:
    return Reading(
        benign=BENIGN.apply(benign_raw),
        malignant=MALIGNANT.apply(malignant_raw),
        box=Box(0.1, 0.1, 0.2, 0.2),
        saliency=np.zeros((2, 4, 4), np.float32),
        embedding=embedding,
        pooled=malignant_raw,
    )


@given(st.floats(0.0, 1.0))
def test_the_interval_holds_the_score(raw: float) -> None:
    low, high = KNOWN.interval(raw)
    assert 0.0 <= low < high <= 1.0
    score = MALIGNANT.apply(raw)
    low, high = KNOWN.around(score, MALIGNANT)
    assert low <= score <= high


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_interval_rises_with_the_score(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert KNOWN.interval(less) <= KNOWN.interval(more)


def test_between_knots_the_interval_is_linear_in_logits() -> None:
    raw = float(expit(np.asarray(0.5)))
    low, high = KNOWN.interval(raw)
    point = MALIGNANT.slope * 0.5 + MALIGNANT.offset
    assert logit(np.array([low, high])) == pytest.approx([point - 0.4, point + 0.5])


def test_a_clear_reading_is_not_thin() -> None:
    assert KNOWN.thin(a_reading(0.05, 0.98)) is None
    assert KNOWN.thin(a_reading(0.9, 0.01)) is None
    assert KNOWN.doubt(a_reading(0.05, 0.98)) < KNOWN.doubt(a_reading(0.3, 0.7)) < 1.0


def test_a_picture_where_nothing_stands_out_is_not_thin() -> None:
    """So looks most of a sweep: a picture without a lesion."""
    assert KNOWN.thin(a_reading(0.005, 0.005)) is None


def test_every_reason_in_words() -> None:
    at_threshold = uncalibrated(0.2, MALIGNANT)
    assert KNOWN.thin(a_reading(0.05, at_threshold)) == CLOSE
    assert KNOWN.thin(a_reading(0.8, 0.8)) == TORN
    assert KNOWN.thin(a_reading(0.05, 0.98, FAMILIAR + 9)) == FAR
    # of two, the one that makes the other meaningless
    assert KNOWN.thin(a_reading(0.8, 0.8, FAMILIAR + 9)) == FAR


def test_at_the_limit_a_reading_is_thin() -> None:
    assert KNOWN.thin(a_reading(0.4, 0.9)) is None or KNOWN.doubt(a_reading(0.4, 0.9)) >= 1.0
    edge = float(expit(logit(np.asarray(0.2)) + 0.25))
    assert KNOWN.thin(a_reading(0.05, uncalibrated(edge - 1e-4, MALIGNANT))) == CLOSE
    assert KNOWN.thin(a_reading(0.05, uncalibrated(edge + 1e-4, MALIGNANT))) is None


def test_a_network_without_features_is_judged_by_its_scores() -> None:
    assert KNOWN.thin(a_reading(0.05, 0.98, None)) is None
    without = msgspec.structs.replace(KNOWN, learned=None)
    assert without.thin(a_reading(0.05, 0.98, FAMILIAR + 9)) is None


def test_a_familiar_distance_adds_no_doubt() -> None:
    near = a_reading(0.05, 0.98, FAMILIAR + np.float32(0.5))
    assert KNOWN.doubt(near) == KNOWN.doubt(replace(near, embedding=None))


def test_features_of_another_network_are_refused() -> None:
    with pytest.raises(BadBundle, match="3 features, the network gives 4"):
        KNOWN.thin(a_reading(0.05, 0.98, np.zeros(4, np.float32)))


def test_many_at_once_are_the_same_as_one() -> None:
    raw = np.array([[0.05, 0.98], [0.8, 0.8], [0.4, 0.6]])
    malignant = np.array([MALIGNANT.apply(float(score)) for score in raw[:, 1]])
    found = KNOWN.doubts(raw, malignant, np.stack([FAMILIAR] * 3)).max(axis=1)
    assert found == pytest.approx([KNOWN.doubt(a_reading(*pair)) for pair in raw])


def test_a_site_that_calibrates_anew_moves_the_interval_with_it() -> None:
    new = Calibration(1.4, 0.5)
    moved = KNOWN.recalibrated(MALIGNANT, new, 0.3)
    score = new.apply(0.6)
    low, high = moved.around(score, new)
    assert low < score < high
    was = logit(np.array(KNOWN.interval(0.6))) - (MALIGNANT.slope * logit(np.asarray(0.6)) + MALIGNANT.offset)
    assert logit(np.array([low, high])) - logit(np.asarray(score)) == pytest.approx(2 * was, abs=1e-4)
    assert moved.threshold == 0.3
    assert moved.close == pytest.approx(2 * KNOWN.close)
    assert KNOWN.recalibrated(MALIGNANT, MALIGNANT, 0.2).interval(0.5) == pytest.approx(KNOWN.interval(0.5), abs=1e-5)


def test_it_travels_in_a_manifest() -> None:
    assert msgspec.json.decode(msgspec.json.encode(KNOWN), type=Uncertainty) == KNOWN


@pytest.mark.parametrize(
    ("raw", "lo", "hi"),
    [((0.1,), (0.1,), (0.2,)), ((0.1, 0.2), (0.2, 0.1), (0.3, 0.4)), ((0.1, 0.2), (0.3, 0.4), (0.2, 0.5))],
)
def test_a_table_that_is_no_band_is_refused(
    raw: tuple[float, ...], lo: tuple[float, ...], hi: tuple[float, ...]
) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"raw": raw, "lo": lo, "hi": hi}), type=Band)
