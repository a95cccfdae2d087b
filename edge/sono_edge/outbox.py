"""The outbox: what must survive until the fleet's database has it. One SQLite file, a few processes.

The agent adds alerts, the updater its reports, the uplink sends and deletes. A row goes only when the fleet
says it is committed: what the broker acknowledges is not durable. Sequences of one epoch run 1, 2, 3 … without
gap or reuse, so that the fleet's "everything up to n" is one number. An epoch is a random number, new with
every new file.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeAlias, get_args

import msgspec

from sono_edge import drift_box
from sono_edge.drift_box import Counted, WaitingReport
from sono_models import messages
from sono_models.errors import BadConfig, DiskFull, Stopped, Unavailable
from sono_models.updates import UpdateReport

log = logging.getLogger(__name__)

BUSY_S = 5.0
"""How long one process waits for the other's transaction (p99 of one is 3 ms)."""
SCHEMA = (
    "CREATE TABLE life (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), site TEXT, device TEXT,"
    " epoch INTEGER, last INTEGER);"
    "CREATE TABLE alerts (sequence INTEGER PRIMARY KEY, body BLOB, topic TEXT NOT NULL DEFAULT 'alert');"
    "CREATE TABLE vitals (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), body BLOB)"
)
MIGRATION = "ALTER TABLE alerts ADD COLUMN topic TEXT NOT NULL DEFAULT 'alert'"
"""For a file from before update reports travelled this way: all it holds are alerts."""
DISK_TROUBLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
SIDE_FILES = ("", "-wal", "-shm")
IN_ORDER: tuple[messages.InOrder, ...] = get_args(messages.InOrder)

Waiting: TypeAlias = tuple[messages.InOrder, bytes]
"""An event's topic and the whole event."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An alert or an update report as it waits: `body` is the whole CloudEvent."""

    epoch: int
    sequence: int
    body: bytes
    topic: messages.InOrder = "alert"


