"""The frame loop with a scan beside it: what it hands on, and that a disk that hangs delays no step."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sono_edge.agent import Agent, Parts
from sono_edge.alerts import Provenance, model_used
from sono_edge.capture import Capture
from sono_edge.frames import Frame
from sono_edge.outbox import Outbox
from sono_edge.pipeline import Pipeline
from sono_edge.recorder import AlertWriter
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_edge.view import presses
from sono_edge.view.presses import EndScan, Press, Seen, StartScan
from sono_models.bundle import read
from sono_models.reader import verified_reader
from tests.support.bundles import BREAST, FPS, phantom
from tests.support.hand_fed import HandFed, Recorded
from tests.support.slow_store import BlockedStore

SECONDS = 3.4
"""The phantom's lesion comes into view at 1.7 s."""
BACKLOG = 8


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [Frame(index, index / FPS, 0.0, picture) for index, picture in enumerate(phantom(SECONDS))]


@contextmanager
def agent_on(
    frames: list[Frame], folder: Path, store: Store, backlog: int, *, run: str = "run"
) -> Iterator[tuple[Agent, HandFed, ScanWriter]]:
    bundle = read(BREAST)
    runtime = bundle.runtime("onnx")
    pipeline = Pipeline(verified_reader(bundle, runtime), bundle.manifest)
    told = Provenance(run, "phantom", model_used(bundle, runtime), interval=pipeline.interval)
    system = System(told.shown, interval=told.interval)
    source = HandFed(frames, "phantom")
    commands: queue.SimpleQueue[Press] = queue.SimpleQueue()
    with (
        AlertWriter(folder / "outbox.sqlite", "demo", "board-1") as writer,
        ScanWriter(Means(store, pipeline.reader.spec, system, acknowledged=writer.put), backlog=backlog) as scans,
        Capture(source, wait=lambda stop, _: stop.is_set()) as capture,
    ):
        yield Agent(Parts(capture, pipeline, writer, Recorded(), commands, told, "", scans)), source, scans


def drive(agent: Agent, source: HandFed, at: dict[int, Press], count: int) -> None:
    for index in range(count):
        if index in at:
            agent.parts.commands.put(at[index])
        agent.step()
        source.judged.release()


def stored(path: Path) -> list[dict[str, Any]]:
    with Outbox(path, "demo", "board-1") as outbox:
        return [json.loads(item.body)["data"] for item in outbox.after(0, 100)]


def test_a_scan_from_its_token_to_its_summary(frames: list[Frame], tmp_path: Path) -> None:
    store = Store(tmp_path / "scans", 100)
    last = len(frames) - 1
    at: dict[int, Press] = {
        0: StartScan("WL-17"),
        20: presses.Capture(),
        last - 1: Seen(None, "known-finding"),
        last: EndScan(),
    }
    with agent_on(frames, tmp_path, store, 10_000) as (agent, source, _):
        drive(agent, source, at, len(frames))
    record = store.records()[-1]
    assert record.token == "WL-17"
    assert {"m001", "a002"} <= {one.id for one in record.captures}
    assert [(one.seen, one.reason) for one in record.alerts] == [(True, "known-finding")]
    assert record.summary is not None
    assert record.summary.score is not None
    assert record.summary.score.kind == "greatest-frame"
    assert record.summary.score.lo is not None
    assert record.summary.usable_share > 0.5
    sent = stored(tmp_path / "outbox.sqlite")
    assert [one["reason"] for one in sent if one["kind"] == "acknowledged"] == ["known-finding"]
    assert {one["reason"] for one in sent if one["kind"] != "acknowledged"} <= {""}


def test_a_store_that_hangs_delays_no_step(frames: list[Frame], tmp_path: Path) -> None:
    store = BlockedStore(tmp_path / "scans")
    with agent_on(frames, tmp_path, store, BACKLOG) as (agent, source, scans):
        drive(agent, source, {10: presses.Capture(), 50: Seen(None), 60: EndScan()}, len(frames))
        assert store.entered.is_set()
        assert not store.free.is_set()  # every step came back while the store still hung
        assert agent.meter.alerts_raised == 1
        assert agent.meter.judged == len(frames)
        assert scans.dropped >= len(frames) - BACKLOG - 30
        store.free.set()


def test_an_alert_is_acknowledged_by_name_also_when_it_is_gone(frames: list[Frame], tmp_path: Path) -> None:
    """Another one is never taken for it, a second press says nothing new, and a reason may follow."""
    store = Store(tmp_path / "scans", 100)
    last = len(frames) - 1
    with agent_on(frames, tmp_path, store, 10_000) as (agent, source, _):
        drive(agent, source, {}, last)
        standing = f"run-{agent.parts.pipeline.memory.tracks}"
        for press in (Seen("run-0"), Seen(standing), Seen(standing), Seen(standing, "artefact")):
            agent.parts.commands.put(press)
        agent.step()
        source.judged.release()
    told = [one for one in stored(tmp_path / "outbox.sqlite") if one["kind"] == "acknowledged"]
    assert [(one["alert"], one["reason"]) for one in told] == [(standing, ""), (standing, "artefact")]
    assert not [line for line in agent._lines if line.alert == "run-0"]


def test_an_alert_of_an_earlier_run_is_acknowledged_to_the_fleet_once(frames: list[Frame], tmp_path: Path) -> None:
    store = Store(tmp_path / "scans", 100)
    with agent_on(frames, tmp_path, store, 10_000, run="monday") as (agent, source, _):
        drive(agent, source, {len(frames) - 1: EndScan()}, len(frames))
    (before,) = [one for one in stored(tmp_path / "outbox.sqlite") if one["kind"] == "raised"]
    with agent_on(frames, tmp_path, Store(tmp_path / "scans", 100), 10_000, run="tuesday") as (agent, source, _):
        drive(agent, source, {1: Seen(before["alert"], "artefact"), 2: Seen(before["alert"], "artefact")}, 4)
    seen = [one for one in stored(tmp_path / "outbox.sqlite") if one["kind"] == "acknowledged"]
    assert [(one["alert"], one["reason"], one["acknowledgement"]) for one in seen] == [
        (before["alert"], "artefact", "seen")
    ]
    assert (seen[0]["box"], seen[0]["score"], seen[0]["model"]) == (before["box"], before["score"], before["model"])
    assert seen[0]["sequence"] > before["sequence"]
