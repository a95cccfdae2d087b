"""What is installed beside the code, read by those who will run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sono_edge.agent import VITALS_EVERY_S

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
EXPOSURE_MOST = 2.0
"""Of systemd's scale to 10; "OK" begins below 5."""
SONO = "/opt/sonoedge/bin/sono"


@pytest.mark.peer
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """With our own `sono` in the place where a board has it: the rest is as it is shipped."""
    here = str(Path(sys.executable).with_name("sono"))
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text("utf-8").replace(SONO, here), "utf-8")
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stderr == ""
    assert found.returncode == 0


@pytest.mark.peer
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_do_little(service: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / service)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", found)
    assert float(level) < EXPOSURE_MOST


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_a_command_that_there_is(service: str) -> None:
    (line,) = re.findall(rf"^ExecStart={SONO} (.+)$", (UNITS / service).read_text("utf-8"), re.MULTILINE)
    words = re.split(r" --| \$", line)[0].split()
    command = [str(Path(sys.executable).with_name("sono")), *words, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "200"}).stdout
    for option in re.findall(r"--[a-z-]+", line):
        assert option in shown


def test_the_watchdog_waits_longer_than_the_agent_is_silent() -> None:
    text = (UNITS / "sono-agent.service").read_text("utf-8")
    assert "Type=notify" in text
    (seconds,) = re.findall(r"^WatchdogSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) >= 5 * VITALS_EVERY_S
