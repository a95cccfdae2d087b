"""The alert benchmark's figures once more, from what came of each sweep: results/alerts-outcomes.csv.

`sono bench alerts --outcomes` writes it, a line a sweep or scan. That side's code is not imported here: these are the
same figures by another hand.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_models.bundle import Bundle
from sono_models.errors import BadManifest
from sono_models.resampling import RESAMPLES, Index, interval

FILE = "alerts-outcomes.csv"
PLACES = 4
"""Decimals of the figures in alerts.json."""
_NEXT = "Make it again with `sono bench alerts --outcomes`"
Column = NDArray[np.float64]


class Outcomes:
    """The table's columns; a figure is of any of its rows."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.groups = [row["group"] for row in rows]
        self.lesion = np.array([row["lesion"] == "1" for row in rows], np.bool_)
        names = [name for name in rows[0] if name not in {"group", "lesion"}]
        self._of = {name: np.array([float(row[name] or "nan") for row in rows], np.float64) for name in names}
        self._seen = self.lesion & (self._of["visible_s"] > 0)

    def of(self, name: str, rows: Index, *, lesion: bool) -> Column:
        which = self._seen if lesion else ~self.lesion
        return self._of[name][rows[which[rows]]]

    def total(self, name: str) -> float:
        return float(self._of[name].sum())


def read_outcomes(path: Path) -> Outcomes:
    """Raises BadManifest for anything but what the benchmark writes."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return Outcomes(list(csv.DictReader(file)))
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise BadManifest(str(path), f"is not what came of the sweeps ({error})", _NEXT) from error


def figures(found: Outcomes) -> dict[str, Callable[[Index], float]]:
    """By their names in alerts.json."""

    def share(above: str, below: str, *, lesion: bool, times: float = 1.0) -> Callable[[Index], float]:
        return lambda rows: times * _over(found.of(above, rows, lesion=lesion), found.of(below, rows, lesion=lesion))

    def mean(name: str, *, lesion: bool) -> Callable[[Index], float]:
        return lambda rows: _mean(found.of(name, rows, lesion=lesion))

    def wait(percentile: float) -> Callable[[Index], float]:
        return lambda rows: _percentile(found.of("alert_s", rows, lesion=True), percentile)

    return {
        "lesion_sensitivity": mean("found", lesion=True),
        "false_per_min": share("false_tracks", "seconds", lesion=False, times=60.0),
        "false_per_scan": mean("false_tracks", lesion=False),
        "false_overlay_s_per_min": share("overlay_s", "seconds", lesion=False, times=60.0),
        "toggles_per_lesion_s": share("toggles", "visible_s", lesion=True),
        "fragmentation": share("tracks_on_lesion", "found", lesion=True),
        "median_ms": wait(50),
        "p95_ms": wait(95),
    }


def differences(path: Path, said: Mapping[str, Any], bundle: Bundle, *, resamples: int = RESAMPLES) -> Iterator[str]:
    """Where alerts.json says other than its sweeps give, or was measured under another law or with other weights."""
    manifest = bundle.manifest
    if said.get("law") != msgspec.to_builtins(manifest.law):
        yield "alerts.json: was measured under another law than the bundle's"
    if said.get("weights_sha256") != manifest.provenance.weights_sha256:
        yield "alerts.json: was measured with other weights than the bundle's"
    if path.is_file():
        yield from _figures_differ(read_outcomes(path), said, resamples)
    else:
        yield f"{path}: there is no such file"


def _figures_differ(found: Outcomes, said: Mapping[str, Any], resamples: int) -> Iterator[str]:
    for name in ("gated_alerts", "missed_alerts"):
        if said[name] != found.total(name):
            yield f"alerts.json: {name} is {said[name]}, its sweeps give {found.total(name):.0f}"
    for name, figure in figures(found).items():
        ours = _interval(figure, found, resamples)
        for end, value in said["intervals"][name].items():
            if not _same(value, ours[end]):
                yield f"alerts.json: {name}.{end} is {value}, its sweeps give {ours[end]:.{PLACES}f}"


def _interval(figure: Callable[[Index], float], found: Outcomes, resamples: int) -> dict[str, float]:
    whole = figure(np.arange(len(found.groups)))

    def known(rows: Index) -> float:
        value = figure(rows)
        return whole if np.isnan(value) else value

    return interval(known, found.lesion, found.groups, resamples=resamples)


def _same(committed: float | None, ours: float) -> bool:
    if committed is None:
        return bool(np.isnan(ours))
    return abs(committed - ours) <= 0.51 * 10.0**-PLACES


def _mean(values: Column) -> float:
    return float(values.mean()) if values.size else np.nan


def _over(above: Column, below: Column) -> float:
    return float(above.sum()) / float(below.sum()) if below.sum() else np.nan


def _percentile(values: Column, percentile: float) -> float:
    known = values[~np.isnan(values)]
    return 1000 * float(np.percentile(known, percentile)) if known.size else np.nan
