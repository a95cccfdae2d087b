"""A fleet without a database or a broker: devices that behave, and the law asked as the engine asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sono_fleet.rollout import law
from sono_fleet.rollout.course import Course, Device, Key, Note, Order, Step
from sono_fleet.rollout.law import Heard, Word
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.plan import Plan, Scope, Target, Wave, checked

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OLD = Target("breast", "0.3.0", "breast/stable/breast-0.3.0.tar", "0" * 64, 900)
NEW = Target("breast", "0.3.1", "breast/stable/breast-0.3.1.tar", "1" * 64, 1000)
PHASES = ("offered", "downloading", "verified", "self-test", "shadow", "active", "good")
FINE = {"golden_difference": 0.0, "agreement": 0.97, "shift": 0.01, "latency_ratio": 1.02, "memory_ratio": 1.0}

Behaviour = Callable[[Key, Order], Sequence[tuple[float, str, str, dict[str, float]]]]
"""(seconds after the order, phase, code, evidence) of every report that a device will make on an order."""


def waves(*shares: float, **values: float) -> tuple[Wave, ...]:
    settings = {"soak_s": 60, "deadline_s": 300, **values}
    return tuple(Wave(f"{share:g}%", share, **settings) for share in shares)  # type: ignore[arg-type]


def a_plan(*shares: float, rollout: str = "r1", scope: Scope | None = None, **values: float) -> Plan:
    return checked(Plan(rollout, NEW, waves(*(shares or (1, 10, 50, 100)), **values), scope or Scope()))


def good(_key: Key, order: Order) -> Sequence[tuple[float, str, str, dict[str, float]]]:
    return [(5.0 + 5 * step, phase, "", FINE if phase == "good" else {}) for step, phase in enumerate(PHASES)]


def silent(_key: Key, _order: Order) -> Sequence[tuple[float, str, str, dict[str, float]]]:
    return []


def stuck(_key: Key, _order: Order) -> Sequence[tuple[float, str, str, dict[str, float]]]:
    return [(5.0, "offered", "", {}), (10.0, "downloading", "", {})]


def rolls_back(_key: Key, _order: Order) -> Sequence[tuple[float, str, str, dict[str, float]]]:
    return [(5.0, "offered", "", {}), (30.0, "active", "", {}), (50.0, "rolled-back", "crash", {})]


def refuses(_key: Key, _order: Order) -> Sequence[tuple[float, str, str, dict[str, float]]]:
    return [(5.0, "offered", "", {}), (20.0, "refused", "golden", {})]


def shifts(_key: Key, order: Order) -> Sequence[tuple[float, str, str, dict[str, float]]]:
    """It thinks that all is well; its figures say otherwise."""
    return [*good(_key, order)[:-1], (60.0, "good", "", {**FINE, "shift": 0.4})]


BAD: tuple[Behaviour, ...] = (silent, stuck, rolls_back, refuses, shifts)


@dataclass
class Fleet:
    """The test's world. `of` says how a device behaves on the new version; on the old one all are well."""

    plan: Plan
    count: int = 200
    of: Callable[[Key], Behaviour] = lambda _key: good
    tags: Callable[[Key], frozenset[str]] = lambda _key: frozenset()
    now: datetime = BEGIN
    serial: int = 0
    stopped: str = ""
    course: Course = field(init=False)
    devices: dict[Key, Device] = field(default_factory=dict)
    away: set[Key] = field(default_factory=set)
    due: list[tuple[datetime, Key, Order, tuple[str, str, dict[str, float]]]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    newest: dict[Key, int] = field(default_factory=dict)
    got: set[Key] = field(default_factory=set)
    """Devices that at some time ran the new version."""

    def __post_init__(self) -> None:
        self.course = law.begun(self.now)
        self.join(self.count)

    def join(self, count: int, prefix: str = "d") -> None:
        for number in range(count):
            key = ("demo", f"{prefix}{number}")
            self.devices[key] = Device(OLD, OLD.sha256, self.now, self.now, online=True, tags=self.tags(key))

    def moment(self) -> Moment:
        self.serial += 1
        return Moment(self.now, self.serial, self.devices, self.stopped)

    def say(self, word: Word, by: str = "me") -> None:
        step = law.said(self.plan, self.course, word, self.moment(), by=by)
        self._took(step)

    def tick(self, seconds: float = 10.0) -> None:
        """Time passes, devices report, the law is asked."""
        self.now += timedelta(seconds=seconds)
        for key, device in self.devices.items():
            if key not in self.away:
                self.devices[key] = replace(device, seen_at=self.now)
        self.course = law.listen(self.plan, self.course, tuple(self._reports()))
        self._took(law.look(self.plan, self.course, self.moment()))

    def until(self, *states: str, ticks: int = 400, seconds: float = 10.0) -> None:
        for _ in range(ticks):
            if self.course.state in states:
                return
            self.tick(seconds)
        raise AssertionError(f"it stays {self.course.state}: {self.course.reason}")

    def actions(self) -> list[str]:
        return [note.action for note in self.notes]

    def ordered(self, target: Target = NEW) -> set[Key]:
        return {order.key for order in self.orders if order.target == target and not order.cancelled}

    def _took(self, step: Step) -> None:
        self.course = step.course
        self.notes += step.notes
        for order in step.orders:
            assert order.serial > self.newest.get(order.key, 0)
            self.newest[order.key] = order.serial
            self.orders.append(order)
            if order.cancelled:
                continue
            behaves = self.of(order.key) if order.target.sha256 == self.plan.target.sha256 else good
            begins = max(self.now, order.not_before)
            for after, phase, code, evidence in behaves(order.key, order):
                told = (phase, code, evidence)
                self.due.append((begins + timedelta(seconds=after), order.key, order, told))

    def _reports(self) -> Iterable[Heard]:
        ripe = [one for one in self.due if one[0] <= self.now]
        self.due = [one for one in self.due if one[0] > self.now]
        for _at, key, order, (phase, code, evidence) in ripe:
            if order.serial != self.newest[key] or key in self.away:
                continue  # a device follows its newest order only
            if phase == "active":
                self._runs(key, order.target)
            if phase == "rolled-back":
                self._runs(key, self.course.members[key].previous)
            yield Heard(key, order.serial, phase, code, "", evidence, self.now)

    def _runs(self, key: Key, target: Target) -> None:
        if target == self.plan.target:
            self.got.add(key)
        self.devices[key] = replace(self.devices[key], runs=target, sha256=target.sha256, runs_at=self.now)
