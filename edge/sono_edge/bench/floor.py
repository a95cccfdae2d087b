"""The floor: a bare ONNX Runtime loop over preloaded model inputs. Nothing that scores frames can be faster."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sono_models.bundle import Bundle
from sono_models.inputs import Grey, letterbox


@dataclass(frozen=True, slots=True)
class Floor:
    """`fps`, `p50_ms` and `cpu_ms` of one inference."""

    fps: float
    p50_ms: float
    cpu_ms: float


def cpu_s() -> float:
    """CPU time of this process, user and system, all threads."""
    times = os.times()
    return times.user + times.system


def measure(bundle: Bundle, pictures: Sequence[Grey], *, count: int = 300) -> Floor:
    """One inference thread, inputs ready in memory, after a warm-up."""
    runtime = bundle.runtime("onnx")
    boxed = [letterbox(picture, bundle.manifest.input)[0] for picture in pictures]
    for picture in boxed[:20]:
        runtime.run(picture)
    took_ms: list[float] = []
    cpu, begun = cpu_s(), time.perf_counter()
    for index in range(count):
        at = time.perf_counter()
        runtime.run(boxed[index % len(boxed)])
        took_ms.append((time.perf_counter() - at) * 1e3)
    wall = time.perf_counter() - begun
    return Floor(count / wall, statistics.median(took_ms), (cpu_s() - cpu) / count * 1e3)
