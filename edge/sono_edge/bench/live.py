"""`sono bench live`: a 30 fps MJPEG stream over HTTP into a real agent with its page watched and alerts on."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sono_edge.bench import clip
from sono_edge.bench.floor import Floor, measure
from sono_models.bundle import Bundle
from sono_models.inputs import Grey
from sono_models.runtime import RuntimeName

BOUNDARY = "frame"


SAME = {
    "viewers": {"p50_ms": "p50", "p99_ms": "p99", "loop_cpu_ms": "cpu", "cpu_ms": "process_cpu"},
    "scans": {"p50_ms": "p50", "p99_ms": "p99", "loop_cpu_ms": "loop_cpu", "cpu_ms": "cpu"},
}
"""What is compared with the run beside it, and how the ratio is called: a viewer's business is the loop's own thread,
whose pictures another one encodes; a scan's is the whole process."""
MIX = ("quick", "quick", "slow", "stopped")
"""Of four who watch; see watcher.py."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the agent. `scans` None is the agent's default."""

    viewers: int
    scans: bool | None = None


def run(
    bundle: Bundle,
    runtime: RuntimeName,
    *,
    seconds: float = 20.0,
    viewers: int = 1,
    rounds: int = 3,
    scans: bool | None = None,
) -> dict[str, Any]:
    """Medians over rounds; in each the floor is measured before and after every agent, and the mean taken.

    What more viewers than one cost is measured beside an agent that nobody watches, and what scans cost beside one
    that keeps none: the ratios, `viewers_…` and `scans_…`, are to the other of the same round.
    """
    ways = {"": Way(viewers, scans)}
    if viewers > 1:
        ways["viewers"] = Way(0, scans)
    if scans:
        ways["scans"] = Way(viewers, scans=False)
    pictures = clip.pictures(300)
    codes = clip.jpegs(pictures)
    found = [_round(bundle, runtime, pictures[::6], codes, ways, seconds=seconds, turn=turn) for turn in range(rounds)]
    medians = {key: round(statistics.median(one[key] for one in found), 3) for key in found[0]}
    about = {"viewers": viewers, "scans": scans, "runtime": runtime, "seconds": seconds, "rounds": rounds}
    return {**medians, **about}


def _round(
    bundle: Bundle,
    runtime: RuntimeName,
    sample: list[Grey],
    codes: list[bytes],
    ways: dict[str, Way],
    *,
    seconds: float,
    turn: int,
) -> dict[str, float]:
    """Every way once, in turning order, the floor in between."""
    names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
    floors = [measure(bundle, sample)]
    told: dict[str, dict[str, Any]] = {}
    for name in names:
        told[name] = _agent(bundle, runtime, codes, ways[name], seconds=seconds)
        floors.append(measure(bundle, sample))
    place = names.index("")
    beside = zip(_values(floors[place]), _values(floors[place + 1]), strict=True)
    figures = _figures(told[""], Floor(*(statistics.mean(pair) for pair in beside)))
    for name in [name for name in names if name]:
        other = _compared(told[name])
        with_it = _compared(told[""])
        figures |= {f"{name}_{word}_ratio": with_it[key] / other[key] for key, word in SAME[name].items()}
        figures[f"{name}_rss_mb"] = told[""]["memory_mb"] - told[name]["memory_mb"]
    return figures


