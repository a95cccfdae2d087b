"""The law of a roll-out. Pure: a course, what happened and the time in; a course, orders and notes out.

                   approve                     the last wave passes
    WAITING ──────────────────────> RUNNING ────────────────────────> DONE ──superseded──> CLOSED
     │    ^                         │ │ │ ^                            │ takes late joiners in
     │    └──next wave wants a word─┘ │ │ └─────────┐                  │ too many fail
     │ abort                     fails│ │pause      │resume            v
     │         a gate fails, `back`   │ │nobody watched, no patience: PAUSED <──stop everything── any but the final
     │                ┌───────────────┘ └─────────> PAUSED                └──`back`, a gate fails──> GOING_BACK
     v                v                                │
    ABORTED ─back─> GOING_BACK ──all are back, or late─┴─> BACK

CLOSED and BACK are final; RUNNING ends by itself, since silence is failure and patience has an end. In BACK it is
still noted who returns late. Whatever is reported late, twice or in another order gives the same course.

An order that is withdrawn (abort, stop everything) is replaced by a cancelled document; a roll-back names what
each device ran before. Chance (who is first, jitter) is a hash of names: the same events, the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from sono_fleet.rollout import gates, moves
from sono_fleet.rollout.course import FINAL, Course, Key, Member, Note, State, Step, heard
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.plan import TRANSIENT, Plan
from sono_models.errors import BadOrder

Word: TypeAlias = Literal["approve", "pause", "resume", "abort", "back", "close"]
MOVES: dict[Word, frozenset[State]] = {
    "approve": frozenset({State.WAITING}),
    "pause": frozenset({State.WAITING, State.RUNNING, State.DONE}),
    "resume": frozenset({State.PAUSED}),
    "abort": frozenset({State.WAITING, State.RUNNING, State.PAUSED}),
    "back": frozenset({State.WAITING, State.RUNNING, State.PAUSED, State.DONE, State.ABORTED}),
    "close": frozenset({State.DONE, State.ABORTED}),
}
"""In which state a word means something."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A device's report on one order, when it was committed."""

    key: Key
    serial: int
    phase: str
    code: str
    reason: str
    evidence: Mapping[str, object]
    at: datetime


def begun(now: datetime) -> Course:
    return Course(State.WAITING, 0, now, now, reason="made; waits for approval")


def listen(plan: Plan, course: Course, reports: tuple[Heard, ...]) -> Course:
    """The course after what devices reported. Reports on other orders than the newest change nothing."""
    members = dict(course.members)
    for report in reports:
        member = members.get(report.key)
        if member is None:
            continue
        if report.serial == member.serial:
            members[report.key] = _listened(plan, member, report)
        if member.back_serial and report.serial == member.back_serial and report.phase in {"active", "good"}:
            first = min(report.at, member.returned_at or report.at)
            members[report.key] = msgspec.structs.replace(member, returned_at=first)
    return replace(course, members=members)


def said(plan: Plan, course: Course, word: Word, at: Moment, *, by: str, reason: str = "") -> Step:
    """An operator's word. Raises BadOrder where it means nothing."""
    name = f"roll-out {plan.rollout}"
    if course.state not in MOVES[word]:
        raise BadOrder(
            name, f"it is {course.state}: {word} means nothing", f"See `sono fleet rollout show {plan.rollout}`"
        )
    if at.stopped and word in {"approve", "resume"}:
        raise BadOrder(name, f"everything is stopped ({at.stopped})", "`sono fleet rollout stop-all --release` first")
    if word == "approve" and plan.four_eyes and by == plan.by:
        raise BadOrder(name, f"{by} made it, another has to approve it", "Have someone else approve it")
    why = f"{word} by {by}" + (f": {reason}" if reason else "")
    step = WORDS[word](plan, course, at, why)
    return replace(step, notes=(Note(word, {"by": by, "reason": reason, **moves.told(step.course)}), *step.notes))


def look(plan: Plan, course: Course, at: Moment) -> Step:
    """What follows from how things stand now."""
    if at.stopped:
        return _stopped(plan, course, at)
    unwatched = at.now - course.watched_at > timedelta(seconds=plan.away_s)
    course = replace(course, watched_at=at.now)
    if course.state is State.RUNNING and unwatched:
        why = "nobody watched for a while, so silence meant nothing: look, then resume"
        return moves.noted(Step(moves.paused(course, at.now, why)), "pause", {"reason": why})
    live = LOOKS.get(course.state)
    return Step(course) if live is None else live(plan, course, at)


