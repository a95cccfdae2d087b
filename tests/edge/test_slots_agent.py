"""Updates of the real loop: a real bundle, a real trial in its own process, a swap between two frames, and back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sono_edge.agent import Agent, Parts
from sono_edge.bench.candidates import Fault
from sono_edge.capture import Capture
from sono_edge.config import AgentConfig
from sono_edge.decide import Memory, Rest
from sono_edge.frames import Frame
from sono_edge.making import Making
from sono_edge.outbox import Outbox
from sono_edge.recorder import AlertWriter
from sono_edge.slots.boot import boot, shipped_slot
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import Finding, Limits, Stage
from sono_edge.slots.means import Around, Means
from sono_edge.slots.trial import TrialOrder
from sono_edge.slots.updates import BesideLoop
from sono_edge.view.presses import Press
from sono_models import messages
from sono_models.inputs import Box
from tests.support.bundles import BREAST, FPS, phantom
from tests.support.hand_fed import HandFed, Recorded
from tests.support.slots import LIMITS, PATIENCE_S, Told, made, shipped

pytestmark = pytest.mark.timeout(600)

TRIAL = TrialOrder("", "", "", "", "onnx", 1, site="demo")


@dataclass(slots=True)
class Bench:
    """An agent with hand-fed frames and the thread beside it."""

    agent: Agent
    source: HandFed
    beside: BesideLoop
    slots: Slots
    told: Told
    folder: Path
    died: threading.Event

    def stage(self, version: str, fault: Fault = "none") -> str:
        path, order = made(self.folder, version, fault)
        self.slots.stage(path, order)
        return order.sha256

    def drive_until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, f"it did not come; so far {self.told.reports}"
            self.drive(1)

    def drive(self, steps: int) -> None:
        for _ in range(steps):
            self.agent.step()
            self.source.judged.release()

    @property
    def judging(self) -> str:
        return self.agent.parts.told.model.version


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """Half without a lesion in view, half with one, again and again, in one time that goes on."""
    pictures = list(phantom(3.4))
    return [Frame(index, index / FPS, 0.0, pictures[index % len(pictures)]) for index in range(60_000)]


@contextmanager
def updated(frames: list[Frame], folder: Path, *, quiet_s: float = 0.0, limits: Limits = LIMITS) -> Iterator[Bench]:
    slots = Slots(folder / "slots")
    making = Making(AgentConfig(), "phantom")
    booted = boot(slots, making.engine_of, BREAST)
    told, died = Told(), threading.Event()
    tar = shipped().path
    means = Means(slots, limits, making.engine_of, tar, TRIAL, 20.0, quiet_s, die=died.set)
    beside = BesideLoop(means, booted, Around(reports=told))
    source = HandFed(frames, "phantom")
    commands: queue.SimpleQueue[Press] = queue.SimpleQueue()
    with (
        AlertWriter(folder / "outbox.sqlite", "demo", "board-1") as writer,
        Capture(source, wait=lambda stop, _: stop.is_set()) as capture,
        beside,
    ):
        engine = booted.loaded
        parts = Parts(capture, engine.pipeline, writer, Recorded(), commands, engine.told, updates=beside)
        yield Bench(Agent(parts), source, beside, slots, told, folder, died)


def test_an_update_from_staged_to_good_amid_a_stream(frames: list[Frame], tmp_path: Path) -> None:
    with updated(frames, tmp_path) as bench:
        bench.drive_until(lambda: bench.agent.meter.alerts_raised)
        sha256 = bench.stage("1.0.0")
        bench.drive_until(lambda: "good" in bench.told.phases())
        assert bench.told.phases() == ["self-test", "shadow", "active", "good"]
        assert {report.rollout for report in bench.told.reports} == {"r1"}
        active = bench.told.reports[2]
        assert active.evidence["agreement"] == 1.0
        assert active.evidence["shift"] == 0.0
        assert (bench.judging, bench.agent.parts.told.model.sha256) == ("1.0.0", sha256)
        assert (bench.beside.swaps, bench.beside.missed_most) == (1, 0)
        current = bench.slots.current()
        assert current is not None
        assert (current.sha256, current.place) == (sha256, "good")
        recorded = bench.agent.recorded
        bench.drive_until(lambda: bench.agent.recorded > recorded)
        assert bench.agent.vitals().bundle_sha256 == sha256
        assert bench.agent.totals()["swaps"] == 1
    with Outbox(tmp_path / "outbox.sqlite", "demo", "board-1") as outbox:
        alerts = [messages.decode("alert", row.body).data for row in outbox.after(0, 1000)]
    names = [alert.alert for alert in alerts if alert.kind == "raised"]
    assert len(set(names)) == len(names)
    versions = [alert.model.version for alert in alerts]
    assert versions[0] == shipped().manifest.version
    assert versions[-1] == "1.0.0"
    assert versions == sorted(versions)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("golden", "golden"), ("crashes", "crash"), ("shifted", "shadow-shift"), ("envelope", "envelope")],
)
def test_a_bad_one_never_meets_a_frame(fault: Fault, code: str, frames: list[Frame], tmp_path: Path) -> None:
    with updated(frames, tmp_path) as bench:
        bench.stage("1.0.0", fault)
        bench.drive_until(lambda: "refused" in bench.told.phases())
        report = bench.told.reports[-1]
        assert (report.phase, report.code) == ("refused", code)
        assert report.reason
        assert bench.judging == shipped().manifest.version
        bench.drive_until(lambda: bench.slots.staged() is None)
        assert bench.slots.refused("breast", "1.0.0")
        assert bench.slots.current() is None


def test_it_waits_while_somebody_scans(frames: list[Frame], tmp_path: Path) -> None:
    with updated(frames, tmp_path, quiet_s=1e6) as bench:
        bench.stage("1.0.0")
        bench.drive_until(lambda: bench.beside._candidate and bench.beside._candidate.engine)
        bench.drive(60)
        candidate = bench.beside._candidate
        assert candidate is not None
        assert candidate.course.stage is Stage.READY
        assert bench.judging == shipped().manifest.version
        assert bench.slots.current() is None


def test_a_word_by_hand_takes_it_back_amid_a_scan(frames: list[Frame], tmp_path: Path) -> None:
    with updated(frames, tmp_path) as bench:
        bench.stage("1.0.0")
        bench.drive_until(lambda: bench.judging == "1.0.0")
        current = bench.slots.current()
        assert current is not None
        bench.slots.roll_back(current, Finding("operator", "by hand"), shipped_slot(shipped()))
        bench.drive_until(lambda: bench.judging == shipped().manifest.version)
        assert bench.beside.swaps == 2


def test_a_fault_of_the_loop_on_probation_takes_it_back(frames: list[Frame], tmp_path: Path) -> None:
    limits = replace(LIMITS, probation_s=1e6)

    def fail() -> None:
        with updated(frames, tmp_path, limits=limits) as bench:
            bench.stage("1.0.0")
            bench.drive_until(lambda: "active" in bench.told.phases())
            raise IndexError("from the depths of a model")

    with pytest.raises(IndexError):
        fail()
    slots = Slots(tmp_path / "slots")
    assert slots.refused("breast", "1.0.0") == "IndexError: from the depths of a model"
    current = slots.current()
    assert current is not None
    assert (current.place, current.boot_reason) == ("shipped", "rolled back from 1.0.0: crash")


def test_a_loop_that_stands_still_on_probation_is_ended(frames: list[Frame], tmp_path: Path) -> None:
    limits = replace(LIMITS, probation_s=1e6, hang_s=10.0)
    with updated(frames, tmp_path, limits=limits) as bench:
        bench.stage("1.0.0")
        bench.drive_until(lambda: "active" in bench.told.phases())
        assert bench.died.wait(PATIENCE_S)  # the loop takes no step
        assert bench.told.reports[-1].code == "hang"
        assert bench.slots.refused("breast", "1.0.0")


def test_the_law_goes_on_and_evidence_does_not() -> None:
    making = Making(AgentConfig(), "phantom")
    old, new = making.engine_of(shipped()).pipeline, making.engine_of(shipped()).pipeline
    pictures = list(phantom(2.4))
    for index, picture in enumerate(pictures):
        old.step(Frame(index, index / FPS, 0.0, picture))
    assert old.memory.window
    old.memory = replace(old.memory, rests=(Rest(Box(0, 0, 1, 1), 99.0),), suppressed=3)
    old.ai_on = False
    new.go_on_from(old)
    assert new.memory == replace(old.memory, window=())
    assert not new.ai_on
    assert new.memory != Memory()
    new.ai_on = True
    again = new.step(Frame(99, 2.4, 0.0, pictures[-1]))
    assert (again.reading is not None, again.reused) == (True, False)  # a still picture is scored anew
