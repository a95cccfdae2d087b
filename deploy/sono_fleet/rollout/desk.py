"""What a fleet manager does with roll-outs: make, look ahead, say a word, stop everything. For the CLI and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from sono_fleet.database import upsert
from sono_fleet.rollout import audit, law, waves
from sono_fleet.rollout.course import FINAL, HOLDS, Course, Device, Key, Member, State, Step
from sono_fleet.rollout.fleet import held_for
from sono_fleet.rollout.law import Word
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.plan import Plan, checked
from sono_fleet.rollout.records import STOP_ALL, Record, Records
from sono_fleet.rollout.windows import opening
from sono_fleet.tables import switch
from sono_models.errors import BadOrder, Unavailable
from sono_models.messages import rfc3339

RACES = 8


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would get what when, if all went well from now on."""

    site: str
    device: str
    runs: str
    wave: str
    """Empty: it gets no order now."""
    not_before: datetime | None
    deadline: datetime | None
    why_not: str = ""


def create(records: Records, plan: Plan, at: datetime) -> list[Preview]:
    """Write a roll-out down; it waits for approval. Raises BadOrder for one that cannot be."""
    checked(plan)
    fleet = records.fleet()
    rows = preview(plan, fleet, at)
    if not rows:
        raise BadOrder(
            f"roll-out {plan.rollout}", "it names no device that is known", "See `sono fleet devices`, mend its scope"
        )
    may = sum(bool(row.wave) for row in rows)
    if not may:
        first = next(row for row in rows)
        reason = f"none of its {len(rows)} devices may get it: {first.site}/{first.device}: {first.why_not}"
        raise BadOrder(f"roll-out {plan.rollout}", reason, "See `sono fleet rollout plan`")
    evidence = {
        "target": plan.target.said,
        "waves": [wave.name for wave in plan.waves],
        "devices": len(rows),
        "may": may,
    }
    records.create(plan, law.begun(at), at, evidence, lambda others: _refuse_clashes(others, plan, fleet))
    return rows


def preview(plan: Plan, fleet: Mapping[Key, Device], at: datetime) -> list[Preview]:
    """Every device in scope with its wave, as the fleet is now. Pure."""
    members: dict[Key, Member] = {}
    rows: list[Preview] = []
    begins = at
    for index, wave in enumerate(plan.waves):
        unbound = _whole(plan, index)
        latest = begins
        for key in waves.placed_next(unbound, index, members, fleet, at):
            device = fleet[key]
            assert device.runs is not None
            window = opening(device.hours, begins)
            deadline = window.start + timedelta(seconds=wave.deadline_s)
            deadline = deadline if window.end is None else min(deadline, window.end)
            members[key] = Member(index, device.runs, 1, at, window.start, deadline, phase="good")
            rows.append(Preview(*key, _said(device), wave.name, window.start, deadline))
            latest = max(latest, window.start)
        begins = latest + timedelta(seconds=wave.soak_s)
    for key, device in waves.in_scope(plan, fleet).items():
        if key not in members:
            why = waves.why_not(device, plan, at) or "no wave takes it"
            rows.append(Preview(*key, _said(device), "", None, None, why))
    return rows


def _whole(plan: Plan, index: int) -> Plan:
    """For looking ahead: a wave as a whole, not the few that are under way at a time."""
    changed = tuple(
        msgspec.structs.replace(wave, at_once=0) if place == index else wave for place, wave in enumerate(plan.waves)
    )
    return msgspec.structs.replace(plan, waves=changed)


def say(records: Records, name: str, word: Word, at: datetime, *, by: str, reason: str = "") -> Record:
    """An operator's word, written down with its orders. Raises BadOrder, Unavailable when others keep writing."""
    for _ in range(RACES):
        record = records.one(name)
        moment = Moment(at, records.serial(at), records.fleet(), records.stopped())
        if word == "approve":
            _refuse_clashes(records.all(), record.plan, moment.fleet)
        course, upto = records.listened(record)
        step = law.said(record.plan, course, word, moment, by=by, reason=reason)
        written = records.write(record, step, heard=upto, at=at, actor=by)
        if written is not None:
            if word == "approve":
                _close_older(records, written, at, by)
            return written
    raise Unavailable(f"roll-out {name}", "others keep changing it", "Try again")


