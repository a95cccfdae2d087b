"""A candidate on trial, in a process of its own: what it crashes, hangs or swallows there costs no frame.

The child (trial_child.py) is niced. A niced *thread* would hold the interpreter's lock while another process has
its core, and the frame loop would wait for it. One line of JSON comes back for the self-test and for every frame.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import TypeVar

import msgspec

from sono_edge.slots.law import Finding, Tried
from sono_models.inputs import Grey
from sono_models.manifest import Bound

NICE = 10
LOOK_S = 0.2
"""How late the end of the agent is noticed while the child works."""
FRAME_S = 10.0
TEST_S = 120.0
"""A self-test takes a second on a desktop, ten on the slowest board; a minute more is a hang."""
LINE_MOST = 1 << 16
STOPPED = Finding("stopped", "the agent ended", lasting=False)

Answer = TypeVar("Answer")


class TrialOrder(msgspec.Struct, frozen=True):
    """What the child is told, as JSON in its only argument. Empty `profile`: none is in force."""

    candidate: str
    current: str
    name: str
    """The model that this board runs."""
    version: str
    """That the candidate was announced as."""
    runtime: str
    threads: int
    profile: str = ""
    profile_key: str = ""
    site: str = ""
    bare: bool = False
    """Live frames are scored as without a profile: two site profiles, or one and none, say nothing of two networks."""


class SelfTest(msgspec.Struct, frozen=True, tag="tested"):
    golden: float
    golden_allowed: float
    candidate_ms: float
    current_ms: float
    missed: tuple[str, ...]
    bounds: tuple[Bound, ...]
    """The candidate's envelope."""


class Scored(msgspec.Struct, frozen=True, tag="scored"):
    score: float
    over: bool


class Against(msgspec.Struct, frozen=True, tag="against"):
    code: str
    reason: str
    lasting: bool


class Trial:
    """`test` starts the child, `end` ends it. Nothing here raises for what the candidate does."""

    def __init__(
        self, order: TrialOrder, stop: threading.Event, *, test_s: float = TEST_S, frame_s: float = FRAME_S
    ) -> None:
        self.bounds: tuple[Bound, ...] = ()
        """The candidate's envelope, once it was tested."""
        self._order, self._stop = order, stop
        self._test_s, self._frame_s = test_s, frame_s
        self._child: subprocess.Popen[bytes] | None = None
        self._said = b""

    def start(self) -> None:
        command = [sys.executable, "-m", "sono_edge.slots.trial_child", msgspec.json.encode(self._order).decode()]
        self._child = subprocess.Popen(  # noqa: S603  (our own module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        os.setpriority(os.PRIO_PROCESS, self._child.pid, NICE)
        assert self._child.stdin is not None
        os.set_blocking(self._child.stdin.fileno(), False)

    def end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            child.wait()

    def test(self) -> Tried | Finding:
        try:
            self.start()
        except OSError as error:
            return Finding("trial", f"no process could be started for it: {error.strerror}", lasting=False)
        found = self._answer(SelfTest, self._test_s, "self-test")
        if isinstance(found, Finding):
            return found
        self.bounds = found.bounds
        return Tried(found.golden, found.golden_allowed, found.candidate_ms, found.current_ms, found.missed)

    def score(self, picture: Grey) -> Scored | Finding:
        height, width = picture.shape
        head = height.to_bytes(4, "little") + width.to_bytes(4, "little")
        deadline = time.monotonic() + self._frame_s
        for part in (memoryview(head), memoryview(picture.tobytes())):
            against = self._send(part, deadline)
            if against is not None:
                return against
        return self._answer(Scored, self._frame_s, "scoring a live frame")

    def _send(self, part: memoryview, deadline: float) -> Finding | None:
        assert self._child is not None
        assert self._child.stdin is not None
        pipe = self._child.stdin.fileno()
        while part:
            if self._stop.is_set():
                return STOPPED
            if time.monotonic() > deadline:
                return Finding("hang", "it took no live frame in time")
            _, ready, _ = select.select([], [pipe], [], LOOK_S)
            try:
                part = part[os.write(pipe, part[: 1 << 16]) :] if ready else part
            except BlockingIOError:
                continue
            except OSError:
                return self._crashed("scoring a live frame")
        return None

    def _answer(self, kind: type[Answer], timeout_s: float, what: str) -> Answer | Finding:
        line = self._line(timeout_s, what)
        if isinstance(line, Finding):
            return line
        try:
            found = msgspec.json.decode(line, type=kind | Against)
        except msgspec.DecodeError:
            return Finding("crash", f"{what}: its process said something else than an answer")
        return Finding(found.code, found.reason, found.lasting) if isinstance(found, Against) else found

    def _line(self, timeout_s: float, what: str) -> bytes | Finding:
        assert self._child is not None
        assert self._child.stdout is not None
        pipe = self._child.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._said:
            if self._stop.is_set():
                return STOPPED
            if time.monotonic() > deadline:
                return Finding("hang", f"{what} did not end within {timeout_s:g} s")
            if not select.select([pipe], [], [], LOOK_S)[0]:
                continue
            more = os.read(pipe, LINE_MOST)
            if not more or len(self._said) > LINE_MOST:
                return self._crashed(what)
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return line

    def _crashed(self, what: str) -> Finding:
        assert self._child is not None
        try:
            status = self._child.wait(self._frame_s)
        except subprocess.TimeoutExpired:
            return Finding("hang", f"{what}: its process closed its output and does not end")
        if status == -signal.SIGKILL:  # the system's, for want of memory: not the version's own fault
            return Finding("killed", f"{what}: the system ended its process (memory?)", lasting=False)
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return Finding("crash", f"{what}: its process ended with {how}")
