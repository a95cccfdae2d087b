"""The scan's thread: takes what was judged from the frame loop, and keeps what is worth keeping.

`offer`, `tell` and `order` return at once, whatever the disk does: behind by BACKLOG frames, pictures are left
out and counted, and time goes on being counted. Everything that is slow (finding the region, encoding, writing,
reading for the page) happens on this thread. A scan begins by `Begin`, or by itself with the first contact; it
ends by `End`, or by itself after ten minutes without contact.
"""

from __future__ import annotations

import logging
import math
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Self

import msgspec

from sono_edge.scan.clip import AFTER_S, Clips, Made
from sono_edge.scan.course import AWAY, Course, acknowledgement, with_step
from sono_edge.scan.kept import described, png, saliency, storable
from sono_edge.scan.preroll import PreRoll
from sono_edge.scan.records import CaptureKind, CaptureRecord, ScanRecord
from sono_edge.scan.selection import Choice, close, consider
from sono_edge.scan.shown import NOTHING, Retention, Shown, lines_of, now_of
from sono_edge.scan.sight import AlertStep, Begin, End, KeepNow, Order, Sight
from sono_edge.scan.store import MB, STAMP, Store
from sono_edge.scan.summary import System, recounted, summarise, with_impression
from sono_edge.scan.wishes import Wishes
from sono_models.errors import SonoError, Stopped
from sono_models.inputs import InputSpec
from sono_models.messages import Alert, rfc3339

log = logging.getLogger(__name__)

BACKLOG = 16
"""Frames that may wait with their pictures: half a second at 30 fps, 5 MB of 640 x 480."""
BACKLOG_MOST = 20_000
"""Frames that may wait without: eleven minutes."""
MANUAL_MOST = 200
"""Of one scan: a foot switch that sticks fills no disk."""
PUBLISH_EVERY_S = 0.5
PURGE_EVERY_S = 600.0
JOIN_S = 20.0


class Wake(Enum):
    """Something else than a frame waits, or nothing does and there is time for a clip."""

    UP = "up"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Means:
    """What the writer works with."""

    store: Store
    spec: InputSpec
    system: System
    preroll_s: float = 5.0
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    keep_days: int = 0
    """Older scans go; 0: none does but for room."""
    acknowledged: Callable[[Alert], None] = lambda _alert: None
    """Hears that somebody has seen an alert which an earlier run raised; it returns at once."""


