"""The agent: camera to decision and page. One loop; everything it hands on to waits elsewhere."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from sono_edge.alerts import Book, Provenance, alert, alert_name
from sono_edge.capture import Capture
from sono_edge.decide import Event, Track
from sono_edge.drift import Drift, NoDrift
from sono_edge.engine import Engine, NoUpdates, Updates
from sono_edge.gates import Gate, Quality
from sono_edge.meter import Intervals, Meter, Strip
from sono_edge.pipeline import Judged, Pipeline
from sono_edge.recorder import AlertWriter
from sono_edge.scan.sight import AlertStep, Begin, End, KeepNow, NoScans, Scans, Sight
from sono_edge.scene import AlertLine, Saliency, Scene, State, Viewer, plain
from sono_edge.view import presses
from sono_edge.view.presses import Press, Seen, SetAI
from sono_models.messages import LatencyMs, SeenReason, Vitals, rfc3339
from sono_models.saliency import MALIGNANT

log = logging.getLogger(__name__)

NO_FRAME_S = 0.5
VITALS_EVERY_S = 2.0
LINES = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop is made of; `commands` is what the page's buttons put."""

    capture: Capture
    pipeline: Pipeline
    writer: AlertWriter
    viewer: Viewer
    commands: queue.SimpleQueue[Press]
    told: Provenance
    view_url: str = ""
    scans: Scans = field(default_factory=NoScans)
    updates: Updates = field(default_factory=NoUpdates)
    alive: Callable[[], None] = lambda: None
    """Told on every beat: a service manager's watchdog."""
    clock: Callable[[], float] = time.monotonic
    drift: Drift = field(default_factory=NoDrift)


