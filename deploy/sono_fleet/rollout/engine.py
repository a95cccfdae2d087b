"""The engine: look at the fleet, ask the law, write its step down, publish its orders. Any number may run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from sono_fleet.database import Database
from sono_fleet.drift.judge import Judge
from sono_fleet.identity.watch import Watch
from sono_fleet.rollout import law
from sono_fleet.rollout.course import Course, Device, Key, State
from sono_fleet.rollout.fleet import held_for
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.orders import Publisher, Signing
from sono_fleet.rollout.records import Record, Records, names
from sono_models.errors import BrokerLost, Stopped, Unavailable
from sono_models.link import Endpoint, Link, Nodes

log = logging.getLogger(__name__)

RETRY_S = 1.0
BEAT_SHARE = 0.1
"""That somebody watches is written down this often, as a share of how long nobody may."""


@dataclass(slots=True)
class Tally:
    steps: int = 0
    lost_races: int = 0
    published: int = 0


class Engine:
    """One loop over `step`. A context manager. Without a broker or a database it does not look at all: silence of
    devices that cannot be heard means nothing, and the law pauses when nobody looked for long. `looked` hears how long
    each look took that came to its end.
    """

    def __init__(
        self,
        database: Database,
        endpoint: Endpoint,
        signing: Signing,
        stop: threading.Event,
        *,
        every_s: float = 1.0,
        name: str = "engine",
        looked: Callable[[float], None] = lambda _seconds: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records, self._publisher = Records(database), Publisher(database, signing)
        self._drift, self._revoked = Judge(database), Watch(database)
        self._stop, self._every_s, self._name = stop, every_s, name
        self._nodes = Nodes(endpoint, self._client_id)
        self._looked = looked
        self._now, self._clock = now, clock
        self._known: dict[str, Record] = {}
        self._stack = ExitStack()
        self._link: Link | None = None
        self._try_at = 0.0
        self._trouble = ""
        self.tally = Tally()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def _client_id(self) -> str:
        return f"sono-fleet-{self._name}"

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    def run(self) -> None:
        while not self._stop.is_set():
            started = self._clock()
            self.step()
            if self._link is not None:  # of a fleet that is long to look at, half of the time is left to others
                self._keep_alive(self._link, max(started + self._every_s, 2 * self._clock() - started))

    def step(self) -> None:
        """Connect, or decide once for every roll-out and publish what came of it."""
        try:
            if self._link is None:
                self._connect()
            else:
                began = self._clock()
                self._drift.step(self._now())
                self._revoked.step(self._now())
                self._decide()
                self._publish(self._link)
                self._looked(self._clock() - began)
        except BrokerLost as problem:
            self._in_trouble(f"no roll-out moves: {problem}")
            self._hang_up()
        except (Stopped, Unavailable) as problem:
            self._known.clear()
            self._in_trouble(f"no roll-out moves: {problem}")
            self._stop.wait(RETRY_S)

    def _connect(self) -> None:
        left = self._try_at - self._clock()
        if left > 0:
            self._stop.wait(min(left, 0.1))
            return
        link = self._stack.enter_context(Link(self._nodes.now, self._client_id))
        self._publisher.send_again(names(self._records.live({})))
        self._link, self._trouble = link, ""
        log.info("%s: connected to %s", self._name, self._nodes.said)

    def _hang_up(self) -> None:
        self._link = None
        self._stack.close()
        self._nodes.next()
        self._try_at = self._clock() + RETRY_S

    def _keep_alive(self, link: Link, until: float) -> None:
        """Turn the link until the next step is due."""
        try:
            while (left := until - self._clock()) > 0 and not self._stop.is_set():
                link.turn(min(left, 0.1))
        except BrokerLost as problem:
            self._in_trouble(f"no roll-out moves: {problem}")
            self._hang_up()

    def _decide(self) -> None:
        live = self._records.live(self._known)
        self._known = {record.plan.rollout: record for record in live}
        moving = [record for record in live if not _is_over(record.course)]
        if not moving:
            return
        fleet, stopped = self._records.fleet(), self._records.stopped()
        for record in moving:
            self._look(record, fleet, stopped, live)

    def _look(self, record: Record, fleet: Mapping[Key, Device], stopped: str, live: list[Record]) -> None:
        others = [(other.plan, other.course, other.created_at) for other in live]
        mine = held_for(record.plan, record.created_at, fleet, others)
        now = self._now()
        course, upto = self._records.listened(record)
        step = law.look(record.plan, course, Moment(now, self._records.serial(now), mine, stopped))
        if not step.orders and not step.notes and not _worth_writing(record, step.course, upto):
            return
        written = self._records.write(record, step, heard=upto, at=now, actor=self._name)
        self.tally.steps += 1
        if written is None:  # another was first: what it wrote is read at the next step
            self.tally.lost_races += 1
            del self._known[record.plan.rollout]
            return
        self._known[record.plan.rollout] = written
        for note in step.notes:
            log.info("%s: roll-out %s: %s (%s)", self._name, record.plan.rollout, note.action, step.course.reason)

    def _publish(self, link: Link) -> None:
        while sent := self._publisher.send(link, self._now()):
            self.tally.published += sent
            if self._stop.is_set():
                return

    def _in_trouble(self, words: str) -> None:
        level = logging.DEBUG if self._trouble else logging.WARNING
        self._trouble = words
        log.log(level, "%s: %s", self._name, words)


def _is_over(course: Course) -> bool:
    """A roll-back of which everyone has returned."""
    return course.state is State.BACK and all(member.returned_at for member in course.members.values())


def _worth_writing(record: Record, course: Course, upto: int) -> bool:
    """Everything but that somebody watched, which is written down now and then."""
    beat = timedelta(seconds=record.plan.away_s * BEAT_SHARE)
    watched = course.watched_at - record.course.watched_at > beat
    same = replace(course, watched_at=record.course.watched_at) == record.course
    return watched or not same or upto != record.heard
