"""Clips are made a picture at a time, beside everything else; what the disk refuses is given up whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from sono_edge.scan.clip import AFTER_S, OPEN_MOST, Clips, Made
from sono_edge.scan.preroll import PreRoll, Still
from sono_edge.scan.records import ScanRecord
from sono_edge.scan.sight import KeepNow, NoScans
from sono_edge.scan.store import PART, Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_models.errors import DiskFull
from tests.support.alerts import AT
from tests.support.scans import SPEC, screen, sight
from tests.support.waiting import until

SCAN = "20261124T120000Z-abc123"


class FullLater(Store):
    """A disk that takes the beginning of a clip and has no room for its end."""

    full = True

    def finish(self, scan: str, name: str) -> bool:
        if self.full and name.endswith(".mp4"):
            raise DiskFull(scan, "no room left on the disk", "Free some space")
        return super().finish(scan, name)


def stills(count: int, from_s: float = 0.0) -> tuple[Still, ...]:
    ring = PreRoll(60.0)
    for step in range(count):
        ring.add(from_s + step / 10, screen())
    return ring.stills


def opened(store: Store) -> Clips:
    store.save(ScanRecord(SCAN, "2026-11-24T12:00:00Z"))
    return Clips(store)


def work_until(clips: Clips, holds: Callable[[Made | None], bool], most: int = 100) -> Made | None:
    for _ in range(most):
        made = clips.work(idle=True)
        if holds(made):
            return made
    raise AssertionError("it never came to hold")


def test_a_clip_is_made_a_picture_at_a_time_and_holds_what_came_after(tmp_path: Path) -> None:
    clips = opened(Store(tmp_path, 100))
    clips.begin(SCAN, "m001", stills(5), 1.0)
    made = []
    for still in stills(8, 0.5):
        clips.offer(still)
        made.append(clips.work())
        if made[-1] is not None:
            break
        assert not list(tmp_path.glob("*/m001.mp4"))
    while clips.pending:
        made.append(clips.work(idle=True))
    assert [one for one in made if one] == [Made(SCAN, "m001", 0.0)]
    with av.open(str(tmp_path / SCAN / "m001.mp4")) as clip:
        times = [float(frame.time) for frame in clip.decode(video=0)]
    assert times == pytest.approx([step / 10 for step in range(11)], abs=0.002)


def test_a_clip_ends_where_time_goes_back_or_no_frame_comes(tmp_path: Path) -> None:
    clips = opened(Store(tmp_path, 100))
    clips.begin(SCAN, "m001", stills(3, 5.0), 9.0)
    clips.offer(stills(1)[0])
    assert work_until(clips, lambda made: made is not None) == Made(SCAN, "m001", 5.0)
    clips.begin(SCAN, "m002", stills(3), 9.0)
    pauses = {clips.pause_s}
    work_until(clips, lambda made: made is not None)
    assert pauses != {None}
    assert clips.pause_s is None


def test_clips_of_which_nothing_may_be_stored_are_none(tmp_path: Path) -> None:
    clips = opened(Store(tmp_path, 100))
    ring = PreRoll(5.0)
    ring.add(0.0, screen() * 0)
    clips.begin(SCAN, "m001", ring.stills, 1.0)
    assert work_until(clips, lambda made: made is not None) == Made(SCAN, "m001", None)
    assert [path.name for path in (tmp_path / SCAN).iterdir()] == ["scan.json"]


def test_a_disk_that_fills_gives_the_clip_up_and_the_next_one_is_made(tmp_path: Path) -> None:
    store = FullLater(tmp_path, 100)
    clips = opened(store)
    clips.begin(SCAN, "m001", stills(2), 0.1)
    clips.begin(SCAN, "m002", stills(2), 0.1)
    with pytest.raises(DiskFull):
        work_until(clips, lambda made: made is not None)
    assert not list(tmp_path.glob(f"*/.m001.mp4{PART}"))
    store.full = False
    assert work_until(clips, lambda made: made is not None) == Made(SCAN, "m002", 0.0)
    assert not clips.pending


def test_a_foot_switch_that_sticks_leaves_no_heap_of_clips(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with ScanWriter(Means(store, SPEC, System("breast 0.0.0"), 1.0, lambda: AT), backlog=10_000) as writer:
        for step in range(3 * OPEN_MOST):
            writer.offer(sight(step / 10, picture=screen()))
            writer.order(KeepNow())
        until(lambda: writer.shown.now.counts.manual == 3 * OPEN_MOST)
        assert len(writer._clips._open) <= OPEN_MOST
    (record,) = store.records()
    assert all(one.clip and one.clip_from_s is not None for one in record.captures)


def test_a_clip_is_there_before_its_scan_ends(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with ScanWriter(Means(store, SPEC, System("breast 0.0.0"), 1.0, lambda: AT), backlog=10_000) as writer:
        for step in range(30):
            writer.offer(sight(step / 10, picture=screen()))
        writer.order(KeepNow())
        for step in range(30, 30 + round(10 * AFTER_S) + 5):
            writer.offer(sight(step / 10, picture=screen()))
        until(lambda: writer.shown.now.captures and store.records() and store.records()[0].captures[0].clip)
        assert writer.shown.now.running
    (capture,) = store.records()[0].captures
    assert capture.clip_from_s == pytest.approx(capture.captured_s - 1.0, abs=0.11)


def test_who_records_nothing_is_offered_nothing(tmp_path: Path) -> None:
    assert not NoScans().recording
    with ScanWriter(Means(Store(tmp_path, 100), SPEC, System("x")), backlog=1) as writer:
        assert writer.recording