def _run(plan: Plan, course: Course, at: Moment) -> Step:
    wave = plan.waves[course.wave]
    course = _judged_members(plan, course, at)
    verdict = gates.judge(course.members.values(), wave, plan.limits)
    if verdict.fails:
        return _failed(plan, course, at, verdict.fails, verdict)
    again = moves.retried(plan, course, at)
    course, orders = again.course, again.orders
    if course.settled_at is None:
        placed = moves.placed(plan, course, at)
        course, orders = placed.course, orders + placed.orders
    notes = (
        (Note("orders", {"wave": wave.name, "devices": moves.names(orders), "serial": at.serial}),) if orders else ()
    )
    moved = _moved_on(plan, course, at, verdict)
    return Step(moved.course, orders + moved.orders, notes + moved.notes)


def _moved_on(plan: Plan, course: Course, at: Moment, verdict: gates.Verdict) -> Step:
    """Whether the wave passes."""
    wave = plan.waves[course.wave]
    under_way = sum(member.pending for member in course.members.values())
    waits = f"{under_way} are under way" if under_way else verdict.waits
    if not course.members:
        waits = "no device may get it now"
    elif not under_way and not any(member.good for member in course.members.values()):
        return _failed(plan, course, at, f"all {len(course.members)} that got it failed", verdict)
    if waits:
        if at.now - course.wave_at > timedelta(seconds=plan.patience_s):
            why = f"wave {wave.name} has not passed in {plan.patience_s / 86_400:g} days: {waits}"
            return moves.noted(Step(moves.paused(course, at.now, why)), "pause", {"reason": why, **verdict.evidence})
        return Step(replace(course, settled_at=None, reason=waits))
    settled = course.settled_at or at.now
    course = replace(course, settled_at=settled, reason="soaks")
    if at.now - settled < timedelta(seconds=wave.soak_s):
        return Step(course)
    evidence = {"wave": wave.name, **verdict.evidence}
    if course.wave + 1 == len(plan.waves):
        failed = sum(gates.failures(course.members.values()).values())
        done = replace(course, state=State.DONE, reason="all waves passed", failures_seen=failed)
        return moves.noted(Step(done), "done", evidence)
    following = plan.waves[course.wave + 1]
    state = State.WAITING if following.approval else State.RUNNING
    reason = f"wave {following.name} waits for approval" if following.approval else f"wave {following.name} is open"
    course = replace(course, state=state, wave=course.wave + 1, wave_at=at.now, settled_at=None, reason=reason)
    return moves.noted(Step(course), "wave-passed", evidence)


def _failed(plan: Plan, course: Course, at: Moment, why: str, verdict: gates.Verdict) -> Step:
    evidence = {"wave": plan.waves[course.wave].name, **verdict.evidence}
    return moves.noted(moves.back(plan, course, at, why), "gate-failed", evidence)


def _judged_members(plan: Plan, course: Course, at: Moment, *, silence: bool = True) -> Course:
    """Every member as failed that is: by its figures, its own word, or its silence."""
    members: dict[Key, Member] = {}
    for key, member in course.members.items():
        judged = gates.marked(member, plan.limits)
        if not judged.failure and silence and _is_silent(plan, course, key, judged, at):
            judged = msgspec.structs.replace(judged, failure="silent")
        if judged.settled_at is None and not judged.pending:
            judged = msgspec.structs.replace(judged, settled_at=at.now)
        members[key] = judged
    return replace(course, members=members)


def _is_silent(plan: Plan, course: Course, key: Key, member: Member, at: Moment) -> bool:
    """It did not say how it ended; or it did, and is not heard of while its wave soaks."""
    if member.pending:
        return at.now > member.deadline
    device = at.fleet.get(key)
    if course.state is not State.RUNNING or (device is not None and device.stopped):
        return False
    last = member.settled_at or at.now
    if device is not None and device.seen_at is not None:
        last = max(last, device.seen_at)
    return member.wave == course.wave and at.now - last > timedelta(seconds=plan.quiet_s)


