"""What can be said of a site whose cases have no labels, and under which assumption. Pure.

prevalence-shift  A class scores here as it did on the bundle's dev split, only their mix differs. The mix is
                  estimated by EM (Saerens, Latinne and Decaestecker, Neural Computation 14, 2002). Decisions
                  stay; what is said of a score moves.
score-shift       The mix is known (as stated), the scores are moved and stretched by the scanner. They are laid
                  on the dev split's, at that mix, by their quantiles; the threshold moves with them.

Neither can see that its assumption is wrong, unless the shape of the scores gives it away: that is the
Kolmogorov-Smirnov distance, and it refuses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sono_models.errors import Refused
from sono_models.messages import Interval
from sono_models.profile import Assumption
from sono_models.resampling import LEVEL, Index
from sono_training.profile import Cases, Chosen, Logits, Scale

Draws: TypeAlias = Sequence[Index]
WORDS: dict[Assumption, str] = {
    "prevalence-shift": "a benign or malignant case scores here as on the bundle's dev split; only their mix differs",
    "score-shift": "the share of malignant cases is as stated; the scanner moved and stretched the scores, no more",
}
LEAST_CASES = 100
RESAMPLES = 500
FARTHEST_SLOPE, FARTHEST_OFFSET = 2.5, 2.5
"""Beyond this stretch (or its inverse) and this move in logits the scores are not the dev split's, moved."""
KS_FLOOR, KS_1_PERCENT = 0.10, 1.63
_GRID = np.linspace(0.05, 0.95, 19)
_OTHER = "Label 50 cases instead, or check the pictures: depth, gain, overlays, another organ"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the bundle says of itself: its dev split, its threshold in logits, and the mix it was calibrated on."""

    dev: Cases
    bundle_z: float
    prevalence: float


@dataclass(frozen=True, slots=True)
class ChosenFree:
    """What unlabelled cases give. `distance`: Kolmogorov-Smirnov, to what the assumption expects."""

    chosen: Chosen
    prevalence: Interval
    distance: float


def choose_free(
    z: Logits,
    groups: Sequence[str],
    expected: Expected,
    assumption: Assumption,
    *,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 12645,
) -> ChosenFree:
    """`z`: logits of the bundle's calibrated score. Raises Refused for too few cases, or scores too far off.

    `prevalence`: the site's share of malignant cases, where it is known; without it, score-shift takes the
    dev split's.
    """
    enough_free(len(z))
    rng = np.random.default_rng(seed)
    ours = [*_resamples(groups, rng, resamples)]
    theirs = [*_resamples(expected.dev.groups, rng, resamples)]
    if assumption == "prevalence-shift":
        found = _by_mix(z, expected, ours, theirs)
    else:
        found = _by_scores(z, expected, prevalence or float(expected.dev.truth.mean()), ours, theirs)
    most = max(KS_FLOOR, KS_1_PERCENT * math.sqrt(1 / len(z) + 1 / len(expected.dev.z)))
    if found.distance > most:
        reason = f"their scores are not what '{assumption}' expects (distance {found.distance:.2f}, most {most:.2f})"
        raise Refused("the cases", reason, _OTHER)
    return found


def enough_free(cases: int) -> None:
    """Raises Refused when there are too few cases: known before any is scored."""
    if cases < LEAST_CASES:
        raise Refused("the cases", f"{cases}, without labels a profile needs {LEAST_CASES}", "Bring more cases")


def prevalence_by_em(z: Logits, prior: float) -> float:
    """The share of positives that makes the posteriors' mean agree with itself (Saerens et al. 2002, eq. 2.8)."""
    share, odds = prior, np.exp(np.clip(z, -40, 40))
    for _ in range(500):
        ratio = (share / (1 - share)) / (prior / (1 - prior))
        updated = min(max(float((odds * ratio / (1 + odds * ratio)).mean()), 1e-4), 1 - 1e-4)
        if abs(updated - share) < 1e-6:
            break
        share = updated
    return share


def match(z: Logits, dev: Cases, prevalence: float) -> Scale:
    """The line that lays the quantiles of `z` on those of the dev split at a prevalence (least squares)."""
    ours, theirs = np.quantile(z, _GRID), _quantiles(dev, prevalence, _GRID)
    spread = float(((ours - ours.mean()) ** 2).sum())
    slope = float(((ours - ours.mean()) * (theirs - theirs.mean())).sum()) / max(spread, 1e-9)
    return Scale(slope, float(theirs.mean() - slope * ours.mean()))


