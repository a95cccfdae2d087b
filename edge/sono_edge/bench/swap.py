"""`sono bench swap`: real updates of a real agent on a live stream, and what a bad one costs.

The stream is MJPEG over HTTP at `fps`: a phantom sweep, then the probe in the air, again and again, so that there are
frames to compare on and moments to swap at. No scan is recorded: none would end here, and a swap waits for its end.
First so many good updates, one after the other; then candidates with a fault, each of which has to be refused with its
own code, or, where the fault waits for a sign in the picture, taken back by itself. This process is the service
manager: it starts an agent that ended again.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self, overload

from sono_edge.bench import clip
from sono_edge.bench.candidates import Fault, repacked, with_sign
from sono_edge.bench.live import mjpeg_server
from sono_edge.outbox import Outbox
from sono_edge.phantom import sweep
from sono_edge.slots.folder import Slots
from sono_edge.slots.records import Slot, Staged
from sono_models.bundle import Bundle, read
from sono_models.errors import Stopped
from sono_models.inputs import Grey
from sono_models.messages import rfc3339
from sono_models.runtime import RuntimeName

SITE, DEVICE = "bench", "board-1"
SONO = (sys.executable, "-m", "sono_models.command")
SWEEP_FRAMES, AIR_FRAMES = 60, 40
LONG_S = 180.0
"""Until a step of an update that should come is given up; a busy machine is slow."""
RESTART_S = 1.0
"""What a service manager waits before it starts a program again."""
WARM = 10
"""Swaps before memory counts: the allocator's own pools fill, which was seen to end after eight."""
REFUSED: dict[Fault, str] = {
    "golden": "golden",
    "envelope": "envelope",
    "slow": "latency",
    "crashes": "crash",
    "shifted": "shadow-shift",
}
TAKEN_BACK: dict[Fault, str] = {"crashes-on-sign": "crash", "hangs-on-sign": "hang", "slows-on-sign": "latency"}
CONFIG = """\
[device]
site = "{site}"
id = "{device}"
[source]
uri = "{url}"
[model]
bundle = "{bundle}"
runtime = "{runtime}"
[view]
port = 0
[scan]
enabled = false
[state]
folder = "{folder}"
[trial]
shadow_frames = 12
shadow_per_s = 12
quiet_s = 0.4
probation_s = {probation_s}
probation_frames = 20
"""


class Stream(Sequence[bytes]):
    """The stream's pictures as JPEG; while `signed` is set, with the sign."""

    def __init__(self) -> None:
        air = [_grey(6, seed) for seed in range(AIR_FRAMES)]
        scanned = [one.picture for one in islice((f for f in sweep(seed=clip.SEED, fps=clip.FPS) if f.contact), 200)]
        pictures = [*scanned[-SWEEP_FRAMES:], *air]
        self._plain = clip.jpegs(pictures)
        self._signed = clip.jpegs([with_sign(one) for one in scanned[-SWEEP_FRAMES:]])
        self.signed = False

    def __len__(self) -> int:
        return len(self._plain)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if self.signed and isinstance(index, int):
            return self._signed[index % len(self._signed)]
        return self._plain[index]


def _grey(level: int, seed: int) -> Grey:
    """A nearly black picture that is another each time: the probe in the air."""
    import numpy as np  # noqa: PLC0415

    return np.random.default_rng(seed).integers(0, 2 * level, (480, 640), np.uint8)


