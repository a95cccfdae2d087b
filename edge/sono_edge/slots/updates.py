"""The thread beside the frame loop that brings a staged bundle to it, watches it, and takes it back.

Disk, child process and loading are this thread's; the loop only takes a ready engine from a queue between two frames.
What is current is what current.json says: a roll-back, from here or by `sono slots back`, changes that file, and the
thread then brings the loop to it.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from sono_edge.engine import Engine
from sono_edge.pipeline import Judged
from sono_edge.slots import law
from sono_edge.slots.boot import Booted, boot, shipped_slot
from sono_edge.slots.candidate import Candidate
from sono_edge.slots.law import Course, Finding, Moment, Served, Stage
from sono_edge.slots.means import Around, Means
from sono_edge.slots.records import Slot, Staged
from sono_edge.slots.reports import Evidence, finding_of, left_behind, report_of
from sono_edge.slots.watch import Watch
from sono_models.bundle import read
from sono_models.errors import Refused, SonoError, Stopped
from sono_models.updates import Phase

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How late a staged bundle, a roll-back by hand or a hang is noticed."""
NOTE_EVERY_S = 20.0
"""How often the probation's progress goes to disk."""
SETTLE_S = 2.0
"""How long a change of engine may take the loop before the thread looks again."""
FAULT_S = 30.0
REPORT_S = 1.0
"""For the report of a hang to reach the disk before the process ends."""
JOIN_S = 15.0


