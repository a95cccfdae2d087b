"""The agent's side of the outbox: a thread of its own, so that a slow disk never delays a frame."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sono_edge.drift_box import Counted
from sono_edge.outbox import Outbox
from sono_models.errors import SonoError, Stopped, Unavailable
from sono_models.messages import Alert, Vitals
from sono_models.updates import UpdateReport

log = logging.getLogger(__name__)

BEAT_S = 1.0
"""How often the depth is read, since the uplink deletes behind our back."""
RETRY_FIRST_S, RETRY_LONGEST_S = 0.2, 5.0
DRIFT_MOST = 50
DRAIN_S = 5.0
"""How long leaving waits for a disk that takes nothing."""


@dataclass(frozen=True, slots=True)
class _Raised:
    alert: Alert
    at: datetime

    def into(self, outbox: Outbox) -> None:
        outbox.add(self.alert, self.at)


@dataclass(frozen=True, slots=True)
class _Reported:
    report: UpdateReport

    def into(self, outbox: Outbox) -> None:
        outbox.report(self.report)


class AlertWriter:
    """Owns the agent's outbox. `put` returns at once; alerts reach the disk in the order they were put.

    While the disk takes nothing they wait in memory, in order, and `trouble` says so. Leaving writes what
    waits, for at most `drain_s`.
    """

    def __init__(
        self,
        path: Path,
        site: str,
        device: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        drain_s: float = DRAIN_S,
    ) -> None:
        self._box = (path, site, device)
        self._now = now
        self._drain_s = drain_s
        self._inbox: queue.SimpleQueue[_Raised | _Reported | Vitals | Counted | None] = queue.SimpleQueue()
        self._waiting: deque[_Raised | _Reported] = deque()
        self._vitals: Vitals | None = None
        self._drift: deque[Counted] = deque(maxlen=DRIFT_MOST)
        self._wait_s = RETRY_FIRST_S
        self._end_by: float | None = None
        self._stored = 0
        self._thread = threading.Thread(target=self._run, name="alert-writer")
        self.committed = 0
        """Alerts that are on disk since the start."""
        self.kept_drift: bytes | None = None
        """What the run before had counted for drift, once this is entered."""
        self.trouble = ""
        """What keeps alerts off the disk, in words for the page; empty when nothing does."""

    @property
    def depth(self) -> int:
        """Alerts and update reports that the fleet does not have yet: on disk and in memory."""
        return self._stored + len(self._waiting)

    def put(self, alert: Alert) -> None:
        self._inbox.put(_Raised(alert, self._now()))

    def report(self, report: UpdateReport) -> None:
        """What became of an update, among the alerts and as sure to arrive."""
        self._inbox.put(_Reported(report))

    def put_vitals(self, vitals: Vitals) -> None:
        """The newest wins."""
        self._inbox.put(vitals)

    def put_drift(self, counted: Counted) -> None:
        """While the disk takes nothing, the newest DRIFT_MOST wait."""
        self._inbox.put(counted)

    def __enter__(self) -> Self:
        """Raises BadConfig when the outbox is another device's. A disk that is full now is tried again later."""
        with suppress(Stopped, Unavailable), Outbox(*self._box) as outbox:
            self.kept_drift = outbox.drift_tally()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._inbox.put(None)
        self._thread.join(self._drain_s + 2 * RETRY_LONGEST_S)
        if self._thread.is_alive():
            raise Stopped("the alert writer", "the disk does not answer", "Check the disk under state.folder")
        if self._waiting:
            log.error("outbox: %d alerts could not be written and are lost: %s", len(self._waiting), self.trouble)

    def _run(self) -> None:
        while True:
            try:
                with Outbox(*self._box) as outbox:
                    self._work(outbox)
                    return
            except SonoError as problem:
                self._is_in_trouble(str(problem), problem.reason)
            except Exception:
                log.exception("outbox: a fault in the alert writer; it starts again")
                self._is_in_trouble("a fault in the program", "a fault in the program, see the log")
            if self._end_by is not None and time.monotonic() >= self._end_by:
                return
            self._receive()

    def _work(self, outbox: Outbox) -> None:
        """Until everything is written and no more comes."""
        while True:
            self._write(outbox)
            if self._end_by is not None:
                return
            self._receive()

    def _receive(self) -> None:
        """Wait for something to do; in trouble, for the next attempt."""
        pause_s = self._wait_s if self.trouble else BEAT_S
        deadline = time.monotonic() + (RETRY_FIRST_S if self._end_by is not None else pause_s)
        while (left := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._take(self._inbox.get(timeout=left))
                if not self.trouble or self._end_by is not None:
                    break
        with suppress(queue.Empty):
            while True:
                self._take(self._inbox.get_nowait())

    def _take(self, item: _Raised | _Reported | Vitals | Counted | None) -> None:
        if item is None:
            self._end_by = time.monotonic() + self._drain_s
        elif isinstance(item, Vitals):
            self._vitals = item
        elif isinstance(item, Counted):
            self._drift.append(item)
        else:
            self._waiting.append(item)

    def _write(self, outbox: Outbox) -> None:
        while self._waiting:
            self._waiting[0].into(outbox)
            self.committed += isinstance(self._waiting.popleft(), _Raised)
        if self._vitals is not None:
            outbox.put_vitals(self._vitals)
            self._vitals = None
        while self._drift:
            outbox.put_drift(self._drift[0])
            self._drift.popleft()
        self._stored = outbox.depth()
        if self.trouble:
            log.warning("outbox: alerts reach the disk again")
        self.trouble, self._wait_s = "", RETRY_FIRST_S

    def _is_in_trouble(self, words: str, reason: str) -> None:
        if not self.trouble:
            log.warning("outbox: alerts wait in memory: %s", words)
        self.trouble = f"Alerts wait in memory: {reason}"
        self._wait_s = min(self._wait_s * 2, RETRY_LONGEST_S)
