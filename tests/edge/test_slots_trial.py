"""A candidate on trial in a real process: what it answers, and every way in which it does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from sono_edge.bench.candidates import Fault, with_sign
from sono_edge.slots import law
from sono_edge.slots.law import Finding, Limits, Tried
from sono_edge.slots.trial import Scored, Trial, TrialOrder
from tests.support.bundles import phantom
from tests.support.slots import made, shipped

pytestmark = pytest.mark.timeout(600)


@contextmanager
def on_trial(
    folder: Path, fault: Fault = "none", *, frame_s: float = 60.0, order: dict[str, str] | None = None
) -> Iterator[Trial]:
    path, _ = made(folder, "1.0.0", fault)
    usual = TrialOrder(str(path), str(shipped().path), "breast", "1.0.0", "onnx", 1, site="demo")
    trial = Trial(msgspec.structs.replace(usual, **(order or {})), threading.Event(), frame_s=frame_s)
    try:
        yield trial
    finally:
        trial.end()


def test_it_scores_as_the_agent_does(tmp_path: Path) -> None:
    picture = list(phantom(2.1))[-1]
    with on_trial(tmp_path) as trial:
        tested = trial.test()
        assert isinstance(tested, Tried)
        assert tested.golden == 0.0
        assert tested.candidate_ms > 0
        assert trial.bounds == shipped().manifest.envelope
        first, again = trial.score(picture), trial.score(picture)
        assert isinstance(first, Scored)
        assert first == again
        assert 0.0 < first.score < 1.0


def test_it_is_slow(tmp_path: Path) -> None:
    with on_trial(tmp_path, "slow") as trial:
        tested = trial.test()
        assert isinstance(tested, Tried)
        found = law.self_test(Limits(), tested)
        assert found is not None
        assert found.code == "latency"


@pytest.mark.parametrize(
    ("order", "code", "lasting"),
    [
        ({"name": "lung"}, "other-model", False),
        ({"version": "2.0.0"}, "other-version", True),
        ({"candidate": "/nowhere.tar"}, "damaged", False),
        ({"profile": "/nowhere.json", "profile_key": "/nowhere.pub"}, "profile", False),
    ],
)
def test_what_is_not_for_this_board(order: dict[str, str], code: str, lasting: bool, tmp_path: Path) -> None:
    with on_trial(tmp_path, order=order) as trial:
        found = trial.test()
    assert isinstance(found, Finding)
    assert (found.code, found.lasting) == (code, lasting)


def test_a_crash_and_a_hang_on_a_live_frame_are_findings(tmp_path: Path) -> None:
    picture = with_sign(list(phantom(2.1))[-1])
    with on_trial(tmp_path, "crashes-on-sign") as trial:
        assert isinstance(trial.test(), Tried)
        found = trial.score(picture)
        assert isinstance(found, Finding)
        assert found.code == "crash"
    with on_trial(tmp_path, "hangs-on-sign", frame_s=3.0) as trial:
        assert isinstance(trial.test(), Tried)
        found = trial.score(picture)
        assert isinstance(found, Finding)
        assert found.code == "hang"


def test_a_child_that_is_killed_is_not_the_version_s_fault(tmp_path: Path) -> None:
    with on_trial(tmp_path) as trial:
        assert isinstance(trial.test(), Tried)
        assert trial._child is not None
        trial._child.send_signal(signal.SIGKILL)
        trial._child.wait()
        found = trial.score(list(phantom(2.1))[-1])
        assert isinstance(found, Finding)
        assert (found.code, found.lasting) == ("killed", False)


def test_the_end_of_the_agent_ends_the_wait(tmp_path: Path) -> None:
    with on_trial(tmp_path) as trial:
        trial._stop.set()
        found = trial.test()
        assert isinstance(found, Finding)
        assert (found.code, found.lasting) == ("stopped", False)
