"""How a device or a site stands. Pure: what it reported in the last days, its reference, how it stood, and the time.

    TOO_FEW ──enough scans──> STEADY ──a measure over its lower limit──> WATCH ──over its upper limit──> DRIFTING
       any, with another bundle ──> TOO_FEW

It rises at once and may skip a step. It falls only when every measure is below LEAVES of the limit that raised it
and LEAST_STAY has passed, so that a figure at a limit does not flap. Silence does not end a drift: who drifts and
then reports too little goes on drifting, until another bundle judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from sono_fleet.drift.measure import Distance, distance
from sono_models.drift import MEASURES, SIZE, AlertMix, DriftData, Measure, Reference

WINDOW = timedelta(days=7)
SCANS_NEEDED = 20
"""Fewer are not judged, whatever they look like."""
LEAVES = 0.7
LEAST_STAY = timedelta(hours=24)
SIMULATED = "phantom"


class Standing(StrEnum):
    TOO_FEW = "too-few"
    STEADY = "steady"
    WATCH = "watch"
    DRIFTING = "drifting"


RANK = {standing: rank for rank, standing in enumerate(Standing)}


@dataclass(frozen=True, slots=True)
class Sums:
    """What was reported in the window, of the one bundle that most scans were judged by."""

    bundle_sha256: str = ""
    bundle: str = ""
    scans: int = 0
    frames: int = 0
    minutes: float = 0.0
    alerts: AlertMix = field(default_factory=AlertMix)
    histograms: Mapping[Measure, tuple[float, ...]] = field(default_factory=dict)
    """Scans by measure and bin."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it stands, since when, and by which measure: the one that is nearest to its limit, or furthest over it."""

    standing: Standing
    bundle_sha256: str
    since: datetime
    measure: str = ""
    value: float = 0.0
    figures: Mapping[Measure, Distance] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return f"{self.measure} PSI {self.value:.2f}" if self.measure else "no measure"


def summed(reports: Iterable[DriftData]) -> Sums:
    """Simulated scans count only where there are no others."""
    every = list(reports)
    told = [one for one in every if one.source != SIMULATED] or every
    scans: dict[str, int] = {}
    for one in told:
        scans[one.bundle_sha256] = scans.get(one.bundle_sha256, 0) + one.scans
    if not scans:
        return Sums()
    chosen = max(scans, key=lambda sha256: (scans[sha256], sha256))
    mine = [one for one in told if one.bundle_sha256 == chosen]
    histograms: dict[Measure, tuple[float, ...]] = {
        measure: tuple(sum(one.of(measure).scans[place] for one in mine) for place in range(SIZE[measure]))
        for measure in MEASURES
    }
    mix = {name: sum(getattr(one.alerts, name) for one in mine) for name in AlertMix.__struct_fields__}
    return Sums(
        chosen,
        mine[0].bundle,
        scans[chosen],
        sum(sum(one.gates.frames) for one in mine),
        sum(one.minutes for one in mine),
        msgspec.convert(mix, AlertMix),
        histograms,
    )


def judged(before: Verdict | None, sums: Sums, reference: Reference | None, now: datetime) -> Verdict:
    """The next standing."""
    if not sums.scans and before is not None:
        return before if before.standing is Standing.DRIFTING else _moved(before, Standing.TOO_FEW, before, now)
    same = before if before is not None and before.bundle_sha256 == sums.bundle_sha256 else None
    figures = _figures(sums, reference) if reference is not None else {}
    if not figures:
        if same is not None and same.standing is Standing.DRIFTING:
            return same
        return _moved(same, Standing.TOO_FEW, Verdict(Standing.TOO_FEW, sums.bundle_sha256, now), now)
    worst = max(figures, key=lambda name: (figures[name].psi / figures[name].drifting, name))
    fresh = Verdict(_level(figures), sums.bundle_sha256, now, worst, figures[worst].psi, figures)
    if same is not None and RANK[fresh.standing] < RANK[same.standing] and not _may_fall(same, figures, now):
        return _moved(same, same.standing, fresh, now)
    return _moved(same, fresh.standing, fresh, now)


def _figures(sums: Sums, reference: Reference) -> dict[Measure, Distance]:
    found: dict[Measure, Distance] = {}
    for measure in MEASURES:
        scans, usual = sums.histograms[measure], reference.scans.get(measure)
        if usual is None or sum(scans) < SCANS_NEEDED:
            continue
        effect, apart = reference.effect.get(measure, 1.0), reference.apart.get(measure, 0.0)
        far = distance(measure, scans, usual, effect, apart)
        if far is not None:
            found[measure] = far
    return found


def _level(figures: Mapping[Measure, Distance]) -> Standing:
    if any(one.psi >= one.drifting for one in figures.values()):
        return Standing.DRIFTING
    return Standing.WATCH if any(one.psi >= one.watch for one in figures.values()) else Standing.STEADY


def _may_fall(before: Verdict, figures: Mapping[Measure, Distance], now: datetime) -> bool:
    if before.standing is Standing.TOO_FEW:
        return True
    if now - before.since < LEAST_STAY:
        return False
    limits = {
        name: one.drifting if before.standing is Standing.DRIFTING else one.watch for name, one in figures.items()
    }
    return all(one.psi < LEAVES * limits[name] for name, one in figures.items())


def _moved(before: Verdict | None, standing: Standing, fresh: Verdict, now: datetime) -> Verdict:
    """`fresh`'s figures under this standing, with when it began."""
    since = before.since if before is not None and before.standing is standing else now
    return Verdict(standing, fresh.bundle_sha256, since, fresh.measure, fresh.value, fresh.figures)
