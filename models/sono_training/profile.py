"""Re-choosing a threshold and a calibration on one site's labelled cases. Pure.

All of it is in logits of the *bundle's calibrated* score, so that "nothing changed" is slope 1, offset 0 and
the bundle's own threshold: both estimates are drawn towards that by what other sites are known to differ by.
Fifty cases then move as far as they have something to say, and two hundred speak for themselves.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from sono_models.errors import Refused
from sono_models.messages import Interval
from sono_models.resampling import LEVEL, RESAMPLES, draws
from sono_models.uncertainty import logit

Logits = NDArray[np.float64]
Truth = NDArray[np.bool_]

SLOPE_SD, OFFSET_SD = 0.5, 1.0
"""How far sites differ from the bundle: slope about 1, offset about 0 in logits (odds by a factor of e)."""
THRESHOLD_SD = 1.5
"""How far the threshold of one sensitivity wanders between sites, in logits. Wider than the offset on purpose: on
simulated sites 1.0 left a site whose scores had fallen by 1.3 two points short of the sensitivity, 1.5 did not."""
LEAST_CASES, LEAST_OF_A_CLASS = 50, 15
WIDEST = 0.30
"""A sensitivity that may be 0.67 or 0.97 is not known: no profile is made of it."""
FOLDS, REPEATS = 5, 4
Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Cases:
    """One site's cases: `z` the logits of the bundle's calibrated score, and the groups that stay together."""

    z: Logits
    truth: Truth
    groups: tuple[str, ...]

    def of(self, index: NDArray[np.int64]) -> Cases:
        return Cases(self.z[index], self.truth[index], tuple(self.groups[i] for i in index))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the site asks for, and the least it must bring."""

    sensitivity: float = 0.90
    widest: float = WIDEST
    least_cases: int = LEAST_CASES
    least_of_a_class: int = LEAST_OF_A_CLASS
    seed: int = 12645
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Scale:
    """From the bundle's logits to the site's: slope * z + offset."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, z: Logits) -> Logits:
        return self.slope * z + self.offset


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the cases give. `threshold_z` is on the bundle's logits; the intervals are cross-fitted, 95 %."""

    scale: Scale
    threshold_z: float
    sensitivity: Interval
    specificity: Interval
    prevalence: float

    @property
    def threshold(self) -> float:
        """On the site's calibrated score, 0 to 1."""
        return probability(self.scale.slope * self.threshold_z + self.scale.offset)


def choose(cases: Cases, bundle_z: float, wanted: Wanted) -> Chosen:
    """Calibration and threshold of the site. `bundle_z`: the bundle's threshold, in logits.

    Raises Refused when the cases are too few, say too little, or the score does not rise with the finding.
    """
    enough(cases.truth, wanted)
    scale = recalibrate(cases)
    if not rises(cases):
        raise Refused(
            "the cases",
            "the score does not rise with the finding (AUROC within chance, or slope not above 0)",
            "Check the labels and the pictures; a bundle that does not work here gets no profile",
        )
    threshold_z = threshold(cases, bundle_z, wanted.sensitivity)
    sensitivity, specificity = _cross_fitted(cases, bundle_z, wanted)
    if sensitivity.hi - sensitivity.lo > wanted.widest:
        reason = (
            f"sensitivity would be known only to {sensitivity.lo:.2f} to {sensitivity.hi:.2f}, wider than "
            f"{wanted.widest:.2f}, on {int(cases.truth.sum())} positives"
        )
        raise Refused("the cases", reason, "Bring more positive cases, or state a wider --widest")
    return Chosen(scale, threshold_z, sensitivity, specificity, float(cases.truth.mean()))


def at_prevalence(chosen: Chosen, prevalence: float) -> Chosen:
    """The same decisions, the odds of a site with this share of positives: for cases that were gathered by label."""
    odds = float(logit(np.array(prevalence)) - logit(np.array(chosen.prevalence)))
    scale = Scale(chosen.scale.slope, chosen.scale.offset + odds)
    return replace(chosen, scale=scale, prevalence=prevalence)


def recalibrate(cases: Cases, *, slope_sd: float = SLOPE_SD, offset_sd: float = OFFSET_SD) -> Scale:
    """Platt scaling with a Gaussian prior about the bundle's own (MAP, Newton's method; the loss is convex).

    Two parameters on 50 cases overfit, and without a prior diverge when the cases separate: Platt (1999)
    smooths the targets for that; a prior about the bundle's calibration also uses what is known already.
    """
    x = np.stack([cases.z, np.ones_like(cases.z)], axis=1)
    prior, precision = np.array([1.0, 0.0]), np.diag([slope_sd**-2, offset_sd**-2])
    at = prior.copy()
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ at, -40, 40)))
        gradient = x.T @ (p - cases.truth) + precision @ (at - prior)
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + precision, gradient)
        at = at - step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-9:
            break
    return Scale(float(at[0]), float(at[1]))