def _figures(totals: dict[str, Any], floor: Floor) -> dict[str, float]:
    latency = totals["latency_ms"]
    decided = totals["frames_scored"] + totals["frames_reused"] + totals["frames_paused"]
    return {
        "fps": totals["frames_in"] / totals["ran_s"],
        "scored_share": decided / max(1, totals["frames_in"]),
        "p50_ms": latency["p50"],
        "p99_ms": latency["p99"],
        "floor_p50_ms": floor.p50_ms,
        "p50_ratio": latency["p50"] / floor.p50_ms,
        "p99_ratio": latency["p99"] / floor.p50_ms,
        "cpu_ratio": totals["cpu_ms"] / floor.cpu_ms,
        "loop_cpu_ratio": totals["loop_cpu_ms"] / floor.cpu_ms,
        "delay_frames_p50": latency["p50"] * clip.FPS / 1e3,
        "delay_frames_p99": latency["p99"] * clip.FPS / 1e3,
        "rss_mb": totals["memory_mb"],
        "dropped": totals["frames_dropped"],
        "alerts_raised": totals["alerts_raised"],
        **{f"{kind}_kb_s": read / 1e3 / totals["ran_s"] / count for kind, count, read in totals["watched"]},
    }


def _compared(totals: dict[str, Any]) -> dict[str, float]:
    latency = totals["latency_ms"]
    kinds = {"p50_ms": latency["p50"], "p99_ms": latency["p99"]}
    return {**kinds, "cpu_ms": totals["cpu_ms"], "loop_cpu_ms": totals["loop_cpu_ms"]}


def _values(floor: Floor) -> tuple[float, float, float]:
    return floor.fps, floor.p50_ms, floor.cpu_ms


def _agent(bundle: Bundle, runtime: RuntimeName, codes: list[bytes], way: Way, *, seconds: float) -> dict[str, Any]:
    """The agent's totals, and `watched`: of each kind of viewer how many there were and what they read, bytes."""
    with mjpeg_server(codes, clip.FPS) as url, tempfile.TemporaryDirectory(prefix="sono-bench-") as folder:
        config = Path(folder) / "agent.toml"
        scan = "" if way.scans is None else f"[scan]\nenabled = {str(way.scans).lower()}\n"
        config.write_text(f'[state]\nfolder = "state"\n{scan}', "utf-8")
        command = [sys.executable, "-m", "sono_models.command", "run", "--source", url, "--port", "0", "--json"]
        command += ["--bundle", str(bundle.path), "--runtime", runtime, "--config", str(config)]
        command += ["--seconds", str(seconds)]
        agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  (our own command)
        with agent, watching(json.loads(_next_line(agent))["view_url"], way.viewers) as watched:
            last = "".join(agent.stdout or ()).strip().splitlines()[-1]
    totals: dict[str, Any] = json.loads(last)
    return {**totals, "watched": watched}


def _next_line(agent: subprocess.Popen[str]) -> str:
    assert agent.stdout is not None
    return agent.stdout.readline()


@contextmanager
def watching(view_url: str, viewers: int) -> Iterator[list[tuple[str, int, int]]]:
    """So many readers of the page's stream, in a process of their own so that they take no part in our GIL.

    Gives what comes to be known of them once the block has ended: (kind, how many, bytes read).
    """
    watched: list[tuple[str, int, int]] = []
    if not viewers:
        yield watched
        return
    kinds = [MIX[number % len(MIX)] for number in range(viewers)]
    command = [sys.executable, str(Path(__file__).with_name("watcher.py")), f"{view_url}live", *kinds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as readers:  # noqa: S603  (our own script)
        try:
            yield watched
        finally:
            readers.terminate()
            said = readers.communicate()[0]
    watched += [(kind, kinds.count(kind), read) for kind, read in json.loads(said).items()]


@contextmanager
def mjpeg_server(codes: Sequence[bytes], fps: float) -> Iterator[str]:
    """An HTTP server on loopback that sends the pictures at `fps`, again and again, each at its time."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.end_headers()
            begun = time.monotonic()
            for number in range(1_000_000):
                code = codes[number % len(codes)]
                if stop.wait(max(0.0, begun + number / fps - time.monotonic())):
                    return
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(code)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + code + b"\r\n")
                except OSError:
                    return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the base class)
            pass

    stop = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, name="camera")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stream"
    finally:
        stop.set()
        server.shutdown()
        thread.join()
        server.server_close()
