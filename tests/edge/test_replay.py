"""Replay gives the same bytes, on one worker or two, and the live loop decides as replay does."""

from __future__ import annotations

import hashlib
import json
import math
import queue
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sono_edge.agent import Agent, Parts
from sono_edge.alerts import Provenance, model_used
from sono_edge.capture import Capture
from sono_edge.pipeline import Pipeline
from sono_edge.recorder import AlertWriter
from sono_edge.replay import replay
from sono_edge.scene import Scene, State
from sono_edge.sources import open_source
from sono_edge.view.presses import Press, Seen, SetAI
from sono_models.bundle import Bundle, read
from sono_models.heads import Domain, Heads, Linear
from sono_models.manifest import Manifest
from sono_models.reader import verified_reader
from sono_models.runtime import RUNTIMES, RuntimeName
from tests.support.bundles import BREAST, clip
from tests.support.hand_fed import HandFed, Recorded

BUNDLE = read(BREAST)


@pytest.fixture(scope="module")
def sweep_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds: a lesion passes, the probe lifts off."""
    return clip(tmp_path_factory.mktemp("clip") / "sweep.mp4", 8.0)


def lines(source: str, runtime: RuntimeName = "onnx", bundle: Bundle = BUNDLE, **how: Any) -> list[str]:
    return [json.dumps(line) for line in replay(open_source(source), bundle, runtime, **how)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_same_input_gives_the_same_bytes(sweep_clip: Path, runtime: RuntimeName) -> None:
    once = lines(str(sweep_clip), runtime)
    assert lines(str(sweep_clip), runtime, workers=2) == once
    assert len([line for line in once if line.startswith('{"frame"')]) == 240


def test_a_golden_clip_has_its_known_alerts(sweep_clip: Path) -> None:
    alerts = [json.loads(line)["alert"] for line in lines(str(sweep_clip)) if line.startswith('{"alert"')]
    kinds = [alert["kind"] for alert in alerts if alert["kind"] != "updated"]
    assert kinds[:2] == ["raised", "cleared"]
    assert kinds.count("raised") <= 2  # the lesion, and at most one more track
    raised = alerts[0]
    assert 1.7 <= raised["timings"]["captured_s"] <= 3.2  # the lesion comes into view at 1.7 s
    assert raised["source"] == "video"
    assert raised["model"]["sha256"] == BUNDLE.sha256


def test_states_of_a_sweep_with_a_lift_off(sweep_clip: Path) -> None:
    states = {json.loads(line)["state"] for line in lines(str(sweep_clip)) if line.startswith('{"frame"')}
    assert {"SCANNING", "ALERT", "NO_CONTACT"} <= states


def test_both_runtimes_decide_the_same(sweep_clip: Path) -> None:
    one, other = (
        [json.loads(line)["state"] for line in lines(str(sweep_clip), name) if line.startswith('{"frame"')]
        for name in RUNTIMES
    )
    assert sum(a == b for a, b in zip(one, other, strict=True)) >= 0.99 * len(one)


def no_wait(stop: threading.Event, seconds: float) -> bool:
    del seconds
    return stop.is_set()


class Live:
    """The agent's real loop, capture thread, writer and outbox on frames of a clip."""

    def __init__(self, path: Path, folder: Path) -> None:
        with open_source(str(path)) as source:
            frames = list(source.frames(threading.Event()))
        self.viewer = Recorded()
        self.commands: queue.SimpleQueue[Press] = queue.SimpleQueue()
        self.source = HandFed(frames)
        self.count = len(frames)
        self.folder = folder

    def run(self, at: dict[int, Press] | None = None) -> tuple[list[Scene], list[dict[str, Any]]]:
        runtime = BUNDLE.runtime("onnx")
        pipeline = Pipeline(verified_reader(BUNDLE, runtime), BUNDLE.manifest)
        told = Provenance("replay", "video", model_used(BUNDLE, runtime), interval=pipeline.interval)
        with (
            AlertWriter(self.folder / "outbox.sqlite", "demo", "board-1") as writer,
            Capture(self.source, wait=no_wait) as capture,
        ):
            parts = Parts(capture, pipeline, writer, self.viewer, self.commands, told)
            agent = Agent(parts)
            for index in range(self.count):
                if at and index in at:
                    self.commands.put(at[index])
                agent.step()
                self.source.judged.release()
            agent.run(threading.Event())
        return self.viewer.scenes, stored(self.folder / "outbox.sqlite")


