"""Rows h, i and j: from the JSON that other commands leave in `results/`. What is not there is "not measured".

robustness.json  `sono model robustness --json`
gates.json       `sono bench gates --json`
repeat.json      `sono bench repeat --json`
arm.json         `make arm`
alerts.json      `sono bench alerts --json`, on held-out stills: a section of its own, no row
alert-law.json   `sono bench alerts --choose --json`, on the dev split: how the law was chosen
clips.json       `sono bench clips --json`: real lung clips through the breast bundle
clips-lung.json  the same of the held-out patients through the lung bundle
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sono_models.errors import BadManifest

UNCOUNTED = "not counted"
"""How the note of a figure begins that is shown but meets nothing."""
FILES = ("robustness", "gates", "repeat", "arm", "alerts", "alert-law", "clips", "clips-lung")
ON_ALERTS = ("alerts", "alert-law", "clips", "clips-lung")
"""Those that the section on alerts tells of."""
_NEXT = "Run the command that makes it again"


@dataclass(frozen=True, slots=True)
class Reached:
    """A figure as another command reported it."""

    value: float
    lo: float | None = None
    hi: float | None = None
    n: int | None = None
    note: str = ""


Results = Mapping[str, Mapping[str, Any]]


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON objects that are there, by name. Raises BadManifest for one that is not an object."""
    found: dict[str, dict[str, Any]] = {}
    for name in FILES:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise BadManifest(str(path), f"not JSON ({error})", _NEXT) from error
        if not isinstance(content, dict):
            raise BadManifest(str(path), "not a JSON object", _NEXT)
        found[name] = content
    return found


def reached(row: str, results: Results) -> Reached | str:
    """The figure of a row of h to j, or the reason why there is none."""
    name, take = ROWS[row]
    if name not in results:
        return f"results/{name}.json is not there"
    try:
        return take(results[name])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return f"results/{name}.json lacks {error}"


def _number(found: Any) -> Reached:
    """A bare number, or an interval {value, lo, hi}."""
    if isinstance(found, Mapping):
        return Reached(float(found["value"]), found.get("lo"), found.get("hi"))
    return Reached(float(found))


def _drop(found: Mapping[str, Any]) -> Reached:
    figure = _number(found["worst_drop"])
    return Reached(figure.value, figure.lo, figure.hi, found.get("n"), f"worst: {found['worst']}")


def _caliper(found: Mapping[str, Any]) -> Reached:
    figure = _number(found["caliper_p95_change"])
    return Reached(figure.value, figure.lo, figure.hi, found.get("n"))


def _f1(found: Mapping[str, Any]) -> Reached:
    """Of the worst gate; it does not count while a gate has no figure."""
    gates = {name: _number(each["f1"]) for name, each in found["gates"].items() if "f1" in each}
    worst = min(gates, key=lambda name: gates[name].value)
    without = ", ".join(name for name in found["gates"] if name not in gates)
    words = f"worst gate: {worst}"
    note = f"{UNCOUNTED}: no figure for {without}; {words}" if without else words
    return Reached(gates[worst].value, gates[worst].lo, gates[worst].hi, found["gates"][worst].get("n"), note)


def _alerts(found: Mapping[str, Any]) -> Reached:
    missed = found.get("missed_alerts")
    note = "" if missed is None else f"{missed} more from frames that should have been gated and were not"
    return Reached(float(found["gated_alerts"]), n=found.get("gated_frames"), note=note)


def _repeat(found: Mapping[str, Any]) -> Reached:
    note = "bit-equal" if found["bit_equal"] else f"{found['different']} differ"
    return Reached(float(found["max_diff"]), n=found.get("compared", found.get("repeats")), note=note)


def _arm(found: Mapping[str, Any]) -> Reached:
    return Reached(float(found["max_probability_diff"]), n=found.get("frames"), note="emulated Cortex-A76")


ROWS: dict[str, tuple[str, Callable[[Mapping[str, Any]], Reached]]] = {
    "h.drop": ("robustness", _drop),
    "h.caliper": ("robustness", _caliper),
    "i.f1": ("gates", _f1),
    "i.alerts": ("gates", _alerts),
    "j.repeat": ("repeat", _repeat),
    "j.arm": ("arm", _arm),
}
