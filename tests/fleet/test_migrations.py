"""A database comes to today's schema from nothing, from the time before migrations, and twice at once."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sono_fleet import database, migrations
from sono_fleet.database import Database
from sono_fleet.store import Store
from sono_fleet.tables import schema
from sono_models.errors import Unavailable

BEFORE = (
    "CREATE TABLE alerts (id INTEGER NOT NULL, site VARCHAR(64) NOT NULL, device VARCHAR(64) NOT NULL,"
    " epoch BIGINT NOT NULL, sequence BIGINT NOT NULL, body TEXT NOT NULL, problem TEXT NOT NULL,"
    " received_at VARCHAR(32) NOT NULL, PRIMARY KEY (id),"
    " CONSTRAINT one_delivery UNIQUE (site, device, epoch, sequence));"
    "CREATE TABLE progress (site VARCHAR(64) NOT NULL, device VARCHAR(64) NOT NULL, epoch BIGINT NOT NULL,"
    " contiguous BIGINT NOT NULL, duplicates BIGINT NOT NULL, PRIMARY KEY (site, device, epoch));"
    "CREATE TABLE devices (site VARCHAR(64) NOT NULL, device VARCHAR(64) NOT NULL, state TEXT,"
    " state_at VARCHAR(32), health TEXT, health_at VARCHAR(32), PRIMARY KEY (site, device));"
    "INSERT INTO alerts VALUES (1, 'demo', 'b', 5, 1, '{}', '', '2026-01-01T00:00:00.000+00:00');"
    "INSERT INTO progress VALUES ('demo', 'b', 5, 1, 0);"
)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'fleet.sqlite'}"


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migrations.settings()).get_current_head() == database.HEAD


def test_the_migrations_give_the_tables(tmp_path: Path) -> None:
    with Database(url(tmp_path)) as opened, opened.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema) == []


def test_a_database_from_before_migrations_is_adopted_with_its_rows(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "fleet.sqlite") as old:
        old.executescript(BEFORE)
    old.close()
    with Store(url(tmp_path)) as store:
        assert store.count() == 1
        (row,) = store.alerts()
        assert row["device"] == "b"
        with store.database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema) == []
    with Store(url(tmp_path)) as again:
        assert again.count() == 1


def test_two_that_open_it_at_once_make_it_once(tmp_path: Path) -> None:
    troubles: list[Exception] = []

    def opens() -> None:
        try:
            with Store(url(tmp_path)) as store:
                store.count()
        except Exception as problem:  # noqa: BLE001
            troubles.append(problem)

    threads = [threading.Thread(target=opens) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles


def test_the_audit_log_takes_no_change(tmp_path: Path) -> None:
    with Database(url(tmp_path)) as opened:
        with opened.writing() as connection:
            row = "INSERT INTO audit VALUES (1, 'now', 'me', 'test', '', '{}', '', 'x')"
            connection.execute(sa.text(row))
        for change in ("UPDATE audit SET actor = 'you'", "DELETE FROM audit"):
            with pytest.raises(Unavailable, match="append-only"), opened.writing() as connection:
                connection.execute(sa.text(change))
