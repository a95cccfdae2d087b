from __future__ import annotations

import numpy as np
import pytest

from sono_training import statistics as figures

RNG = np.random.default_rng(3)
TRUTH = RNG.random(400) < 0.3
SCORES = np.clip(0.35 * TRUTH + RNG.normal(0.4, 0.2, 400), 0, 1)
GROUPS = [f"p{index // 2}" for index in range(400)]


def test_the_interval_holds_the_value_and_is_repeatable() -> None:
    found = figures.interval(figures.auroc, TRUTH, SCORES, GROUPS)
    assert found["lo"] < found["value"] < found["hi"]
    assert found == figures.interval(figures.auroc, TRUTH, SCORES, GROUPS)


def test_images_of_one_patient_widen_the_interval() -> None:
    """Ten copies of an image are one patient's, not ten patients: the interval must not shrink."""
    truth, scores = np.repeat(TRUTH[:60], 10), np.repeat(SCORES[:60], 10)
    together = figures.interval(figures.auroc, truth, scores, [f"p{index // 10}" for index in range(600)])
    apart = figures.interval(figures.auroc, truth, scores, [f"p{index}" for index in range(600)])
    assert together["hi"] - together["lo"] > 2 * (apart["hi"] - apart["lo"])


def test_sensitivity_and_specificity_at_a_point() -> None:
    truth = np.array([True, True, True, True, False, False, False, False, False, False])
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.75, 0.3, 0.2, 0.1, 0.1, 0.0])
    assert figures.specificity_at(0.75, truth, scores) == pytest.approx(5 / 6)
    assert figures.sensitivity_at(0.9, truth, scores) == pytest.approx(0.5)
    assert figures.at_threshold(0.7, truth, scores) == {"threshold": 0.7, "sens": 0.75, "spec": pytest.approx(5 / 6)}


def test_perfect_and_hopeless_calibration() -> None:
    truth = np.arange(300) % 2 == 0
    assert figures.ece(truth, truth.astype(np.float64)) == 0.0
    assert figures.ece(truth, 1.0 - truth.astype(np.float64), bins=10) == 1.0
