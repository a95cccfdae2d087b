"""Figures of scores against truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sono_models.scoring import at_threshold, auroc, ece


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_auroc_is_that_of_scikit_learn_ties_and_all(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    truth = rng.random(120) < 0.3
    scores = np.asarray(np.round(rng.random(120) + 0.3 * truth, decimals), np.float64)
    assert auroc(truth, scores) == pytest.approx(float(roc_auc_score(truth, scores)), abs=1e-12)


def test_auroc_of_a_perfect_a_reversed_and_a_blind_score() -> None:
    truth = np.array([False, False, True, True])
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert (auroc(truth, scores), auroc(~truth, scores), auroc(truth, np.ones(4))) == (1.0, 0.0, 0.5)


def test_calibration_error_is_the_gap_of_confidence_and_truth() -> None:
    truth = np.array([True, False, True, False])
    assert ece(truth, np.full(4, 0.5), bins=1) == 0.0
    assert ece(truth, np.full(4, 0.9), bins=1) == pytest.approx(0.4)


def test_a_score_at_the_threshold_is_called() -> None:
    truth = np.array([True, True, False, False])
    found = at_threshold(0.5, truth, np.array([0.5, 0.4, 0.5, 0.1]))
    assert found == {"threshold": 0.5, "sens": 0.5, "spec": 0.5}
