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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sono_edge.bench import clip
from sono_edge.bench.floor import Floor, measure
from sono_models.bundle import Bundle
from sono_models.inputs import Grey
from sono_models.runtime import RuntimeName

BOUNDARY = "frame"


def run(
    bundle: Bundle, runtime: RuntimeName, *, seconds: float = 20.0, viewers: int = 1, rounds: int = 3
) -> dict[str, Any]:
    """Medians over rounds; in each the floor is measured before and after the agent ran, and the mean taken."""
    pictures = clip.pictures(300)
    codes = clip.jpegs(pictures)
    found = [_round(bundle, runtime, pictures[::6], codes, seconds=seconds, viewers=viewers) for _ in range(rounds)]
    medians = {key: round(statistics.median(one[key] for one in found), 3) for key in found[0]}
    return {**medians, "viewers": viewers, "runtime": runtime, "seconds": seconds, "rounds": rounds}


def _round(
    bundle: Bundle, runtime: RuntimeName, sample: list[Grey], codes: list[bytes], *, seconds: float, viewers: int
) -> dict[str, float]:
    before = measure(bundle, sample)
    totals = _agent(bundle, runtime, codes, seconds=seconds, viewers=viewers)
    after = measure(bundle, sample)
    floor = Floor(*(statistics.mean(pair) for pair in zip(_values(before), _values(after), strict=True)))
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
        "rss_mb": totals["memory_mb"],
        "dropped": totals["frames_dropped"],
        "alerts_raised": totals["alerts_raised"],
    }


def _values(floor: Floor) -> tuple[float, float, float]:
    return floor.fps, floor.p50_ms, floor.cpu_ms


def _agent(bundle: Bundle, runtime: RuntimeName, codes: list[bytes], *, seconds: float, viewers: int) -> dict[str, Any]:
    with mjpeg_server(codes, clip.FPS) as url, tempfile.TemporaryDirectory(prefix="sono-bench-") as state:
        command = [sys.executable, "-m", "sono_models.command", "run", "--source", url, "--port", "0", "--json"]
        command += ["--bundle", str(bundle.path), "--runtime", runtime, "--state", state, "--seconds", str(seconds)]
        agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  (our own command)
        with agent, watching(json.loads(_next_line(agent))["view_url"], viewers):
            last = "".join(agent.stdout or ()).strip().splitlines()[-1]
    totals: dict[str, Any] = json.loads(last)
    return totals


def _next_line(agent: subprocess.Popen[str]) -> str:
    assert agent.stdout is not None
    return agent.stdout.readline()


@contextmanager
def watching(view_url: str, viewers: int) -> Iterator[None]:
    """So many readers of the page's stream, each in a process of its own so that they take no part in our GIL."""
    script = f"{Path(__file__).with_name('watcher.py')}"
    readers = [
        subprocess.Popen([sys.executable, script, f"{view_url}live"])  # noqa: S603  (our own script)
        for _ in range(viewers)
    ]
    try:
        yield
    finally:
        for reader in readers:
            reader.terminate()
            reader.wait()


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