class Outbox:
    """A context manager; used by the thread that opened it.

    Every method raises DiskFull when the disk takes or gives nothing, Stopped when the file is damaged (open
    it again: it is set aside and the work goes on), Unavailable when the other process holds it too long.
    """

    def __init__(self, path: Path, site: str, device: str) -> None:
        messages.topic_of(site, device, "alert")
        self.path, self.site, self.device = path, site, device
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def __enter__(self) -> Self:
        """Raises BadConfig when alerts of another site or device still wait in the file."""
        with self._troubles():
            self._open()
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def add(self, alert: messages.Alert, at: datetime) -> int:
        """Give the alert its place and store it, on disk when this returns; its sequence."""
        return self._place("alert", alert, at)

    def report(self, report: UpdateReport) -> None:
        """Give an update's report its place among the alerts and store it, on disk when this returns."""
        self._place("update", report, datetime.fromisoformat(report.at))

    def after(self, sequence: int, limit: int) -> list[Stored]:
        """The oldest that wait beyond a sequence, in order; 0 for all."""
        query = "SELECT epoch, sequence, body, topic FROM alerts, life WHERE sequence > ? ORDER BY sequence LIMIT ?"
        with self._reading() as connection:
            return [Stored(*row) for row in connection.execute(query, (sequence, limit))]

    def acked(self, epoch: int, sequence: int) -> int:
        """Delete what the fleet has committed; how many rows went. Another epoch's word deletes nothing.

        A sequence that was never given means that this file is an older copy of itself: what waits would
        collide with what the fleet has, so it takes a new epoch.
        """
        with self._writing() as connection:
            ours, last = _life(connection)
            if epoch != ours:
                return 0
            if sequence > last:
                self._renew(connection)
                log.warning("outbox: the fleet knows alerts this file never had (a restored copy): new epoch")
                return 0
            return connection.execute("DELETE FROM alerts WHERE sequence <= ?", (sequence,)).rowcount

    def renew(self) -> None:
        """A new epoch; what waits is numbered again from 1. For a fleet whose database forgot this device."""
        with self._writing() as connection:
            self._renew(connection)

    def depth(self) -> int:
        """How many alerts and reports wait."""
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM alerts").fetchone()[0])

    def life(self) -> tuple[int, int]:
        """The epoch, and the last sequence that was given in it."""
        with self._reading() as connection:
            return _life(connection)

    def put_vitals(self, vitals: messages.Vitals) -> None:
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO vitals VALUES (1, ?)", (msgspec.json.encode(vitals),))

    def vitals(self) -> messages.Vitals | None:
        """The newest that the agent put; None when there is none that can be read."""
        with self._reading() as connection:
            row = connection.execute("SELECT body FROM vitals").fetchone()
        with suppress(msgspec.DecodeError):
            return None if row is None else msgspec.json.decode(row[0], type=messages.Vitals)
        return None

    def put_drift(self, counted: Counted) -> None:
        with self._writing() as connection:
            drift_box.put(connection, counted)

    def drift_tally(self) -> bytes | None:
        """What the agent's run before had counted."""
        with self._reading() as connection:
            return drift_box.tally(connection)

    def drift(self, limit: int) -> list[WaitingReport]:
        """The oldest reports that wait."""
        with self._reading() as connection:
            return drift_box.waiting(connection, limit)

    def drift_sent(self, reports: Sequence[WaitingReport]) -> None:
        with self._writing() as connection:
            drift_box.sent(connection, [(one.hour, one.bundle_sha256) for one in reports])

    def _place(self, topic: messages.InOrder, data: messages.Alert | UpdateReport, at: datetime) -> int:
        while True:
            with self._writing() as connection:
                epoch, last = _life(connection)
                sequence = last + 1
                _store(connection, topic, self._event(topic, data, epoch, sequence, at), sequence)
            if self._is_current():
                return sequence

    def _event(
        self, topic: messages.InOrder, content: messages.Alert | UpdateReport, epoch: int, sequence: int, at: datetime
    ) -> bytes:
        plain = messages.Alert if topic == "alert" else UpdateReport
        values = {name: getattr(content, name) for name in plain.__struct_fields__}
        data = messages.DATA_TYPES[topic](**values, device=self.device, epoch=epoch, sequence=sequence)
        event_id = messages.alert_id(self.device, epoch, sequence)
        return messages.encode(topic, data, source=f"/sono/{self.site}/{self.device}", event_id=event_id, at=at)

    def _renew(self, connection: sqlite3.Connection) -> None:
        waiting: list[Waiting] = connection.execute("SELECT topic, body FROM alerts ORDER BY sequence").fetchall()
        connection.execute("DELETE FROM alerts")
        connection.execute("DELETE FROM life")
        self._begin_life(connection, waiting)

    def _begin_life(self, connection: sqlite3.Connection, waiting: list[Waiting]) -> None:
        """A new epoch that begins with these events."""
        epoch = secrets.randbelow(2**53 - 1) + 1  # exact in every JSON reader
        connection.execute("INSERT INTO life VALUES (1, ?, ?, ?, 0)", (self.site, self.device, epoch))
        for sequence, (topic, body) in enumerate(waiting, start=1):
            event = messages.decode(topic, body)
            at = datetime.fromisoformat(event.time)
            _store(connection, topic, self._event(topic, event.data, epoch, sequence, at), sequence)

    def _open(self) -> None:
        """One process at a time: both may find the file missing or damaged."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = Path(f"{self.path}.lock").open("w")  # noqa: SIM115  (closed below)
        except PermissionError as problem:
            raise BadConfig(str(self.path.parent), "no permission to write there", "Set state.folder") from problem
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._connection = self._checked_connection()
            except sqlite3.DatabaseError as problem:
                if not _is_damage(problem):
                    raise
                self._set_aside()
            self._inode = self.path.stat().st_ino

    def _set_aside(self) -> None:
        """Keep the damaged file under another name; begin a new one with whatever can still be read of it."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        kept = Path(f"{self.path}.damaged-{stamp}")
        for suffix in SIDE_FILES:
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{kept}{suffix}")
        waiting = _readable(kept)
        self._connection = self._checked_connection(waiting)
        log.error(
            "outbox: %s was damaged: kept as %s, %d waiting alerts read back, new epoch. Check the disk",
            *(self.path, kept.name, len(waiting)),
        )

    def _checked_connection(self, waiting: list[Waiting] | None = None) -> sqlite3.Connection:
        connection = self._connect(self.path)
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _refuse_damage(connection)
            with _transaction(connection):
                self._prepare(connection, waiting or [])
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None)

    def _prepare(self, connection: sqlite3.Connection, waiting: list[Waiting]) -> None:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not tables or "life" in tables:
            drift_box.prepare(connection)
        if not tables:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            self._begin_life(connection, waiting)
            return
        if "life" not in tables:
            raise BadConfig(str(self.path), "a database, but not an outbox", "Set another state.folder")
        if "topic" not in {row[1] for row in connection.execute("PRAGMA table_info(alerts)")}:
            connection.execute(MIGRATION)
        owner = connection.execute("SELECT site, device FROM life").fetchone()
        if owner == (self.site, self.device):
            return
        left = connection.execute("SELECT count(*) FROM alerts").fetchone()[0]
        if left:
            raise BadConfig(
                str(self.path),
                f"{left} alerts of {owner[0]}/{owner[1]} wait in it, this is {self.site}/{self.device}",
                f"Deliver them as {owner[0]}/{owner[1]} first, or set another state.folder",
            )
        drift_box.clear(connection)
        self._renew(connection)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_current(self) -> bool:
        """Whether the open file is still the one at the path: it may have been set aside, or wiped."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._troubles():
            if self._connection is None or not self._is_current():
                self._close()
                self._open()
            assert self._connection is not None
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection, _transaction(connection):
            yield connection

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        """SQLite's and the system's errors in our words."""
        try:
            yield
        except sqlite3.DatabaseError as problem:
            if _is_damage(problem):
                self._close()  # opened again at the next use, which sets the file aside
                raise Stopped(str(self.path), f"the file is damaged ({problem})", "It is set aside") from problem
            if _primary(problem) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise Unavailable(str(self.path), "another process holds it", "It is tried again") from problem
            if _primary(problem) not in DISK_TROUBLE:
                raise
            raise DiskFull(str(self.path), f"the disk does not take it ({problem})", "Free some space") from problem
        except OSError as problem:
            raise DiskFull(str(self.path), f"the disk does not take it ({problem.strerror})", "Free some space") from (
                problem
            )


class _Damaged(sqlite3.DatabaseError):
    """quick_check found it."""


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has already rolled back
            connection.execute("ROLLBACK")
        raise


def _refuse_damage(connection: sqlite3.Connection) -> None:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _Damaged(verdict)


def _life(connection: sqlite3.Connection) -> tuple[int, int]:
    epoch, last = connection.execute("SELECT epoch, last FROM life").fetchone()
    return epoch, last


def _store(connection: sqlite3.Connection, topic: messages.InOrder, body: bytes, sequence: int) -> None:
    connection.execute("UPDATE life SET last = ?", (sequence,))
    connection.execute("INSERT INTO alerts (sequence, body, topic) VALUES (?, ?, ?)", (sequence, body, topic))


def _primary(problem: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's."""
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF


def _is_damage(problem: sqlite3.DatabaseError) -> bool:
    return isinstance(problem, _Damaged) or _primary(problem) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _readable(path: Path) -> list[Waiting]:
    """What waits in a damaged file, as far as it can be read."""
    found: list[Waiting] = []
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for (body,) in connection.execute("SELECT body FROM alerts ORDER BY sequence"):
            for topic in IN_ORDER:  # the event says which it is: the file may be older than its column
                with suppress(msgspec.DecodeError, TypeError):
                    messages.decode(topic, body)
                    found.append((topic, body))
                    break
    return found
