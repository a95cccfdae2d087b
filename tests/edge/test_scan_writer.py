"""The scan's thread: captures end to end on a real disk, and a disk that is slow or full holds nobody up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sono_edge.scan.course import IDLE_END_S
from sono_edge.scan.preroll import PreRoll, write_clip
from sono_edge.scan.sight import AlertStep, Begin, End, KeepNow
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_edge.scene import State
from sono_models.inputs import Grey
from tests.support.alerts import AT
from tests.support.scans import SPEC, screen, sight
from tests.support.slow_store import BlockedStore, FullStore
from tests.support.waiting import until

PICTURE = screen()
RAISED = AlertStep("run-1", "raised", 2.0, 0.8, seen=False)
SEEN = AlertStep("run-1", "acknowledged", 2.5, 0.8, seen=True, reason="artefact")


@contextmanager
def writing(store: Store, *, backlog: int = 10_000, preroll_s: float = 5.0) -> Iterator[ScanWriter]:
    means = Means(store, SPEC, System("breast 0.0.0"), preroll_s, lambda: AT)
    with ScanWriter(means, backlog=backlog) as writer:
        yield writer


def scan(writer: ScanWriter, seconds: float, start_s: float = 0.0) -> None:
    for step in range(round(seconds * 30)):
        writer.offer(sight(start_s + step / 30, picture=PICTURE))


def test_a_manual_capture_is_kept_with_the_seconds_before_it(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        scan(writer, 7.0)
        writer.order(KeepNow())
    (record,) = store.records()
    (capture,) = record.captures
    assert (capture.id, capture.kind, capture.saliency, capture.clip) == ("m001", "manual", True, True)
    assert record.ended_at
    stored = cv2.imread(str(tmp_path / record.id / "m001.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.shape == PICTURE.shape
    assert np.count_nonzero(stored[PICTURE == 0]) == 0
    assert cv2.imread(str(tmp_path / record.id / "m001-saliency.png"), cv2.IMREAD_UNCHANGED) is not None
    with av.open(str(tmp_path / record.id / "m001.mp4")) as clip:
        times = [float(frame.time) for frame in clip.decode(video=0)]
    assert 70 <= len(times) <= 76
    assert 4.8 <= times[-1] - times[0] <= 5.0


def test_an_alert_is_kept_ranked_and_acknowledged_with_its_reason(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        writer.order(Begin("WL-17"))
        scan(writer, 1.0)
        writer.offer(sight(2.0, State.ALERT, attention=0.8, track=1, picture=PICTURE))
        writer.tell(RAISED)
        writer.tell(SEEN)
        writer.order(End(4))
    (record,) = store.records()
    assert record.token == "WL-17"
    assert [(one.alert, one.seen, one.reason) for one in record.alerts] == [("run-1", True, "artefact")]
    assert sorted(one.id for one in record.captures) == ["a001", "b001"]
    summary = record.summary
    assert summary is not None
    assert (summary.alerts_seen, summary.alerts_unseen, len(summary.ranked)) == (1, 0, 2)
    assert summary.combined is not None
    assert summary.score is not None
    assert summary.combined.value == pytest.approx((0.485 + summary.score.value) / 2, abs=1e-4)


def test_without_a_region_nothing_is_stored_and_it_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        writer.offer(sight(0.0, picture=np.zeros((360, 480), np.uint8)))
        writer.order(KeepNow())
        until(lambda: "region" in writer.trouble)
    assert [one.captures for one in store.records()] == [()]
    assert not list(tmp_path.glob("*/*.png"))


def test_the_page_reads_from_memory_and_from_the_stores_thread(tmp_path: Path) -> None:
    with writing(Store(tmp_path, 100), preroll_s=0.0) as writer:
        writer.offer(sight(0.0, picture=PICTURE))
        writer.order(KeepNow())
        until(lambda: writer.shown.now.captures)
        now = writer.shown.now
        assert (now.running, now.counts.manual, now.captures[0].clip) == (True, 1, False)
        content = writer.fetch(now.id, "m001.png").result(20)
        assert content is not None
        assert content.startswith(b"\x89PNG")
        assert writer.fetch(now.id, "m009.png").result(20) is None
        writer.order(End())
        until(lambda: writer.shown.ended)
        assert not writer.shown.now.running
        writer.order(End(2))
        until(lambda: writer.shown.ended and writer.shown.ended.summary and writer.shown.ended.summary.combined)


def test_a_full_disk_is_said_and_recording_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = FullStore(tmp_path)
    with writing(store, preroll_s=0.0) as writer:
        writer.offer(sight(0.0, picture=PICTURE))
        writer.order(KeepNow())
        until(lambda: writer.trouble == "Recording stopped: no room left on the disk")
        until(lambda: writer.shown.now.trouble == writer.trouble)
        store.full = False
        writer.order(KeepNow())
        until(lambda: not writer.trouble)
    (record,) = store.records()
    assert [one.id for one in record.captures] == ["m002"]


def test_a_store_that_hangs_holds_up_nobody_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    store = BlockedStore(tmp_path)
    with writing(store, backlog=8) as writer:
        writer.order(Begin("WL-1"))
        assert store.entered.wait(20)
        for step in range(60):
            writer.offer(sight(step / 30, picture=PICTURE))
        writer.order(KeepNow())
        assert writer.dropped == 52
        store.free.set()
    (record,) = store.records()
    assert record.summary is not None
    assert record.summary.scanned_s == 2.0
    assert record.summary.frames_dropped == 52


def test_a_scan_begins_with_contact_and_ends_by_itself(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        writer.offer(sight(0.0, State.NO_CONTACT, picture=PICTURE))
        scan(writer, 0.5, 1.0)
        writer.offer(sight(IDLE_END_S + 2.0, State.NO_CONTACT, picture=PICTURE))
        until(lambda: writer.shown.ended)
        writer.offer(sight(IDLE_END_S + 3.0, picture=PICTURE))
        writer.order(End())
        writer.offer(sight(IDLE_END_S + 4.0, picture=PICTURE))
    assert len(store.records()) == 2


def test_the_pre_roll_is_bounded_and_starts_anew_when_time_goes_back() -> None:
    ring = PreRoll(5.0)
    for step in range(300):
        ring.add(step / 30, PICTURE)
    times = [at for at, _ in ring.pictures()]
    assert times[-1] - times[0] <= 5.0
    ring.add(0.0, PICTURE)
    assert [at for at, _ in ring.pictures()] == [0.0]
    small = PreRoll(5.0, bytes_most=ring.held_bytes * 3)
    for step in range(30):
        small.add(step / 10, PICTURE)
    assert small.held_bytes <= ring.held_bytes * 3


def test_a_clip_of_odd_sides_is_grey_and_true(tmp_path: Path) -> None:
    picture: Grey = np.asarray(screen()[:201, :301])
    path = tmp_path / "clip.mp4"
    assert write_clip(path, iter([(1.0, picture), (1.5, picture)])) == 2
    with av.open(str(path)) as clip:
        frame = next(clip.decode(video=0)).to_ndarray(format="gray")
    assert frame.shape == (200, 300)
    assert np.mean(np.abs(frame.astype(int) - picture[:200, :300])) < 4
    assert write_clip(tmp_path / "none.mp4", iter([])) == 0


def test_leaving_answers_who_still_waits(tmp_path: Path) -> None:
    with writing(Store(tmp_path, 100)) as writer:
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "scan-writer"]
    assert writer.shown.ended is None


def test_a_scan_that_somebody_begins_replaces_an_empty_one(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        writer.offer(sight(0.0, picture=PICTURE))
        writer.order(Begin("WL-1"))
        writer.offer(sight(0.1, picture=PICTURE))
        writer.order(Begin("WL-2"))
    assert sorted(one.token for one in store.records()) == ["WL-1", "WL-2"]


def test_a_page_that_no_longer_waits_harms_nobody(tmp_path: Path) -> None:
    store = BlockedStore(tmp_path)
    with writing(store) as writer:
        writer.order(Begin("WL-1"))
        assert store.entered.wait(20)
        gone = writer.fetch("any", "m001.png")
        assert gone.cancel()
        store.free.set()
        assert writer.fetch("any", "m001.png").result(20) is None
    assert not writer.trouble
