"""Drift in the outbox's file: reports that wait for the uplink, and what the agent has counted so far.

Outside the alerts' order: an hour that is lost is no lost alert, so the broker's word is enough to delete one.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from sono_models.drift import DriftData

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS drift (hour TEXT, bundle TEXT, body BLOB, PRIMARY KEY (hour, bundle))",
    "CREATE TABLE IF NOT EXISTS drift_tally (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), body BLOB)",
)
WAIT_MOST = 500
"""Of more reports than this the oldest go: a board without a broker for months."""
_OLDEST = "DELETE FROM drift WHERE rowid IN (SELECT rowid FROM drift ORDER BY hour DESC LIMIT -1 OFFSET ?)"


@dataclass(frozen=True, slots=True)
class Counted:
    """What is to be put on disk: a report that is whole, where there is one, and what goes on being counted."""

    tally: bytes
    report: DriftData | None = None


@dataclass(frozen=True, slots=True)
class WaitingReport:
    hour: str
    bundle_sha256: str
    report: DriftData

    @property
    def name(self) -> str:
        """Unlike any other report's of this device."""
        return f"{self.hour}/{self.bundle_sha256[:12]}"


def prepare(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA:
        connection.execute(statement)


def clear(connection: sqlite3.Connection) -> None:
    """Another device's, or another site's, are not ours to send."""
    connection.execute("DELETE FROM drift")
    connection.execute("DELETE FROM drift_tally")


def put(connection: sqlite3.Connection, counted: Counted) -> None:
    connection.execute("INSERT OR REPLACE INTO drift_tally VALUES (1, ?)", (counted.tally,))
    report = counted.report
    if report is not None:
        row = (report.hour, report.bundle_sha256, msgspec.json.encode(report))
        connection.execute("INSERT OR REPLACE INTO drift VALUES (?, ?, ?)", row)
        connection.execute(_OLDEST, (WAIT_MOST,))


def tally(connection: sqlite3.Connection) -> bytes | None:
    row = connection.execute("SELECT body FROM drift_tally").fetchone()
    return None if row is None else bytes(row[0])


def waiting(connection: sqlite3.Connection, limit: int) -> list[WaitingReport]:
    """The oldest. What cannot be read any more is passed over; with time it goes as the oldest do."""
    found: list[WaitingReport] = []
    for hour, bundle, body in connection.execute("SELECT * FROM drift ORDER BY hour, bundle"):
        with suppress(msgspec.DecodeError):
            found.append(WaitingReport(hour, bundle, msgspec.json.decode(body, type=DriftData)))
        if len(found) == limit:
            break
    return found


def sent(connection: sqlite3.Connection, hours: list[tuple[str, str]]) -> None:
    connection.executemany("DELETE FROM drift WHERE hour = ? AND bundle = ?", hours)
