"""How far two histograms are apart, and how far chance alone would bring them. Pure; every number is in scans.

The population stability index, PSI = sum (p - q) ln(p / q), is 0 for equal shares. Between two samples of n and m
independent scans of one population, PSI / (1/n + 1/m) is distributed as chi-squared with (bins - 1) degrees of
freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 14(4), 2020): with few scans a PSI of 0.25 means
nothing. That holds for scans that each lie in one bin; a scan that spreads over bins says more. The reference
knows by how much: `effect` is its variance between reports over the multinomial one (first order of Rao and Scott,
Annals of Statistics 12(1), 1984). And sites differ although all is well (`apart`), which no number of scans takes
away: a shift of a site counts from where it is further off than one in a thousand of such sites would be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from sono_models.drift import OTHER, SIZE, Measure

EXPECTED_LEAST = 5.0
"""A group of bins holds at least so many scans of the reference, as counted in the smaller of the two samples."""
WATCH_PSI, DRIFT_PSI = 0.10, 0.25
"""The field's rule of thumb: below 0.1 no change, from 0.25 on a shift (Siddiqi, Credit Risk Scorecards, 2006)."""
WATCH_CHANCE, DRIFT_CHANCE = 0.05, 0.001
"""And chance alone would come so far no more often than this."""
EFFECT_LEAST, EFFECT_MOST = 0.05, 4.0
BATCHES_LEAST, PLACES_LEAST = 10, 3


@dataclass(frozen=True, slots=True)
class Distance:
    """`watch`, `drifting`: from where on it means something; greater with fewer scans."""

    psi: float
    watch: float
    drifting: float
    scans: float
    groups: int


def distance(
    measure: Measure,
    sample: Sequence[float],
    reference: Sequence[float],
    effect: float = 1.0,
    apart: float = 0.0,
) -> Distance | None:
    """Of scans by bin. None where there are too few for two groups of bins."""
    n, m = sum(sample), sum(reference)
    if n <= 0 or m <= 0:
        return None
    groups = pooled(measure, reference, EXPECTED_LEAST / min(n, m))
    if len(groups) < 2:
        return None
    p, q = _shares(sample, groups), _shares(reference, groups)
    found = psi(p, q, 0.5 / min(n, m))
    noise = min(max(effect, EFFECT_LEAST), EFFECT_MOST) * (1 / n + 1 / m)
    free = len(groups) - 1
    watch, drifting = (
        # a site's own shift is mostly one shift, of all its bins together
        noise * chi_squared(free, chance) + apart * chi_squared(1, chance)
        for chance in (WATCH_CHANCE, DRIFT_CHANCE)
    )
    return Distance(
        found,
        max(WATCH_PSI, watch),
        max(DRIFT_PSI, drifting),
        n,
        len(groups),
    )


def psi(p: Sequence[float], q: Sequence[float], least: float) -> float:
    """Of two lists of shares; `least` is added to each, so that an empty bin is not infinitely far. Never negative."""
    whole = 1 + least * len(p)
    pairs = (((one + least) / whole, (other + least) / whole) for one, other in zip(p, q, strict=True))
    return math.fsum((one - other) * math.log(one / other) for one, other in pairs)


def pooled(measure: Measure, reference: Sequence[float], least: float) -> list[list[int]]:
    """Bins in groups that each hold at least this share of the reference. Of ordered bins a group is a run; gates
    that are rarer are one group, with "other", however rare.
    """
    whole = sum(reference)
    if measure == "gates":
        alone = [place for place, scans in enumerate(reference) if place != OTHER and scans >= least * whole]
        return [*([place] for place in alone), [place for place in range(SIZE[measure]) if place not in alone]]
    groups: list[list[int]] = [[]]
    held = 0.0
    for place, scans in enumerate(reference):
        groups[-1].append(place)
        held += scans
        if held >= least * whole:
            groups.append([])
            held = 0.0
    rest = groups.pop()
    if groups:
        groups[-1] += rest
        return groups
    return [rest]


@cache
def chi_squared(free: int, chance: float) -> float:
    """What a chi-squared number exceeds with this chance. Wilson and Hilferty, PNAS 17(12), 1931: within 1 %."""
    z = NormalDist().inv_cdf(1 - chance)
    part = 2 / (9 * free)
    return float(free * (1 - part + z * math.sqrt(part)) ** 3)


def effect_of(measure: Measure, reports: Sequence[Sequence[float]]) -> float:
    """The variance of shares between reports over that of scans that each lie in one bin; 1 while there are few."""
    told = [(sum(report), report) for report in reports if sum(report) > 0]
    if len(told) < BATCHES_LEAST:
        return 1.0
    groups, q, kept = _together(measure, [report for _, report in told])
    if len(kept) < 2:
        return 1.0
    spread = 0.0
    for scans, report in told:
        p = _shares(report, groups)
        spread += scans * sum((p[place] - q[place]) ** 2 / q[place] for place in kept)
    found = spread / ((len(told) - 1) * (len(kept) - 1))
    return min(max(found, EFFECT_LEAST), EFFECT_MOST)


def apart_of(measure: Measure, places: Sequence[Sequence[float]], effect: float) -> float:
    """The index by which sites differ, what chance alone makes of it taken off; 0 while there are fewer than three."""
    told = [(sum(place), place) for place in places if sum(place) > 0]
    if len(told) < PLACES_LEAST:
        return 0.0
    groups, q, kept = _together(measure, [place for _, place in told])
    spread = chance = 0.0
    for scans, place in told:
        p = _shares(place, groups)
        spread += sum((p[one] - q[one]) ** 2 / q[one] for one in kept)
        chance += effect * (len(kept) - 1) / scans
    return max(0.0, spread / (len(told) - 1) - chance / len(told))


def _together(
    measure: Measure, rows: Sequence[Sequence[float]]
) -> tuple[Sequence[Sequence[int]], list[float], list[int]]:
    """The bins of all rows as one, pooled; each group's share; and which groups hold anything."""
    whole = [math.fsum(column) for column in zip(*rows, strict=True)]
    groups = pooled(measure, whole, EXPECTED_LEAST / sum(whole))
    shares = _shares(whole, groups)
    return groups, shares, [place for place, share in enumerate(shares) if share > 0]


def _shares(scans: Sequence[float], groups: Sequence[Sequence[int]]) -> list[float]:
    whole = sum(scans)
    return [math.fsum(scans[place] for place in group) / whole for group in groups]
