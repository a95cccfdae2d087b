"""The fleet's database: once each, and never a contiguous end over a gap."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_fleet.database import as_text
from sono_fleet.store import Delivered, Line, Report, Store
from sono_models.errors import BadConfig, DiskFull, Unavailable
from tests.support.alerts import AT

LINE = Line("demo", "board-1", 7)


def alert(sequence: int, line: Line = LINE, body: str = "{}") -> Delivered:
    return Delivered(line, sequence, body)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as opened:
        yield opened


def test_it_is_there_after_it_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.sqlite'}"
    with Store(url) as store:
        outcome = store.commit([alert(1, body='{"x": 1}')], [], AT)
        assert outcome.fresh == [alert(1, body='{"x": 1}')]
        assert outcome.standings[LINE].contiguous == 1
    with Store(url) as store:
        (row,) = store.alerts()
        assert store.count() == 1
    assert (row["site"], row["device"], row["epoch"], row["sequence"]) == ("demo", "board-1", 7, 1)
    assert row["body"] == '{"x": 1}'
    assert row["received_at"] == "2026-03-01T09:30:00.000+00:00"


def test_what_comes_twice_is_kept_once_and_counted(store: Store) -> None:
    store.commit([alert(1, body="first"), alert(1, body="second")], [], AT)
    outcome = store.commit([alert(1), alert(2)], [], AT)
    assert outcome.standings[LINE].duplicates == 1
    assert outcome.standings[LINE].contiguous == 2
    assert outcome.fresh == [alert(2)]
    assert store.duplicates() == 2
    assert [row["body"] for row in store.alerts()] == ["first", "{}"]


def test_lines_do_not_mix(store: Store) -> None:
    others = [Line("demo", "board-2", 7), Line("ward", "board-1", 7), Line("demo", "board-1", 8)]
    outcome = store.commit([alert(1), *(alert(1, line) for line in others), alert(2)], [], AT)
    assert outcome.standings[LINE].contiguous == 2
    assert [outcome.standings[line].contiguous for line in others] == [1, 1, 1]


def test_a_long_line_advances_over_everything_that_was_ahead(store: Store) -> None:
    outcome = store.commit([alert(number) for number in range(2, 2502)], [], AT)
    assert outcome.standings[LINE].contiguous == 0
    assert store.commit([alert(1)], [], AT).standings[LINE].contiguous == 2501


@given(st.lists(st.lists(st.integers(1, 12), max_size=6), max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_contiguous_end_is_the_one_of_the_set(batches: list[list[int]]) -> None:
    have: set[int] = set()
    with Store("sqlite://") as store:
        for batch in batches:
            outcome = store.commit([alert(sequence) for sequence in batch], [], AT)
            have |= set(batch)
            if batch:
                end = next(number for number in range(1, 14) if number not in have) - 1
                assert outcome.standings[LINE].contiguous == end
        assert store.count() == len(have)
        assert store.duplicates() == sum(map(len, batches)) - len(have)


def test_devices_keep_the_newest_of_each_kind(store: Store) -> None:
    store.commit([], [Report("demo", "b", "state", "old"), Report("demo", "b", "state", "new")], AT)
    store.commit([], [Report("demo", "b", "health", "well"), Report("demo", "a", "state", "x")], AT)
    first, second = store.devices()
    assert (first["device"], first["state"], first["health"]) == ("a", "x", None)
    assert (second["device"], second["state"], second["health"]) == ("b", "new", "well")


@pytest.mark.parametrize(
    ("said_s", "counts_s"), [(-100, -100), (100, 0), (None, None)], ids=["queued for long", "a clock ahead", "retained"]
)
def test_what_a_device_runs_is_as_old_as_the_older_clock_says(
    store: Store, said_s: float | None, counts_s: float | None
) -> None:
    said_at = None if said_s is None else AT + timedelta(seconds=said_s)
    store.commit([], [Report("demo", "b", "state", "{}", {"bundle_sha256": "a" * 64}, said_at)], AT)
    (device,) = store.devices()
    assert device["bundle_at"] == (None if counts_s is None else as_text(AT + timedelta(seconds=counts_s)))


def test_the_newest_are_listed_in_the_order_they_came(store: Store) -> None:
    store.commit([alert(number) for number in range(1, 6)], [], AT)
    assert [row["sequence"] for row in store.alerts(newest=2)] == [4, 5]


@pytest.mark.parametrize("url", ["nothing", "mysql://x/y", "oracle+none://x", "sqlite+none://"])
def test_a_database_we_do_not_know_is_refused(url: str) -> None:
    with pytest.raises(BadConfig, match="sqlite:///fleet"):
        Store(url)


def test_a_database_that_is_away_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Unavailable), Store(f"sqlite:///{tmp_path}/none/fleet.sqlite"):
        pass


def test_a_full_disk_commits_nothing_of_the_batch(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        store.commit([alert(1)], [], AT)
        with store.database._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 12")
        with pytest.raises(DiskFull):
            store.commit([alert(number, body="x" * 4000) for number in range(2, 30)], [], AT)
        assert store.count() == 1
        with store.database._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 100000")
        assert store.commit([alert(2)], [], AT).standings[LINE].contiguous == 2


def test_it_is_durable_at_commit(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    with Store(f"sqlite:///{path}") as store, store.database._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM alerts").fetchone() == (0,)
    other.close()
