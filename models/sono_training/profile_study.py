"""How well profiles work: many small draws of one site's cases, each profile tried on those it did not see. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sono_models.errors import Refused
from sono_models.messages import Interval
from sono_models.profile import Assumption
from sono_models.scoring import ece
from sono_training.profile import Cases, Chosen, Scale, Wanted, choose, probability
from sono_training.profile_label_free import WORDS, Expected, choose_free

PERCENTILES = (5, 50, 95)


@dataclass(frozen=True, slots=True)
class Plan:
    """`draws` of each of `sizes` (cases), from one table."""

    draws: int = 200
    sizes: tuple[int, ...] = (50, 100, 200)
    wanted: Wanted = field(default_factory=lambda: Wanted(resamples=200))
    seed: int = 12645


@dataclass(frozen=True, slots=True)
class Tried:
    """One profile on the cases that it did not see. `held`: the true sensitivity lay in its interval."""

    sens: float
    spec: float
    ece: float
    held: bool = True


def study(site: Cases, bundle_z: float, plan: Plan, expected: Expected | None = None) -> dict[str, Any]:
    """Median, 5th and 95th percentile of what is reached, by size and method, against the bundle's own threshold."""
    methods = _methods(bundle_z, plan, expected, float(site.truth.mean()))
    sizes = {}
    for size in plan.sizes:
        outcomes: dict[str, list[Tried | str]] = {name: [] for name in ("unprofiled", *methods)}
        for local, rest in _draws(site, size, plan):
            outcomes["unprofiled"].append(_tried(rest, _unchanged(bundle_z)))
            for name, method in methods.items():
                outcomes[name].append(_outcome(method, local, rest))
        sizes[str(size)] = {name: _summary(found) for name, found in outcomes.items()}
    return {
        "cases": len(site.z),
        "positives": int(site.truth.sum()),
        "groups": len(set(site.groups)),
        "wanted_sensitivity": plan.wanted.sensitivity,
        "bundle_threshold": round(probability(bundle_z), 4),
        "draws": plan.draws,
        "seed": plan.seed,
        "sizes": sizes,
    }


def _methods(
    bundle_z: float, plan: Plan, expected: Expected | None, prevalence: float
) -> dict[str, Callable[[Cases], Chosen]]:
    free = replace(plan.wanted, widest=1.0, least_cases=0, least_of_a_class=2)
    methods: dict[str, Callable[[Cases], Chosen]] = {
        "labelled": lambda local: choose(local, bundle_z, plan.wanted),
        "labelled, never refused": lambda local: choose(local, bundle_z, free),
    }
    if expected is not None:
        for name in WORDS:
            methods[f"label-free, {name}"] = _free(expected, name, prevalence)
    return methods


def _free(expected: Expected, name: Assumption, prevalence: float) -> Callable[[Cases], Chosen]:
    """Label-free as a site would use it that knows its own share of malignant cases."""
    return lambda local: choose_free(local.z, local.groups, expected, name, prevalence=prevalence, resamples=50).chosen


def _draws(site: Cases, size: int, plan: Plan) -> Iterator[tuple[Cases, Cases]]:
    """(the site's cases, the cases that are left): whole groups, at least `size` cases. Raises Refused."""
    names, places = np.unique(np.array(site.groups), return_inverse=True)
    counts = np.bincount(places)
    if size > len(site.z) - 2 * int(counts.max()):
        raise Refused(f"--size {size}", f"the table has {len(site.z)} cases", "Draw fewer")
    rng = np.random.default_rng([plan.seed, size])
    for _ in range(plan.draws):
        order = rng.permutation(len(names))
        enough = int(np.searchsorted(np.cumsum(counts[order]), size)) + 1
        drawn = np.isin(places, order[:enough])
        rest = site.of(np.flatnonzero(~drawn))
        if rest.truth.any() and not rest.truth.all():
            yield site.of(np.flatnonzero(drawn)), rest


def _outcome(method: Callable[[Cases], Chosen], local: Cases, rest: Cases) -> Tried | str:
    """What the profile reaches, or why there is none."""
    try:
        return _tried(rest, method(local))
    except Refused as refused:
        return _why(refused)


def _why(refused: Refused) -> str:
    """A refusal without its figures, so that refusals can be counted."""
    return " ".join("#" if any(c.isdigit() for c in word) else word for word in refused.reason.split())


def _unchanged(bundle_z: float) -> Chosen:
    everything = Interval(0.5, 0.0, 1.0)
    return Chosen(Scale(), bundle_z, everything, everything, 0.5)


def _tried(rest: Cases, chosen: Chosen) -> Tried:
    called = rest.z >= chosen.threshold_z
    scores: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-chosen.scale.apply(rest.z)))
    sens, spec = float(called[rest.truth].mean()), float((~called[~rest.truth]).mean())
    held = chosen.sensitivity.lo <= sens <= chosen.sensitivity.hi
    return Tried(sens, spec, ece(rest.truth, scores), held)


def _summary(found: Sequence[Tried | str]) -> dict[str, Any]:
    kept = [one for one in found if isinstance(one, Tried)]
    why = Counter(one for one in found if isinstance(one, str))
    summary: dict[str, Any] = {
        "made": round(len(kept) / max(1, len(found)), 3),
        "refused": {reason: round(count / len(found), 3) for reason, count in why.most_common()},
    }
    if kept:
        for name in ("sens", "spec", "ece"):
            low, middle, high = np.percentile([getattr(one, name) for one in kept], PERCENTILES)
            summary[name] = {
                "median": round(float(middle), 4),
                "p5": round(float(low), 4),
                "p95": round(float(high), 4),
            }
        summary["interval_holds"] = round(float(np.mean([one.held for one in kept])), 3)
    return summary
