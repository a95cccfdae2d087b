"""Live roll-outs: one look for all who watch, one picture a change, and nothing while nobody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sono_fleet.rollout import desk
from sono_fleet.rollout.records import Records
from sono_fleet.store import Store
from sono_fleet.web import live as live_module
from sono_fleet.web.chart import Chart, chart
from sono_fleet.web.live import Charts, Live, event
from tests.support.rollouts import NEW, START, Fleet, plan_of

PATIENCE_S = 60.0


class Watcher:
    """One browser's stream, read until something comes."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.got: list[str] = []

    async def until(self, words: str) -> str:
        async def read() -> str:
            async for chunk in self._stream:
                self.got.append(chunk.decode())
                if words in self.got[-1]:
                    return self.got[-1]
            raise AssertionError(f"it ended without {words}: {self.got}")

        return await asyncio.wait_for(read(), PATIENCE_S)

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def running(live: Live) -> AsyncIterator[None]:
    task = asyncio.create_task(live.run())
    try:
        yield
    finally:
        live.close()
        await asyncio.wait_for(task, PATIENCE_S)


def on_a_fleet(folder: Path, doing: Callable[[Live, Fleet, list[str]], Awaitable[None]]) -> None:
    with Store(f"sqlite:///{folder / 'fleet.sqlite'}") as store:
        fleet = Fleet(store, 12)
        records = Records(store.database)
        desk.create(records, plan_of(10, 100), fleet.now)
        drawn: list[str] = []

        def draw(made: Chart) -> str:
            drawn.append(made.state)
            return f"<p>{made.state} {made.revision}</p>"

        async def go() -> None:
            live = Live(records, Charts(records), draw, fleet.clock)
            async with running(live):
                await doing(live, fleet, drawn)

        asyncio.run(go())


def test_many_watchers_cost_one_look_and_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EVERY_S", 0.05)

    async def doing(live: Live, fleet: Fleet, drawn: list[str]) -> None:
        watchers = [Watcher(live.stream("r1", "waiting", lambda: True)) for _ in range(30)]
        await asyncio.gather(*(one.until("waiting 1") for one in watchers))
        assert drawn == ["waiting"]
        assert live.watchers == 30
        await asyncio.to_thread(desk.say, Records(fleet.database), "r1", "approve", fleet.now, by="ben")
        await asyncio.gather(*(one.until("event: state") for one in watchers))
        assert drawn == ["waiting", "running"]
        assert all("event: chart" in "".join(one.got) for one in watchers)
        for one in watchers:
            await one.close()
        assert live.watchers == 0
        await asyncio.sleep(0.3)
        looks = live.looks
        await asyncio.sleep(0.3)
        assert live.looks == looks, "nobody watches, nobody looks"

    on_a_fleet(tmp_path, doing)


def test_a_browser_that_knows_an_older_state_hears_of_it_at_once(tmp_path: Path) -> None:
    async def doing(live: Live, _fleet: Fleet, _drawn: list[str]) -> None:
        late = Watcher(live.stream("r1", "running", lambda: True))
        assert "data: waiting" in await late.until("event: state")
        await late.close()

    on_a_fleet(tmp_path, doing)


def test_trouble_is_told_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EVERY_S", 0.05)
    folder, away = tmp_path / "data", tmp_path / "away"
    folder.mkdir()

    async def doing(live: Live, fleet: Fleet, _drawn: list[str]) -> None:
        watcher = Watcher(live.stream("r1", "waiting", lambda: True))
        await watcher.until("event: chart")
        fleet.database._engine.dispose()
        folder.rename(away)
        assert "may be old" in await watcher.until("event: trouble")
        fleet.database._engine.dispose()
        away.rename(folder)
        assert "data: \n" in await watcher.until("event: trouble")
        await watcher.close()

    on_a_fleet(folder, doing)


def test_a_stream_ends_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EVERY_S", 0.05)
    monkeypatch.setattr(live_module, "CHECK_S", 0.0)

    async def doing(live: Live, _fleet: Fleet, _drawn: list[str]) -> None:
        assert "session has ended" in await Watcher(live.stream("r1", "", lambda: False)).until("event: gone")

    on_a_fleet(tmp_path, doing)


def test_an_event_of_many_lines_is_one_event() -> None:
    assert event("chart", "a\nb\n\nc") == b"event: chart\ndata: a\ndata: b\ndata: \ndata: c\n\n"


def test_a_chart_says_what_the_law_says(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        fleet = Fleet(store, 12)
        records = Records(store.database)
        desk.create(records, plan_of(50, 100), fleet.now)
        shown = chart(records.one("r1"), 12, START)
        assert (shown.words, shown.whole, shown.in_scope) == (("approve", "pause", "back", "abort"), (), 12)
        assert [bar.standing for bar in shown.bars] == ["waits", "ahead"]
        record = desk.say(records, "r1", "approve", fleet.now, by="ben")
        assert chart(record, 12, START).unwatched_s is None
        fleet.passes(record.plan.away_s)
        assert chart(record, 12, fleet.now).unwatched_s == record.plan.away_s
        assert NEW.version in shown.target
