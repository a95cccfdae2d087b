"""Roll-outs in the database. A step is written on the revision that it was decided on, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database, upsert
from sono_fleet.rollout import audit, fleet
from sono_fleet.rollout import course as stands
from sono_fleet.rollout.course import Course, Key, Member, Order, State, Step
from sono_fleet.rollout.law import Heard, listen
from sono_fleet.rollout.plan import Plan, Target
from sono_fleet.tables import desired, members, rollouts, switch, updates
from sono_models.desired import Desired
from sono_models.errors import BadOrder
from sono_models.messages import decode, rfc3339

OVERLAP = 2000
"""PostgreSQL shows rows in the order of their commits, not of their ids: so many are read again."""
AT_ONCE = 500
"""Rows that are held at a time, read or written: what an engine holds for good is its members."""
STOP_ALL = "stop-all"
_REPORT = ("id", "site", "device", "problem", "body", "received_at")
_PLAIN = [one.name for one in fields(Course) if one.name != "members"]


@dataclass(frozen=True, slots=True)
class Record:
    """A roll-out as it was read: `revision` is what a step on it is written against."""

    plan: Plan
    course: Course
    revision: int
    heard: int
    created_at: str


class Records:
    def __init__(self, database: Database) -> None:
        self.database = database

    def all(self) -> list[Record]:
        """Every roll-out with its members, the oldest first."""
        with self.database.reading() as connection:
            return list(_read(connection, sa.select(rollouts)))

    def one(self, name: str) -> Record:
        """Raises BadOrder when there is none of this name."""
        with self.database.reading() as connection:
            found = list(_read(connection, sa.select(rollouts).where(rollouts.c.id == name)))
        if not found:
            raise BadOrder(f"roll-out {name}", "there is none", "See `sono fleet rollout list`")
        return found[0]

    def live(self, known: Mapping[str, Record]) -> list[Record]:
        """Those that may still move, the oldest first; what has not changed since `known` is not read again."""
        with self.database.reading() as connection:
            rest = rollouts.c.state.not_in([State.CLOSED, State.ABORTED])
            query = sa.select(rollouts.c.id, rollouts.c.revision).where(rest)
            now = {row.id: row.revision for row in connection.execute(query.order_by(rollouts.c.created_at))}
            stale = [name for name, revision in now.items() if name not in known or known[name].revision != revision]
            read = _read(connection, sa.select(rollouts).where(rollouts.c.id.in_(stale))) if stale else ()
            fresh = {record.plan.rollout: record for record in read}
        return [fresh.get(name) or known[name] for name in now if name in fresh or name in known]

    def listened(self, record: Record) -> tuple[Course, int]:
        """The course after what devices reported on its orders since, and up to where that goes."""
        course, upto = record.course, record.heard
        with self.database.reading() as connection:
            again = OVERLAP if connection.dialect.name == "postgresql" else 0
            mine = (updates.c.rollout == record.plan.rollout, updates.c.id > record.heard - again)
            query = sa.select(*(updates.c[name] for name in _REPORT)).where(*mine).order_by(updates.c.id)
            for page in connection.execute(query).mappings().partitions(AT_ONCE):
                reports = tuple(_heard(dict(row)) for row in page if not row["problem"])
                course, upto = listen(record.plan, course, reports), max(upto, page[-1]["id"])
        return course, upto

    def fleet(self) -> dict[Key, stands.Device]:
        with self.database.reading() as connection:
            return fleet.seen(connection)

    def stopped(self) -> str:
        """Why everything is stopped; empty: it is not."""
        with self.database.reading() as connection:
            row = connection.execute(sa.select(switch.c.reason).where(switch.c.name == STOP_ALL)).first()
        return "" if row is None else str(row[0])

    def serial(self, now: datetime) -> int:
        """Greater than any that was given, even by a database that is lost: it counts milliseconds."""
        with self.database.reading() as connection:
            last = connection.execute(sa.select(sa.func.max(desired.c.serial))).scalar_one() or 0
        return max(int(now.timestamp() * 1000), int(last) + 1)

    def create(
        self,
        plan: Plan,
        course: Course,
        at: datetime,
        evidence: Mapping[str, object],
        refuse: Callable[[Iterable[Record]], None] = lambda _others: None,
    ) -> None:
        """`refuse` sees every other roll-out, while no one else can make one. Raises what it raises, and BadOrder."""
        row = {"id": plan.rollout, "plan": msgspec.json.encode(plan).decode(), "revision": 1, "heard": 0}
        with self.database.writing() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's transactions exclude each other
                connection.exec_driver_sql("LOCK TABLE rollouts IN SHARE ROW EXCLUSIVE MODE")
            refuse(_read(connection, sa.select(rollouts)))
            made = upsert(connection, rollouts).values(**row, **_course(course), created_at=rfc3339(at))
            if connection.execute(made.on_conflict_do_nothing().returning(rollouts.c.id)).first() is None:
                raise BadOrder(f"roll-out {plan.rollout}", "there is one of this name", "Choose another --name")
            audit.append(connection, [audit.Entry(plan.by, "create", plan.rollout, evidence)], at)

    def write(self, record: Record, step: Step, *, heard: int, at: datetime, actor: str) -> Record | None:
        """The record as it is now; None when another wrote before, and nothing is written."""
        after = replace(record, course=step.course, revision=record.revision + 1, heard=heard)
        changed = (
            {"rollout": record.plan.rollout, **_member(key, member)}
            for key, member in sorted(step.course.members.items(), key=itemgetter(0))
            if record.course.members.get(key) != member
        )
        wanted = (_document(record.plan.rollout, order) for order in sorted(step.orders, key=lambda order: order.key))
        with self.database.writing() as connection:
            mine = sa.and_(rollouts.c.id == record.plan.rollout, rollouts.c.revision == record.revision)
            change = rollouts.update().where(mine).values(**_course(step.course), revision=after.revision, heard=heard)
            if connection.execute(change).rowcount != 1:
                return None
            _put(connection, members, changed, ("rollout", "site", "device"))
            _put(connection, desired, wanted, ("site", "device"), newer="serial")
            entries = [audit.Entry(actor, note.action, record.plan.rollout, note.evidence) for note in step.notes]
            audit.append(connection, entries, at)
        return after


def _put(
    connection: sa.Connection,
    table: sa.Table,
    rows: Iterator[dict[str, Any]],
    key: tuple[str, ...],
    newer: str = "",
) -> None:
    """`rows` come in the order of `key`: everybody locks in one order. `newer`: a row is replaced only by one whose
    value of this column is greater.
    """
    put = upsert(connection, table)
    only = table.c[newer] < put.excluded[newer] if newer else None
    while some := list(islice(rows, AT_ONCE)):
        change = {name: put.excluded[name] for name in some[0] if name not in key}
        connection.execute(put.on_conflict_do_update(index_elements=list(key), set_=change, where=only), some)


def _document(rollout: str, order: Order) -> dict[str, Any]:
    """An order as the row that is signed and published."""
    site, device = order.key
    wanted = Desired(
        site=site,
        device=device,
        serial=order.serial,
        rollout=rollout,
        bundle=order.target.name,
        version=order.target.version,
        target=order.target.path,
        sha256=order.target.sha256,
        size=order.target.size,
        not_before=order.not_before,
        deadline=order.deadline,
        profile_target=order.target.profile_path,
        profile_sha256=order.target.profile_sha256,
        cancelled=order.cancelled,
    )
    body = msgspec.json.encode(wanted).decode()
    return {"site": site, "device": device, "serial": order.serial, "rollout": rollout, "body": body, "published": 0}


def _read(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Record]:
    for row in connection.execute(query.order_by(rollouts.c.created_at, rollouts.c.id)).mappings().all():
        of = sa.select(members.c.site, members.c.device, members.c.body).where(members.c.rollout == row["id"])
        met: dict[Target, Target] = {}  # the same way back for many: one object
        there: dict[Key, Member] = {}
        for site, device, body in connection.execute(of):
            member = msgspec.json.decode(body, type=Member)
            same = met.setdefault(member.previous, member.previous)
            there[site, device] = msgspec.structs.replace(member, previous=same)
        course = replace(msgspec.json.decode(row["course"], type=_Saved).course(), members=there)
        plan = msgspec.json.decode(row["plan"], type=Plan)
        yield Record(plan, course, row["revision"], row["heard"], row["created_at"])


class _Saved(msgspec.Struct):
    """A course without its members, which have rows of their own."""

    state: State
    wave: int
    wave_at: datetime
    watched_at: datetime
    settled_at: datetime | None
    reason: str
    held_from: State | None
    paused_at: datetime | None
    failures_seen: int

    def course(self) -> Course:
        return Course(**{name: getattr(self, name) for name in _PLAIN})


def _course(course: Course) -> dict[str, Any]:
    saved = _Saved(**{name: getattr(course, name) for name in _PLAIN})
    return {"course": msgspec.json.encode(saved).decode(), "state": str(course.state)}


def _member(key: Key, member: Member) -> dict[str, Any]:
    body = msgspec.json.encode(member).decode()
    return {"site": key[0], "device": key[1], "wave": member.wave, "standing": member.standing, "body": body}


def _heard(row: Mapping[str, Any]) -> Heard:
    data = decode("update", row["body"].encode()).data
    at = datetime.fromisoformat(row["received_at"])
    return Heard((row["site"], row["device"]), data.serial, data.phase, data.code, data.reason, data.evidence, at)


def names(records: Iterable[Record]) -> list[str]:
    return [record.plan.rollout for record in records]