def _go_back(plan: Plan, course: Course, at: Moment) -> Step:
    members = {key: moves.returned(member, at.fleet.get(key), at.now) for key, member in course.members.items()}
    course = replace(course, members=members)
    missing = sorted("/".join(key) for key, member in members.items() if member.returned_at is None)
    if course.state is State.BACK:
        return Step(course)
    late = at.now - course.wave_at > timedelta(seconds=plan.back_s)
    if missing and not late:
        return Step(course)
    note = {"why": course.reason, "devices": len(members), "not_back": missing}
    left = f"; not back: {', '.join(missing[:10])}" if missing else ""
    return moves.noted(Step(replace(course, state=State.BACK, reason=course.reason + left)), "back", note)


def _watch_paused(plan: Plan, course: Course, at: Moment) -> Step:
    """Nothing goes forward, but what is reported still counts; silence does not."""
    if course.held_from not in {State.RUNNING, State.DONE} or not course.members:
        return Step(course)
    course = _judged_members(plan, course, at, silence=False)
    wave = plan.waves[course.wave]
    borne = msgspec.structs.replace(wave, max_failures=max(wave.max_failures, course.failures_seen))
    verdict = gates.judge(course.members.values(), borne, plan.limits)
    if verdict.fails and course.held_from is State.RUNNING:
        return _failed(plan, course, at, verdict.fails, verdict)
    return Step(course)


def _join_late(plan: Plan, course: Course, at: Moment) -> Step:
    """Devices that came after the end get it too, under the last wave's limits."""
    last = plan.waves[-1]
    course = _judged_members(plan, course, at)
    failed = sum(gates.failures(course.members.values()).values())
    if failed - course.failures_seen > last.max_failures:
        why = f"{failed - course.failures_seen} failed after the end, {last.max_failures} are borne: look, then resume"
        return moves.noted(Step(moves.paused(course, at.now, why)), "pause", {"reason": why})
    again = moves.retried(plan, course, at)
    placed = moves.placed(plan, again.course, at, len(plan.waves) - 1)
    orders = again.orders + placed.orders
    step = Step(placed.course, orders)
    return moves.noted(step, "late-joiners", {"devices": moves.names(orders), "serial": at.serial}) if orders else step


def _stopped(plan: Plan, course: Course, at: Moment) -> Step:
    """Everything stands still: what was not begun is withdrawn, nothing new is ordered."""
    if course.state in FINAL | {State.PAUSED, State.ABORTED}:
        return Step(replace(course, watched_at=at.now))
    why = f"everything is stopped ({at.stopped})"
    step = moves.withdrawn(plan, moves.paused(replace(course, watched_at=at.now), at.now, why), at)
    return moves.noted(step, "stopped", {"reason": at.stopped, "withdrawn": moves.names(step.orders)})


def _listened(plan: Plan, member: Member, report: Heard) -> Member:
    told = heard(member, report.phase, report.code, report.reason, report.evidence)
    passing = told.phase == "refused" and told.code in TRANSIENT and told.attempt < plan.retries
    return msgspec.structs.replace(told, retry=passing)


def _approved(_plan: Plan, course: Course, at: Moment, why: str) -> Step:
    return Step(replace(course, state=State.RUNNING, wave_at=at.now, watched_at=at.now, reason=why))


def _held(_plan: Plan, course: Course, at: Moment, why: str) -> Step:
    return Step(moves.paused(course, at.now, why))


def _aborted(plan: Plan, course: Course, at: Moment, why: str) -> Step:
    return moves.withdrawn(plan, replace(course, state=State.ABORTED, reason=why), at)


def _closed(_plan: Plan, course: Course, _at: Moment, why: str) -> Step:
    return Step(replace(course, state=State.CLOSED, reason=why))


WORDS: dict[Word, Callable[[Plan, Course, Moment, str], Step]] = {
    "approve": _approved,
    "pause": _held,
    "resume": moves.resumed,
    "abort": _aborted,
    "back": moves.back,
    "close": _closed,
}
LOOKS: dict[State, Callable[[Plan, Course, Moment], Step]] = {
    State.RUNNING: _run,
    State.PAUSED: _watch_paused,
    State.DONE: _join_late,
    State.GOING_BACK: _go_back,
    State.BACK: _go_back,
}
