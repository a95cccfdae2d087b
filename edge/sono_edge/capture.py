"""From a source to whoever scores: a decode thread, and the place where it leaves its frames."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Self

from sono_edge.frames import Frame, Source
from sono_edge.meter import Rate
from sono_models.errors import SourceLost, Stopped, Unavailable

log = logging.getLogger(__name__)

RING_FRAMES = 4
JOIN_TIMEOUT_S = 15.0
"""Longer than a source may block: opening a stream takes up to 5 s, reading from one 3 s."""
STEADY_S = 5.0
"""A connection that held this long was a good one: the next loss starts again with short delays."""
SILENT_S = 2.0
"""A live source without a frame for this long is in trouble, whatever its connection says."""
USUAL_INTERVAL_S = 1 / 30
"""Between the rounds of a looped picture that has no other frame to tell."""
STALL_S = 1.0
"""A player this late does not hurry to catch up: it goes on from now."""


class NewestFrame:
    """One place: a new frame replaces one that was not taken, which is counted; none is taken twice."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        return self._dropped

    @property
    def finished(self) -> bool:
        """Closed, and the last frame was taken."""
        with self._changed:
            return self._closed and self._frame is None

    def put(self, frame: Frame) -> None:
        """Leave a frame; at once, whatever the taker does."""
        with self._changed:
            if self._frame is not None:
                self._dropped += 1
            self._frame = frame
            self._changed.notify_all()

    def take(self, timeout_s: float | None) -> Frame | None:
        """The frame, waited for up to `timeout_s` (None: for ever); None when none came or none will."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout_s)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """No frame comes any more. One that is inside may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class FrameRing:
    """Decodes a few frames ahead of whoever iterates, in a thread of its own: in order, nothing dropped.

    For files whose every frame is wanted; iterate once. The source must be entered, and is left to its owner to
    close, after the ring. Iterating raises what ended the source, behind its last frame; leaving early sets `stop`.
    """

    def __init__(self, source: Source, stop: threading.Event | None = None, *, places: int = RING_FRAMES) -> None:
        self._source = source
        self._stop = stop or threading.Event()
        self._places = places
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"decode-{source.kind}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        join(self._thread)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._ended)
                if not self._frames:
                    break
                frame = self._frames.popleft()
                self._changed.notify_all()
            yield frame
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for frame in self._source.frames(self._stop):
                if not self._put(frame):
                    break
        except Exception as error:  # noqa: BLE001  (the thread's outermost frame: iterating raises it again)
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> bool:
        """Wait for room; false when nobody iterates any more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames) < self._places or self._ended)
            if not self._ended:
                self._frames.append(frame)
                self._changed.notify_all()
            return not self._ended


def join(thread: threading.Thread, timeout_s: float = JOIN_TIMEOUT_S) -> None:
    """Wait for a thread that was told to stop. Raises Stopped when it hangs."""
    thread.join(timeout_s)
    if thread.is_alive():
        reason = f"did not end within {timeout_s:.0f} s of being stopped"
        raise Stopped(thread.name, reason, "The source's driver or decoder hangs: restart the program")


def backoff_s(attempt: int, jitter: float, *, first_s: float = 0.25, longest_s: float = 8.0) -> float:
    """How long to wait before the `attempt`-th try (0 is the first); `jitter` 0 to 1 shortens it by up to half."""
    return min(longest_s, first_s * 2.0 ** min(attempt, 30)) * (1.0 - jitter / 2)


class Capture:
    """Owns the thread that runs a source into a one-place slot. Leaving it stops, joins, and closes the source.

    A live source's frames come as they arrive, and a loss (Unavailable) is retried for ever, later and later. Any
    other is played at its own times as if it were live, again and again with `loop`. Any other failure ends the
    capture and is raised by `take`, or on leaving if it was never taken. Frames are numbered anew, so that an
    index is never seen twice, and `arrived_s` is set by `clock` (monotonic, seconds). `wait(stop, seconds)` waits,
    and returns early when stopped.
    """

    def __init__(
        self,
        source: Source,
        *,
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        join_timeout_s: float = JOIN_TIMEOUT_S,
        longest_wait_s: float = math.inf,
    ) -> None:
        """`longest_wait_s`: a longer gap between two played frames is cut short."""
        self.frames_in = 0
        """Decoded so far."""
        self.losses = 0
        """How often a live source was lost."""
        self._source = source
        self._loop = loop
        self._clock = clock
        self._wait = wait
        self._join_timeout_s = join_timeout_s
        self._longest_wait_s = longest_wait_s
        self._slot = NewestFrame()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._trouble = ""
        self._rate = Rate()
        self._newest_s = clock()
        self._last_captured_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"capture-{source.kind}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._stop.set()
        join(self._thread, self._join_timeout_s)
        if error is None:
            self._raise_failure()

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before they were taken."""
        return self._slot.dropped

    @property
    def finished(self) -> bool:
        """Every frame was taken or dropped, and none will come."""
        return self._slot.finished

    @property
    def trouble(self) -> str:
        """What is wrong with a live source, in words without an address; empty while frames come."""
        if self._trouble or not self._source.live:
            return self._trouble
        silent_s = self._clock() - self._newest_s
        return f"no frame for {silent_s:.0f} s" if silent_s > SILENT_S else ""

    def fps(self, now_s: float) -> float:
        """Frames a second that came in during the last RATE_OVER_S."""
        return self._rate.per_s(now_s)

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, waited for up to `timeout_s`; None when none came or, if `finished`, none will.

        Raises what ended the source, once the last frame before it was taken.
        """
        frame = self._slot.take(timeout_s)
        if frame is None and self._slot.finished:
            self._raise_failure()
        return frame

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _run(self) -> None:
        try:
            if self._source.live:
                self._run_live()
            else:
                self._run_paced()
        except Exception as error:  # noqa: BLE001  (the thread's outermost frame: `take` raises it again)
            self._failure = error
        finally:
            self._slot.close()

    def _run_live(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            begun_s = self._clock()
            try:
                self._stay_connected()
            except Unavailable as error:
                attempt = 0 if self._clock() - begun_s >= STEADY_S else attempt
                self._lost(error)
                self._wait(self._stop, backoff_s(attempt, random.random()))  # noqa: S311  (jitter, not a secret)
                attempt += 1

    def _stay_connected(self) -> None:
        with self._source as source:
            for frame in source.frames(self._stop):
                self._recovered()
                self._put(frame, frame.captured_s)
        if not self._stop.is_set():
            raise SourceLost(self._source.kind, "ended", "Check that it still sends")

    def _run_paced(self) -> None:
        offset_s, interval_s, anchor_s = 0.0, USUAL_INTERVAL_S, None
        while not self._stop.is_set():
            begun = self.frames_in
            with self._source as source:
                for frame in source.frames(self._stop):
                    captured_s = frame.captured_s + offset_s
                    anchor_s = self._clock() - captured_s if anchor_s is None else anchor_s
                    anchor_s = self._keep_pace(anchor_s + captured_s) - captured_s
                    if self._stop.is_set():
                        return
                    interval_s = captured_s - self._last_captured_s if self.frames_in > begun else interval_s
                    self._put(frame, captured_s)
            if not self._loop or self.frames_in == begun:
                return
            offset_s = self._last_captured_s + interval_s

    def _keep_pace(self, due_s: float) -> float:
        """Wait until a frame is due; the time it counts as shown at, from which the next ones are reckoned."""
        early_s = due_s - self._clock()
        cut_s = max(0.0, early_s - self._longest_wait_s)
        if early_s > 0:
            self._wait(self._stop, early_s - cut_s)
        return due_s - cut_s if early_s > -STALL_S else due_s - early_s

    def _put(self, frame: Frame, captured_s: float) -> None:
        self._newest_s = frame.arrived_s or self._clock()
        self._last_captured_s = captured_s
        self._rate.add(self._newest_s)
        numbered = replace(frame, index=self.frames_in, captured_s=captured_s, arrived_s=self._newest_s)
        self.frames_in += 1
        self._slot.put(numbered)

    def _lost(self, error: Unavailable) -> None:
        self.losses += 1
        level = logging.DEBUG if self._trouble else logging.WARNING
        log.log(level, "%s; trying again until it is back", error)
        self._trouble = error.reason

    def _recovered(self) -> None:
        if self._trouble:
            log.info("The source is back: %s", self._source.kind)
            self._trouble = ""
