"""Drift reports as devices make them, of scans that are drawn: frames of one scan are alike, scans differ.

python -m tests.support.drift_sites        how often a site drifts by chance, and how soon a shift is found
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from sono_edge.drift import whole_cells
from sono_models import drift
from sono_models.drift import AlertMix, DriftData, Histogram, Measure


@dataclass(frozen=True, slots=True)
class Shift:
    """What has moved: scores times a factor, or the picture's grey by so much (6 dB of a 60 dB display are 25)."""

    score: float = 1.0
    grey: float = 0.0
    calipers: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """By how much a site differs from the fleet: log-odds of scores, grey."""

    score: float = 0.0
    grey: float = 0.0


NO_SHIFT, USUAL = Shift(), Place()


def normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def _bins(below: Sequence[float]) -> list[float]:
    """Shares of bins from the distribution function at their edges."""
    whole = [0.0, *below, 1.0]
    return [max(0.0, high - low) for low, high in itertools.pairwise(whole)]


def a_scan(rng: np.random.Generator, shift: Shift = NO_SHIFT, place: Place = USUAL) -> dict[Measure, list[int]]:
    """Frames by measure and bin. Log-odds of scores: scans vary by 1.0, frames within one by 1.2; one scan in seven has
    a lesion in a third of its frames. Grey: scans by 12, frames within one by 6.
    """
    count = int(rng.lognormal(7.2, 0.5)) + 100
    level, grey = rng.normal(-2.4 + place.score, 1.0), rng.normal(58 + place.grey, 12.0) + shift.grey
    share = 0.33 if rng.random() < 1 / 7 else 0.0
    below = [
        (1 - share) * normal((_logit(edge / shift.score) - level) / 1.2)
        + share * normal((_logit(edge / shift.score) - level - 3.0) / 1.2)
        for edge in drift.SCORE_EDGES
    ]
    good = rng.normal(0.85, 0.1)
    quality = [normal((edge - 1e-6 - good) / 0.15) for edge in drift.QUALITY_EDGES]
    brightness = [normal((edge - grey) / 6.0) for edge in drift.BRIGHTNESS_EDGES]
    # pass, no-signal, doppler, no-contact, low-quality, dual, calipers, not-breast, other
    usual = np.array([16.0, 0.05, 0.3, 2.0, 1.0, 0.2, 0.4, 0.3, 0.0]) + 1e-3
    gates = (1 - shift.calipers) * rng.dirichlet(usual)
    gates[drift.GATES.index("calipers")] += shift.calipers
    shares: dict[Measure, Sequence[float]] = {
        "score": _bins(below),
        "quality": _bins(quality),
        "gates": list(gates),
        "brightness": _bins(brightness),
    }
    return {name: [int(one) for one in rng.multinomial(count, _whole(share))] for name, share in shares.items()}


def a_report(
    rng: np.random.Generator,
    hour: datetime,
    *,
    scans: int = drift.SCANS_LEAST,
    shift: Shift = NO_SHIFT,
    place: Place = USUAL,
    sha256: str = "1" * 64,
    source: str = "v4l2",
) -> DriftData:
    """As a device would send it, small cells gathered."""
    return a_report_of([a_scan(rng, shift, place) for _ in range(scans)], hour, sha256=sha256, source=source)


def a_report_of(
    scans: Sequence[dict[Measure, list[int]]], hour: datetime, *, sha256: str = "1" * 64, source: str = "v4l2"
) -> DriftData:
    made: dict[Measure, Histogram] = {}
    for measure in drift.MEASURES:
        counts = np.array([scan[measure] for scan in scans])
        shares = (counts / counts.sum(axis=1, keepdims=True)).sum(axis=0)
        cells = whole_cells(
            [int(one) for one in counts.sum(axis=0)],
            [float(one) for one in shares],
            [int(one) for one in (counts > 0).sum(axis=0)],
            ordered=measure != "gates",
        )
        made[measure] = Histogram(tuple(cells[0]), tuple(round(share, 6) for share in cells[1]))
    return DriftData(
        hour=hour.strftime("%Y-%m-%dT%H:00:00Z"),
        hours=1,
        bundle="breast-0.3.1",
        bundle_sha256=sha256,
        profile="bundle",
        source=source,
        scans=len(scans),
        minutes=5.0 * len(scans),
        score=made["score"],
        quality=made["quality"],
        gates=made["gates"],
        brightness=made["brightness"],
        alerts=AlertMix(raised=3, seen=1, unseen=1),
    )


def _whole(share: Sequence[float]) -> Sequence[float]:
    whole = sum(share)
    return [one / whole for one in share]
