"""A site profile of the fleet's in the real loop: compared, applied between two frames, taken back."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from sono_edge.agent import Agent, Parts
from sono_edge.capture import Capture
from sono_edge.config import AgentConfig, with_
from sono_edge.frames import Frame
from sono_edge.making import Making
from sono_edge.recorder import AlertWriter
from sono_edge.slots.boot import boot, shipped_slot
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import Finding
from sono_edge.slots.means import Around, Means
from sono_edge.slots.records import SiteProfile, Staged
from sono_edge.slots.trial import TrialOrder
from sono_edge.slots.updates import BesideLoop
from sono_edge.view.presses import Press
from sono_models.profile import LawChange, Profile, Scaling, apply
from tests.support.bundles import BREAST, FPS, phantom
from tests.support.hand_fed import HandFed, Recorded
from tests.support.profiles import made_for, signed, written
from tests.support.slots import LIMITS, PATIENCE_S, Told, made, shipped

pytestmark = pytest.mark.timeout(600)

SITE = "clinic-a"


@dataclass(slots=True)
class Bench:
    agent: Agent
    source: HandFed
    beside: BesideLoop
    slots: Slots
    told: Told
    folder: Path

    def bring(self, profile: Profile | None) -> str:
        """A profile on the bundle that judges, or none, as the updater stages it; what alerts will call it."""
        size = shipped().path.stat().st_size
        name = shipped().manifest
        what = ("r2", name.name, name.version, shipped().sha256, size, "2026-03-01T09:30:00Z", 9)
        if profile is None:
            self.slots.stage(None, Staged(*what, alone=True))
            return "bundle"
        file = written(self.folder, signed(profile)).profile
        said = site_profile(profile, file)
        self.slots.stage(None, Staged(*what, profile=said, alone=True), file)
        return f"{said.title}@{said.sha256[:12]}"

    def drive_until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, f"it did not come; so far {self.told.reports}"
            self.agent.step()
            self.source.judged.release()

    @property
    def in_force(self) -> str:
        return self.agent.vitals().profile


def site_profile(profile: Profile, file: Path) -> SiteProfile:
    from hashlib import sha256  # noqa: PLC0415  (its one user)

    raw = file.read_bytes()
    return SiteProfile(profile.name, profile.version, sha256(raw).hexdigest(), len(raw))


def a_profile(version: str, *, threshold: float = 0.0, calibration: Scaling | None = None) -> Profile:
    """Next to the bundle's own threshold, unless another is given."""
    threshold = threshold or round(shipped().manifest.law.t_hi + 0.001, 4)
    made_one = made_for(shipped().manifest, threshold=threshold, at=datetime.now(UTC), version=version)
    return msgspec.structs.replace(made_one, calibration={} if calibration is None else {"malignant": calibration})


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """None with a lesion in view: which frames are compared depends on the machine, what they show must not."""
    pictures = list(phantom(1.0))
    return [Frame(index, index / FPS, 0.0, pictures[index % len(pictures)]) for index in range(60_000)]


@pytest.fixture
def bench(frames: list[Frame], tmp_path: Path) -> Iterator[Bench]:
    with running(frames, tmp_path) as made_one:
        yield made_one


@contextmanager
def running(frames: list[Frame], folder: Path) -> Iterator[Bench]:
    key = written(folder, signed(a_profile("0.0.1"))).public
    config = with_(AgentConfig(), device={"site": SITE}, update={"profile_key": str(key)})
    slots, making, told = Slots(folder / "slots"), Making(config, "phantom"), Told()
    booted = boot(slots, making.engine_of, BREAST)
    trial = TrialOrder("", "", "", "", "onnx", 1, site=SITE)
    # the folder of a bundle that ships, as most configurations name it
    means = Means(slots, LIMITS, making.engine_of, BREAST, trial, 20.0, 0.0, profile_key=config.profile_key)
    beside = BesideLoop(means, booted, Around(reports=told))
    source = HandFed(frames, "phantom")
    commands: queue.SimpleQueue[Press] = queue.SimpleQueue()
    with (
        AlertWriter(folder / "outbox.sqlite", SITE, "board-1") as writer,
        Capture(source, wait=lambda stop, _: stop.is_set()) as capture,
        beside,
    ):
        engine = booted.loaded
        parts = Parts(capture, engine.pipeline, writer, Recorded(), commands, engine.told, updates=beside)
        yield Bench(Agent(parts), source, beside, slots, told, folder)


def test_a_profile_is_applied_between_two_frames_and_goes_back_to_the_one_before(bench: Bench) -> None:
    first = a_profile("1.0.0")
    said = bench.bring(first)
    bench.drive_until(lambda: "good" in bench.told.phases())
    assert bench.told.phases() == ["shadow", "active", "good"]
    assert bench.in_force == said
    assert bench.agent.parts.pipeline.threshold == apply(shipped().manifest, first).law.t_hi
    active = bench.told.reports[1]
    assert (active.evidence["profile"], active.evidence["shift"]) == (said, 0.0)
    assert (bench.beside.swaps, bench.beside.missed_most) == (1, 0)

    second = bench.bring(msgspec.structs.replace(a_profile("1.0.1"), law=LawChange(cooldown_s=12.0)))
    bench.drive_until(lambda: bench.told.phases().count("good") == 2)
    assert bench.in_force == second
    current = bench.slots.current()
    assert current is not None
    bench.slots.roll_back(current, Finding("operator", "by hand"), shipped_slot(shipped()))
    bench.drive_until(lambda: bench.in_force == said)

    bench.bring(None)
    bench.drive_until(lambda: bench.told.phases().count("good") == 3)
    assert bench.in_force == "bundle"
    assert f"site profile {said} stays behind" in bench.told.reports[-2].reason


def test_a_profile_that_turns_most_decisions_is_refused_before_it_judges(bench: Bench) -> None:
    bench.bring(a_profile("1.0.0", threshold=0.005, calibration=Scaling(1.0, 12.0)))
    bench.drive_until(lambda: bench.told.phases() == ["shadow", "refused"])
    assert bench.told.reports[-1].code == "shadow-agreement"
    assert (bench.in_force, bench.beside.swaps) == ("bundle", 0)
    assert bench.slots.refused("breast", shipped().manifest.version, shipped().sha256) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"site": "clinic-b"}, "profile-other-site"),
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, "profile-expired"),
    ],
)
def test_a_profile_that_may_not_be_used_is_refused_and_may_come_again(
    bench: Bench, change: dict[str, object], code: str
) -> None:
    bench.bring(msgspec.structs.replace(a_profile("1.0.0"), **change))
    bench.drive_until(lambda: bench.told.reports)
    assert (bench.told.reports[-1].phase, bench.told.reports[-1].code) == ("refused", code)
    assert bench.in_force == "bundle"
    assert bench.slots.refusals().refused == ()


def test_a_new_bundle_without_a_profile_drops_to_its_own_and_says_so(bench: Bench) -> None:
    said = bench.bring(a_profile("1.0.0"))
    bench.drive_until(lambda: "good" in bench.told.phases())
    path, order = made(bench.folder, "1.0.0")
    bench.slots.stage(path, order)
    bench.drive_until(lambda: bench.told.phases().count("good") == 2)
    assert (bench.in_force, bench.agent.parts.told.model.version) == ("bundle", "1.0.0")
    active = bench.told.reports[-2]
    assert (active.phase, active.code, active.evidence["profile"]) == ("active", "", "bundle")
    assert f"site profile {said} stays behind" in active.reason
