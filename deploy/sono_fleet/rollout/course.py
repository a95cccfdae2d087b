"""How a roll-out stands: its state, and each device that got an order of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from sono_fleet.rollout.plan import Limit, Target
from sono_fleet.rollout.windows import Hours

Key: TypeAlias = tuple[str, str]
"""Site and device."""


class State(StrEnum):
    """The diagram is in law.py."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    GOING_BACK = "going-back"
    DONE = "done"
    BACK = "back"
    ABORTED = "aborted"
    CLOSED = "closed"


FINAL = frozenset({State.CLOSED, State.BACK})
HOLDS = frozenset({State.WAITING, State.RUNNING, State.PAUSED, State.GOING_BACK})
"""While a roll-out is in one of these, no other may have its devices."""
RANK = {
    phase: rank
    for rank, phase in enumerate(
        (
            "ordered",
            "offered",
            "downloading",
            "verified",
            "self-test",
            "shadow",
            "active",
            "good",
            "refused",
            "rolled-back",
        )
    )
}
"""Of two reports on one order the one of the higher rank holds, in whatever order they come."""


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of a device now. `runs` None: a release that is not registered, so there is no way back to it."""

    runs: Target | None
    sha256: str
    """Of the bundle that it said it runs; empty: it has not said."""
    runs_at: datetime | None
    """When it said so: by its clock or by ours, whichever is older."""
    seen_at: datetime | None
    online: bool
    stopped: bool = False
    """It said goodbye: it was switched off, not lost."""
    tags: frozenset[str] = frozenset()
    hours: Hours | None = None
    held: str = ""
    """Why it may get no order now: another roll-out has it, or its site is blocked."""


class Member(msgspec.Struct, frozen=True):
    """A device that got an order. It stays in its wave."""

    wave: int
    previous: Target
    """What it ran when it got its first order: the way back."""
    serial: int
    ordered_at: datetime
    not_before: datetime
    deadline: datetime
    attempt: int = 0
    phase: str = "ordered"
    code: str = ""
    reason: str = ""
    evidence: dict[str, tuple[int, float]] = {}
    """A figure, with the rank of the phase that reported it."""
    failure: str = ""
    """Why it has failed, in a word; empty: it has not."""
    retry: bool = False
    """Its trouble may pass: it is to be ordered again."""
    settled_at: datetime | None = None
    back_serial: int = 0
    back_at: datetime | None = None
    returned_at: datetime | None = None

    @property
    def pending(self) -> bool:
        return not self.failure and self.phase != "good"

    @property
    def good(self) -> bool:
        return not self.failure and self.phase == "good"

    @property
    def standing(self) -> str:
        """One word for tables."""
        if self.back_serial:
            return "back" if self.returned_at else "going-back"
        return f"failed:{self.failure}"[:16] if self.failure else self.phase


@dataclass(frozen=True, slots=True)
class Course:
    """`wave` is the index of the wave that is open, or waits to be."""

    state: State
    wave: int
    wave_at: datetime
    """When the wave opened (or began to wait)."""
    watched_at: datetime
    """When somebody last looked."""
    settled_at: datetime | None = None
    """When the last of the wave was good: the soak began."""
    reason: str = ""
    held_from: State | None = None
    """PAUSED: where it goes on."""
    paused_at: datetime | None = None
    failures_seen: int = 0
    """DONE: so many had been borne when it ended."""
    members: Mapping[Key, Member] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """A desired document to write."""

    key: Key
    serial: int
    target: Target
    not_before: datetime
    deadline: datetime
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A decision and what it rests on, for the audit log."""

    action: str
    evidence: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Step:
    course: Course
    orders: tuple[Order, ...] = ()
    notes: tuple[Note, ...] = ()


def heard(member: Member, phase: str, code: str, reason: str, evidence: Mapping[str, object]) -> Member:
    """The member after one report on its order. Order and repetition of reports do not matter."""
    rank = RANK[phase]
    kept = dict(member.evidence)
    for key, value in evidence.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            kept[key] = max(kept.get(key, (-1, 0.0)), (rank, float(value)))
    if (rank, code, reason) <= (RANK[member.phase], member.code, member.reason):
        return msgspec.structs.replace(member, evidence=kept)
    return msgspec.structs.replace(member, evidence=kept, phase=phase, code=code, reason=reason)


def breaks(member: Member, limits: tuple[Limit, ...]) -> Limit | None:
    """The first limit that the member's own figures break."""
    for limit in limits:
        if limit.key in member.evidence and limit.broken_by(member.evidence[limit.key][1]):
            return limit
    return None
