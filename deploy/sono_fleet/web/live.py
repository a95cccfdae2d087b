"""Live roll-outs: one look at the database a second for all who watch, and one picture for all who watch the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from markupsafe import escape

from sono_fleet.rollout import waves
from sono_fleet.rollout.course import Device, Key
from sono_fleet.rollout.plan import Plan
from sono_fleet.rollout.records import Record, Records
from sono_fleet.tables import rollouts
from sono_fleet.web.chart import Chart, chart
from sono_models.errors import BadOrder, SonoError

log = logging.getLogger(__name__)

EVERY_S = 1.0
AGAIN_S = 10.0
"""A picture is drawn again after so long though nothing was written: it names times."""
FLEET_S = 15.0
BEAT_S = 15.0
"""A browser hears at least so often that the server lives."""
WATCHERS_MOST = 500
CHECK_S = 30.0
"""So often it is looked whether a watcher's session still holds."""


class Charts:
    """Draws charts; who is in scope is counted now and then, since that reads the whole fleet."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._fleet: tuple[datetime, dict[Key, Device]] | None = None

    def of(self, name: str, at: datetime) -> Chart:
        """Raises BadOrder when there is none of this name."""
        return self.drawn(self._records.one(name), at)

    def drawn(self, record: Record, at: datetime) -> Chart:
        return chart(record, self.in_scope(record.plan, at), at)

    def in_scope(self, plan: Plan, at: datetime) -> int:
        if self._fleet is None or (at - self._fleet[0]).total_seconds() > FLEET_S:
            self._fleet = (at, self._records.fleet())
        return len(waves.in_scope(plan, self._fleet[1]))


@dataclass(slots=True)
class _Watched:
    """One roll-out that somebody watches. `number` grows with each picture."""

    watchers: int = 0
    number: int = 0
    revision: int = 0
    drawn_at: datetime | None = None
    state: str = ""
    html: str = ""
    trouble: str = ""


@dataclass(slots=True)
class _Heard:
    """What one browser knows."""

    state: str
    number: int = 0
    trouble: str = ""

    def news_of(self, watched: _Watched) -> list[bytes]:
        news = []
        if watched.trouble != self.trouble:
            self.trouble = watched.trouble
            news.append(event("trouble", str(escape(self.trouble))))
        if watched.number != self.number:
            self.number = watched.number
            news.append(event("chart", watched.html))
        if watched.state and watched.state != self.state:
            self.state = watched.state
            news.append(event("state", self.state))
        return news


class Live:
    """`run` is its one loop; it looks at nothing while nobody watches."""

    def __init__(
        self, records: Records, charts: Charts, draw: Callable[[Chart], str], now: Callable[[], datetime]
    ) -> None:
        self._records, self._charts, self._draw, self._now = records, charts, draw, now
        self._watched: dict[str, _Watched] = {}
        self._wake = asyncio.Event()
        self._tick = asyncio.Event()
        """Set after each look, and another one taken."""
        self._closing = False
        self.looks = 0
        """How often the database was asked what has changed."""

    @property
    def watchers(self) -> int:
        return sum(one.watchers for one in self._watched.values())

    @property
    def full(self) -> bool:
        return self._closing or self.watchers >= WATCHERS_MOST

    def close(self) -> None:
        """On the loop's thread: every stream ends."""
        self._closing = True
        self._wake.set()
        self._tick.set()

    async def run(self) -> None:
        while not self._closing:
            if not self._watched:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await asyncio.to_thread(self._look, dict(self._watched))
            except SonoError as problem:
                self._tell_trouble(str(problem))
            done, self._tick = self._tick, asyncio.Event()
            done.set()
            await asyncio.sleep(EVERY_S)

    async def stream(self, name: str, state: str, holds: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Server-sent events: `chart` with each new picture, `state` when it is another than the page knows,
        `trouble`, `gone`.
        """
        mine = self._watched.setdefault(name, _Watched())
        mine.watchers += 1
        self._wake.set()
        try:
            heard = _Heard(state)
            loop = asyncio.get_running_loop()
            check_at = loop.time() + CHECK_S
            while not self._closing:
                tick = self._tick
                if loop.time() > check_at:
                    check_at = loop.time() + CHECK_S
                    if not await asyncio.to_thread(_still, holds):
                        yield event("gone", "Your session has ended. Load this page again to log in.")
                        return
                for news in heard.news_of(mine):
                    yield news
                if not await _within(tick, BEAT_S):
                    yield b": beat\n\n"
        finally:
            mine.watchers -= 1
            if not mine.watchers and self._watched.get(name) is mine:
                del self._watched[name]

    def _look(self, watched: dict[str, _Watched]) -> None:
        self.looks += 1
        at = self._now()
        query = sa.select(rollouts.c.id, rollouts.c.revision).where(rollouts.c.id.in_(list(watched)))
        with self._records.database.reading() as connection:
            revisions = {row.id: row.revision for row in connection.execute(query)}
        for name, one in watched.items():
            if name not in revisions:
                continue
            old = one.drawn_at is None or (at - one.drawn_at).total_seconds() > AGAIN_S
            if revisions[name] != one.revision or old or one.trouble:
                self._redraw(name, one, at)

    def _redraw(self, name: str, one: _Watched, at: datetime) -> None:
        try:
            drawn = self._charts.of(name, at)
        except BadOrder:  # taken out of the database meanwhile
            return
        html = self._draw(drawn)
        one.revision, one.drawn_at, one.state, one.trouble = drawn.revision, at, drawn.state, ""
        if html != one.html:
            one.html, one.number = html, one.number + 1

    def _tell_trouble(self, words: str) -> None:
        for one in self._watched.values():
            if not one.trouble:
                log.warning("page: %s", words)
            one.trouble = f"What stands here may be old: {words}"


def event(name: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n".encode()


async def _within(news: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _still(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except SonoError:  # the database is away: that ends nobody's session
        return True
