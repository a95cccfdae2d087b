"""What a board says of itself, from /proc and /sys. None is what it cannot tell."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class BoardReadings:
    cpu_share: float | None
    """Of all cores since the reading before, 0 to 1."""
    memory_mb: float | None
    """In use on the whole board."""
    temperature_c: float | None
    throttled: bool | None
    disk_free_mb: float | None


class Board:
    """Reads this machine; `root` is where /proc and /sys hang, `folder` the disk that matters."""

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        self._folder, self._root = folder, root
        self._ticks: tuple[int, int] | None = None

    def read(self) -> BoardReadings:
        return BoardReadings(
            cpu_share=self._cpu_share(),
            memory_mb=self._memory_mb(),
            temperature_c=self._temperature_c(),
            throttled=self._throttled(),
            disk_free_mb=self._disk_free_mb(),
        )

    def _text(self, name: str) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return (self._root / name).read_text(encoding="utf-8")
        return ""

    def _cpu_share(self) -> float | None:
        fields = self._text("proc/stat").partition("\n")[0].split()[1:9]
        if len(fields) < 5:
            return None
        ticks = [int(field) for field in fields]
        now = (sum(ticks), sum(ticks) - ticks[3] - ticks[4])  # all, and all but idle and waiting for the disk
        before, self._ticks = self._ticks, now
        if before is None or now[0] <= before[0]:
            return None
        return (now[1] - before[1]) / (now[0] - before[0])

    def _memory_mb(self) -> float | None:
        kilobytes = {}
        for line in self._text("proc/meminfo").splitlines():
            name, _, value = line.partition(":")
            if name in {"MemTotal", "MemAvailable"}:
                kilobytes[name] = int(value.split()[0])
        if len(kilobytes) < 2:
            return None
        return (kilobytes["MemTotal"] - kilobytes["MemAvailable"]) / 1024

    def _temperature_c(self) -> float | None:
        text = self._text("sys/class/thermal/thermal_zone0/temp").strip()
        return int(text) / 1000 if text.lstrip("-").isdigit() else None

    def _throttled(self) -> bool | None:
        """The Raspberry Pi's firmware; its low four bits are what holds now."""
        text = self._text("sys/devices/platform/soc/soc:firmware/get_throttled").strip()
        try:
            return bool(int(text, 16) & 0xF)
        except ValueError:
            return None

    def _disk_free_mb(self) -> float | None:
        with suppress(OSError):
            return shutil.disk_usage(self._folder).free / MEGABYTE
        return None
