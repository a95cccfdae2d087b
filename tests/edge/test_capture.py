from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sono_edge.capture import Capture, FrameRing, NewestFrame, backoff_s
from sono_edge.frames import Frame, SourceKind
from sono_edge.meter import Rate
from sono_edge.sources import open_source
from sono_edge.sweep import write_clip
from sono_models.errors import BadSource, SourceLost, Stopped
from tests.support.clips import FPS, grey, greys
from tests.support.mjpeg_server import MjpegServer
from tests.support.waiting import until

PICTURE = np.zeros((2, 2), np.uint8)


def frame(index: int, captured_s: float | None = None) -> Frame:
    return Frame(index, index / FPS if captured_s is None else captured_s, 0.0, PICTURE)


@dataclass
class Script:
    """A source that does what it is told; `rounds` are what it gives each time it is entered."""

    rounds: Iterator[list[Frame | Exception]]
    live: bool = False
    kind: SourceKind = "video"
    entered: int = 0
    left: int = 0
    stays: bool = False
    """Whether, after a round, it waits for `stop` as a silent camera does."""
    _now: list[Frame | Exception] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.entered += 1
        self._now = next(self.rounds, [])
        return self

    def __exit__(self, *exc: object) -> None:
        self.left += 1

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        for step in self._now:
            if isinstance(step, Exception):
                raise step
            if stop.is_set():
                return
            yield step
        if self.stays:
            stop.wait(20)


