"""Draws of a group bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from sono_models.errors import BadManifest
from sono_models.resampling import draws, interval

TRUTH = np.array([True, True, False, False, False, True])
GROUPS = ["b", "b", "a", "a", "c", "d"]


def test_a_group_is_drawn_whole_and_as_often_as_its_rows_say() -> None:
    for index in draws(TRUTH, GROUPS, resamples=50):
        counts = np.bincount(index, minlength=6)
        assert counts[0] == counts[1]
        assert counts[2] == counts[3]
        assert counts[0] + counts[2] + counts[4] + counts[5] == 4  # as many groups as there are


def test_every_draw_has_both_classes_and_the_seed_alone_says_which() -> None:
    first, again = (list(draws(TRUTH, GROUPS, resamples=200)) for _ in range(2))
    assert len(first) == 200
    assert all(TRUTH[index].any() and not TRUTH[index].all() for index in first)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    other_seed = list(draws(TRUTH, GROUPS, resamples=200, seed=1))
    assert any(not np.array_equal(one, other) for one, other in zip(first, other_seed, strict=True))


def test_what_a_group_is_called_does_not_matter() -> None:
    renamed = [{"a": "z", "b": "y", "c": "x", "d": "w"}[group] for group in GROUPS]
    pairs = zip(draws(TRUTH, GROUPS, resamples=20), draws(TRUTH, renamed, resamples=20), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(BadManifest, match="something else"):
        next(draws(np.ones(4, np.bool_), ["a", "b", "c", "d"]))


def test_the_interval_is_of_the_rows_and_about_their_value() -> None:
    values = np.arange(6, dtype=np.float64)
    found = interval(lambda index: float(values[index].mean()), TRUTH, GROUPS)
    assert found["value"] == 2.5
    assert found["lo"] < 2.5 < found["hi"]
    assert interval(lambda _: 1.0, TRUTH, GROUPS) == {"value": 1.0, "lo": 1.0, "hi": 1.0}


def test_the_published_draws_stay_what_they_were() -> None:
    (index,) = draws(TRUTH, GROUPS, resamples=1)
    assert index.tolist() == [0, 1, 2, 3, 5, 0, 1]
