from __future__ import annotations

import numpy as np
import pytest

from sono_training.selective import abstention, aurc, keep, risk_coverage

RNG = np.random.default_rng(11)
TRUTH = RNG.random(300) < 0.35
SCORES = np.clip(0.4 * TRUTH + RNG.normal(0.3, 0.2, 300), 0.01, 0.99)
GROUPS = [f"p{index // 2}" for index in range(300)]


def test_leaving_out_the_unsure_lowers_the_risk() -> None:
    found = risk_coverage(TRUTH, SCORES, np.abs(SCORES - 0.5), 0.5, GROUPS)
    assert found["best_aurc"] < found["aurc"]["value"] < found["risk"]
    assert found["aurc"]["lo"] < found["aurc"]["value"] < found["aurc"]["hi"]
    first, last = found["points"][0], found["points"][-1]
    assert 0.05 <= first["coverage"] < 0.1  # those as sure as the last come along
    assert last["coverage"] == 1.0
    assert last["risk"]["value"] == found["risk"] > first["risk"]["value"]
    assert last["risk"]["lo"] < last["risk"]["value"] < last["risk"]["hi"]
    assert (last["sens"], last["answered_positives"]) == (pytest.approx((SCORES >= 0.5)[TRUTH].mean()), 1.0)
    assert found == risk_coverage(TRUTH, SCORES, np.abs(SCORES - 0.5), 0.5, GROUPS)


def test_a_confidence_that_knows_nothing_keeps_the_risk() -> None:
    found = risk_coverage(TRUTH, SCORES, np.ones(300), 0.5, GROUPS)
    assert found["aurc"]["value"] == pytest.approx(found["risk"])
    assert {point["coverage"] for point in found["points"]} == {1.0}


def test_aurc_by_hand() -> None:
    errors = np.array([0.0, 1.0, 0.0, 1.0])
    assert aurc(errors, np.array([4.0, 1.0, 3.0, 2.0])) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    # the last two are equally sure: half an error each
    assert aurc(errors[:3], np.array([2.0, 1.0, 1.0])) == pytest.approx((0 + 0.5 / 2 + 1 / 3) / 3)


def test_equals_are_answered_together() -> None:
    assert keep(np.array([3.0, 1.0, 1.0, 0.0]), 0.5).tolist() == [True, True, True, False]


def test_a_missed_cancer_costs_what_the_threshold_says() -> None:
    truth = np.array([True, False, False, True, False, False])
    missed = risk_coverage(truth, np.array([0.1, 0.1, 0.1, 0.9, 0.1, 0.1]), np.arange(6.0), 0.2, list("abcdef"))
    false_alarm = risk_coverage(truth, np.array([0.9, 0.9, 0.1, 0.9, 0.1, 0.1]), np.arange(6.0), 0.2, list("abcdef"))
    assert missed["risk"] == false_alarm["risk"] == pytest.approx(1 / 6)
    assert missed["cost"] == pytest.approx(4 * false_alarm["cost"])


def test_abstention_counts_both_ways() -> None:
    truth = np.array([True, True, True, False, False])
    scores = np.array([0.9, 0.9, 0.1, 0.9, 0.1])
    thin = np.array([False, True, True, True, False])
    found = abstention(truth, scores, thin, 0.5)
    assert found["coverage"] == pytest.approx(0.4)
    assert (found["answered"]["sens"], found["answered"]["spec"]) == (1.0, 1.0)
    assert found["all"]["sens"] == pytest.approx(2 / 3)
    assert found["sens_of_all"] == pytest.approx(1 / 3)
    nothing = abstention(truth, scores, np.ones(5, np.bool_), 0.5)
    assert (nothing["answered"]["sens"], nothing["answered"]["cost"]) == (None, None)
