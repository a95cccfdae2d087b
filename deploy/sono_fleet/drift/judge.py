"""The judge: once an hour every site and each of its devices, one site at a time, so that an engine's step stays short.

What changes at a site is written down with its evidence in the audit log, and a site that drifts raises one alert to
the fleet's people until it has passed. Any number may judge: one at a time looks at a site.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from sono_fleet import concerns
from sono_fleet.database import Database
from sono_fleet.drift import hours, references, standings
from sono_fleet.drift.judgement import WINDOW, Standing, Sums, Verdict, judged, summed
from sono_fleet.drift.references import Known
from sono_fleet.drift.standings import SITE, Stands
from sono_fleet.rollout import audit
from sono_models.errors import BadOrder

EVERY = timedelta(hours=1)


class Judge:
    """`step` judges one site that is due, if one is; cheap when none is."""

    def __init__(self, database: Database, *, every: timedelta = EVERY) -> None:
        self._database, self._every = database, every
        self._due: deque[str] = deque()
        self._next: datetime | None = None
        self._known: dict[str, Known] = {}

    def step(self, now: datetime) -> list[Stands]:
        """What was judged: a site and its devices, or nothing."""
        if not self._due and (self._next is None or now >= self._next):
            self._look_round(now)
        return self._judge(self._due.popleft(), now) if self._due else []

    def all(self, now: datetime) -> list[Stands]:
        """Every site, now."""
        self._look_round(now)
        found: list[Stands] = []
        while self._due:
            found += self._judge(self._due.popleft(), now)
        return found

    def _look_round(self, now: datetime) -> None:
        with self._database.writing() as connection:
            concerns.alone(connection)
            hours.forget(connection, now)
            references.make_due(connection, now)
            self._known = references.known(connection)
            known = {one.site for one in standings.of(connection)}
            self._due = deque(sorted(known.union(hours.sites(connection))))
        self._next = now + self._every

    def _judge(self, site: str, now: datetime) -> list[Stands]:
        with self._database.reading() as connection:  # the long part holds no writer up
            told = hours.of_site(connection, site, now - WINDOW)
        sums = {name: summed(reports) for name, reports in told.items()}
        sums[SITE] = summed(report for reports in told.values() for report in reports)
        with self._database.writing() as connection:
            concerns.alone(connection)
            before = {one.device: one for one in standings.of(connection, site)}
            names = [*sorted(set(before).union(told) - {SITE}), SITE]
            rows = [self._stands(site, name, sums.get(name, Sums()), before.get(name), now) for name in names]
            standings.put(connection, rows)
            _tell(connection, before.get(SITE), rows[-1], now)
        return rows

    def _stands(self, site: str, device: str, sums: Sums, before: Stands | None, now: datetime) -> Stands:
        known = self._known.get(sums.bundle_sha256)
        verdict = judged(before.verdict if before else None, sums, known.reference if known else None, now)
        accepted = before.rests.accepted if before is not None and _goes_on(before.verdict, verdict) else ""
        if before is not None and verdict is before.verdict:  # nothing that could be judged came
            return replace(before, at=now)
        said = _said(sums, known)
        return Stands(site, device, verdict, sums.frames, now, standings.rests_of(sums, verdict, said, accepted))


def accept(database: Database, site: str, reason: str, now: datetime, *, by: str) -> Stands:
    """A site's drift is as it should be (another probe, another kind of patient): roll-outs may go on there until
    it has passed. Raises BadOrder for a site that does not drift.
    """
    with database.writing() as connection:
        concerns.alone(connection)
        row = next((one for one in standings.of(connection, site) if not one.device), None)
        if row is None or row.verdict.standing is not Standing.DRIFTING:
            said = "nothing is known of it" if row is None else f"it is {row.verdict.standing}"
            raise BadOrder(f"site {site}", f"{said}, so there is nothing to accept", "See `sono fleet drift show`")
        words = f"by {by}: {reason}" if reason else f"by {by}"
        made = replace(row, rests=msgspec.structs.replace(row.rests, accepted=words))
        standings.put(connection, [made])
        audit.append(connection, [audit.Entry(by, "drift-accepted", "", {"reason": reason, **evidence(made)})], now)
    return made


def evidence(row: Stands) -> dict[str, object]:
    """What the audit log keeps of a site's standing."""
    limits = {
        name: {"psi": round(one.psi, 4), "watch": round(one.watch, 4), "drifting": round(one.drifting, 4)}
        for name, one in row.verdict.figures.items()
    }
    return {
        "site": row.site,
        "standing": str(row.verdict.standing),
        "why": row.verdict.words,
        "scans": row.rests.scans,
        "bundle": row.rests.bundle,
        "reference": row.rests.reference,
        "figures": limits,
    }


def _tell(connection: sa.Connection, before: Stands | None, after: Stands, now: datetime) -> None:
    """One alert for as long as a site drifts, and an entry in the audit log when that begins and ends."""
    drifted = before is not None and before.verdict.standing is Standing.DRIFTING
    drifts = after.verdict.standing is Standing.DRIFTING
    where = (after.site, SITE)
    if drifts and not drifted:
        words = (
            f"site {after.site} drifts: {after.verdict.words} over {after.rests.scans} scans, {after.rests.reference}"
        )
        concerns.begins(connection, "drift", where, words, evidence(after), now)
    if drifted and not drifts:
        concerns.passes(connection, "drift", where, evidence(after), now)


def _goes_on(before: Verdict, after: Verdict) -> bool:
    """The same drift: of one bundle, without an end between."""
    both = before.standing is after.standing is Standing.DRIFTING
    return both and before.bundle_sha256 == after.bundle_sha256


def _said(sums: Sums, known: Known | None) -> str:
    if not sums.scans:
        return ""
    if known is None:
        return "no reference yet"
    return known.reference.said or f"{sums.bundle}'s own reference"
