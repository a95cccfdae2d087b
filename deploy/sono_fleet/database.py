"""The fleet's database: one schema, two engines, SQLite (a file) by default, PostgreSQL by URL.

Opening it brings its schema up to date (migrations/); a database from before there were migrations is adopted.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from sono_models.errors import BadConfig, DiskFull, Unavailable

DEFAULT_URL = "sqlite:///fleet.sqlite"
HEAD = "0003"
"""The newest migration: with it the schema needs no look at the others."""


class Database:
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
        try:
            with self.writing() as connection:
                if _revision(connection) != HEAD:
                    # only a database that is behind pays for loading Alembic, which is talkative from its first import
                    logging.getLogger("alembic").setLevel(logging.WARNING)
                    importlib.import_module("sono_fleet.migrations").upgrade(connection)
        except BaseException:
            self._engine.dispose()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, on disk when the block has ended; an error in it undoes all of it."""
        with self._troubles(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One view of it all, which holds nobody up."""
        with self._troubles(), self._engine.connect() as connection:
            yield connection.execution_options(reads=True)

    def rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

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


def as_text(at: datetime) -> str:
    """A moment as the tables have it; such texts compare as their moments do, down to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Both engines have the same ON CONFLICT; SQLAlchemy has it once an engine."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def given(connection: sa.Connection, columns: Sequence[sa.Column[Any]]) -> sa.FromClause:
    """A table to join with: rows that its query is given as the parameter `given`, the JSON of a list of objects.

    One statement for any number of rows. A long list of tuples after IN is compiled anew each time, and makes SQLite
    read its whole index.
    """
    if connection.dialect.name == "postgresql":
        rows = sa.func.jsonb_to_recordset(sa.cast(sa.bindparam("given", type_=sa.Text), JSONB))
        named = (sa.column(column.name, column.type) for column in columns)
        return rows.table_valued(*named, name="given").render_derived(with_types=True)
    each = sa.func.json_each(sa.bindparam("given", type_=sa.Text)).table_valued("value", name="each")
    values = (sa.func.json_extract(each.c.value, f"$.{column.name}").label(column.name) for column in columns)
    return sa.select(*values).select_from(each).subquery("given")


def same(left: sa.FromClause, right: sa.FromClause, names: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(left.c[name] == right.c[name] for name in names))


def _revision(connection: sa.Connection) -> str | None:
    """What the schema is at, alone: of two programs that start at once the second waits here."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(731905)")
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


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
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
