"""`sono bench frames`: a file's frames to scores and decisions, against the floor."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sono_edge.bench import clip
from sono_edge.bench.floor import cpu_s, measure
from sono_edge.capture import FrameRing
from sono_edge.pipeline import Pipeline
from sono_edge.replay import judge_all
from sono_edge.sources import open_source
from sono_models.bundle import Bundle
from sono_models.reader import verified_reader
from sono_models.runtime import RuntimeName


@dataclass(frozen=True, slots=True)
class Pace:
    fps: float
    cpu_ms: float


def run(bundle: Bundle, runtime: RuntimeName, *, frames: int = 450, rounds: int = 5) -> dict[str, Any]:
    """Medians over interleaved rounds: floor, one worker, two workers."""
    pictures = clip.pictures(frames)
    with tempfile.TemporaryDirectory(prefix="sono-bench-") as folder:
        path = clip.h264(Path(folder) / "sweep.mp4", pictures)
        sample = pictures[::9]
        floors, ones, twos = [], [], []
        for _ in range(rounds):
            floors.append(measure(bundle, sample))
            ones.append(score_file(bundle, runtime, path, workers=1))
            twos.append(score_file(bundle, runtime, path, workers=2))
        agents = [_agent(bundle, runtime, path) for _ in range(3)]
    paired = [one.fps / floor.fps for one, floor in zip(ones, floors, strict=True)]
    paired_two = [two.fps / floor.fps for two, floor in zip(twos, floors, strict=True)]
    paired_cpu = [one.cpu_ms / floor.cpu_ms for one, floor in zip(ones, floors, strict=True)]
    return {
        "floor_fps": round(statistics.median(floor.fps for floor in floors), 1),
        "fps": round(statistics.median(one.fps for one in ones), 1),
        "ratio": round(statistics.median(paired), 3),
        "workers2_ratio": round(statistics.median(paired_two), 3),
        "cpu_ratio": round(statistics.median(paired_cpu), 3),
        "rss_mb": max(agent["memory_mb"] for agent in agents),
        "start_s": statistics.median(agent["start_s"] for agent in agents),
        "frames": frames,
        "rounds": rounds,
        "runtime": runtime,
    }


def score_file(bundle: Bundle, runtime: RuntimeName, path: Path, *, workers: int) -> Pace:
    """Decode, preprocess, gate, infer, aggregate and decide every frame of a file."""
    readers = [verified_reader(bundle, bundle.runtime(runtime)) for _ in range(workers)]
    pipeline = Pipeline(readers[0], bundle.manifest)
    with open_source(str(path)) as source, FrameRing(source, threading.Event()) as ring:
        cpu, begun = cpu_s(), time.perf_counter()
        scored = sum(judged.reading is not None for judged in judge_all(pipeline, readers, ring))
        wall = time.perf_counter() - begun
        return Pace(scored / wall, (cpu_s() - cpu) / scored * 1e3)


def _agent(bundle: Bundle, runtime: RuntimeName, path: Path) -> dict[str, Any]:
    """A real agent with its page on, for four seconds: its memory, and process start to first score."""
    with tempfile.TemporaryDirectory(prefix="sono-bench-") as state:
        command = [sys.executable, "-m", "sono_models.command", "run", "--source", str(path), "--port", "0", "--json"]
        command += ["--bundle", str(bundle.path), "--runtime", runtime, "--state", state, "--seconds", "4"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  (our own command)
    totals: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return totals