def stop_all(records: Records, at: datetime, *, by: str, reason: str) -> list[Record]:
    """Everything stands still from here on: what is under way is withdrawn, no roll-out begins or goes on."""
    with records.database.writing() as connection:
        row = {"name": STOP_ALL, "reason": reason, "actor": by, "at": rfc3339(at)}
        put = upsert(connection, switch).values(**row)
        connection.execute(put.on_conflict_do_update(index_elements=["name"], set_=row))
        audit.append(connection, [audit.Entry(by, "stop-all", "", {"reason": reason})], at)
    return [_halt(records, record.plan.rollout, at, by) for record in records.all() if record.course.state not in FINAL]


def release(records: Records, at: datetime, *, by: str) -> None:
    """Roll-outs may move again; each stays paused until it is resumed. Raises BadOrder when nothing is stopped."""
    with records.database.writing() as connection:
        gone = connection.execute(sa.delete(switch).where(switch.c.name == STOP_ALL)).rowcount
        if not gone:
            raise BadOrder("stop-all --release", "nothing is stopped", "Nothing to do")
        audit.append(connection, [audit.Entry(by, "release", "", {})], at)


def _halt(records: Records, name: str, at: datetime, by: str) -> Record:
    for _ in range(RACES):
        record = records.one(name)
        moment = Moment(at, records.serial(at), {}, records.stopped())
        step: Step = law.look(record.plan, record.course, moment)
        if not step.notes:
            return record  # an engine was first
        written = records.write(record, step, heard=record.heard, at=at, actor=by)
        if written is not None:
            return written
    raise Unavailable(f"roll-out {name}", "others keep changing it", "It is stopped by the engine: see `rollout show`")


def _refuse_clashes(others: Iterable[Record], plan: Plan, fleet: Mapping[Key, Device]) -> None:
    """Two roll-outs at once for a device. Raises BadOrder."""
    mine = set(waves.in_scope(plan, fleet))
    for other in others:
        if other.plan.rollout == plan.rollout or other.course.state not in HOLDS:
            continue
        both = sorted(mine.intersection(waves.in_scope(other.plan, fleet)))
        if both:
            site, device = both[0]
            reason = f"{len(both)} of its devices (such as {site}/{device}) are in roll-out {other.plan.rollout}"
            step = f"Wait for it, or `sono fleet rollout abort {other.plan.rollout}`"
            raise BadOrder(f"roll-out {plan.rollout}", f"{reason}, which is {other.course.state}", step)


def _close_older(records: Records, newer: Record, at: datetime, by: str) -> None:
    """An ended roll-out no longer takes joiners in where a newer one does."""
    fleet = records.fleet()
    mine = set(waves.in_scope(newer.plan, fleet))
    for other in records.all():
        ended = other.course.state is State.DONE and other.plan.rollout != newer.plan.rollout
        if ended and set(waves.in_scope(other.plan, fleet)) <= mine:
            say(records, other.plan.rollout, "close", at, by=by, reason=f"superseded by {newer.plan.rollout}")


def fleet_for(records: Records, plan: Plan, at: datetime) -> Mapping[Key, Device]:
    """The fleet as this roll-out may use it."""
    others = [(other.plan, other.course, other.created_at) for other in records.all()]
    return held_for(plan, rfc3339(at), records.fleet(), others)


def counted(course: Course) -> dict[str, int]:
    """Members by standing."""
    counts: dict[str, int] = {}
    for member in course.members.values():
        counts[member.standing] = counts.get(member.standing, 0) + 1
    return counts


def _said(device: Device) -> str:
    return device.runs.said if device.runs is not None else device.sha256[:12]