def distance(z: Logits, dev: Cases, prevalence: float) -> float:
    """Kolmogorov-Smirnov: the largest gap of the two cumulative shares, the dev split's at a prevalence."""
    at = np.concatenate([z, dev.z])
    ours = np.searchsorted(np.sort(z), at, side="right") / len(z)
    theirs = sum(
        share * np.searchsorted(np.sort(dev.z[side]), at, side="right") / int(side.sum())
        for share, side in ((prevalence, dev.truth), (1 - prevalence, ~dev.truth))
    )
    return float(np.abs(ours - theirs).max())


def _by_mix(z: Logits, expected: Expected, ours: Draws, theirs: Draws) -> ChosenFree:
    dev, prior = expected.dev, expected.prevalence
    share = prevalence_by_em(z, prior)
    shares = [prevalence_by_em(z[index], prior) for index in ours]
    rates = [_rates(dev.of(index), expected.bundle_z) for index in theirs]
    scale = Scale(1.0, _log_odds(share) - _log_odds(prior))
    chosen = Chosen(scale, expected.bundle_z, *_intervals(_rates(dev, expected.bundle_z), rates), share)
    return ChosenFree(chosen, _interval(share, shares), distance(z, dev, share))


def _by_scores(z: Logits, expected: Expected, prevalence: float, ours: Draws, theirs: Draws) -> ChosenFree:
    dev, line = expected.dev, match(z, expected.dev, prevalence)
    if not 1 / FARTHEST_SLOPE <= line.slope <= FARTHEST_SLOPE or abs(line.offset) > FARTHEST_OFFSET:
        reason = f"their scores are too far from the dev split's (stretch {line.slope:.2f}, move {line.offset:+.2f})"
        raise Refused("the cases", reason, _OTHER)
    rates = []
    for here, there in zip(ours, theirs, strict=True):
        # were this draw the site: where would its threshold lie on the scores as they truly are?
        split = dev.of(there)
        if split.truth.any() and not split.truth.all() and (drawn := match(z[here], split, prevalence)).slope > 1e-3:
            at = line.slope * (expected.bundle_z - drawn.offset) / drawn.slope + line.offset
            rates.append(_rates(split, at))
    moved = line.apply(z)
    # the calibrated score speaks of this site's mix: decisions stay, the odds move
    odds = _log_odds(prevalence) - _log_odds(expected.prevalence)
    chosen = Chosen(
        Scale(line.slope, line.offset + odds),
        (expected.bundle_z - line.offset) / line.slope,
        *_intervals(_rates(dev, expected.bundle_z), rates),
        prevalence,
    )
    return ChosenFree(chosen, Interval(prevalence, prevalence, prevalence), distance(moved, dev, prevalence))


def _rates(dev: Cases, at: float) -> tuple[float, float]:
    """(sensitivity, specificity); a draw of one class counts as nothing found, and as nothing called."""
    called = dev.z >= at
    sens = float(called[dev.truth].mean()) if dev.truth.any() else 0.0
    spec = float((~called[~dev.truth]).mean()) if not dev.truth.all() else 1.0
    return sens, spec


def _intervals(value: tuple[float, float], rates: Sequence[tuple[float, float]]) -> tuple[Interval, Interval]:
    sens, spec = zip(*rates, strict=True)
    return _interval(value[0], sens), _interval(value[1], spec)


def _interval(value: float, found: Sequence[float]) -> Interval:
    low, high = np.percentile(found, LEVEL)
    return Interval(value, float(low), float(high))


def _resamples(groups: Sequence[str], rng: np.random.Generator, count: int) -> Iterator[Index]:
    """Rows of as many groups as there are, drawn with replacement. (Without labels there are no classes to keep.)"""
    names, places = np.unique(np.array(groups), return_inverse=True)
    members = [np.flatnonzero(places == i) for i in range(len(names))]
    for _ in range(count):
        yield np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])


def _quantiles(dev: Cases, prevalence: float, shares: Logits) -> Logits:
    """Of the dev split, its positives weighing `prevalence` together."""
    order = np.argsort(dev.z, kind="stable")
    positives, negatives = int(dev.truth.sum()), int((~dev.truth).sum())
    weights = np.where(dev.truth[order], prevalence / positives, (1 - prevalence) / negatives)
    middles = np.cumsum(weights) - weights / 2
    return np.asarray(np.interp(shares, middles, dev.z[order]), np.float64)


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))
