"""The whole idea on one machine: `sono demo` as a person would call it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.bundles import ROOT, clip
from tests.support.scans import kept_scan

SONO = [sys.executable, "-m", "sono_models.command"]
KEYS = {
    "frames_in",
    "frames_scored",
    "frames_reused",
    "frames_dropped",
    "alerts_raised",
    "alerts_committed",
    "latency_ms",
    "bundle",
    "runtime",
    "view_url",
}


def demo(*arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    command = [*SONO, "demo", "--headless", "--json", "--port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def no_child_left() -> Iterator[None]:
    """No program of the demo outlives it."""
    before = {process.pid for process in psutil.process_iter()}
    yield
    left = [
        " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in before
    ]
    ours = str(Path(sys.executable).parent)  # another checkout may run its own beside
    assert not [line for line in left if line.startswith(ours) and ("sono_models.command" in line or "nats-" in line)]


@pytest.mark.usefixtures("no_child_left")
def test_alerts_of_the_phantom_are_committed_on_the_other_side() -> None:
    done = demo("--seconds", "8")
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(totals) >= KEYS
    assert set(totals["latency_ms"]) == {"p50", "p95", "p99"}
    assert totals["alerts_raised"] >= 1
    assert totals["alerts_committed"] == totals["alerts_raised"]
    judged = totals["frames_scored"] + totals["frames_reused"] + totals["frames_paused"]
    in_flight = totals["frames_in"] - judged - totals["frames_dropped"]
    assert 0 <= in_flight <= 1  # one may lie in the slot when the time is up


@pytest.mark.usefixtures("no_child_left")
def test_a_file_ends_the_demo_and_litert_does_the_same(tmp_path: Path) -> None:
    path = clip(tmp_path / "sweep.mp4", 4.0)
    done = demo("--source", str(path), "--runtime", "litert")
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout.strip().splitlines()[-1])
    assert totals["frames_in"] == 120
    assert totals["alerts_raised"] == totals["alerts_committed"] == 1
    assert totals["runtime"].startswith("litert")


@pytest.mark.usefixtures("no_child_left")
def test_ctrl_c_stops_every_child_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    command = [*SONO, "demo", "--port", "0", "--state", str(tmp_path / "kept")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if " raised " in line:
                break
        running.send_signal(signal.SIGINT)
        said, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert "committed in the fleet's database" in said
    assert "Traceback" not in errors
    listed = subprocess.run(
        [*SONO, "fleet", "alerts", "--json", "--database", f"sqlite:///{tmp_path / 'kept' / 'fleet.sqlite'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(listed.stdout.splitlines()[0])


@pytest.mark.usefixtures("no_child_left")
def test_a_port_in_use_is_one_line_and_nothing_stays_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*SONO, "demo", "--headless", "--port", str(port)], capture_output=True, text=True, timeout=90, check=False
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "already in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("no_child_left")
def test_a_missing_source_is_one_line() -> None:
    done = demo("--source", "nowhere.mp4")
    assert done.returncode == 1
    assert "nowhere.mp4" in done.stderr
    assert "there is no such file" in done.stderr


@pytest.mark.data
@pytest.mark.parametrize("name", ["butterfly-ocular-phantom.mp4", "clarius-ocular-short.mp4"])
def test_real_handheld_cine_runs_through(name: str) -> None:
    path = ROOT.parent / "shared" / "data" / "cine" / name
    if not path.is_file():
        pytest.skip("the real data are not at ../shared/data")
    done = demo("--source", str(path), "--seconds", "4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["frames_in"] > 20


@pytest.mark.usefixtures("no_child_left")
def test_a_scenario_is_named_in_the_result_and_says_so_when_it_is_unknown() -> None:
    done = demo("--scenario", "quiet", "--seconds", "4")
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(totals) >= KEYS
    assert (totals["scenario"], totals["alerts_raised"]) == ("quiet", 0)
    refused = demo("--scenario", "loud")
    assert refused.returncode == 1
    known = "Name one of quiet, lesion, trouble"
    assert refused.stderr.strip() == f"error: scenario 'loud': there is no such scenario. {known}"


@pytest.mark.usefixtures("no_child_left")
@pytest.mark.timeout(300)
def test_in_trouble_alerts_wait_for_the_broker_and_none_is_lost(tmp_path: Path) -> None:
    state = tmp_path / "kept"
    with subprocess.Popen(
        [*SONO, "demo", "--scenario", "trouble", "--port", "0", "--state", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if " raised " in line:
                break
        running.send_signal(signal.SIGINT)
        said, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert "committed in the fleet's database" in said
    assert "lost" in (state / "programs.log").read_text("utf-8"), "the uplink noticed that its broker went"


@pytest.mark.usefixtures("no_child_left")
def test_a_scan_that_was_kept_is_played_and_leaves_no_other(tmp_path: Path) -> None:
    folder = kept_scan(tmp_path / "device" / "state" / "scans")
    config = tmp_path / "device" / "agent.toml"
    config.write_text('[state]\nfolder = "state"\n', "utf-8")
    done = demo("--scan", folder.name, "--config", str(config), "--state", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout.strip().splitlines()[-1])
    assert totals["frames_in"] >= 40
    assert totals["scenario"] is None
    assert not (tmp_path / "demo" / "state" / "scans").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    refused = demo("--scan", "20260101T000000Z-000000", "--config", str(config))
    assert refused.returncode == 1
    assert f"Name one of {folder.name}" in refused.stderr
