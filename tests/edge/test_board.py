"""The board's own readings, from files as a Raspberry Pi has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sono_edge.board import Board


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_pi_tells_everything(tmp_path: Path) -> None:
    put(tmp_path, "proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3 4\n")
    put(tmp_path, "proc/meminfo", "MemTotal: 4096000 kB\nMemFree: 1 kB\nMemAvailable: 2048000 kB\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "61234\n")
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    board = Board(tmp_path, root=tmp_path)
    first = board.read()
    assert first.cpu_share is None
    put(tmp_path, "proc/stat", "cpu  150 0 125 1025 0 0 0 0 0 0\n")
    second = board.read()
    assert second.cpu_share == pytest.approx(0.25)
    assert second.memory_mb == 2000.0
    assert second.temperature_c == pytest.approx(61.234)
    assert second.throttled is True
    assert second.disk_free_mb is not None
    assert second.disk_free_mb > 0


def test_what_held_only_in_the_past_is_not_throttled(tmp_path: Path) -> None:
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n")
    assert Board(tmp_path, root=tmp_path).read().throttled is False


def test_an_unknown_board_tells_none(tmp_path: Path) -> None:
    readings = Board(tmp_path / "none", root=tmp_path).read()
    values = (readings.cpu_share, readings.memory_mb, readings.temperature_c, readings.throttled, readings.disk_free_mb)
    assert values == (None,) * 5


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    assert Board(tmp_path).read().disk_free_mb is not None