class Time:
    """A clock that only waiting moves; every wait is kept."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds
        return stop.is_set()


def lost(reason: str = "went away") -> SourceLost:
    return SourceLost("camera", reason, "Plug it in")


def taken(capture: Capture) -> list[Frame]:
    """Everything that can be taken until the capture ends."""
    found: list[Frame] = []
    while not capture.finished:
        newest = capture.take(5)
        if newest is not None:
            found.append(newest)
    return found


# The slot


@given(st.lists(st.booleans(), max_size=200))
def test_every_frame_is_taken_once_or_counted_as_dropped(puts: list[bool]) -> None:
    slot, put, seen = NewestFrame(), 0, []
    for is_put in puts:
        if is_put:
            slot.put(frame(put))
            put += 1
        elif (newest := slot.take(0)) is not None:
            assert newest.index == put - 1, "the newest wins"
            seen.append(newest.index)
    slot.close()
    waiting = slot.take(0)
    assert slot.take(0) is None
    assert seen == sorted(set(seen)), "none twice, in order"
    assert len(seen) + (waiting is not None) + slot.dropped == put


def test_two_threads_share_the_slot_without_losing_count() -> None:
    slot, count, seen = NewestFrame(), 5000, []

    def put_all() -> None:
        for index in range(count):
            slot.put(frame(index))
        slot.close()

    writer = threading.Thread(target=put_all)
    writer.start()
    while not slot.finished:
        if (newest := slot.take(5)) is not None:
            seen.append(newest.index)
    writer.join()
    assert seen == sorted(set(seen))
    assert seen[-1] == count - 1
    assert len(seen) + slot.dropped == count


def test_closing_wakes_who_waits() -> None:
    slot = NewestFrame()
    threading.Timer(0.02, slot.close).start()
    assert slot.take(None) is None


def test_back_off_doubles_is_capped_and_jittered() -> None:
    assert [backoff_s(attempt, 0.0) for attempt in range(7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert backoff_s(10_000, 0.0) == 8.0
    assert backoff_s(0, 1.0) == 0.125


def test_the_rate_is_of_the_last_two_seconds() -> None:
    rate = Rate()
    for index in range(90):
        rate.add(index / 30)
    assert rate.per_s(89 / 30) == pytest.approx(30, rel=0.01)
    assert rate.per_s(4.0) < 30
    assert rate.per_s(60.0) == 0.0


# The ring


def test_the_ring_gives_every_frame_in_order() -> None:
    source = Script(iter([[frame(index) for index in range(50)]]))
    with source, FrameRing(source) as ring:
        assert [found.index for found in ring] == list(range(50))


def test_the_ring_decodes_no_more_than_its_places_ahead() -> None:
    made: list[int] = []

    def endless() -> Iterator[Frame | Exception]:
        for index in itertools.count():
            made.append(index)
            yield frame(index)

    source = Script(iter([]))
    source._now = endless()  # type: ignore[assignment]
    with FrameRing(source, places=4) as ring:
        first = next(iter(ring))
        until(lambda: len(made) >= 6)
        assert first.index == 0
    assert len(made) <= 7, "one taken, four waiting, one in the hand, one being made as it ends"


def test_the_ring_raises_what_ended_the_source_behind_its_last_frame() -> None:
    source = Script(iter([[frame(0), frame(1), BadSource("clip", "breaks off", "Copy it")]]))
    seen: list[int] = []
    with source, FrameRing(source) as ring, pytest.raises(BadSource, match="breaks off"):
        seen.extend(found.index for found in iter(ring))
    assert source.left == 1


def test_leaving_the_ring_early_stops_its_thread(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(50), FPS)
    stop = threading.Event()
    with open_source(str(tmp_path / "a.mp4")) as source, FrameRing(source, stop) as ring:
        assert next(iter(ring)).index == 0
    assert stop.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode-")]


# Files, paced


def paced(source: Script, clock: Time, *, loop: bool = False) -> Capture:
    return Capture(source, loop=loop, clock=clock, wait=clock.wait)


def test_a_file_is_played_at_its_own_times() -> None:
    clock = Time()
    times_s = [0.0, 0.1, 0.15, 0.4]
    source = Script(iter([[frame(index, at_s) for index, at_s in enumerate(times_s)]]))
    with paced(source, clock) as capture:
        found = taken(capture)
    assert clock.waits == pytest.approx([0.1, 0.05, 0.25])
    assert len(found) + capture.dropped == capture.frames_in == 4
    assert found[-1].captured_s == 0.4
    assert found[-1].arrived_s == pytest.approx(1000.4)
    assert source.entered == source.left == 1


def test_a_player_that_is_late_does_not_hurry_through_a_long_stall() -> None:
    clock = Time()

    def stalling() -> Iterator[Frame | Exception]:
        yield frame(0, 0.0)
        clock.now_s += 5
        yield frame(1, 0.1)
        yield frame(2, 0.2)

    source = Script(iter([stalling()]))  # type: ignore[list-item]
    with paced(source, clock) as capture:
        taken(capture)
    assert clock.waits == pytest.approx([0.1])


def test_a_looped_file_goes_on_in_time_and_in_number() -> None:
    clock = Time()
    rounds: list[list[Frame | Exception]] = [[frame(0, 0.0), frame(1, 0.5)]] * 3
    source = Script(iter(rounds))
    with paced(source, clock, loop=True) as capture:
        found = taken(capture)
    assert clock.waits == pytest.approx([0.5] * 5)
    assert capture.frames_in == 6
    assert found[-1].index == 5
    assert found[-1].captured_s == pytest.approx(2.5)
    assert source.entered == source.left == 4, "a round without a frame ends the loop"


def test_a_looped_still_does_not_spin() -> None:
    clock = Time()
    source = Script(iter([[frame(0, 0.0)]] * 4))
    with paced(source, clock, loop=True) as capture:
        taken(capture)
    assert clock.waits == pytest.approx([1 / 30] * 3)


def test_a_real_clip_is_played_to_its_end(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(20), FPS)
    clock = Time()
    with Capture(open_source(str(tmp_path / "a.mp4")), clock=clock, wait=clock.wait) as capture:
        found = taken(capture)
    assert len(found) + capture.dropped == 20
    assert found[-1].index == 19
    assert abs(float(found[-1].picture.mean()) - float(grey(19).mean())) < 2
    assert clock.now_s == pytest.approx(1000 + 19 / FPS)


def test_what_is_wrong_with_a_file_reaches_who_takes() -> None:
    with Capture(open_source_later("absent.mp4")) as capture:
        until(lambda: capture.finished)
        with pytest.raises(BadSource, match="no such file"):
            capture.take(5)
        assert capture.take(5) is None, "it is told once"


def test_what_was_not_taken_is_raised_on_leaving() -> None:
    with pytest.raises(BadSource, match="no such file"), Capture(open_source_later("absent.mp4")) as capture:
        until(lambda: capture.finished)


def open_source_later(path: str) -> Script:
    error = BadSource(path, "there is no such file", "Check the path")
    return Script(iter([[error]]))


# Live


def test_a_lost_camera_is_tried_again_later_and_later() -> None:
    clock = Time()
    tries: list[list[Frame | Exception]] = [[lost()]] * 7
    source = Script(itertools.chain(tries, [[frame(0)]]), live=True, kind="v4l2", stays=True)
    with Capture(source, clock=clock, wait=clock.wait) as capture:
        found = capture.take(5)
        assert found is not None
        assert capture.trouble == ""
        assert capture.losses == 7
    shortest_s = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
    assert all(least <= waited <= 2 * least for least, waited in zip(shortest_s, clock.waits, strict=True))
    assert source.entered == source.left == 8


def test_a_steady_connection_forgives_earlier_losses() -> None:
    clock = Time()

    def steady() -> Iterator[Frame | Exception]:
        yield frame(0)
        clock.now_s += 10
        yield lost()

    rounds = [[lost()], [lost()], [lost()], steady(), [frame(1)]]
    source = Script(iter(rounds), live=True, stays=True)  # type: ignore[arg-type]
    with Capture(source, clock=clock, wait=clock.wait) as capture:
        until(lambda: capture.frames_in == 2)
    assert clock.waits[-1] <= 0.25


def test_frames_are_numbered_on_across_a_loss() -> None:
    clock = Time()
    source = Script(iter([[frame(0), frame(1), lost()], [frame(0)]]), live=True, stays=True)
    with Capture(source, clock=clock, wait=clock.wait) as capture:
        until(lambda: capture.frames_in == 3)
        newest = capture.take(5)
    assert newest is not None
    assert newest.index == 2


def test_a_live_source_that_merely_ends_is_a_loss() -> None:
    clock = Time()
    source = Script(iter([[frame(0)], [frame(1)]]), live=True)
    with Capture(source, clock=clock, wait=clock.wait) as capture:
        until(lambda: capture.losses >= 3)
        assert capture.trouble == "ended"
        assert not capture.finished


def test_a_silent_camera_is_in_trouble() -> None:
    clock = Time()
    source = Script(iter([[frame(0)]]), live=True, stays=True)
    with Capture(source, clock=clock, wait=clock.wait) as capture:
        assert capture.take(5) is not None
        assert capture.trouble == ""
        clock.now_s += 3
        assert capture.trouble == "no frame for 3 s"


def test_a_failure_that_waiting_does_not_mend_ends_a_live_capture() -> None:
    source = Script(iter([[ValueError("a bug")]]), live=True)
    with Capture(source) as capture, pytest.raises(ValueError, match="a bug"):
        capture.take(5)
    assert capture.finished


def test_the_first_loss_is_a_warning_and_its_repeats_are_not(caplog: pytest.LogCaptureFixture) -> None:
    clock = Time()
    source = Script(iter([[lost()], [lost()], [lost()], [frame(0)]]), live=True, stays=True)
    with caplog.at_level("DEBUG"), Capture(source, clock=clock, wait=clock.wait) as capture:
        assert capture.take(5) is not None
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "INFO"]


def test_a_thread_that_hangs_is_an_error_not_a_silence() -> None:
    release = threading.Event()

    class Hanging(Script):
        def frames(self, stop: threading.Event) -> Iterator[Frame]:  # noqa: ARG002  (deaf to it)
            release.wait(20)
            yield from ()

    capture = Capture(Hanging(iter([])), join_timeout_s=0.05)
    with pytest.raises(Stopped, match="did not end"), capture:
        pass
    release.set()
    until(lambda: capture.finished)


def test_a_camera_that_vanishes_and_returns_is_found_again_and_leaves_nothing_open() -> None:
    with MjpegServer() as server:
        port = server.port
    open_files: list[int] = []
    sizes_kb: list[int] = []
    with Capture(open_source(server.uri), wait=soon) as capture:
        for _ in range(12):
            with MjpegServer(port):
                seen = capture.frames_in
                until(lambda seen=seen: capture.frames_in > seen + 3)  # type: ignore[misc]
                assert capture.take(5) is not None
                assert capture.trouble == ""
            until(lambda: capture.trouble)
            open_files.append(len(list(Path("/proc/self/fd").iterdir())))
            sizes_kb.append(resident_kb())
    assert capture.losses >= 12
    assert open_files[-1] <= open_files[0]
    assert sizes_kb[-1] - sizes_kb[3] < 8_000, "an unclosed container keeps 2.2 MB, eight of them 18 MB"


def resident_kb() -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


def soon(stop: threading.Event, _: float) -> bool:
    """Wait for a moment, so that reconnecting does not take the test's time."""
    return stop.wait(0.02)


def test_leaving_a_live_capture_joins_its_thread() -> None:
    with MjpegServer() as server, Capture(open_source(server.uri)) as capture:
        newest = capture.take(10)
        assert newest is not None
        assert 0 <= time.monotonic() - newest.arrived_s < 60
        assert capture.fps(time.monotonic()) >= 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("capture-")]
