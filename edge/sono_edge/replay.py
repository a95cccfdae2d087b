"""Replay: every frame of a source, in order, nothing dropped; the same input gives the same bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import msgspec

from sono_edge.alerts import BUNDLES_OWN, Provenance, alert, model_used
from sono_edge.capture import FrameRing
from sono_edge.frames import Frame, Source
from sono_edge.pipeline import Judged, Looked, Pipeline
from sono_models.bundle import Bundle
from sono_models.reader import Reader, Reading, verified_reader
from sono_models.runtime import RuntimeName
from sono_models.saliency import BENIGN, MALIGNANT


def replay(
    source: Source,
    bundle: Bundle,
    runtime_name: RuntimeName,
    *,
    workers: int = 1,
    frames: int | None = None,
    profile: str = BUNDLES_OWN,
) -> Iterator[dict[str, Any]]:
    """One object a frame, and after it one `{"alert": …}` for each of its events; at most `frames` frames.

    `profile` is what the alerts call the site profile that `bundle` stands under.
    """
    readers = [verified_reader(bundle, bundle.runtime(runtime_name)) for _ in range(workers)]
    pipeline = Pipeline(readers[0], bundle.manifest)
    told = Provenance("replay", source.kind, model_used(bundle, readers[0].runtime), profile, pipeline.interval)
    with source, FrameRing(source, threading.Event()) as ring:
        for judged in judge_all(pipeline, readers, islice(ring, frames)):
            yield line(judged, bundle.manifest.labels)
            for event in judged.decision.events:
                yield {"alert": msgspec.to_builtins(alert(event, judged.quality, told))}


def judge_all(pipeline: Pipeline, readers: list[Reader], frames: Iterable[Frame]) -> Iterator[Judged]:
    """Every frame judged in order. The next is looked at while others are read, by as many readers as there are."""
    free = deque(readers)
    waiting: deque[tuple[Looked, Future[Reading] | None]] = deque()

    def read(looked: Looked) -> Reading:
        reader = free.popleft()
        try:
            return reader.read_boxed(looked.boxed, looked.placement)
        finally:
            free.append(reader)

    def judge_oldest() -> Judged:
        looked, reading = waiting.popleft()
        return pipeline.judge(looked, reading.result() if reading else None)

    with ThreadPoolExecutor(len(readers), thread_name_prefix="score") as pool:
        for frame in frames:
            looked = pipeline.look(frame)
            waiting.append((looked, pool.submit(read, looked) if looked.to_score else None))
            if len(waiting) > 2 * len(readers):
                yield judge_oldest()
        while waiting:
            yield judge_oldest()


def line(judged: Judged, labels: Sequence[str]) -> dict[str, Any]:
    """One frame as replay writes it, its scores by the bundle's labels: no clock, no file name."""
    reading, decision = judged.reading, judged.decision
    box = decision.box or (reading.box if reading else None)
    return {
        "frame": judged.frame.index,
        "captured_s": round(judged.frame.captured_s, 6),
        "state": decision.state.name,
        "reason": decision.reason,
        "attention": round(decision.attention, 6),
        labels[BENIGN]: round(reading.benign, 6) if reading else None,
        labels[MALIGNANT]: round(reading.malignant, 6) if reading else None,
        "box": [round(value, 4) for value in msgspec.structs.astuple(box)] if box else None,
        "shown": decision.box is not None,
        "reused": judged.reused,
        "gate": judged.quality.gate.value,
    }
