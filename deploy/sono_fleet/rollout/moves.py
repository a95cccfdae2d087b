"""The moves that the law makes: orders given, given again, withdrawn, taken back; pauses and their end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from sono_fleet.rollout import gates, waves
from sono_fleet.rollout.course import Course, Device, Key, Member, Note, Order, State, Step
from sono_fleet.rollout.plan import Plan, Wave
from sono_fleet.rollout.windows import opening

HEARD_AGAIN_S = 90.0
"""A device's own `state` is believed over a missing report when it is so much younger than the roll-back."""
BACK_VALID = timedelta(days=365)
"""A roll-back waits for a device that is away."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What an operator's word or a look at the fleet brings. `serial`: greater than any that was given before.
    `stopped`: why everything stands still; empty: it does not.
    """

    now: datetime
    serial: int
    fleet: Mapping[Key, Device]
    stopped: str = ""


def placed(plan: Plan, course: Course, at: Moment, index: int | None = None) -> Step:
    index = course.wave if index is None else index
    members, orders = dict(course.members), []
    for key in waves.placed_next(plan, index, course.members, at.fleet, at.now):
        device = at.fleet[key]
        assert device.runs is not None
        wave = plan.waves[index]
        begins, deadline = _when(plan, wave, key, device, at.now)
        members[key] = Member(index, device.runs, at.serial, at.now, begins, deadline)
        orders.append(Order(key, at.serial, plan.target, begins, deadline))
    return Step(replace(course, members=members), tuple(orders))


def retried(plan: Plan, course: Course, at: Moment) -> Step:
    """A new order for each whose trouble may pass, later each time."""
    members, orders = dict(course.members), []
    for key, member in course.members.items():
        if not member.retry or member.failure:
            continue
        wait_s = plan.retry_s * 2**member.attempt * (0.75 + 0.5 * waves.chance(plan.rollout, *key, member.attempt))
        members[key], order = _ordered_again(plan, key, member, at, at.now + timedelta(seconds=wait_s), 1)
        orders.append(order)
    return Step(replace(course, members=members), tuple(orders))


def _ordered_again(
    plan: Plan, key: Key, member: Member, at: Moment, not_before: datetime, attempts: int
) -> tuple[Member, Order]:
    wave = plan.waves[member.wave]
    begins, deadline = _when(plan, wave, key, at.fleet.get(key), not_before)
    fresh = Member(member.wave, member.previous, at.serial, at.now, begins, deadline, attempt=member.attempt + attempts)
    return fresh, Order(key, at.serial, plan.target, begins, deadline)


def _when(plan: Plan, wave: Wave, key: Key, device: Device | None, earliest: datetime) -> tuple[datetime, datetime]:
    """From when a device may begin, and until when it has to have ended."""
    window = opening(None if device is None else device.hours, earliest)
    begins = window.start + timedelta(seconds=plan.spread_s * waves.chance(plan.rollout, "spread", *key))
    if window.end is not None and begins >= window.end:
        begins = window.start
    deadline = begins + timedelta(seconds=wave.deadline_s)
    return begins, deadline if window.end is None else min(deadline, window.end)


def back(_plan: Plan, course: Course, at: Moment, why: str) -> Step:
    """Every member is told to run what it ran before, whatever it has said of itself."""
    members, orders = dict(course.members), []
    for key, member in course.members.items():
        members[key] = msgspec.structs.replace(member, back_serial=at.serial, back_at=at.now, returned_at=None)
        orders.append(Order(key, at.serial, member.previous, at.now, at.now + BACK_VALID))
    course = replace(course, state=State.GOING_BACK, members=members, reason=why, wave_at=at.now, paused_at=None)
    return noted(Step(course, tuple(orders)), "roll-back", {"reason": why, "devices": names(tuple(orders))})


def withdrawn(plan: Plan, course: Course, at: Moment) -> Step:
    """A cancelled document in place of each that is under way, of a roll-back too."""
    orders = []
    for key, member in course.members.items():
        if member.back_serial and member.returned_at is None:
            orders.append(Order(key, at.serial, member.previous, at.now, at.now + BACK_VALID, cancelled=True))
        elif member.pending and not member.back_serial:
            orders.append(Order(key, at.serial, plan.target, member.not_before, member.deadline, cancelled=True))
    return Step(course, tuple(orders))


def paused(course: Course, now: datetime, why: str) -> Course:
    return replace(course, state=State.PAUSED, held_from=course.state, paused_at=now, reason=why)


def resumed(plan: Plan, course: Course, at: Moment, why: str) -> Step:
    """On where it was held. What is under way is ordered anew: its time ran out meanwhile, through no fault of its."""
    assert course.held_from is not None
    state, course = course.held_from, replace(course, held_from=None, paused_at=None, watched_at=at.now)
    if state is State.GOING_BACK:
        return back(plan, course, at, why)
    members, orders = dict(course.members), []
    for key, member in course.members.items():
        if member.pending:
            members[key], order = _ordered_again(plan, key, member, at, at.now, 0)
            orders.append(order)
        elif member.good:
            members[key] = msgspec.structs.replace(member, settled_at=at.now)  # heard of anew
    failed = sum(gates.failures(members.values()).values()) if state is State.DONE else course.failures_seen
    course = replace(course, state=state, members=members, reason=why, wave_at=at.now, failures_seen=failed)
    return Step(replace(course, settled_at=None), tuple(orders))


def returned(member: Member, device: Device | None, now: datetime) -> Member:
    """A device's own word on what it runs counts where a report is missing."""
    if member.returned_at is not None or member.back_at is None or device is None or device.runs_at is None:
        return member
    young = device.runs_at - member.back_at > timedelta(seconds=HEARD_AGAIN_S)
    if young and waves.runs_target(device, member.previous):
        return msgspec.structs.replace(member, returned_at=now)
    return member


def names(orders: tuple[Order, ...]) -> list[str]:
    return ["/".join(order.key) for order in orders]


def told(course: Course) -> dict[str, object]:
    return {"state": str(course.state), "wave": course.wave, "members": len(course.members)}


def noted(step: Step, action: str, evidence: Mapping[str, object]) -> Step:
    return replace(step, notes=(Note(action, {**evidence, **told(step.course)}), *step.notes))