class Agent:
    """The frame loop. `step()` handles one frame, or the absence of one."""

    def __init__(self, parts: Parts) -> None:
        self.meter = Meter()
        self.recorded = 0
        self.start_s: float | None = None
        """Seconds from the start of the process to its first score; None before it."""
        self.ran_s = 0.0
        self.cpu_s = 0.0
        self.loop_cpu_s = 0.0
        """Wall time of the loop, CPU time of all threads of the process and of the loop's own, once it has ended."""
        self.parts = parts
        self._strip = Strip()
        self._intervals = Intervals(parts.told.interval)
        self._lines: tuple[AlertLine, ...] = ()
        self._book = Book()
        self._vitals_s = 0.0
        self._latency_ms = LatencyMs(0.0, 0.0, 0.0)
        """As of the last beat: sorting the latencies is not the frame path's work."""
        self._last: Judged | None = None

    def run(self, stop: threading.Event) -> None:
        began_s, cpu_s, loop_cpu_s = self.parts.clock(), time.process_time(), time.thread_time()
        while not stop.is_set() and not self.parts.capture.finished:
            self.step()
        self.parts.drift.end()
        self.ran_s, self.cpu_s = self.parts.clock() - began_s, time.process_time() - cpu_s
        self.loop_cpu_s = time.thread_time() - loop_cpu_s

    def step(self) -> None:
        self._change_over()
        self._obey()
        parts = self.parts
        frame = parts.capture.take(NO_FRAME_S)
        if frame is None:
            self._nothing_came()
        else:
            judged = parts.pipeline.step(frame)
            now = parts.clock()
            self._count(judged, now)
            parts.drift.saw(judged, now)
            if parts.scans.recording:
                parts.scans.offer(_sight(judged, parts.pipeline.memory.track))
            self._record(judged.decision.events, judged.quality, (now - frame.arrived_s) * 1e3)
            parts.updates.saw(judged, (now - frame.arrived_s) * 1e3, now)
            self._strip.add(judged.decision.attention if _judging(judged) else float("nan"), now)
            parts.viewer.show(self._scene(judged, now))
            self._last = judged
        self._beat()

    def cpu_ms(self) -> float:
        """CPU time of the whole process a frame that was judged, ms."""
        return self.cpu_s * 1e3 / max(1, self.meter.judged)

    def vitals(self) -> Vitals:
        """The agent's own figures, as `health` carries them."""
        capture, now = self.parts.capture, self.parts.clock()
        return Vitals(
            capture=capture.trouble or "running",
            fps_in=round(capture.fps(now), 2),
            fps_scored=round(self.meter.fps_scored(now), 2),
            frames_in=capture.frames_in,
            frames_scored=self.meter.scored,
            frames_reused=self.meter.reused,
            frames_dropped=capture.dropped,
            latency_ms=self.meter.latency(),
            alerts_raised=self.meter.alerts_raised,
            memory_mb=resident_mb(),
            at=rfc3339(datetime.now(UTC)),
            bundle=f"{self.parts.told.model.name}-{self.parts.told.model.version}",
            bundle_sha256=self.parts.told.model.sha256,
            runtime=self.parts.told.model.runtime,
            profile=self.parts.told.profile,
            alerts_suppressed=self.parts.pipeline.memory.suppressed,
        )

    def totals(self) -> dict[str, Any]:
        """What `sono run --json` ends with."""
        vitals = self.vitals()
        return {
            "frames_in": vitals.frames_in,
            "frames_scored": vitals.frames_scored,
            "frames_reused": vitals.frames_reused,
            "frames_paused": self.meter.paused,
            "frames_dropped": vitals.frames_dropped,
            "alerts_raised": vitals.alerts_raised,
            "alerts_suppressed": vitals.alerts_suppressed,
            "events_recorded": self.recorded,
            "latency_ms": msgspec.to_builtins(vitals.latency_ms),
            "memory_mb": vitals.memory_mb,
            "start_s": self.start_s,
            "ran_s": round(self.ran_s, 3),
            "cpu_ms": round(self.cpu_ms(), 3),
            "loop_cpu_ms": round(self.loop_cpu_s * 1e3 / max(1, self.meter.judged), 3),
            "bundle": vitals.bundle,
            "runtime": vitals.runtime,
            "profile": vitals.profile,
            "swaps": self.parts.updates.swaps,
            "swap_missed_most": self.parts.updates.missed_most,
            "view_url": self.parts.view_url,
        }

    def _change_over(self) -> None:
        """Between two frames: take the engine that the updates thread has ready, where there is one."""
        parts = self.parts
        engine = parts.updates.turn(parts.clock())
        if engine is None:
            return
        old = Engine(parts.pipeline, parts.told, self._intervals)
        engine.pipeline.go_on_from(old.pipeline)
        self.parts = replace(parts, pipeline=engine.pipeline, told=engine.told)
        self._intervals = engine.intervals
        parts.updates.took(engine, old)
        parts.drift.judged_by(engine.told)
        log.info("the bundle that judges is %s", engine.told.shown)

    def _obey(self) -> None:
        """Do what the page's buttons asked since the last frame."""
        while True:
            try:
                command = self.parts.commands.get_nowait()
            except queue.Empty:
                return
            match command:
                case Seen():
                    self._acknowledge(command)
                case SetAI(on=on):
                    log.info("AI switched %s on the page", "on" if on else "off")
                    self.parts.pipeline.ai_on = on
                case presses.Capture():
                    self.parts.scans.order(KeepNow())
                case presses.StartScan(token=token):
                    self.parts.scans.order(Begin(token or ""))
                case presses.EndScan(impression=impression, scan=scan):
                    self.parts.scans.order(End(impression, scan or ""))

    def _acknowledge(self, seen: Seen) -> None:
        """The alert that stands, or one that was there before; one of another run is looked up in its scan."""
        at_s = self._last.frame.captured_s if self._last else 0.0
        track = self.parts.pipeline.memory.track
        standing = alert_name(self.parts.told.run, track.number) if track else None
        if self._last is not None and seen.alert in {None, standing}:
            events = self.parts.pipeline.acknowledge(at_s)
            self._record(events, self._last.quality, None, seen.reason)
            if events or not seen.reason:
                return
        name = seen.alert or standing or ""
        late = self._book.late(name, at_s, again=bool(seen.reason))
        if late is not None:
            event, quality = late
            self._record((event,), quality, None, seen.reason)
        elif name and name not in self._book:
            self.parts.scans.tell(AlertStep(name, "acknowledged", at_s, 0.0, seen=True, reason=seen.reason))

    def _count(self, judged: Judged, now: float) -> None:
        if judged.reused:
            self.meter.reused += 1
        elif judged.reading is not None:
            if self.start_s is None:
                self.start_s = process_age_s()
            self.meter.scored_frame((now - judged.frame.arrived_s) * 1e3, now)
        else:
            self.meter.paused += 1

    def _record(
        self, events: tuple[Event, ...], quality: Quality, decision_ms: float | None, reason: SeenReason = ""
    ) -> None:
        for event in events:
            name, track = alert_name(self.parts.told.run, event.track.number), event.track
            message = alert(event, quality, self.parts.told, decision_ms=decision_ms, reason=reason)
            self.parts.writer.put(message)
            step = AlertStep(name, event.kind, event.captured_s, track.score.value, track.seen, reason, message)
            self.parts.scans.tell(step)
            self.parts.drift.told(event, name, reason)
            self._lines = _with_event(self._lines, event, name, self.parts.pipeline.memory.track)
            self._book.note(name, event, quality)
            self.recorded += 1
            self.meter.alerts_raised += event.kind == "raised"

    def _nothing_came(self) -> None:
        """No frame for a while: say so; the last picture is not shown as if it were live."""
        if self.parts.capture.finished:
            return
        now = self.parts.clock()
        self._strip.add(float("nan"), now)
        reason = self.parts.capture.trouble or "no frames are coming"
        scene = replace(self._blank(now), state=State.NO_SIGNAL, reason=reason)
        self.parts.viewer.show(scene)

    def _scene(self, judged: Judged, now: float) -> Scene:
        frame, decision = judged.frame, judged.decision
        judging = _judging(judged)
        lo, hi = self._intervals.around(decision.attention) if judging else (None, None)
        return replace(
            self._blank(now),
            frame_index=frame.index,
            captured_s=frame.captured_s,
            arrived_s=frame.arrived_s,
            picture=frame.picture,
            state=decision.state,
            reason=plain(decision.reason),
            attention=decision.attention,
            attention_lo=lo,
            attention_hi=hi,
            box=decision.box,
            quality=judged.quality.value,
            saliency=_saliency(judged) if judging else None,
        )

    def _blank(self, now: float) -> Scene:
        parts = self.parts
        return Scene(
            frame_index=-1,
            captured_s=0.0,
            arrived_s=now,
            picture=None,
            state=State.DEGRADED,
            reason="",
            attention=0.0,
            box=None,
            alerts=self._lines,
            fps_in=parts.capture.fps(now),
            fps_scored=self.meter.fps_scored(now),
            latency_ms_p50=self._latency_ms.p50,
            frames_dropped=parts.capture.dropped,
            outbox_depth=parts.writer.depth,
            uplink=parts.writer.trouble,
            recording=parts.scans.trouble,
            bundle=parts.told.shown,
            runtime=parts.told.model.runtime,
            source=parts.told.source,
            simulated=parts.told.source == "phantom",
            threshold=parts.pipeline.threshold,
            strip=self._strip.shown,
        )

    def _beat(self) -> None:
        """Every VITALS_EVERY_S, off the frame path: the writer's thread does the writing."""
        now = self.parts.clock()
        if now - self._vitals_s >= VITALS_EVERY_S:
            self._vitals_s = now
            vitals = self.vitals()
            self._latency_ms = vitals.latency_ms
            self.parts.alive()
            self.parts.drift.beat(now)
            self.parts.writer.put_vitals(vitals)


