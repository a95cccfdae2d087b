"""What a bundle's scans look like when all is well: the bundle's own word, or else the fleet's first weeks with it.

The scores of the dev split that a bundle's evidence holds are no reference: they are of chosen stills, a third of them
malignant, while a device judges every frame of a live sweep.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec
import sqlalchemy as sa

from sono_fleet.database import upsert
from sono_fleet.drift import hours
from sono_fleet.drift.judgement import SIMULATED
from sono_fleet.drift.measure import apart_of, effect_of
from sono_fleet.tables import drift_hours, drift_references
from sono_models.bundle import Bundle
from sono_models.drift import BINS, MEASURES, SIZE, DriftData, Measure, Reference
from sono_models.errors import BadBundle
from sono_models.messages import rfc3339

FILE = "evidence/drift.json"
FIRST = timedelta(days=14)
"""The fleet's reference is what all sites reported in so long from a bundle's first report on."""
SITES_LEAST, ALONE_AFTER = 3, timedelta(days=28)
"""Of fewer sites it is made only when no more have come in this time."""
SCANS_LEAST = 100

Kind: TypeAlias = Literal["bundle", "fleet"]


@dataclass(frozen=True, slots=True)
class Known:
    """`kind`: whose word it is."""

    kind: Kind
    made_at: str
    reference: Reference


def of_bundle(bundle: Bundle) -> Reference | None:
    """The bundle's own; None where it has none. Raises BadBundle for one that cannot be used."""
    if FILE not in bundle.manifest.files:
        return None
    return read(bundle.content(FILE), f"{bundle.path}: {FILE}")


def read(raw: bytes, name: str) -> Reference:
    """Raises BadBundle."""
    again = "Make it with `sono fleet drift reference --json`"
    try:
        found = msgspec.json.decode(raw, type=Reference)
    except msgspec.DecodeError as problem:
        raise BadBundle(name, f"not a drift reference ({problem})", again) from problem
    wrong = [measure for measure, scans in found.scans.items() if len(scans) != SIZE[measure] or sum(scans) <= 0]
    if found.bins != BINS or wrong or not found.scans:
        raise BadBundle(name, f"its bins are not these ({', '.join(wrong) or f'set {found.bins}'})", again)
    return found


def made_of(reports: Iterable[tuple[str, DriftData]], said: str) -> Reference:
    """All scans alike. Pure."""
    every = list(reports)
    told = [one for one in every if one[1].source != SIMULATED] or every
    scans: dict[Measure, tuple[float, ...]] = {}
    effect: dict[Measure, float] = {}
    apart: dict[Measure, float] = {}
    for measure in MEASURES:
        columns = [report.of(measure).scans for _, report in told]
        whole = tuple(round(sum(column), 4) for column in zip(*columns, strict=True))
        if sum(whole) > 0:
            scans[measure] = whole
            effect[measure] = round(effect_of(measure, columns), 4)
            apart[measure] = round(apart_of(measure, _by_site(measure, told), effect[measure]), 4)
    return Reference(scans, effect, apart, BINS, said)


def _by_site(measure: Measure, told: Iterable[tuple[str, DriftData]]) -> list[list[float]]:
    sums: dict[str, list[float]] = {}
    for site, report in told:
        have = sums.setdefault(site, [0.0] * SIZE[measure])
        sums[site] = [one + more for one, more in zip(have, report.of(measure).scans, strict=True)]
    return list(sums.values())


def known(connection: sa.Connection) -> dict[str, Known]:
    """By the bundle's sha256."""
    return {
        row.bundle_sha256: Known(row.kind, row.made_at, msgspec.json.decode(row.body, type=Reference))
        for row in connection.execute(sa.select(drift_references))
    }


def put(connection: sa.Connection, sha256: str, kind: Kind, reference: Reference, at: datetime) -> None:
    """A bundle's own word takes the place of the fleet's; never the other way round."""
    row = {
        "bundle_sha256": sha256,
        "kind": kind,
        "body": msgspec.json.encode(reference).decode(),
        "made_at": rfc3339(at),
    }
    put = upsert(connection, drift_references).values(**row)
    if kind == "fleet":
        connection.execute(put.on_conflict_do_nothing())
    else:
        connection.execute(put.on_conflict_do_update(index_elements=["bundle_sha256"], set_=row))


def make_due(connection: sa.Connection, now: datetime) -> list[str]:
    """Make the fleet's reference of each bundle that has none and was in use for long enough; their sha256."""
    has = set(known(connection))
    of = drift_hours.c
    query = sa.select(of.bundle_sha256, sa.func.min(of.hour), sa.func.count(of.site.distinct()))
    made = []
    for sha256, first, places in connection.execute(query.group_by(of.bundle_sha256)).all():
        begun = datetime.fromisoformat(first)
        late = now - begun >= ALONE_AFTER
        if sha256 in has or now - begun < FIRST or (places < SITES_LEAST and not late):
            continue
        until = now if late else begun + FIRST
        reports = list(hours.of_bundle(connection, sha256, until))
        if sum(one.scans for _, one in reports) < SCANS_LEAST:
            continue
        names = {site for site, _ in reports}
        said = f"the fleet's first weeks with {reports[0][1].bundle} ({len(names)} sites, until {hours.text(until)})"
        put(connection, sha256, "fleet", made_of(reports, said), now)
        made.append(str(sha256))
    return made
