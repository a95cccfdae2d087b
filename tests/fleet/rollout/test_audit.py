"""The audit log: whatever is changed, taken out, put in or cut off is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sono_fleet.database import Database
from sono_fleet.rollout.audit import Checked, Entry, append, hash_of, newest, verify
from tests.support.alerts import AT

TAMPERINGS = {
    "a word": "UPDATE audit SET body = replace(body, '3', '4') WHERE sequence = 3",
    "who": "UPDATE audit SET actor = 'nobody' WHERE sequence = 5",
    "when": "UPDATE audit SET at = '2020-01-01T00:00:00.000Z' WHERE sequence = 1",
    "its own hash": f"UPDATE audit SET hash = '{0:064}' WHERE sequence = 10",
    "one out": "DELETE FROM audit WHERE sequence = 4",
    "the first out": "DELETE FROM audit WHERE sequence = 1",
    "two swapped": "UPDATE audit SET sequence = CASE sequence WHEN 2 THEN 103 WHEN 3 THEN 2 ELSE sequence END"
    " WHERE sequence IN (2, 3); UPDATE audit SET sequence = 3 WHERE sequence = 103",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.sqlite"
    with Database(f"sqlite:///{file}") as database:
        for number in range(1, 11):
            with database.writing() as connection:
                append(connection, [Entry("me", "test", "r1", {"number": number})], AT)
    return file


def checked(path: Path, expected: str = "") -> Checked:
    with Database(f"sqlite:///{path}") as database, database.reading() as connection:
        return verify(connection, expected)


def tamper(path: Path, statements: str) -> None:
    """As someone with the file in his hands: the triggers are gone."""
    with sqlite3.connect(path) as other:
        other.executescript("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;" + statements)
    other.close()


def test_an_unbroken_log(path: Path) -> None:
    found = checked(path)
    assert (found.entries, found.broken) == (10, "")
    assert checked(path, f"10:{found.head}").broken == ""
    with Database(f"sqlite:///{path}") as database:
        assert [row["sequence"] for row in newest(database, 3)] == [8, 9, 10]
        assert newest(database, 3, "r2") == []


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found(path: Path, what: str) -> None:
    tamper(path, TAMPERINGS[what])
    assert checked(path).broken


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_noted(path: Path) -> None:
    head = f"10:{checked(path).head}"
    tamper(path, "DELETE FROM audit WHERE sequence > 7")
    assert checked(path).broken == ""
    assert "cut off" in checked(path, head).broken


def test_a_log_that_was_written_anew_is_found_by_a_head_that_was_noted(path: Path) -> None:
    head = f"10:{checked(path).head}"
    with sqlite3.connect(path) as other:
        other.executescript("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;")
        other.row_factory = sqlite3.Row
        previous = "0" * 64
        for row in [dict(row) for row in other.execute("SELECT * FROM audit ORDER BY sequence")]:
            forged = {**row, "actor": "someone else", "previous": previous}
            previous = hash_of(forged)
            values = (forged["actor"], forged["previous"], previous, row["sequence"])
            other.execute("UPDATE audit SET actor = ?, previous = ?, hash = ? WHERE sequence = ?", values)
    other.close()
    assert checked(path).broken == ""
    assert "rewritten" in checked(path, head).broken


def test_a_decision_that_is_not_written_leaves_no_entry(path: Path) -> None:
    with Database(f"sqlite:///{path}") as database, pytest.raises(RuntimeError):
        fails_after_its_entry(database)
    assert checked(path).entries == 10


def fails_after_its_entry(database: Database) -> None:
    with database.writing() as connection:
        append(connection, [Entry("me", "test", "r1", {})], AT)
        raise RuntimeError