class BesideLoop:
    """`sono_edge.engine.Updates`. A context manager that owns its thread; `step` is one turn of it, for tests."""

    def __init__(self, means: Means, booted: Booted[Engine], around: Around) -> None:
        self.swaps = 0
        self._means, self._slots, self._around = means, means.slots, around
        self._slot = booted.slot
        self._threshold = booted.loaded.pipeline.threshold
        self._profile = booted.loaded.told.profile
        """What alerts call the site profile in force."""
        self._watch = Watch(means.quiet_s, means.clock())
        self._ready: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        self._old: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        self._taken = threading.Event()
        self._stop = threading.Event()
        self._candidate: Candidate | None = None
        self._began_s = self._noted_s = means.clock()
        self._base = booted.slot
        self._course = Course(Stage.ACTIVE)
        """Of the bundle on probation."""
        self._steady = False
        self._before_ms = booted.slot.before_ms
        self._troubled = False
        self._gone = booted.rolled_back
        self._thread = threading.Thread(target=self._run, name="updates")

    # the loop's side

    @property
    def missed_most(self) -> int:
        return self._watch.missed_most

    def turn(self, now: float) -> Engine | None:
        self._watch.beat(now)
        try:
            return self._ready.get_nowait()
        except queue.Empty:
            return None

    def took(self, engine: Engine, old: Engine) -> None:
        self.swaps += 1
        self._threshold = engine.pipeline.threshold
        self._profile = engine.told.profile
        self._watch.swapped()
        self._around.changed(engine)
        self._old.put(old)
        self._taken.set()

    def saw(self, judged: Judged, latency_ms: float, now: float) -> None:
        self._watch.saw(judged, self._threshold, latency_ms, now)

    # the thread's side

    def __enter__(self) -> Self:
        if self._gone is not None:
            slot, finding = self._gone
            self._report(slot, "rolled-back", finding)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_S)
        if self._candidate is not None:
            self._candidate.end()
        if self._slot.place == "active":
            self._last_words(error)
        if self._thread.is_alive():
            raise Stopped("updates", "the disk does not answer", "Check the disk under state.folder")

    def _last_words(self, error: BaseException | None) -> None:
        """A fault of the loop while a bundle is on probation counts against it; a clean end does not."""
        with suppress(SonoError):
            if isinstance(error, Exception) and not isinstance(error, SonoError):
                self._roll_back(Finding("crash", f"{type(error).__name__}: {error}"[:300]))
            else:
                self._slots.ended_well(self._slot)

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s()):
            try:
                self.step()
                self._troubled = False
            except SonoError as problem:
                log.log(logging.DEBUG if self._troubled else logging.WARNING, "updates: %s", problem)
                self._troubled = True
            except Exception:
                log.exception("updates: a fault in the thread; it goes on")
                self._drop_candidate()
                self._stop.wait(FAULT_S)

    def _pause_s(self) -> float:
        shadowing = self._candidate is not None and self._candidate.course.stage is Stage.SHADOW
        return min(LOOK_S, 1.0 / self._means.shadow_per_s) if shadowing else LOOK_S / 2

    def step(self) -> None:
        self._free_old()
        if not self._slots.is_there():
            return
        current = self._slots.current()
        if current is not None and current.pair != self._slot.pair:
            self._follow()
        elif self._slot.place == "active":
            self._probation()
        else:
            self._bring()

    def _free_old(self) -> None:
        freed = not self._old.empty()
        while not self._old.empty():
            self._old.get()
        if freed:
            self._around.tidy()

    def _follow(self) -> None:
        """current.json says another one than what runs: the loop goes there, also amid a scan."""
        self._drop_candidate()
        booted = boot(self._slots, self._means.engine_of, self._means.shipped)
        log.info("updates: back to %s: %s", booted.slot.said, booted.slot.boot_reason)
        self._hand_over(booted.loaded, booted.slot)

    def _hand_over(self, engine: Engine, slot: Slot) -> None:
        before_ms = self._watch.latency_ms()
        self._taken.clear()
        self._ready.put(engine)
        while not self._stop.is_set() and not self._taken.wait(SETTLE_S):
            if self._watch.beat_age_s(self._means.clock()) > self._means.limits.hang_s:
                log.warning("updates: the frame loop stands still; the next start takes %s", slot.title)
                self._means.die()
                return
        self._slot = self._base = slot
        self._course = Course(Stage.ACTIVE)
        self._began_s = self._noted_s = self._means.clock()
        self._steady = True  # the agent lives: only a start of its own can be cut short by it
        self._before_ms = before_ms
        self._free_old()

    # on probation

    def _probation(self) -> None:
        now = self._means.clock()
        served = Served(
            self._base.served_s + now - self._began_s,
            self._base.frames + self._watch.scored,
            self._watch.beat_age_s(now),
            self._watch.latency_ms(),
            self._before_ms,
        )
        self._course = law.advance(self._means.limits, self._course, served)
        match self._course:
            case Course(Stage.GOOD):
                self._slot = self._slots.good(self._slot)
                evidence: Evidence = {"served_s": served.served_s, "frames": served.frames}
                self._report(self._slot, "good", None, {**evidence, "profile": self._profile})
            case Course(Stage.ROLLED_BACK, Finding() as finding, _):
                self._roll_back(finding)
                if finding.code == "hang":
                    self._stop.wait(REPORT_S)
                    self._means.die()
            case _:
                self._note(served, now)

    def _note(self, served: Served, now: float) -> None:
        if not self._steady and now - self._began_s >= law.STEADY_S and served.beat_age_s < 1.0:
            self._slots.steady(self._slot)
            self._steady = True
        if now - self._noted_s >= NOTE_EVERY_S:
            self._noted_s = now
            self._slot = self._slots.served(self._slot, served_s=served.served_s, frames=served.frames)

    def _roll_back(self, finding: Finding) -> None:
        """On disk; the next step, or the next start, follows."""
        slot = self._slot
        log.warning("updates: %s is rolled back: %s", slot.said, finding.reason)
        self._slots.roll_back(slot, finding, shipped_slot(read(self._means.shipped)))
        self._report(slot, "rolled-back", finding)

    # on its way

    def _bring(self) -> None:
        """Take the candidate a step further, where there is one."""
        order = self._slots.staged()
        if self._candidate is not None and self._candidate.order != order:
            log.info("updates: %s gives way", self._candidate.order.title)
            self._drop_candidate()
        if order is None:
            return
        if self._candidate is None:
            self._candidate = self._admit(order)
            if self._candidate is None:
                return
        before = self._candidate.course.stage
        self._candidate.step(self._watch)
        self._after_step(self._candidate, before)

    def _admit(self, order: Staged) -> Candidate | None:
        """None: it is not tried, and the folder says so."""
        if order.pair == self._slot.pair:
            self._slots.unstage(order)
            return None
        known = self._slots.refused(order.name, order.version, *order.pair)
        if known is not None:
            self._slots.unstage(order)
            self._report(order, "refused", Finding("failed-before", known))
            return None
        if order.alone and not self._is_alone(order):
            reason = f"its profile came alone, for bundle {order.sha256[:12]}; {self._slot.sha256[:12]} judges"
            self._not_tried(order, Finding("other-bundle", reason, lasting=False))
            return None
        try:
            current = self._slots.file_of(self._slot) if self._slot.file else read(self._means.shipped).path
            bundle = self._slots.take(order, current)
        except (Refused, Stopped) as problem:
            code = "damaged" if isinstance(problem, Refused) else "disk"
            self._not_tried(order, Finding(code, problem.reason, lasting=False))
            return None
        if self._is_alone(order):
            return self._under_another_profile(order, bundle)
        self._report(order, "self-test", None)
        trial = self._means.trial_of(order, self._slot, bundle, current)
        own = read(current).manifest if trial.bare else None
        return Candidate(order, bundle, trial, self._means.limits, self._stop, self._means.clock, own=own)

    def _is_alone(self, order: Staged) -> bool:
        """Only the profile changes."""
        return order.sha256 == self._slot.sha256

    def _not_tried(self, order: Staged, finding: Finding) -> None:
        self._slots.refuse(order, finding, alone=self._is_alone(order))
        self._report(order, "refused", finding)

    def _under_another_profile(self, order: Staged, bundle: Path) -> Candidate | None:
        """The engine is made here, golden vectors and all: no other network has to be tried."""
        try:
            engine = self._means.engine_of(read(bundle), self._slots.profile_of(order))
        except Refused as refusal:
            self._not_tried(order, finding_of(refusal))
            return None
        return Candidate(order, bundle, None, self._means.limits, self._stop, self._means.clock, engine)

    def _after_step(self, candidate: Candidate, before: Stage) -> None:
        course = candidate.course
        if self._stop.is_set():
            return
        if course.stage is Stage.REFUSED and course.finding is not None:
            self._refuse(candidate, course.finding)
        elif course.stage is Stage.READY:
            self._when_quiet(candidate)
        elif course.stage is Stage.SHADOW and before is not Stage.SHADOW:
            self._report(candidate.order, "shadow", None, candidate.evidence())

    def _when_quiet(self, candidate: Candidate) -> None:
        """The engine is loaded while it waits; from the moment that nobody scans, it takes two renames and a frame."""
        if candidate.engine is None:
            candidate.end()
            try:
                profile = self._slots.profile_of(candidate.order)
                candidate.engine = self._means.engine_of(read(candidate.bundle), profile)
            except Refused as refusal:
                self._refuse(candidate, finding_of(refusal))
                return
        course = law.advance(self._means.limits, candidate.course, Moment(self._scanning()))
        if course.stage is not Stage.ACTIVE:
            return
        evidence, before = candidate.evidence(), self._profile
        running = self._slot
        slot = self._slots.activate(candidate.order, running, before_ms=self._watch.latency_ms())
        engine, self._candidate = candidate.engine, None
        while self._scanning() and not self._stop.wait(LOOK_S / 4):
            pass
        self._hand_over(engine, slot)
        left = left_behind(before, engine.told.profile)
        if left is not None:
            log.warning("updates: %s: %s", slot.said, left.reason)
        self._report(slot, "active", left, {**evidence, "profile": engine.told.profile})

    def _scanning(self) -> bool:
        return self._watch.scanning(self._means.clock()) or self._around.scan_runs()

    def _refuse(self, candidate: Candidate, finding: Finding) -> None:
        log.warning("updates: %s is refused: %s", candidate.order.said, finding.reason)
        evidence = candidate.evidence()
        self._drop_candidate()
        self._slots.refuse(candidate.order, finding, alone=self._is_alone(candidate.order))
        self._report(candidate.order, "refused", finding, evidence)

    def _drop_candidate(self) -> None:
        candidate, self._candidate = self._candidate, None
        self._watch.wants = False
        if candidate is not None:
            candidate.end()

    def _report(
        self, of: Slot | Staged, phase: Phase, finding: Finding | None, evidence: Evidence | None = None
    ) -> None:
        self._around.reports.report(report_of(of, phase, finding, evidence))
