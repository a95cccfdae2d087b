"""Draws of a group bootstrap: a patient's images stand or fall together. Every interval of the project takes these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sono_models.errors import BadManifest

RESAMPLES = 1000
SEED = 12645
LEVEL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""

Index = NDArray[np.int64]
Truth = NDArray[np.bool_]


def draws(
    truth: Truth | None, groups: Sequence[str], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[Index]:
    """`resamples` times the rows of as many groups as there are, drawn with replacement, in the groups' first order.

    A draw without both classes is drawn again; None: there are no classes. Raises BadManifest when there is only one
    class to draw from.
    """
    if truth is not None and (truth.all() or not truth.any()):
        raise BadManifest("the rows", "must hold the target and something else", "Choose other rows")
    members = _members(groups)
    rng = np.random.default_rng(seed)
    made = 0
    while made < resamples:
        index = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if truth is None or (truth[index].any() and not truth[index].all()):
            made += 1
            yield index


def interval(
    figure: Callable[[Index], float],
    truth: Truth | None,
    groups: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, float]:
    """{value, lo, hi} of a figure of the rows of an index: on all rows, and its 95 % percentiles over the draws.

    A figure of two readers is paired by itself: both are computed on the same draw.
    """
    found = [figure(index) for index in draws(truth, groups, resamples=resamples, seed=seed)]
    low, high = np.percentile(found, LEVEL)
    return {"value": figure(np.arange(len(groups))), "lo": float(low), "hi": float(high)}


def _members(groups: Sequence[str]) -> list[Index]:
    """The rows of each group, groups in the order in which they first appear."""
    order: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        order.setdefault(group, []).append(index)
    return [np.asarray(rows, np.int64) for rows in order.values()]
