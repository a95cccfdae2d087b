"""What the loop leaves for the thread, what systemd is told, and what the command line shows."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sono_edge.bench.cut_disk import CutDisk, tear
from sono_edge.bench.powercut import run as powercut
from sono_edge.commands.slots import app
from sono_edge.config import AgentConfig, with_
from sono_edge.decide import Decision, Observation
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality
from sono_edge.pipeline import NOWHERE, Judged
from sono_edge.scene import State
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import STEADY_FRAMES
from sono_edge.slots.watch import FROZEN_SCAN_S, Watch
from sono_edge.watchdog import notifier
from sono_models.errors import Refused
from sono_models.inputs import Placement
from sono_models.reader import Reading
from tests.support.slots import made, shipped, shipped_as_slot

PICTURE = np.zeros((8, 8), np.uint8)
READING = Reading(0.1, 0.6, NOWHERE, np.zeros((2, 1, 1), np.float32))


def judged(index: int, gate: Gate = Gate.PASS, *, frozen: bool = False, reused: bool = False) -> Judged:
    quality = Quality(gate, "", 1.0)
    return Judged(
        Frame(index, index / 30, 0.0, PICTURE),
        quality,
        READING if gate is Gate.PASS else None,
        reused,
        Decision(State.SCANNING, "", 0.0, None),
        Observation(index / 30, quality, 0.6, NOWHERE, fresh=not reused, frozen=frozen),
        Placement(0, 0, 1, 1),
    )


def test_somebody_scans_until_it_was_quiet() -> None:
    watch = Watch(60.0, 0.0)
    assert watch.scanning(59.0)  # just started: nobody knows
    assert not watch.scanning(61.0)
    watch.saw(judged(1), 0.5, 9.0, 100.0)
    watch.saw(judged(2, Gate.NO_CONTACT), 0.5, 9.0, 150.0)
    assert watch.scanning(159.0)
    assert not watch.scanning(160.0)
    watch.saw(judged(3, Gate.DOPPLER), 0.5, 9.0, 200.0)
    assert watch.scanning(259.0)


def test_a_frozen_picture_is_a_scan_for_a_while() -> None:
    watch = Watch(60.0, 0.0)
    watch.saw(judged(1), 0.5, 9.0, 10.0)
    watch.saw(judged(2, frozen=True), 0.5, 9.0, 300.0)
    assert watch.scanning(310.0)
    watch.saw(judged(3, frozen=True), 0.5, 9.0, 11.0 + FROZEN_SCAN_S)
    assert not watch.scanning(12.0 + FROZEN_SCAN_S)


def test_samples_are_fresh_newest_and_only_when_wanted() -> None:
    watch = Watch(60.0, 0.0)
    watch.saw(judged(1), 0.5, 9.0, 0.0)
    assert watch.sample() is None
    watch.wants = True
    watch.saw(judged(2, reused=True), 0.5, 9.0, 0.0)
    assert watch.sample() is None
    watch.saw(judged(3), 0.7, 9.0, 0.0)
    sample = watch.sample()
    assert sample is not None
    assert (sample.score, sample.over) == (0.6, False)
    assert watch.sample() is None


def test_a_swap_counts_what_was_missed_and_begins_anew() -> None:
    watch = Watch(60.0, 0.0)
    for index in range(STEADY_FRAMES):
        watch.saw(judged(index), 0.5, 9.0, 0.0)
    assert (watch.latency_ms(), watch.scored) == (9.0, STEADY_FRAMES)
    watch.swapped()
    assert (watch.latency_ms(), watch.scored) == (0.0, 0)
    watch.saw(judged(STEADY_FRAMES + 2), 0.5, 9.0, 0.0)
    assert watch.missed_most == 2


def test_a_beat_has_an_age_once_it_began() -> None:
    watch = Watch(60.0, 0.0)
    assert watch.beat_age_s(1e6) == 0.0
    watch.beat(10.0)
    assert watch.beat_age_s(16.0) == 6.0


def test_systemd_is_told_and_a_manager_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        notifier(str(tmp_path / "notify"))("READY=1")
        assert manager.recv(100) == b"READY=1"
    notifier(str(tmp_path / "notify"))("WATCHDOG=1")
    notifier("")("WATCHDOG=1")


def command(*words: str, state: Path) -> str:
    result = CliRunner().invoke(app, [*words, "--state", str(state)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_command_shows_stages_and_goes_back(tmp_path: Path) -> None:
    assert "bundle that ships is judging" in command("show", state=tmp_path)
    path, order = made(tmp_path, "1.0.0")
    assert "1.0.0 is staged" in command("stage", str(path), state=tmp_path)
    slots = Slots(tmp_path / "slots")
    staged = slots.staged()
    assert staged is not None
    assert staged.sha256 == order.sha256
    slots.take(staged)
    slots.good(slots.activate(staged, shipped_as_slot()))
    assert f"{shipped_as_slot().title} judges" in command("back", state=tmp_path)
    shown = json.loads(command("show", "--json", state=tmp_path))
    assert shown["current"]["place"] == "shipped"
    assert [(one["version"], one["code"]) for one in shown["refused"]] == [("1.0.0", "operator")]
    assert "given up by hand" in command("show", state=tmp_path)
    with pytest.raises(Refused, match="none before it"):
        CliRunner().invoke(app, ["back", "--state", str(tmp_path)], catch_exceptions=False)
    with pytest.raises(Refused, match="failed on this device"):
        CliRunner().invoke(app, ["stage", str(path), "--state", str(tmp_path)], catch_exceptions=False)


def test_without_slots_there_is_no_folder() -> None:
    assert with_(AgentConfig(), trial={"folder": ""}).slots is None
    assert AgentConfig().slots == Path("state/slots")


def test_what_was_not_durable_is_torn_and_what_was_is_not(tmp_path: Path) -> None:
    torn = 0
    for seed in range(30):
        folder, notes = tmp_path / f"{seed}" / "slots", tmp_path / f"{seed}" / "notes"
        folder.mkdir(parents=True)
        disk = CutDisk(notes, None)
        disk.write(folder / "kept", [b"old"])
        disk.create(folder / "dirty").close()
        (folder / "dirty").write_bytes(b"x" * 1000)
        disk.rename(folder / "dirty", folder / "kept")
        torn += tear(notes, random.Random(seed)) > 0
        assert (folder / "kept").read_bytes()[:1] in {b"o", b"x", b"\0", b""}
    assert torn > 5


@pytest.mark.timeout(600)
def test_the_power_goes_and_the_board_comes_up(tmp_path: Path) -> None:
    found = powercut(shipped(), points=6, seed=3, rot_every=3)
    assert found["failures"] == []
    assert (found["points"], found["whole"]) == (6, 6)
    assert sum(found["boots_on"].values()) == 6
