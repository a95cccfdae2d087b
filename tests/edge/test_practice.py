"""What a person can practise on: each scenario does what its line says, and a kept scan plays again."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sono_edge.agent import _sight
from sono_edge.capture import Capture
from sono_edge.demo import Outage
from sono_edge.frames import Frame
from sono_edge.phantom.staged import ROUNDS, Mishap, Staged, staged
from sono_edge.pipeline import Pipeline
from sono_edge.practice import SCENARIOS, scenario_of
from sono_edge.scan.clip import AFTER_S
from sono_edge.scan.sight import AlertStep
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_edge.scene import State
from sono_edge.sources import open_source
from sono_edge.sources.kept import KeptScan
from sono_models.bundle import read
from sono_models.command import main
from sono_models.errors import BadConfig, BadSource
from sono_models.reader import verified_reader
from tests.support.bundles import BREAST, FPS, phantom
from tests.support.scans import kept_scan

SLOW_FPS = 15.0
"""Half of what the demo plays: the law counts in seconds as well, and the test takes half as long."""
HOLDS = {
    Mishap.TOO_DARK: State.LOW_QUALITY,
    Mishap.TOO_BRIGHT: State.LOW_QUALITY,
    Mishap.FROZEN: State.FROZEN,
    Mishap.DOPPLER: State.GATED_DOPPLER,
    Mishap.CALIPERS: State.GATED_CALIPERS,
    Mishap.DUAL: State.GATED_DUAL,
    Mishap.LIFTED: State.NO_CONTACT,
}


def pipeline() -> Pipeline:
    bundle = read(BREAST)
    return Pipeline(verified_reader(bundle, bundle.runtime("onnx")), bundle.manifest)


def played(scenario: str, seconds: float) -> list[tuple[Staged, State, int]]:
    """Frames with the law's state and how many alerts were raised so far."""
    judge, raised = pipeline(), 0
    found: list[tuple[Staged, State, int]] = []
    for index, one in enumerate(staged(scenario, fps=SLOW_FPS)):
        if one.captured_s >= seconds:
            return found
        decision = judge.step(Frame(index, one.captured_s, 0.0, one.picture, one.coloured_share)).decision
        raised += sum(event.kind == "raised" for event in decision.events)
        found.append((one, decision.state, raised))
    return found


def test_every_scenario_has_a_line_and_a_round() -> None:
    assert set(ROUNDS) == set(SCENARIOS)
    for plan in ROUNDS.values():
        assert all(part.from_s < part.to_s <= plan.seconds for part in plan.parts)
    with pytest.raises(BadConfig, match="Name one of quiet, lesion, trouble"):
        scenario_of("loud")


def test_a_scenario_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, again, other = (
        np.stack([shown.picture for shown in islice(staged("lesion", seed=seed, fps=2.0), 4)]) for seed in (7, 7, 8)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.timeout(600)
def test_a_quiet_scan_raises_nothing() -> None:
    frames = played("quiet", ROUNDS["quiet"].seconds)
    assert frames[-1][2] == 0
    states = {state for _, state, _ in frames}
    assert {State.SCANNING, State.FROZEN, State.NO_CONTACT} <= states
    assert State.ALERT not in states


@pytest.mark.timeout(600)
def test_a_lesion_is_to_be_looked_at_again_once_and_is_known_when_it_comes_back() -> None:
    frames = played("lesion", 20.0)
    assert frames[-1][2] == 1
    states = [state for _, state, _ in frames]
    first, back = states.index(State.ALERT), states.index(State.COOLDOWN)
    assert first < back
    assert frames[first][0].box is not None
    assert frames[back][0].box is not None
    assert State.SCANNING in states[first:back], "it was away in between"


@pytest.mark.timeout(600)
def test_in_trouble_every_mishap_is_named_and_the_lesion_is_found() -> None:
    frames = played("trouble", 36.0)
    assert frames[-1][2] == 1
    for mishap, state in HOLDS.items():
        during = [found for shown, found, _ in frames if shown.mishap is mishap]
        assert during.count(state) >= 0.6 * len(during), mishap
    times = [shown.captured_s for shown, _, _ in frames]
    assert max(np.diff(times)) >= 4.0, "no frames for a while"


def test_a_scenario_is_a_source_by_name() -> None:
    frame = next(iter(open_source("phantom:trouble:8").frames(threading.Event())))
    assert frame.picture.shape == (480, 640)
    for uri in ("phantom:loud", "phantom:lesion:x"):
        with pytest.raises(BadSource, match="phantom:quiet, phantom:lesion, phantom:trouble"):
            open_source(uri)


def test_the_help_has_a_line_for_every_scenario() -> None:
    from typer import Typer  # noqa: PLC0415

    from sono_edge.commands.demo import demo  # noqa: PLC0415

    app = Typer()
    app.command()(demo)
    said = CliRunner().invoke(app, ["--help"], terminal_width=120).output
    for name, one in SCENARIOS.items():
        assert f"{name}: {one.line}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "loud"], "Name one of quiet, lesion, trouble"),
        (["--scenario", "quiet", "--source", "x.mp4"], "Give one of them"),
        (["--scan", "nowhere"], "there is no such scan"),
    ],
)
def test_what_cannot_be_practised_is_one_line(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        main(["demo", "--headless", *arguments])
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# A kept scan


def test_a_kept_scan_plays_its_clips_in_order_at_their_times(tmp_path: Path) -> None:
    folder = kept_scan(tmp_path, (3.0, 4.0, 20.0), 24.0)
    with open_source(f"scan:{folder}") as source:
        frames = list(source.frames(threading.Event()))
    times = np.array([frame.captured_s for frame in frames])
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert (np.diff(times) > 0).all(), "where two clips overlap each moment comes once"
    assert times[0] == pytest.approx(1.0, abs=0.1)
    gap = int(np.diff(times).argmax())
    assert times[gap] == pytest.approx(4.0 + AFTER_S, abs=0.1)
    assert times[gap + 1] == pytest.approx(18.0, abs=0.1)
    assert times[-1] == pytest.approx(20.0 + AFTER_S, abs=0.1)


def test_a_folder_without_a_scan_or_a_scan_without_a_clip_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="there is no whole scan in this folder"):
        KeptScan(tmp_path / "nowhere")
    with pytest.raises(BadSource, match="it has no clip"):
        KeptScan(kept_scan(tmp_path, (), 1.0))