class ScanWriter:
    """Owns the store. A context manager: leaving it ends the scan that runs and writes what waits."""

    def __init__(self, means: Means, *, backlog: int = BACKLOG) -> None:
        self.recording = True
        self.trouble = ""
        """What keeps pictures off the disk, in words for the page; empty when nothing does."""
        self.dropped = 0
        """Frames whose picture was left out since the start."""
        self.shown: Shown = NOTHING
        """What the page asks for, swapped whole."""
        self._means = means
        self._store = means.store
        self._backlog = backlog
        self._inbox: queue.SimpleQueue[Sight | AlertStep | Order | Wake | None] = queue.SimpleQueue()
        self._wishes = Wishes()
        self._ring = PreRoll(means.preroll_s)
        self._clips = Clips(means.store)
        self._course: Course | None = None
        self._newest: Sight | None = None
        self._armed = True
        self._published_s = 0.0
        self._purged_s = -math.inf
        self._thread = threading.Thread(target=self._run, name="scan-writer")

    def offer(self, sight: Sight) -> None:
        waiting = self._inbox.qsize()
        if waiting >= self._backlog:
            self.dropped += 1
            if waiting >= BACKLOG_MOST:
                return
            sight = replace(sight, picture=None, reading=None)
        self._inbox.put(sight)

    def tell(self, step: AlertStep) -> None:
        self._inbox.put(step)

    def order(self, order: Order) -> None:
        self._inbox.put(order)

    @property
    def running(self) -> bool:
        """Whether a scan runs, as of the last frame that was taken in."""
        return self._course is not None

    def judged_by(self, spec: InputSpec, system: System) -> None:
        """Another bundle judges from here on; replaced whole, so that neither thread waits."""
        self._means = replace(self._means, spec=spec, system=system)

    def fetch(self, scan: str, name: str) -> Future[bytes | None]:
        """A file's bytes, or None; for the page's own thread to wait for."""
        answer = self._wishes.ask(scan, name)
        self._inbox.put(Wake.UP)
        return answer

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._inbox.put(None)
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            raise Stopped("the scan writer", "the disk does not answer", "Check the disk under state.folder")

    def _run(self) -> None:
        self._try(self._store.open)
        self._purge(0.0)
        self._publish()
        while (item := self._next()) is not None:
            try:
                self._take(item)
            except Exception:
                log.exception("scans: a fault in the scan writer; it goes on")
                self.trouble = "Recording stopped: a fault in the program, see the log"
                self._publish()
        self._end()
        self._wishes.serve(self._store.read)

    def _next(self) -> Sight | AlertStep | Order | Wake | None:
        """What waits; while a clip is being made, that there is time for it."""
        try:
            return self._inbox.get(timeout=self._clips.pause_s)
        except queue.Empty:
            return Wake.IDLE

    def _take(self, item: Sight | AlertStep | Order | Wake) -> None:
        self._wishes.serve(self._store.read)
        if isinstance(item, Sight):
            self._see(item)
        elif not isinstance(item, Wake):
            self._obey(item)
            self._publish()
        self._try(lambda: self._made(self._clips.work(idle=item is Wake.IDLE)))

    def _obey(self, item: AlertStep | Order) -> None:
        match item:
            case AlertStep():
                self._alert(item)
            case KeepNow():
                self._keep_now("manual")
            case Begin(token):
                if self._course is not None and self._course.empty:
                    self._course = None
                self._end()
                self._begin(token, self._newest)
            case End(impression, scan):
                self._end_as_meant(impression, scan)

    def _see(self, sight: Sight) -> None:
        self._purge(sight.captured_s)
        self._remember(sight)
        if sight.state in AWAY:
            self._armed = True
        elif self._course is None and self._armed:
            self._begin("", sight)
        course = self._course
        if course is None:
            return
        course.see(sight)
        course.selection, choice = consider(course.selection, sight)
        if choice is not None:
            self._keep_choice(course, choice)
        if course.idle(sight):
            self._end()
            self._armed = True
        if abs(sight.captured_s - self._published_s) >= PUBLISH_EVERY_S:
            self._published_s = sight.captured_s
            self._publish()

    def _remember(self, sight: Sight) -> None:
        """Its picture, for a while."""
        if sight.picture is None:
            return
        self._newest = sight
        still = self._ring.add(sight.captured_s, sight.picture)
        if still is not None:
            self._clips.offer(still)

    def _begin(self, token: str, newest: Sight | None) -> None:
        at = self._means.now()
        name = f"{at:{STAMP}}-{secrets.token_hex(3)}"
        began_s = newest.captured_s if newest else 0.0
        self._course = Course(ScanRecord(name, rfc3339(at), token), began_s, began_s, dropped_before=self.dropped)
        self._armed = False
        if token:
            self._save()

    def _save(self) -> None:
        course = self._course
        if course is not None:
            self._try(lambda: self._store.save(course.record))

    def _end(self) -> None:
        course, self._armed = self._course, False
        if course is None:
            return
        while self._clips.pending:
            self._wishes.serve(self._store.read)
            self._try(lambda: self._made(self._clips.close()))
        course.selection, choice = close(course.selection)
        if choice is not None:
            self._keep_choice(course, choice)
        dropped = self.dropped - course.dropped_before
        summary = summarise(course.record, course.tally, self._means.system, began_s=course.began_s, dropped=dropped)
        record = msgspec.structs.replace(course.record, ended_at=rfc3339(self._means.now()), summary=summary)
        self._course = None
        self._ended(record)

    def _ended(self, record: ScanRecord) -> None:
        self._try(lambda: self._store.save(record))
        self.shown = msgspec.structs.replace(self.shown, ended=record)
        self._publish()

    def _amend(self, record: ScanRecord) -> None:
        """A scan that ended before is saved again."""
        ended = self.shown.ended
        if ended is not None and ended.id == record.id:
            self._ended(record)
        else:
            self._try(lambda: self._store.save(record))

    def _end_as_meant(self, impression: int | None, scan: str) -> None:
        """`scan` empty: whichever runs; one that runs beside the one that is meant goes on."""
        if not scan or (self._course is not None and self._course.record.id == scan):
            self._end()
        meant = next((one for one in self._past() if not scan or one.id == scan), None)
        if impression is not None and meant is not None and meant.summary is not None:
            self._amend(msgspec.structs.replace(meant, summary=with_impression(meant.summary, impression)))

    def _past(self) -> Iterator[ScanRecord]:
        """The scans that do not run: first the one that ended last, as it is in memory, then the others."""
        ended, running = self.shown.ended, "" if self._course is None else self._course.record.id
        if ended is not None:
            yield ended
        for one in self._store.records():
            if one.id != running and (ended is None or one.id != ended.id):
                yield one

    def _alert(self, step: AlertStep) -> None:
        course = self._course
        if course is not None and (after := with_step(course.record, step, course.began_s)) is not None:
            course.record = after
            if step.kind == "raised":
                self._keep_now("alert", step.alert)
            self._save()
        late = (with_step(one, step, 0.0) for one in self._past()) if step.kind == "acknowledged" else ()
        changed = next((one for one in late if one is not None), None)
        if changed is None:
            return
        self._amend(recounted(changed))
        if step.message is None and (seen := acknowledgement(changed, step.alert)) is not None:
            self._means.acknowledged(seen)  # of an earlier run: only its scan knows what it was

    def _keep_now(self, kind: CaptureKind, alert: str = "") -> None:
        """The newest picture with the seconds before it."""
        if self._newest is None:
            return
        if self._course is None:
            self._begin("", self._newest)
        course = self._course
        assert course is not None
        if kind == "manual" and course.manual >= MANUAL_MOST:
            self.trouble = f"Not captured: {MANUAL_MOST} captures in one scan"
            return
        course.manual += 1
        name = f"{kind[0]}{course.manual:03}"
        capture = described(self._newest, name, kind, course.began_s, alert)
        self._try(lambda: self._keep(course, self._newest, capture, clip=self._means.preroll_s > 0))

    def _keep_choice(self, course: Course, choice: Choice) -> None:
        name = f"b{choice.number:03}"

        def keep() -> None:
            if self._keep(course, choice.sight, described(choice.sight, name, "automatic", course.began_s)):
                course.by_number[choice.number] = name
            going = course.by_number.pop(choice.instead_of, None) if choice.instead_of else None
            self._drop(course, going)

        self._try(keep)

    def _keep(self, course: Course, sight: Sight | None, capture: CaptureRecord, *, clip: bool = False) -> bool:
        """Clean, encode and write a picture, then its record, then its clip: what is slow comes last."""
        picture = None if sight is None or sight.picture is None else storable(sight.picture)
        if picture is None or sight is None:
            self._say("Not captured: the ultrasound region was not found")
            return False
        scan = course.record.id
        self._store.put(scan, f"{capture.id}.png", png(picture))
        seen = saliency(sight, self._means.spec)
        if seen is not None:
            self._store.put(scan, f"{capture.id}-saliency.png", png(seen))
        capture = msgspec.structs.replace(capture, saliency=seen is not None)
        course.note(capture)
        self._store.save(course.record)
        self._say("")
        if clip:
            self._begin_clip(course, capture, sight.captured_s + AFTER_S)
        return True

    def _begin_clip(self, course: Course, capture: CaptureRecord, until_s: float) -> None:
        while self._clips.full:
            self._made(self._clips.close())
        self._clips.begin(course.record.id, capture.id, self._ring.stills, until_s)

    def _made(self, made: Made | None) -> None:
        """A clip is there: the record names it."""
        course = self._course
        if made is None or made.from_s is None or course is None or course.record.id != made.scan:
            return
        capture = next((one for one in course.record.captures if one.id == made.capture), None)
        if capture is not None:
            from_s = round(made.from_s - course.began_s, 3)
            course.note(msgspec.structs.replace(capture, clip=True, clip_from_s=from_s))
            self._store.save(course.record)

    def _drop(self, course: Course, name: str | None) -> None:
        """A capture that made room for a better one; its record goes first."""
        going = course.forget(name)
        if going is not None:
            self._store.save(course.record)
            self._store.remove(course.record.id, going)

    def _try(self, write: Callable[[], object]) -> None:
        """What the disk refuses is said, and recording is tried again with the next capture."""
        try:
            write()
        except SonoError as problem:
            self._say(f"Recording stopped: {problem.reason}")

    def _say(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("scans: %s", trouble)
        elif self.trouble and not trouble:
            log.warning("scans: recording goes on")
        self.trouble = trouble

    def _publish(self) -> None:
        course = self._course
        records = self._store.records()
        elapsed_s = sum(course.tally.seconds.values()) if course else 0.0
        now = now_of(course.record if course else None, elapsed_s, self.dropped, self.trouble)
        retention = Retention(round(self._store.used_bytes / MB, 1), self._store.quota_mb, self._means.keep_days)
        self.shown = Shown(now, self.shown.ended, lines_of(records), records, retention)

    def _purge(self, captured_s: float) -> None:
        """Now and then, what was kept long enough goes; the scan that runs never."""
        due_s = abs(captured_s - self._purged_s)
        if self._means.keep_days and due_s >= PURGE_EVERY_S:
            self._purged_s = captured_s
            before = self._means.now() - timedelta(days=self._means.keep_days)
            running = "" if self._course is None else self._course.record.id
            self._try(lambda: self._store.purge(before, running))