def _judging(judged: Judged) -> bool:
    return judged.reading is not None and judged.quality.gate is Gate.PASS


def _saliency(judged: Judged) -> Saliency | None:
    """A reference, nothing is computed: most pictures are never held."""
    return None if judged.reading is None else Saliency(judged.reading.saliency[MALIGNANT], judged.placement)


def _sight(judged: Judged, track: Track | None) -> Sight:
    """What the scan is told of a frame."""
    decision = judged.decision
    return Sight(
        judged.frame.captured_s,
        decision.state,
        decision.reason,
        judged.quality.value,
        decision.attention,
        track.number if track else 0,
        decision.box,
        judged.frame.picture,
        judged.reading,
    )


def _with_event(lines: tuple[AlertLine, ...], event: Event, name: str, standing: Track | None) -> tuple[AlertLine, ...]:
    """The rail's list of alerts, newest first, after one event; `standing` is the alert that is in view."""
    track = event.track
    active = standing is not None and standing.number == track.number
    fresh = AlertLine(name, track.raised_s, track.score.value, track.seen, active)
    others = (line for line in lines if line.alert != name)
    return tuple(sorted((fresh, *others), key=lambda line: -line.captured_s))[:LINES]


def resident_mb() -> float:
    """Resident memory of this process, MB, from /proc; 0 where there is none."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def process_age_s() -> float:
    """Seconds since this process was started, from /proc (10 ms steps); 0 where there is none."""
    try:
        started = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text("ascii").split()[0])
    except OSError:
        return 0.0
    return round(uptime_s - started / os.sysconf("SC_CLK_TCK"), 2)