@dataclass(slots=True)
class Board:
    """An agent as a service: started again when it ended by itself. A context manager."""

    config: Path
    log: Path
    starts: int = 0
    _child: subprocess.Popen[bytes] | None = None
    _ended_s: float = 0.0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        child = self._child
        if child is None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def look(self) -> None:
        """Once in a while: what a service manager does."""
        assert self._child is not None
        if self._child.poll() is None:
            return
        self._ended_s = self._ended_s or time.monotonic()
        if time.monotonic() - self._ended_s >= RESTART_S:
            self._start()

    def memory_mb(self) -> float:
        assert self._child is not None
        try:
            pages = int(Path(f"/proc/{self._child.pid}/statm").read_text("ascii").split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * 4096 / 1e6

    def totals(self) -> dict[str, Any]:
        """What the agent said last, once it has ended."""
        lines = [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.startswith('{"frames')]
        if not lines:
            raise Stopped("the agent", "it ended without its totals", f"See {self.log}")
        totals: dict[str, Any] = json.loads(lines[-1])
        return totals

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603  (our own command)
                [*SONO, "run", "--config", str(self.config), "--json"], stdout=log, stderr=log
            )
        self._ended_s = 0.0
        self.starts += 1


@dataclass(slots=True)
class Bench:
    """One board and the bundles that it is given."""

    folder: Path
    bundle: Bundle
    runtime: RuntimeName
    url: str
    stream: Stream
    number: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def slots(self) -> Slots:
        return Slots(self.folder / "state" / "slots")

    def board(self, name: str, *, probation_s: float) -> Board:
        config = self.folder / f"{name}.toml"
        place = {"site": SITE, "device": DEVICE, "url": self.url, "folder": self.folder / "state"}
        model = {"bundle": self.bundle.path.resolve(), "runtime": self.runtime, "probation_s": probation_s}
        config.write_text(CONFIG.format(**place, **model), encoding="utf-8")
        return Board(config, self.folder / f"{name}.log")

    def stage(self, fault: Fault = "none") -> Staged:
        self.number += 1
        version = f"1.0.{self.number}"
        file = self.folder / f"{self.bundle.manifest.name}-{version}.tar"
        file.write_bytes(repacked(self.bundle, version, fault))
        found = read(file)
        at = rfc3339(datetime.now(UTC))
        order = Staged("bench", found.manifest.name, version, found.sha256, file.stat().st_size, at, self.number)
        self.slots.stage(file, order)
        file.unlink()
        return order

    def until(self, board: Board, true: Callable[[], object], what: str) -> float:
        """Seconds until it holds; notes what never came."""
        began, beat = time.monotonic(), threading.Event()
        while not true():
            board.look()
            if time.monotonic() - began > LONG_S:
                self.wrong.append(f"{what} did not come within {LONG_S:g} s")
                break
            beat.wait(0.05)
        return time.monotonic() - began

    def is_current(self, order: Staged, *places: str) -> bool:
        current = self.slots.current()
        return current is not None and current.sha256 == order.sha256 and current.place in places

    def good_ones(self, swaps: int) -> dict[str, Any]:
        memory: list[float] = []
        took: list[float] = []
        board = self.board("good", probation_s=0.5)
        with board:
            self.until(board, self._scores_any, "the first agent")
            before_mb = board.memory_mb()
            for _ in range(swaps):
                order = self.stage()
                took.append(self.until(board, partial(self.is_current, order, "good"), order.title))
                memory.append(board.memory_mb())
        totals = board.totals()
        first, last = memory[min(WARM, len(memory) - 1) :][:5], memory[-5:]
        if board.starts > 1:
            self.wrong.append(f"the agent was started {board.starts} times")
        return {
            "swaps": totals["swaps"],
            "frames_missed_max": totals["swap_missed_most"],
            "rss_growth_mb": round(statistics.median(last) - statistics.median(first), 2),
            "rss_mb": round(memory[-1], 1),
            "rss_lowest_by_ten_mb": [round(min(memory[start : start + 10]), 1) for start in range(0, swaps, 10)],
            "rss_before_mb": round(before_mb, 1),
            "frames_in": totals["frames_in"],
            "frames_dropped": totals["frames_dropped"],
            "update_s_median": round(statistics.median(took), 2),
        }

    def bad_ones(self) -> dict[str, Any]:
        board = self.board("bad", probation_s=600.0)
        refused: dict[str, str] = {}
        back_s: dict[str, float] = {}
        with board:
            self.until(board, lambda: self._scores(self._running(), 0.0), "the second agent")
            threading.Event().wait(3.0)
            for fault, code in REFUSED.items():
                refused[fault] = self._refused(board, fault, code)
            for fault, code in TAKEN_BACK.items():
                back_s[fault] = self._taken_back(board, fault, code)
            back_s["operator"] = self._by_hand(board)
        return {"rollback_s_max": round(max(back_s.values()), 2), "rollback_s": back_s, "refused": refused}

    def _refused(self, board: Board, fault: Fault, code: str) -> str:
        before = self._running()
        order = self.stage(fault)
        self.until(board, lambda: self._code(order), f"the refusal of {fault}")
        found = self._code(order)
        if found != code or self._running() != before:
            self.wrong.append(f"{fault} was {found or 'not refused'}, {code} was expected")
        return found

    def _taken_back(self, board: Board, fault: Fault, code: str) -> float:
        """From the sign in the picture to the frames scored by the bundle before."""
        before = self._running()
        order = self._activated(board, fault)
        at, self.stream.signed = time.time(), True
        self.until(board, lambda: self._code(order), f"the roll-back of {fault}")
        self.until(board, lambda: self._scores(before, at), f"the bundle before {fault}")
        took = round(time.time() - at, 2)
        self.stream.signed = False
        if self._code(order) != code:
            self.wrong.append(f"{fault} was taken back for {self._code(order) or 'nothing'}, {code} was expected")
        return took

    def _by_hand(self, board: Board) -> float:
        before = self._running()
        self._activated(board, "none")
        at = time.time()
        command = [*SONO, "slots", "back", "--config", str(board.config)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (our own command)
        self.until(board, lambda: self._scores(before, at), "the bundle before, by hand")
        return round(time.time() - at, 2)

    def _activated(self, board: Board, fault: Fault) -> Staged:
        order = self.stage(fault)
        self.until(board, lambda: self.is_current(order, "active"), f"{fault} on probation")
        at = time.time()
        slot = self.slots.current()
        self.until(board, lambda: self._scores(slot, at), f"frames scored by {fault}")
        threading.Event().wait(3.0)  # its latencies are to be known
        return order

    def _running(self) -> Slot | None:
        return self.slots.current()

    def _code(self, order: Staged) -> str:
        found = self.slots.refusals().of(order.name, order.version, order.sha256)
        return found.code if found else ""

    def _scores_any(self) -> bool:
        if not (self.folder / "state" / "outbox.sqlite").exists():
            return False
        with Outbox(self.folder / "state" / "outbox.sqlite", SITE, DEVICE) as outbox:
            vitals = outbox.vitals()
        return vitals is not None and vitals.frames_scored > 0

    def _scores(self, slot: Slot | None, since: float) -> bool:
        """Whether the agent says, later than `since`, that this bundle scores frames."""
        with Outbox(self.folder / "state" / "outbox.sqlite", SITE, DEVICE) as outbox:
            vitals = outbox.vitals()
        if vitals is None or slot is None:
            return False
        fresh = datetime.fromisoformat(vitals.at).timestamp() > since
        return fresh and vitals.bundle_sha256 == slot.sha256 and vitals.fps_scored > 0


def run(bundle: Bundle, runtime: RuntimeName = "onnx", *, swaps: int = 100, fps: float = 30.0) -> dict[str, Any]:
    """swaps, frames_missed_max, rss_growth_mb, rollback_s_max …; `wrong` is what did not go as it should.

    `rss_growth_mb` compares medians; some looks fall between a swap and the old engine's end. `rss_lowest_by_ten_mb`
    is the least of every ten looks, which none of that touches.
    """
    began = time.monotonic()
    stream = Stream()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sono-swap-")))
        url = stack.enter_context(mjpeg_server(stream, fps))
        bench = Bench(folder, bundle, runtime, url, stream)
        good = bench.good_ones(swaps)
        bad = bench.bad_ones()
    return {
        **good,
        **bad,
        "wrong": bench.wrong,
        "fps": fps,
        "runtime": runtime,
        "seconds": round(time.monotonic() - began, 1),
    }
