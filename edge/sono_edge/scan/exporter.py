"""The page's way to a drive: `sono scans export` as a child of its own, so that a drive that hangs, or the PDF's
layout, holds neither a frame nor the interpreter that judges frames.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import msgspec

from sono_edge.scan.words import Language
from sono_models.errors import Stopped

log = logging.getLogger(__name__)

ANSWER_S = 900.0
"""A drive that has not taken a scan by then is given up."""
BEAT_S = 0.2
JOIN_S = 10.0
NICE = 10
MOUNTS = Path("/proc/self/mountinfo")
NOT_SET = "No drive is set up on this device"
NOT_MOUNTED = "No drive is plugged in"
NO_ANSWER = "the drive does not answer; nothing was exported"
Outcome = Literal["none", "running", "done", "failed"]


class DriveState(msgspec.Struct, frozen=True):
    """`GET /scan/export`. `ready` says whether an export may begin; `why_not` says why not, in words."""

    ready: bool = False
    why_not: str = NOT_SET
    outcome: Outcome = "none"
    scan: str = ""
    """The scan of `outcome`."""
    reason: str = ""
    """Why it failed, or what is missing."""


@dataclass(frozen=True, slots=True)
class _Result:
    outcome: Outcome = "none"
    scan: str = ""
    reason: str = ""


class Exporter:
    """One export at a time. A context manager: leaving it ends the child; what it had not finished is not there."""

    def __init__(self, state: Path, folder: str, *, mounts: Path = MOUNTS) -> None:
        """`state`: the device's own folder; `folder`: where on the drive, empty where none is set up."""
        self._state, self._folder, self._mounts = state, folder, mounts
        self._result = _Result()
        self._orders: queue.SimpleQueue[tuple[str, Language] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scan-exporter")

    @property
    def drive(self) -> DriveState:
        why_not, now = self._why_not(), self._result
        return DriveState(not why_not and now.outcome != "running", why_not, now.outcome, now.scan, now.reason)

    def export(self, scan: str, language: Language) -> bool:
        """Begin, with the PDF in `language`; False where none may begin now."""
        if not self.drive.ready:
            return False
        self._result = _Result("running", scan)
        self._orders.put((scan, language))
        return True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._orders.put(None)
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            raise Stopped("the scan exporter", "the drive does not answer", "Unplug the drive")

    def _why_not(self) -> str:
        if not self._folder:
            return NOT_SET
        return "" if is_on_a_drive(Path(self._folder), self._state, self._mounts) else NOT_MOUNTED

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            scan, language = order
            result = self._copied(scan, language)
            log.info("scans: export of %s: %s%s", scan, result.outcome, f" ({result.reason})" if result.reason else "")
            self._result = result

    def _copied(self, scan: str, language: Language) -> _Result:
        command = [sys.executable, "-m", "sono_models.command", "scans", "export", scan, "--to", self._folder]
        command += ["--state", str(self._state), "--lang", language, "--again", "--mounted", "--json"]
        try:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
        except OSError as error:
            return _Result("failed", scan, f"it cannot be started ({error.strerror})")
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
        said = self._answer(child)
        if said is None:
            return _Result("failed", scan, NO_ANSWER)
        told = _decoded(said)
        if "exported" in told:
            return _Result("done", scan, str(told.get("missing", "")))
        return _Result("failed", scan, str(told.get("failed", "a fault in the program, see the log")))

    def _answer(self, child: subprocess.Popen[str]) -> str | None:
        """What the child said; None when it was given up. A process that the kernel holds is left to it."""
        for _ in range(round(ANSWER_S / BEAT_S)):
            with suppress(subprocess.TimeoutExpired):
                return child.communicate(timeout=BEAT_S)[0]
            if self._stop.is_set():
                break
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=1.0)
        return None


def is_on_a_drive(folder: Path, own: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `folder` lies on a mount of its own: not on the system's, nor on that of the device's `own` folder.

    Without its drive a mount point is an ordinary folder, and what is copied into it fills the system's disk. The
    kernel's table is read, not the drive: one that hangs is not waited for.
    """
    try:
        points = [_unescaped(line.split()[4]) for line in mounts.read_text("utf-8").splitlines()]
    except (OSError, IndexError):
        return False
    here = _mount_of(folder, points)
    return here not in {"/", _mount_of(own, points)}


def _mount_of(folder: Path, points: list[str]) -> str:
    path = Path(os.path.normpath(folder.absolute()))
    over = {str(path), *map(str, path.parents)}
    return max((point for point in points if point in over), key=len, default="/")


def _unescaped(point: str) -> str:
    """As proc(5) writes spaces and the like: a backslash and three octal digits."""
    return point.encode().decode("unicode_escape") if "\\" in point else point


def _decoded(said: str) -> dict[str, object]:
    try:
        told = json.loads(said)
    except json.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