def stored(path: Path) -> list[dict[str, Any]]:
    from sono_edge.outbox import Outbox  # noqa: PLC0415

    with Outbox(path, "demo", "board-1") as outbox:
        return [json.loads(item.body)["data"] for item in outbox.after(0, 100)]


def test_the_live_loop_decides_as_replay_does(sweep_clip: Path, tmp_path: Path) -> None:
    scenes, alerts = Live(sweep_clip, tmp_path).run()
    replayed = [json.loads(line) for line in lines(str(sweep_clip))]
    frames = [line for line in replayed if "frame" in line]
    assert [scene.state.name for scene in scenes] == [line["state"] for line in frames]
    assert [round(scene.attention, 6) for scene in scenes] == [line["attention"] for line in frames]
    expected = [line["alert"] for line in replayed if "alert" in line]
    for live, dry in zip(alerts, expected, strict=True):
        for key in ("kind", "alert", "track", "score", "band", "box", "frames", "model"):
            assert live[key] == dry[key]
        assert live["timings"]["captured_s"] == dry["timings"]["captured_s"]
        assert live["timings"]["capture_to_decision_ms"] >= 0
    assert [alert["sequence"] for alert in alerts] == list(range(1, len(alerts) + 1))


def test_seen_is_recorded_and_shown_and_the_alert_stays(sweep_clip: Path, tmp_path: Path) -> None:
    scenes, alerts = Live(sweep_clip, tmp_path).run({90: Seen(None)})
    kinds = [alert["kind"] for alert in alerts if alert["kind"] != "updated"]
    assert kinds[:3] == ["raised", "acknowledged", "cleared"]
    assert scenes[92].state is State.HELD
    assert scenes[92].box is not None
    assert scenes[92].alerts[0].seen


def test_with_the_ai_off_nothing_is_scored_and_the_page_says_so(sweep_clip: Path, tmp_path: Path) -> None:
    scenes, alerts = Live(sweep_clip, tmp_path).run({0: SetAI(on=False)})
    assert {scene.state for scene in scenes} == {State.AI_OFF}
    assert {scene.attention for scene in scenes} == {0.0}
    assert alerts == []


def test_the_replay_command_writes_whole_files_only(sweep_clip: Path, tmp_path: Path) -> None:
    from sono_models.command import main  # noqa: PLC0415

    out = tmp_path / "out.jsonl"
    out.write_text("what was there", "utf-8")
    with pytest.raises(SystemExit):
        main(["replay", str(tmp_path / "missing.mp4"), "--out", str(out)])
    assert out.read_text("utf-8") == "what was there"
    digests = set()
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["replay", str(sweep_clip), "--bundle", str(BREAST), "--out", str(out), "--frames", "90"])
        assert ended.value.code in (0, None)
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_picture_that_is_not_the_organ_raises_nothing_and_says_so(sweep_clip: Path) -> None:
    reader = verified_reader(BUNDLE, BUNDLE.runtime("onnx"))
    with open_source(str(sweep_clip)) as source:
        frames = list(source.frames(threading.Event()))[:90]
    judged = [Pipeline(reader, _organ_is_there(0.1)).step(frame) for frame in frames[-3:]]
    assert {one.decision.state for one in judged} == {State.GATED_NOT_BREAST}
    stranger = Pipeline(reader, _organ_is_there(0.1))
    assert not any(stranger.step(frame).decision.events for frame in frames)
    known = Pipeline(reader, _organ_is_there(0.9))
    assert any(known.step(frame).decision.events for frame in frames)


def _organ_is_there(probability: float) -> Manifest:
    """The bundle's manifest with a domain head that says this of every picture."""
    nothing = (0.0,) * 96
    says = Linear(weights=nothing, bias=math.log(probability / (1 - probability)), mean=nothing, scale=(1.0,) * 96)
    heads = Heads(domain=Domain(threshold=0.5, kept=1.0, linear=says))
    gates = msgspec.structs.replace(BUNDLE.manifest.gates, not_breast=0.5)
    return msgspec.structs.replace(BUNDLE.manifest, heads=heads, gates=gates)