def rises(cases: Cases) -> bool:
    """Whether positives score higher than chance: Mann-Whitney, one-sided, 1 % (normal approximation)."""
    positive, negative = cases.z[cases.truth], cases.z[~cases.truth]
    above = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    n, m = len(positive), len(negative)
    chance = math.sqrt((n + m + 1) / (12.0 * n * m))
    return bool(above > 0.5 + 2.326 * chance) and recalibrate(cases).slope > 0.05


def threshold(cases: Cases, bundle_z: float, sensitivity: float, *, sd: float = THRESHOLD_SD) -> float:
    """The logit from which cases are called, for a sensitivity: the site's quantile drawn to the bundle's threshold.

    The site's is the Harrell-Davis estimate (Biometrika 69, 1982): a weighted mean of all positives, whose spread
    is a third below that of one order statistic. Its variance against that between sites is the weight.
    """
    positives = np.sort(cases.z[cases.truth])
    local, variance = harrell_davis(positives, 1.0 - sensitivity)
    weight = sd**2 / (sd**2 + variance)
    return float(weight * local + (1.0 - weight) * bundle_z)


def harrell_davis(ordered: Logits, share: float) -> tuple[float, float]:
    """The quantile of an ordered sample and the jackknife variance of its estimate."""
    n = len(ordered)
    value = float(_weights(n, share) @ ordered)
    without = _weights(n - 1, share)
    left_out = np.array([without @ np.delete(ordered, i) for i in range(n)])
    return value, float((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())


@functools.lru_cache(maxsize=512)
def _weights(n: int, share: float) -> Logits:
    edges = betainc(share * (n + 1), (1.0 - share) * (n + 1), np.arange(n + 1) / n)
    return np.asarray(np.diff(edges), np.float64)


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share of n (Wilson 1927): of use where all were called, as a bootstrap is not."""
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _cross_fitted(cases: Cases, bundle_z: float, wanted: Wanted) -> tuple[Interval, Interval]:
    """Sensitivity and specificity of cases that had no part in the threshold they were called with."""
    called = cross_called(cases, bundle_z, wanted)
    found = np.array(
        [
            (called[index][cases.truth[index]].mean(), 1.0 - called[index][~cases.truth[index]].mean())
            for index in draws(cases.truth, cases.groups, resamples=wanted.resamples, seed=wanted.seed)
        ]
    )
    shares = (float(called[cases.truth].mean()), float(1.0 - called[~cases.truth].mean()))
    counts = (int(cases.truth.sum()), int((~cases.truth).sum()))
    both = [
        _either(share, count, np.percentile(column, LEVEL))
        for share, count, column in zip(shares, counts, found.T, strict=True)
    ]
    return both[0], both[1]


def _either(share: float, count: int, percentiles: NDArray[np.float64]) -> Interval:
    """The wider of the group bootstrap's interval and Wilson's: each has a case in which it is too narrow."""
    low, high = wilson(share, count)
    return Interval(share, min(low, float(percentiles[0])), max(high, float(percentiles[1])))


def cross_called(cases: Cases, bundle_z: float, wanted: Wanted) -> NDArray[np.float64]:
    """For each case how often (0 to 1, over the repeats) a threshold that was chosen without its group calls it."""
    rng = np.random.default_rng(wanted.seed)
    called = np.zeros(len(cases.z))
    for _ in range(REPEATS):
        for held in _folds(cases.groups, rng):
            chosen_on = cases.of(np.flatnonzero(~held))
            called[held] += cases.z[held] >= threshold(chosen_on, bundle_z, wanted.sensitivity)
    return called / REPEATS


def _folds(groups: Sequence[str], rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    names = np.array(sorted(set(groups)))
    rng.shuffle(names)
    for part in np.array_split(names, FOLDS):
        yield np.isin(np.array(groups), part)


def enough(truth: Truth, wanted: Wanted) -> None:
    """Raises Refused when there are too few cases, or too few of one class: known before any is scored."""
    n, positives = len(truth), int(truth.sum())
    if n < wanted.least_cases:
        raise Refused("the cases", f"{n}, a profile needs {wanted.least_cases}", "Bring more labelled cases")
    fewer, word = min((positives, "positive"), (n - positives, "negative"))
    if fewer < wanted.least_of_a_class:
        reason = f"{fewer} {word}, a profile needs {wanted.least_of_a_class} of each"
        raise Refused("the cases", reason, f"Bring more {word} cases")


def probability(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))
