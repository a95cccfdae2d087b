"""A roll-out as a picture: its waves by how their devices stand, its gates, and why it waits or stopped. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from sono_fleet.rollout import gates
from sono_fleet.rollout.course import HOLDS, Member, State
from sono_fleet.rollout.law import MOVES, Word
from sono_fleet.rollout.plan import Limit, Plan, Wave
from sono_fleet.rollout.records import Record

Kind: TypeAlias = Literal["good", "under-way", "failed", "going-back", "back"]
KINDS: dict[Kind, str] = {
    "good": "good",
    "under-way": "under way",
    "failed": "failed",
    "going-back": "going back",
    "back": "back on the old one",
}
BUTTONS: tuple[Word, ...] = ("approve", "pause", "resume", "back", "abort")
"""In this order; which of them a state has is the law's to say."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar, in percent of it."""

    kind: Kind
    count: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    wave: str
    standing: Literal["passed", "open", "waits", "ahead", "stopped"]
    terms: str
    """What it takes to pass, in words."""
    devices: int
    parts: tuple[Part, ...]
    phases: str
    """Where the devices under way are."""


@dataclass(frozen=True, slots=True)
class Gate:
    """`standing`: `holds`, `broken`, or `no figures` as long as no device has reported any."""

    limit: str
    kind: str
    median: float | None
    reported: int
    standing: Literal["holds", "broken", "no figures"]


@dataclass(frozen=True, slots=True)
class Chart:
    rollout: str
    target: str
    state: str
    wave: str
    reason: str
    by: str
    created_at: str
    revision: int
    in_scope: int
    whole: tuple[Part, ...]
    """All members, in percent of the devices in scope: what is left is untouched."""
    bars: tuple[Bar, ...]
    gates: tuple[Gate, ...]
    failures: tuple[tuple[str, int], ...]
    good: int
    sample: int
    failed: int
    borne: int
    soaks_until: datetime | None
    unwatched_s: float | None
    """Nobody has looked for so long: no engine runs, or it does not reach the database."""
    words: tuple[Word, ...]


def chart(record: Record, in_scope: int, at: datetime) -> Chart:
    plan, course = record.plan, record.course
    wave = plan.waves[course.wave]
    members = tuple(course.members.values())
    soaks = None
    if course.settled_at is not None and course.state is State.RUNNING:
        soaks = course.settled_at + timedelta(seconds=wave.soak_s)
    away = (at - course.watched_at).total_seconds()
    watched = course.state not in {State.RUNNING, State.GOING_BACK} or away <= plan.away_s / 2
    return Chart(
        plan.rollout,
        plan.target.said,
        str(course.state),
        wave.name,
        course.reason,
        plan.by,
        record.created_at,
        record.revision,
        max(in_scope, len(members)),
        _parts(members, max(in_scope, len(members))),
        tuple(_bar(record, index, one, members) for index, one in enumerate(plan.waves)),
        tuple(_gate(limit, members) for limit in plan.limits),
        tuple(sorted(gates.failures(members).items())),
        sum(member.good for member in members),
        wave.sample,
        sum(bool(member.failure) for member in members),
        wave.max_failures,
        soaks,
        None if watched else away,
        tuple(word for word in BUTTONS if course.state in MOVES[word]),
    )


def kind_of(member: Member) -> Kind:
    if member.back_serial:
        return "back" if member.returned_at else "going-back"
    if member.failure:
        return "failed"
    return "good" if member.good else "under-way"


def _parts(members: Iterable[Member], whole: int) -> tuple[Part, ...]:
    counts = Counter(kind_of(member) for member in members)
    parts, start = [], 0.0
    for kind in KINDS:
        if counts[kind]:
            width = 100.0 * counts[kind] / whole
            parts.append(Part(kind, counts[kind], round(start, 3), round(width, 3)))
            start += width
    return tuple(parts)


def _bar(record: Record, index: int, wave: Wave, members: tuple[Member, ...]) -> Bar:
    mine = [member for member in members if member.wave == index]
    phases = Counter(member.phase for member in mine if kind_of(member) == "under-way")
    said = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    return Bar(wave.name, _standing(record, index), _terms(wave), len(mine), _parts(mine, max(1, len(mine))), said)


def _standing(record: Record, index: int) -> Literal["passed", "open", "waits", "ahead", "stopped"]:
    course = record.course
    if index > course.wave:
        return "ahead"
    if course.state in {State.DONE, State.CLOSED} or index < course.wave:
        return "passed"
    if course.state is State.RUNNING:
        return "open"
    return "waits" if course.state in HOLDS - {State.GOING_BACK} else "stopped"


def _terms(wave: Wave) -> str:
    terms = [f"at least {wave.sample} good", f"at most {wave.max_failures} failed", f"soaks {duration(wave.soak_s)}"]
    terms += [f"{wave.at_once} at once"] if wave.at_once else []
    terms += ["needs approval"] if wave.approval else []
    return f"deadline {duration(wave.deadline_s)}, {', '.join(terms)}"


def _gate(limit: Limit, members: tuple[Member, ...]) -> Gate:
    evidence = gates.judge(members, _ANY, (limit,)).evidence
    medians = evidence["medians"]
    assert isinstance(medians, dict)
    median = medians.get(limit.key)
    reported = sum(limit.key in member.evidence for member in members)
    standing: Literal["holds", "broken", "no figures"] = "no figures"
    if median is not None:
        standing = "broken" if limit.broken_by(median) else "holds"
    return Gate(limit.said, limit.kind, median, reported, standing)


_ANY = Wave("any", 100.0)


def duration(seconds: float) -> str:
    """`90 s`, `30 min`, `24 h`, `14 days`."""
    for unit, size, least in (("days", 86_400, 2 * 86_400), ("h", 3600, 2 * 3600), ("min", 60, 120)):
        if seconds >= least:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def in_waves(plan: Plan) -> str:
    return " → ".join(wave.name for wave in plan.waves)
