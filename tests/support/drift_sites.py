"""How often a site that is as ever is said to drift, and how soon a real shift is found.

    python -m tests.support.drift_sites [--sites 200] [--days 60] [--scans-a-day 20] [--json]

One device a site; its reports are made by the device's own gathering of cells and judged by the fleet's own judgement
four times a day, against the fleet's reference of the first 14 days at 30 other sites.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sono_fleet.drift.judgement import WINDOW, Standing, Verdict, judged, summed
from sono_fleet.drift.references import FIRST, made_of
from sono_models.drift import SCANS_LEAST, DriftData, Reference
from tests.support.drift_reports import NO_SHIFT, USUAL, Place, Shift, a_report

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
AHEAD_DAYS = 10
"""A shift comes after so many usual days."""
SHIFTS = {
    "scores x1.3": Shift(score=1.3),
    "scores x2": Shift(score=2.0),
    "gain -6 dB (of 60)": Shift(grey=-25.5),
    "gain -3 dB (of 60)": Shift(grey=-12.75),
    "calipers left on, 30 % of frames": Shift(calipers=0.3),
}
APART = (0.15, 4.0)
"""Standard deviation between sites, where they differ: log-odds of scores, grey."""


@dataclass(frozen=True, slots=True)
class Course:
    """Of one site: the day on which it first stood so, None: never; and how often its standing changed."""

    watch: float | None
    drifting: float | None
    changes: int
    days_drifting: float


def course(
    rng: np.random.Generator, reference: Reference, days: int, scans: float, *, shift: Shift, place: Place
) -> Course:
    told: list[tuple[datetime, DriftData]] = []
    verdict: Verdict | None = None
    first: dict[Standing, float] = {}
    changes = drifting = 0
    a_day = max(1, round(scans / SCANS_LEAST))
    for step in range(days * a_day):
        at = BEGIN + timedelta(days=step / a_day)
        day = step / a_day - AHEAD_DAYS
        told.append((at, a_report(rng, at, shift=shift if day >= 0 else NO_SHIFT, place=place)))
        told = [one for one in told if one[0] > at - WINDOW]
        before = verdict
        verdict = judged(before, summed(report for _, report in told), reference, at)
        changes += before is not None and before.standing is not verdict.standing
        drifting += verdict.standing is Standing.DRIFTING
        if day >= 0:
            first.setdefault(verdict.standing, day)
    watch = min([first[one] for one in (Standing.WATCH, Standing.DRIFTING) if one in first], default=None)
    return Course(watch, first.get(Standing.DRIFTING), changes, drifting / a_day)


def usual(rng: np.random.Generator, sites: int, scans: float, *, apart: bool) -> Reference:
    a_day = max(1, round(scans / SCANS_LEAST))
    reports = []
    for number in range(sites):
        place = drawn(rng) if apart else USUAL
        for step in range(FIRST.days * a_day):
            at = BEGIN + timedelta(days=step / a_day)
            reports.append((f"s{number}", a_report(rng, at, place=place)))
    return made_of(reports, "simulated")


def drawn(rng: np.random.Generator) -> Place:
    return Place(float(rng.normal(0, APART[0])), float(rng.normal(0, APART[1])))


def figures(courses: Sequence[Course], days: int) -> dict[str, Any]:
    found = sorted(one.drifting for one in courses if one.drifting is not None)
    seen = sorted(one.watch for one in courses if one.watch is not None)
    n = len(courses)
    return {
        "sites": n,
        "drifting_share": round(len(found) / n, 4),
        "drifting_after_days": round(statistics.median(found), 2) if found else None,
        "watch_share": round(len(seen) / n, 4),
        "watch_after_days": round(statistics.median(seen), 2) if seen else None,
        "changes_a_site_month": round(30 * sum(one.changes for one in courses) / (n * days), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--scans-a-day", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    told: dict[str, Any] = {}
    for apart in (False, True):
        reference = usual(rng, 30, given.scans_a_day, apart=apart)
        told[f"effect, {_words(apart)}"] = reference.effect
        told[f"apart, {_words(apart)}"] = reference.apart
        for name, shift in {"nothing": NO_SHIFT, **SHIFTS}.items():
            few = given.sites if name == "nothing" else max(1, given.sites // 4)
            days = given.days if name == "nothing" else AHEAD_DAYS + 21
            courses = [
                course(
                    rng,
                    reference,
                    days,
                    given.scans_a_day,
                    shift=shift,
                    place=drawn(rng) if apart else USUAL,
                )
                for _ in range(few)
            ]
            told[f"{name}, {_words(apart)}"] = figures(courses, days)
    if given.json:
        print(json.dumps(told))  # noqa: T201
        return
    for name, row in told.items():
        print(f"{name}: {row}")  # noqa: T201


def _words(apart: bool) -> str:
    return "sites differ" if apart else "sites alike"


if __name__ == "__main__":
    main()