def test_a_gap_between_clips_is_not_waited_for(tmp_path: Path) -> None:
    folder = kept_scan(tmp_path, (2.0, 60.0), 62.5)
    now, waited = [100.0], []

    def wait(stop: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        now[0] += seconds
        return stop.is_set()

    with Capture(open_source(f"scan:{folder}"), clock=lambda: now[0], wait=wait, longest_wait_s=1.5) as capture:
        while not capture.finished:
            capture.take(5.0)
    assert max(waited) == pytest.approx(1.5)
    assert sum(waited) < 2.0 + 1.5 + 2 * 2.0 + AFTER_S + 1.0


@pytest.mark.timeout(300)
def test_a_kept_alert_comes_up_again_when_its_scan_is_played(tmp_path: Path) -> None:
    live = pipeline()
    store = Store(tmp_path, 100)
    with ScanWriter(Means(store, live.reader.spec, System("breast")), backlog=10_000) as writer:
        for index, picture in enumerate(phantom(4.5)):
            judged = live.step(Frame(index, index / FPS, 0.0, picture))
            writer.offer(_sight(judged, live.memory.track))
            for event in judged.decision.events:
                step = AlertStep("run-1", event.kind, event.captured_s, event.track.score.value, seen=False)
                writer.tell(step)
    again = pipeline()
    raised = []
    with open_source(f"scan:{tmp_path / store.records()[0].id}") as source:
        for frame in source.frames(threading.Event()):
            raised += [event for event in again.step(frame).decision.events if event.kind == "raised"]
    assert len(raised) == 1


# The broker that goes away


class Noted:
    """A broker that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def start(self) -> None:
        self.asked.append("start")

    def kill(self) -> None:
        self.asked.append("kill")


def test_the_broker_goes_and_comes_back_once() -> None:
    now, broker = [10.0], Noted()
    outage = Outage(broker, (6.0, 24.0), lambda: now[0])
    for at_s, asked in ((5.0, []), (6.0, ["kill"]), (20.0, ["kill"]), (24.0, ["kill", "start"])):
        now[0] = 10.0 + at_s
        outage.step()
        assert broker.asked == asked
    now[0] = 50.0
    outage.step()
    outage.end()
    assert broker.asked == ["kill", "start"]


def test_a_demo_that_ends_in_an_outage_brings_the_broker_back() -> None:
    now, broker = [0.0], Noted()
    outage = Outage(broker, (6.0, 24.0), lambda: now[0])
    now[0] = 7.0
    outage.step()
    outage.end()
    assert broker.asked == ["kill", "start"]
    calm = Outage(broker, None, lambda: now[0])
    calm.step()
    calm.end()
    assert broker.asked == ["kill", "start"]
