"""What devices sent, as it is kept: committed here is what a device may forget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

import sqlalchemy as sa

from sono_fleet.database import DEFAULT_URL, Database, upsert
from sono_fleet.tables import alerts, devices, progress, updates
from sono_models import messages

PROGRESS_STEP = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """One device's one life: sequences run 1, 2, 3 … in it."""

    site: str
    device: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """An alert or an update's report as it came. `problem` says why it could not be read; such a one is kept too,
    or its line would stop. `values`: what has a column of its own.
    """

    line: Line
    sequence: int
    body: str
    problem: str = ""
    topic: messages.InOrder = "alert"
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """A device's newest state or health: the event as JSON. `values`: what has a column of its own. Not `fresh`:
    the broker had kept it, so that it says nothing of this moment.
    """

    site: str
    device: str
    kind: Literal["state", "health"]
    body: str
    values: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """`contiguous`: every sequence from 1 to it is committed. `duplicates`: in this batch."""

    contiguous: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one batch: where each line in it stands, and which alerts were new."""

    standings: Mapping[Line, Standing]
    fresh: Sequence[Delivered]


class Store:
    """A context manager. Raises BadConfig for a URL that cannot work, Unavailable when the database is away,
    DiskFull when it takes nothing.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.database = Database(url)

    def __enter__(self) -> Self:
        self.database.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.database.__exit__(*exc)

    def commit(self, batch: Sequence[Delivered], reports: Sequence[Report], at: datetime) -> Outcome:
        """Store a batch in one transaction, on disk when this returns. What is there already is counted."""
        with self.database.writing() as connection:
            fresh = [alert for alert in batch if self._insert(connection, alert, at)]
            delivered = Counter(alert.line for alert in batch)
            delivered.subtract(alert.line for alert in fresh)
            for report in {(report.site, report.device, report.kind): report for report in reports}.values():
                self._report(connection, report, at)
            standings = {line: self._advance(connection, line, again) for line, again in delivered.items()}
        return Outcome(standings, fresh)

    def alerts(self, *, newest: int | None = None) -> list[dict[str, Any]]:
        """Committed alerts in the order they came: every column."""
        query = sa.select(alerts).order_by(alerts.c.id.desc()).limit(newest)
        return list(reversed(self._rows(query)))

    def count(self) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(alerts)).scalar_one())

    def duplicates(self) -> int:
        """Deliveries that were absorbed since the beginning."""
        with self.database.reading() as connection:
            return int(
                connection.execute(sa.select(sa.func.coalesce(sa.func.sum(progress.c.duplicates), 0))).scalar_one()
            )

    def devices(self) -> list[dict[str, Any]]:
        """What each device said last: every column."""
        return self._rows(sa.select(devices).order_by(devices.c.site, devices.c.device))

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        return self.database.rows(query)

    def _insert(self, connection: sa.Connection, alert: Delivered, at: datetime) -> bool:
        """Whether it was new."""
        values = {**_key(alert.line), "sequence": alert.sequence, "body": alert.body, "problem": alert.problem}
        table = alerts if alert.topic == "alert" else updates
        statement = upsert(connection, table).values(**values, **alert.values, received_at=_text(at))
        return connection.execute(statement.on_conflict_do_nothing()).rowcount == 1

    def _report(self, connection: sa.Connection, report: Report, at: datetime) -> None:
        values = {report.kind: report.body, f"{report.kind}_at": _text(at), **report.values}
        if report.values.get("online", True):
            values["seen_at"] = _text(at)
        if report.fresh and "bundle_sha256" in report.values:
            values["bundle_at"] = _text(at)
        statement = upsert(connection, devices).values(site=report.site, device=report.device, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["site", "device"], set_=values))

    def _advance(self, connection: sa.Connection, line: Line, duplicates: int) -> Standing:
        """Move the line's contiguous end over what is there now."""
        row = sa.and_(*(progress.c[name] == value for name, value in _key(line).items()))
        first = upsert(connection, progress).values(**_key(line), contiguous=0, duplicates=0).on_conflict_do_nothing()
        connection.execute(first)
        end = int(connection.execute(sa.select(progress.c.contiguous).where(row).with_for_update()).scalar_one())
        end = _contiguous(connection, line, end)
        change = progress.update().where(row)
        connection.execute(change.values(contiguous=end, duplicates=progress.c.duplicates + duplicates))
        return Standing(end, duplicates)


def _contiguous(connection: sa.Connection, line: Line, end: int) -> int:
    """The highest sequence up to which all are there, from `end` on."""
    while True:
        ahead = sa.union_all(*(_ahead(table, line, end) for table in (alerts, updates)))
        found = connection.execute(ahead.order_by("sequence").limit(PROGRESS_STEP)).scalars().all()
        start = end
        for sequence in found:
            if sequence != end + 1:
                return end
            end = sequence
        if end - start < PROGRESS_STEP:
            return end


def _ahead(table: sa.Table, line: Line, end: int) -> sa.Select[Any]:
    mine = [table.c[name] == value for name, value in _key(line).items()]
    return sa.select(table.c.sequence).where(*mine, table.c.sequence > end)


def _key(line: Line) -> Mapping[str, str | int]:
    return {"site": line.site, "device": line.device, "epoch": line.epoch}


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
