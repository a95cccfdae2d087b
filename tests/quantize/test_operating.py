"""What the dev split fixes: the threshold with its margin, the score's interval, and where nothing is said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sono_models.saliency import Calibration
from sono_models.table import Row
from sono_quantize.operating import RULE, RULE_OF_FEW, freeze, platt, sensitivities
from sono_quantize.uncertainty import KNOTS, SHARE, calibrated, freeze_uncertainty, platt_maps

LABELS = ("benign", "malignant")


def dev(count: int, *, seed: int = 1) -> tuple[NDArray[np.float64], list[Row]]:
    """Pooled scores of `count` patients with two images each, a third of them malignant."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    scores: list[NDArray[np.float64]] = []
    for number in range(count):
        malignant = number % 3 == 0
        patient = rng.normal(0, 0.7)
        for _ in range(2):
            logit = (2.0 if malignant else -2.0) + patient + rng.normal(0, 1.2)
            other = (-1.5 if malignant else 1.0) + rng.normal(0, 1.2)
            scores.append(1 / (1 + np.exp(-np.array([other, logit]))))
            rows.append(Row(Path("x.png"), LABELS[malignant], f"p{number}", None, {}))
    return np.array(scores), rows


def freeze_dev(count: int) -> Any:
    scores, rows = dev(count)
    handover: Any = SimpleNamespace(labels=LABELS)
    return freeze(scores, rows, handover)


def test_the_threshold_is_the_largest_that_can_be_relied_on() -> None:
    found = freeze_dev(120)
    assert found.point.rule == RULE
    assert found.point.sensitivity_lower_bound >= 0.90
    assert found.dev["sens"] > found.point.sensitivity_lower_bound == found.dev["sens_lower_bound"]
    scores, rows = dev(120)
    positive = np.array([row.label == "malignant" for row in rows])
    ours = calibrated(scores[:, 1], found.calibration["malignant"])
    caught = sensitivities(ours[positive], [row.group for row, one in zip(rows, positive, strict=True) if one])
    larger = np.sort(ours[positive])
    larger = larger[larger > found.point.threshold + 1e-4]
    assert all(caught.lower_bound(float(each)) < 0.90 for each in larger[:3])
    assert found.law.t_hi == found.point.threshold


def test_few_positives_are_held_to_a_plain_share() -> None:
    found = freeze_dev(21)  # 14 malignant images: with none missed the bound is 0.895
    assert found.point.rule == RULE_OF_FEW
    assert found.point.sensitivity_lower_bound < 0.90
    assert found.dev["sens"] >= 0.95


def test_disturbed_views_temper_the_calibration_and_leave_the_threshold_to_the_pictures_as_they_are() -> None:
    scores, rows = dev(60)
    handover: Any = SimpleNamespace(labels=LABELS)
    noise = np.random.default_rng(2).normal(0, 3, scores.shape)
    views = [1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + noise)))]
    once, tempered = freeze(scores, rows, handover), freeze(scores, rows, handover, views)
    assert tempered.calibration["malignant"].slope < once.calibration["malignant"].slope
    assert tempered.dev["sens"] == pytest.approx(once.dev["sens"])
    assert tempered.dev["spec"] == pytest.approx(once.dev["spec"], abs=0.02)
    assert tempered.dev["disturbed_views"] == 1


def test_none_missed_is_no_proof_and_patients_fall_together() -> None:
    everyone = sensitivities(np.ones(30), [f"p{number}" for number in range(30)])
    assert everyone.lower_bound(0.5) == pytest.approx(30 / (30 + 1.2816**2), abs=1e-3)
    scores = np.repeat([0.1, *[0.9] * 9], 20)
    apart = sensitivities(scores, [f"p{number}" for number in range(200)])
    together = sensitivities(scores, [f"p{number // 20}" for number in range(200)])
    assert together.lower_bound(0.5) < apart.lower_bound(0.5) - 0.05


def test_drawn_maps_are_those_of_the_calibration() -> None:
    scores, rows = dev(60)
    truth = np.array([row.label == "malignant" for row in rows])
    ours = np.log(scores[:, 1] / (1 - scores[:, 1]))
    slopes, offsets = platt_maps(ours, truth, np.ones((1, len(rows)), np.int64))
    theirs = platt(scores[:, 1], truth)
    assert (slopes[0], offsets[0]) == (pytest.approx(theirs.slope, abs=2e-3), pytest.approx(theirs.offset, abs=2e-3))


def test_a_draw_that_is_separable_stays_finite() -> None:
    ours = np.array([-3.0, -2.0, 2.0, 3.0])
    slopes, offsets = platt_maps(ours, ours > 0, np.ones((1, 4), np.int64))
    assert np.isfinite([slopes, offsets]).all()


def test_uncertainty_holds_the_calibration_and_abstains_on_its_share() -> None:
    scores, rows = dev(120)
    calibration = {
        name: platt(scores[:, at], np.array([r.label == name for r in rows])) for at, name in enumerate(LABELS)
    }
    embeddings = np.random.default_rng(4).normal(1.0, 0.3, (len(rows), 6))
    found = freeze_uncertainty(scores, embeddings, rows, calibration, 0.2)
    for raw in 1 / (1 + np.exp(-KNOTS)):
        low, high = found.interval(float(raw))
        assert low - 2e-6 <= calibration["malignant"].apply(float(raw)) <= high + 2e-6
    assert 0.5 * SHARE < found.share <= SHARE + 1 / len(rows)
    assert found.learned is not None
    assert found.learned.distance(embeddings).mean() == pytest.approx(1.0, abs=0.1)
    assert found.close > 0
    low, high = found.around(0.2, calibration["malignant"])
    assert low < 0.2 < high


def test_fewer_patients_widen_the_interval() -> None:
    widths = []
    for count in (40, 400):
        scores, rows = dev(count)
        calibration = {
            "benign": Calibration(),
            "malignant": platt(scores[:, 1], np.array([r.label == "malignant" for r in rows])),
        }
        low, high = freeze_uncertainty(scores, None, rows, calibration, 0.2).interval(0.5)
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 0


def test_a_silent_channel_and_a_network_without_features() -> None:
    scores, rows = dev(60)
    calibration = {"benign": Calibration(), "malignant": Calibration()}
    assert freeze_uncertainty(scores, None, rows, calibration, 0.2).learned is None
    embeddings = np.random.default_rng(4).normal(1.0, 0.3, (len(rows), 6))
    embeddings[:, 2] = 0.0
    found = freeze_uncertainty(scores, embeddings, rows, calibration, 0.2, learned_from=embeddings[:60])
    assert found.learned is not None
    lit = embeddings[:1].copy()
    lit[0, 2] = 1.0  # a channel that training never lit
    assert found.learned.distance(lit)[0] > found.learned.limit
