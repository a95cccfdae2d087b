"""The audit log: every decision with what it rests on, append-only, each entry holding the hash of the one before.

A changed, removed or inserted entry breaks the chain. An end that was cut off does not: note the head elsewhere
(`sono fleet audit head`) and give it to `verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.tables import audit
from sono_models.messages import rfc3339

GENESIS = "0" * 64
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    actor: str
    action: str
    rollout: str
    evidence: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Checked:
    """`broken`: the first thing that is wrong, in words; empty: nothing is."""

    entries: int
    head: str
    broken: str = ""


def append(connection: sa.Connection, entries: Iterable[Entry], at: datetime) -> None:
    """In the caller's transaction: the decision and its entry are there together, or neither is."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE audit IN EXCLUSIVE MODE")  # SQLite's transactions exclude each other
    last = connection.execute(
        sa.select(audit.c.sequence, audit.c.hash).order_by(audit.c.sequence.desc()).limit(1)
    ).first()
    sequence, previous = (0, GENESIS) if last is None else (last[0], last[1])
    for entry in entries:
        sequence += 1
        body = msgspec.json.encode(entry.evidence, order="deterministic").decode()
        row = {
            "sequence": sequence,
            "at": rfc3339(at),
            "actor": entry.actor[:100],
            "action": entry.action[:32],
            "rollout": entry.rollout[:64],
            "body": body,
            "previous": previous,
        }
        previous = hash_of(row)
        connection.execute(audit.insert().values(**row, hash=previous))


def hash_of(row: Mapping[str, Any]) -> str:
    """Over everything but the hash itself."""
    fields = [row[name] for name in ("sequence", "at", "actor", "action", "rollout", "body", "previous")]
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def verify(connection: sa.Connection, expected: str = "") -> Checked:
    """Go through the whole chain. `expected`: SEQUENCE:HASH that was noted before."""
    at, wanted = _noted(expected)
    sequence, previous, met = 0, GENESIS, not expected
    while True:
        query = sa.select(audit).where(audit.c.sequence > sequence).order_by(audit.c.sequence).limit(PAGE)
        rows = connection.execute(query).mappings().all()
        for row in rows:
            trouble = _trouble(dict(row), sequence, previous)
            if trouble:
                return Checked(sequence, previous, trouble)
            sequence, previous = row["sequence"], row["hash"]
            if sequence == at:
                met = previous == wanted
                if not met:
                    return Checked(sequence, previous, f"entry {at} is not the one that was noted: rewritten")
        if len(rows) < PAGE:
            cut = "" if met else f"it ends at {sequence}, but {at} was noted: its end was cut off"
            return Checked(sequence, previous, cut)


def _trouble(row: Mapping[str, Any], before: int, previous: str) -> str:
    if row["sequence"] != before + 1:
        return f"entry {before + 1} is missing"
    if row["previous"] != previous:
        return f"entry {row['sequence']} does not follow the one before it"
    if row["hash"] != hash_of(row):
        return f"entry {row['sequence']} was changed"
    return ""


def _noted(expected: str) -> tuple[int, str]:
    sequence, _, digest = expected.partition(":")
    return (int(sequence) if sequence.isdigit() else -1), digest


def newest(database: Database, count: int, rollout: str = "") -> list[dict[str, Any]]:
    """The newest entries, in the order in which they were written."""
    query = sa.select(audit).order_by(audit.c.sequence.desc()).limit(count)
    if rollout:
        query = query.where(audit.c.rollout == rollout)
    return list(reversed(database.rows(query)))
