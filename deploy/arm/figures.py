#!/usr/bin/env python3
"""What one machine makes of a bundle's golden frames and of a clip, every bit of it, for compare.py.

Run by the machine's own Python with sono_models and sono_edge on its path: figures.py BUNDLE CLIP OUT.npz
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import threading
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from sono_edge.capture import FrameRing
from sono_edge.pipeline import Pipeline
from sono_edge.replay import line
from sono_edge.sources import open_source
from sono_models.bundle import Bundle, read
from sono_models.reader import Reader, golden_difference
from sono_models.runtime import RUNTIMES, Raw, Runtime, RuntimeName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

Arrays = dict[str, "NDArray[Any]"]


class Kept:
    """A runtime that keeps what the network gave for each picture."""

    def __init__(self, runtime: Runtime) -> None:
        self.name: RuntimeName = runtime.name
        self.version: str = runtime.version
        self._runtime = runtime
        self._given: dict[str, list[NDArray[np.float32]]] = {}

    def run(self, picture: Grey) -> Raw:
        raw = self._runtime.run(picture)
        for field in fields(raw):
            if (output := getattr(raw, field.name)) is not None:
                self._given.setdefault(field.name, []).append(output)
        return raw

    def taken(self) -> Arrays:
        """By output, what was given since the last time: (pictures, …)."""
        given, self._given = self._given, {}
        return {output: np.stack(arrays) for output, arrays in given.items()}


def xnnpack_is_on(bundle: Bundle) -> bool:
    """LiteRT names no delegate; but of a graph that one has taken over, some nodes are called DELEGATE."""
    interpreter = Interpreter(model_content=bundle.content("model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    return any(node["op_name"] == "DELEGATE" for node in interpreter._get_ops_details())  # noqa: SLF001  (no other way)


def replayed(bundle: Bundle, runtime: Runtime, clip: Path) -> Arrays:
    """Decoder, letterbox, gates, network, pooling, calibration, decision: of each frame all that each of them gave."""
    pipeline = Pipeline(Reader(bundle.manifest, runtime), bundle.manifest)
    scores: list[tuple[float, ...]] = []
    lines: list[str] = []
    pictures: list[str] = []
    boxed: list[str] = []
    with open_source(str(clip)) as source, FrameRing(source, threading.Event()) as ring:
        for frame in ring:
            looked = pipeline.look(frame)
            pictures.append(_digest(frame.picture))
            boxed.append(_digest(looked.boxed))
            fresh = pipeline.reader.read_boxed(looked.boxed, looked.placement) if looked.to_score else None
            judged = pipeline.judge(looked, fresh)
            scores.append((fresh.benign, fresh.malignant) if fresh else (np.nan, np.nan))
            lines.append(
                json.dumps([line(judged, bundle.manifest.labels), [event.kind for event in judged.decision.events]])
            )
    found: Arrays = {"scores": np.array(scores), "lines": np.array(lines)}
    return {**found, "pictures": np.array(pictures), "boxed": np.array(boxed)}


def _digest(picture: Grey) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def gather(bundle: Bundle, clip: Path) -> Arrays:
    """All figures of this machine: arrays by RUNTIME/PART[/OUTPUT], and `about`, JSON."""
    found: Arrays = {}
    about: dict[str, Any] = {"machine": platform.machine(), "python": platform.python_version()}
    about |= {"xnnpack": xnnpack_is_on(bundle), "runtimes": {}}
    about["packages"] = {name: version(name) for name in ("numpy", "opencv-python-headless", "av")}
    for name in RUNTIMES:
        runtime = Kept(bundle.runtime(name))
        about["runtimes"][name] = {"version": runtime.version, "golden_diff": golden_difference(bundle, runtime)}
        found |= {f"{name}/golden/{output}": array for output, array in runtime.taken().items()}
        found |= {f"{name}/{part}": array for part, array in replayed(bundle, runtime, clip).items()}
        found |= {f"{name}/replay/{output}": array for output, array in runtime.taken().items()}
    return {**found, "about": np.array(json.dumps(about))}


if __name__ == "__main__":
    arrays: Any = gather(read(Path(sys.argv[1])), Path(sys.argv[2]))
    np.savez(sys.argv[3], **arrays)
