"""What devices sent, as it is kept: committed here is what a device may forget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self

import msgspec
import sqlalchemy as sa

from sono_fleet.database import DEFAULT_URL, Database, as_text, given, same, upsert
from sono_fleet.drift import hours
from sono_fleet.drift.hours import Reported
from sono_fleet.tables import alerts, devices, progress, updates
from sono_models import messages

PROGRESS_STEP = 1000
LINE = ("site", "device", "epoch")
PLACE = (*LINE, "sequence")


class Line(NamedTuple):
    """One device's one life: sequences run 1, 2, 3 … in it. A tuple: thousands are hashed in a batch."""

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
    """A device's newest state or health: the event as JSON. `values`: what has a column of its own. `said_at`: by the
    device's clock; None when the broker had kept the event, so that it tells nothing of now.
    """

    site: str
    device: str
    kind: Literal["state", "health"]
    body: str
    values: Mapping[str, Any] = field(default_factory=dict)
    said_at: datetime | None = None


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

    def commit(
        self, batch: Sequence[Delivered], reports: Sequence[Report], at: datetime, drift: Sequence[Reported] = ()
    ) -> Outcome:
        """Store a batch in one transaction, on disk when this returns. What is there already is counted."""
        with self.database.writing() as connection:
            fresh = _inserted(connection, batch, at)
            delivered = Counter(alert.line for alert in batch)
            delivered.subtract(alert.line for alert in fresh)
            newest = {(report.site, report.device, report.kind): report for report in reports}
            _report(connection, list(newest.values()), at)
            hours.put(connection, drift, at)
            standings = _advance(connection, delivered, fresh)
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


def _inserted(connection: sa.Connection, batch: Sequence[Delivered], at: datetime) -> list[Delivered]:
    """Those that were new."""
    fresh: list[Delivered] = []
    for topic, table in (("alert", alerts), ("update", updates)):
        mine = sorted((one for one in batch if one.topic == topic), key=_place)
        empty = {} if topic == "alert" else {"rollout": "", "serial": 0, "phase": ""}
        rows = [
            {
                **_key(one.line),
                "sequence": one.sequence,
                "body": one.body,
                "problem": one.problem,
                **empty,
                **one.values,
            }
            for one in mine
        ]
        if not rows:
            continue
        put = upsert(connection, table).on_conflict_do_nothing().returning(*(table.c[name] for name in PLACE))
        new = {tuple(row) for row in connection.execute(put, [{**row, "received_at": as_text(at)} for row in rows])}
        for one in (one for one in batch if one.topic == topic):
            if _place(one) in new:
                new.remove(_place(one))
                fresh.append(one)
    places = {id(one): place for place, one in enumerate(batch)}
    return sorted(fresh, key=lambda one: places[id(one)])


def _report(connection: sa.Connection, reports: Sequence[Report], at: datetime) -> None:
    _lock_devices(connection, reports)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for report in reports:
        values = {report.kind: report.body, f"{report.kind}_at": as_text(at), **report.values}
        if report.said_at is not None and report.values.get("online", True):
            values["seen_at"] = as_text(at)
        if report.said_at is not None and "bundle_sha256" in report.values:
            # a queue may have held it for long, and a clock may be ahead: never younger than either says
            values["bundle_at"] = as_text(min(at, report.said_at))
        groups.setdefault(tuple(values), []).append({"site": report.site, "device": report.device, **values})
    for names, rows in groups.items():
        put = upsert(connection, devices)
        change = {name: put.excluded[name] for name in names}
        rows.sort(key=lambda row: (row["site"], row["device"]))
        connection.execute(put.on_conflict_do_update(index_elements=["site", "device"], set_=change), rows)


def _lock_devices(connection: sa.Connection, reports: Sequence[Report]) -> None:
    """In one order for all ingesters, so that two that write the same devices do not wait for each other in a ring.
    SQLite lets one write at a time.
    """
    if connection.dialect.name != "postgresql" or not reports:
        return
    columns = [devices.c.site, devices.c.device]
    mine = given(connection, columns)
    query = sa.select(devices.c.site).join(mine, same(devices, mine, ("site", "device"))).order_by(*columns)
    named = [{"site": report.site, "device": report.device} for report in reports]
    _rows(connection, query.with_for_update(of=devices), named)


def _advance(
    connection: sa.Connection, delivered: Mapping[Line, int], fresh: Sequence[Delivered]
) -> dict[Line, Standing]:
    """Move each line's contiguous end over what is there now."""
    if not delivered:
        return {}
    lines = sorted(delivered)
    ends = _ends(connection, lines)
    unknown = [line for line in lines if line not in ends]
    if unknown:  # another ingest may meet them at this moment, too: whoever is second waits here
        first = upsert(connection, progress).on_conflict_do_nothing()
        connection.execute(first, [{**_key(line), "contiguous": 0, "duplicates": 0} for line in unknown])
        ends |= _ends(connection, unknown)
    came: dict[Line, set[int]] = {}
    for one in fresh:
        came.setdefault(one.line, set()).add(one.sequence)
    for line in lines:
        while ends[line] + 1 in came.get(line, ()):
            ends[line] += 1
    for line in _may_go_on(connection, ends):  # what came earlier, out of its order
        ends[line] = _contiguous(connection, line, ends[line])
    this = sa.and_(*(progress.c[name] == sa.bindparam(f"of_{name}") for name in LINE))
    change = progress.update().where(this)
    change = change.values(contiguous=sa.bindparam("end"), duplicates=progress.c.duplicates + sa.bindparam("again"))
    moved = [
        {"of_site": line[0], "of_device": line[1], "of_epoch": line[2], "end": ends[line], "again": delivered[line]}
        for line in lines
    ]
    connection.execute(change, moved)
    return {line: Standing(ends[line], delivered[line]) for line in lines}


def _ends(connection: sa.Connection, lines: Sequence[Line]) -> dict[Line, int]:
    """Where each line ends now; locked until the transaction ends."""
    columns = [progress.c[name] for name in LINE]
    mine = given(connection, columns)
    query = sa.select(*columns, progress.c.contiguous).join(mine, same(progress, mine, LINE))
    rows = _rows(connection, query.order_by(*columns).with_for_update(of=progress), [_key(line) for line in lines])
    return {Line._make(line): end for *line, end in map(tuple, rows)}


def _may_go_on(connection: sa.Connection, ends: Mapping[Line, int]) -> list[Line]:
    """The lines whose next sequence is there already."""
    following = [{**_key(line), "sequence": end + 1} for line, end in ends.items()]
    found: set[Line] = set()
    for table in (alerts, updates):
        columns = [table.c[name] for name in PLACE]
        theirs = given(connection, columns)
        query = sa.select(*columns[:3]).join(theirs, same(table, theirs, PLACE))
        found.update(map(Line._make, _rows(connection, query, following)))
    return sorted(found)


def _rows(connection: sa.Connection, query: sa.Select[Any], rows: list[dict[str, Any]]) -> sa.CursorResult[Any]:
    """Of a query that joins with `given`."""
    return connection.execute(query, {"given": msgspec.json.encode(rows).decode()})


def _place(one: Delivered) -> tuple[str, str, int, int]:
    return (*one.line, one.sequence)


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


def _key(line: Line) -> dict[str, Any]:
    return line._asdict()
