"""What quantization changed, in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sono_models.inputs import Grey
from sono_models.runtime import Runtime
from sono_models.saliency import MALIGNANT, Pooling, frame_scores, sigmoid

Logits = NDArray[np.float32]
"""(n, 2, rows, columns)"""
Scores = NDArray[np.float64]


def logits_of(runtime: Runtime, pictures: Sequence[Grey]) -> Logits:
    return np.stack([runtime.run(picture).saliency for picture in pictures])


def pooled(logits: Logits, pooling: Pooling) -> Scores:
    """Frame scores (n, 2) of saliency logits, before calibration."""
    return np.array([frame_scores(sigmoid(each), pooling) for each in logits])


def snr_db(exact: Logits, ours: Logits) -> float:
    """Signal to noise: the variance of the float logits to the mean square of the difference."""
    noise = float(np.mean((exact.astype(np.float64) - ours) ** 2))
    return math.inf if noise == 0 else 10 * math.log10(float(np.var(exact.astype(np.float64))) / noise)


def threshold_at(sensitivity: float, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The highest threshold that calls at least this share of the positives (score >= threshold)."""
    ordered = np.sort(scores[positive])
    missed = math.floor((1.0 - sensitivity) * len(ordered) + 1e-9)
    return float(ordered[missed])


def change(exact: Logits, ours: Logits, pooling: Pooling, threshold: float) -> dict[str, Any]:
    """SNR, share of malignant decisions kept at a threshold on the float scores, and how far a score moved."""
    before, after = pooled(exact, pooling), pooled(ours, pooling)
    kept = (before[:, MALIGNANT] >= threshold) == (after[:, MALIGNANT] >= threshold)
    moved = np.abs(before - after).max(axis=1)
    return {
        "snr_db": round(snr_db(exact, ours), 2),
        "decisions_kept": round(float(kept.mean()), 4),
        "score_moved_mean": round(float(moved.mean()), 4),
        "score_moved_max": round(float(moved.max()), 4),
    }
