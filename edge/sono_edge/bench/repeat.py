"""`sono bench repeat`: is the same picture's score the same, again and again, after restarts, on more threads?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sono_edge.bench import clip
from sono_models.bundle import Bundle, read
from sono_models.reader import Reader, Reading
from sono_models.runtime import RUNTIMES, RuntimeName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

PICTURES = 5
APART = 18
"""Frames from one picture of the sweep to the next: tissue alone, a lesion coming into view, a lesion."""
SHORTER = 10
"""More threads and fresh processes repeat a tenth as often each."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """How many readings were compared with the first ones, how many differed in any bit, and by how much at most."""

    compared: int = 0
    different: int = 0
    max_diff: float = 0.0

    def __add__(self, other: Repeated) -> Repeated:
        return Repeated(
            self.compared + other.compared, self.different + other.different, max(self.max_diff, other.max_diff)
        )


def pictures() -> list[Grey]:
    return clip.pictures(PICTURES * APART)[::APART]


def values(reading: Reading) -> NDArray[np.float64]:
    """Every number of a reading: scores, box, maps, embedding. float64 holds each of them exactly."""
    found = (getattr(reading, field.name) for field in fields(reading))
    parts = (msgspec.structs.astuple(part) if isinstance(part, msgspec.Struct) else part for part in found)
    return np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in parts if part is not None])


def repeat(reader: Reader, shown: Sequence[Grey], expected: Sequence[NDArray[np.float64]], times: int) -> Repeated:
    """So many readings, the pictures in turn, each against what is expected of its picture."""
    different, furthest = 0, 0.0
    for index in range(times):
        ours, theirs = values(reader.read(shown[index % len(shown)])), expected[index % len(shown)]
        if not np.array_equal(ours, theirs):
            different += 1
            furthest = max(furthest, float(np.abs(ours - theirs).max()))
    return Repeated(times, different, furthest)


def run(
    bundle: Bundle,
    *,
    repeats: int = 10_000,
    processes: int = 3,
    threads: Sequence[int] = (1, 2, 4),
    runtimes: Sequence[RuntimeName] = RUNTIMES,
) -> dict[str, Any]:
    """The first thread count repeats `repeats` times on each runtime, the others and fresh processes a tenth each."""
    shown = pictures()
    found = {name: _runtime(bundle, name, shown, repeats, processes, threads) for name in runtimes}
    whole = sum(found.values(), start=Repeated())
    return {
        "repeats": repeats,
        "processes": processes,
        "threads": list(threads),
        "bit_equal": whole.different == 0,
        "max_diff": whole.max_diff,
        "compared": whole.compared,
        "different": {name: one.different for name, one in found.items()},
        "pictures": len(shown),
        "runtimes": {name: bundle.runtime(name).version for name in runtimes},
        "bundle": f"{bundle.manifest.name}-{bundle.manifest.version}",
    }


def _runtime(
    bundle: Bundle, name: RuntimeName, shown: Sequence[Grey], repeats: int, processes: int, threads: Sequence[int]
) -> Repeated:
    expected = first_readings(bundle, name, shown, threads[0])
    whole = Repeated()
    for count in threads:
        reader = Reader(bundle.manifest, bundle.runtime(name, threads=count))
        times = repeats if count == threads[0] else max(len(shown), repeats // SHORTER)
        whole += repeat(reader, shown, expected, times)
    times = max(len(shown), repeats // SHORTER)
    for number in range(processes):
        whole += _fresh_process(bundle, name, expected, times, threads[number % len(threads)])
    return whole


def first_readings(bundle: Bundle, name: RuntimeName, shown: Iterable[Grey], threads: int) -> list[NDArray[np.float64]]:
    """What every later reading is held against."""
    reader = Reader(bundle.manifest, bundle.runtime(name, threads=threads))
    return [values(reader.read(picture)) for picture in shown]


def _fresh_process(
    bundle: Bundle, name: RuntimeName, expected: Sequence[NDArray[np.float64]], times: int, threads: int
) -> Repeated:
    """The same pictures, made and read anew by a process of its own. Numbers go there as hex: no digit is lost."""
    task = {"bundle": str(bundle.path), "runtime": name, "times": times, "threads": threads}
    task["expected"] = [[value.hex() for value in one.tolist()] for one in expected]
    command = [sys.executable, "-m", "sono_edge.bench.repeat"]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=True)  # noqa: S603  (ours)
    return Repeated(**json.loads(done.stdout))


def _in_fresh_process(task: dict[str, Any]) -> dict[str, Any]:
    bundle = read(Path(task["bundle"]))
    reader = Reader(bundle.manifest, bundle.runtime(task["runtime"], threads=task["threads"]))
    expected = [np.array([float.fromhex(value) for value in one]) for one in task["expected"]]
    found = repeat(reader, pictures(), expected, task["times"])
    return {field.name: getattr(found, field.name) for field in fields(found)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_in_fresh_process(json.load(sys.stdin))))
