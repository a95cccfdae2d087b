"""The fleet's database: what is committed here is what a device may forget.

One schema, two engines: SQLite (a file) by default, PostgreSQL by URL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from sono_models.errors import BadConfig, DiskFull, Unavailable

DEFAULT_URL = "sqlite:///fleet.sqlite"
PROGRESS_STEP = 1000

schema = sa.MetaData()
alerts = sa.Table(
    "alerts",
    schema,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("device", sa.String(64), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("received_at", sa.String(32), nullable=False),
    sa.UniqueConstraint("site", "device", "epoch", "sequence", name="one_delivery"),
)
progress = sa.Table(
    "progress",
    schema,
    sa.Column("site", sa.String(64), primary_key=True),
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("contiguous", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
)
devices = sa.Table(
    "devices",
    schema,
    sa.Column("site", sa.String(64), primary_key=True),
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("state", sa.Text),
    sa.Column("state_at", sa.String(32)),
    sa.Column("health", sa.Text),
    sa.Column("health_at", sa.String(32)),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One device's one life: sequences run 1, 2, 3 … in it."""

    site: str
    device: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """An alert as it came. `problem` says why it could not be read; such a one is kept too, or its line would stop."""

    line: Line
    sequence: int
    body: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A device's newest state or health: the event as JSON."""

    site: str
    device: str
    kind: Literal["state", "health"]
    body: str


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
        try:
            self.url = sa.make_url(url)
            self._engine = _engine(self.url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as problem:
            raise BadConfig(f"--database {url}", str(problem), f"Give a URL such as {DEFAULT_URL}") from problem

    def __enter__(self) -> Self:
        with self._troubles():
            schema.create_all(self._engine)
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.dispose()

    def commit(self, batch: Sequence[Delivered], reports: Sequence[Report], at: datetime) -> Outcome:
        """Store a batch in one transaction, on disk when this returns. What is there already is counted."""
        with self._troubles(), self._engine.begin() as connection:
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
        with self._troubles(), self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(alerts)).scalar_one())

    def duplicates(self) -> int:
        """Deliveries that were absorbed since the beginning."""
        with self._troubles(), self._engine.connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.coalesce(sa.func.sum(progress.c.duplicates), 0))).scalar_one()
            )

    def devices(self) -> list[dict[str, Any]]:
        """What each device said last: every column."""
        return self._rows(sa.select(devices).order_by(devices.c.site, devices.c.device))

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._troubles(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _insert(self, connection: sa.Connection, alert: Delivered, at: datetime) -> bool:
        """Whether it was new."""
        values = {**_key(alert.line), "sequence": alert.sequence, "body": alert.body, "problem": alert.problem}
        statement = self._upsert(alerts).values(**values, received_at=_text(at)).on_conflict_do_nothing()
        return connection.execute(statement).rowcount == 1

    def _report(self, connection: sa.Connection, report: Report, at: datetime) -> None:
        values = {report.kind: report.body, f"{report.kind}_at": _text(at)}
        statement = self._upsert(devices).values(site=report.site, device=report.device, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["site", "device"], set_=values))

    def _advance(self, connection: sa.Connection, line: Line, duplicates: int) -> Standing:
        """Move the line's contiguous end over what is there now."""
        row = sa.and_(*(progress.c[name] == value for name, value in _key(line).items()))
        first = self._upsert(progress).values(**_key(line), contiguous=0, duplicates=0).on_conflict_do_nothing()
        connection.execute(first)
        end = int(connection.execute(sa.select(progress.c.contiguous).where(row).with_for_update()).scalar_one())
        end = _contiguous(connection, line, end)
        change = progress.update().where(row)
        connection.execute(change.values(contiguous=end, duplicates=progress.c.duplicates + duplicates))
        return Standing(end, duplicates)

    def _upsert(self, table: sa.Table) -> Any:
        """Both engines have the same ON CONFLICT; SQLAlchemy has it once an engine."""
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as problem:
            reason = str(problem.orig).strip().partition("\n")[0]
            shown = self.url.render_as_string(hide_password=True)
            if "disk" in reason or "full" in reason:
                raise DiskFull(shown, reason, "Free some space") from problem
            raise Unavailable(shown, reason, "It is tried again") from problem
        except DBAPIError as problem:
            shown = self.url.render_as_string(hide_password=True)
            raise Unavailable(shown, str(problem.orig).partition("\n")[0], "See the database's log") from problem


def _engine(url: sa.URL) -> sa.Engine:
    kind = url.get_backend_name()
    if kind not in {"sqlite", "postgresql"}:
        raise BadConfig(f"--database {kind}", "only SQLite and PostgreSQL are known", f"Such as {DEFAULT_URL}")
    engine = sa.create_engine(url)
    if kind == "sqlite":
        sa.event.listen(engine, "connect", _settle_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _settle_sqlite(connection: Any, _record: Any) -> None:
    """Durable at commit; and it is we who begin transactions, not Python's module."""
    connection.isolation_level = None
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _contiguous(connection: sa.Connection, line: Line, end: int) -> int:
    """The highest sequence up to which all are there, from `end` on."""
    mine = [alerts.c[name] == value for name, value in _key(line).items()]
    while True:
        ahead = sa.select(alerts.c.sequence).where(*mine, alerts.c.sequence > end)
        found = connection.execute(ahead.order_by(alerts.c.sequence).limit(PROGRESS_STEP)).scalars().all()
        start = end
        for sequence in found:
            if sequence != end + 1:
                return end
            end = sequence
        if end - start < PROGRESS_STEP:
            return end


def _key(line: Line) -> Mapping[str, str | int]:
    return {"site": line.site, "device": line.device, "epoch": line.epoch}


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
