"""Real clips through the whole pipeline as the video they are: alerts, what was gated, and how each clip is classed.

For a bundle of another organ every alert is false and every frame should be gated; for the clips' own it says whether
the class comes out. A clip's class is that of its median score over the frames that passed.
"""

from __future__ import annotations

import csv
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sono_edge.gates import Gate
from sono_edge.pipeline import Judged, Pipeline
from sono_edge.sources import open_source
from sono_models.bundle import Bundle
from sono_models.errors import BadManifest
from sono_models.reader import Reader, verified_reader
from sono_models.resampling import Index, interval
from sono_models.runtime import RuntimeName

Told = Callable[[int], None]
COLUMNS = ("clip", "label", "patient")


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of a table of clips."""

    path: Path
    label: str
    patient: str
    probe: str


@dataclass(frozen=True, slots=True)
class Watched:
    """A clip, and what the pipeline made of it. `score`: the median over frames that passed; None where none did."""

    clip: Clip
    frames: int
    seconds: float
    alerts: int
    held: Counter[str]
    score: float | None

    @property
    def chosen_on(self) -> bool:
        """Half of the patients, by hash, were there when a breast bundle's gate was learnt (`sono model heads`)."""
        return hashlib.sha256(self.clip.patient.encode()).digest()[-1] % 2 == 0


def read_clips(table: Path, patients: frozenset[str] | None = None) -> list[Clip]:
    """The clips of a table, of these patients only. Raises BadManifest."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(str(table), f"cannot be read ({error})", "Name a table of clips") from error
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if not rows or missing:
        why = f"lacks the column {missing[0]}" if missing else "has no rows"
        raise BadManifest(str(table), why, f"A table of clips has {', '.join(COLUMNS)}")
    kept = [row for row in rows if patients is None or row["patient"] in patients]
    if not kept:
        raise BadManifest(str(table), "no clip is left after --groups", "Loosen it")
    return [Clip(table.parent / row["clip"], row["label"], row["patient"], row.get("probe") or "") for row in kept]


def run(bundle: Bundle, runtime: RuntimeName, clips: Sequence[Clip], *, told: Told = lambda _: None) -> dict[str, Any]:
    """The figures. Intervals are 95 %, of the patient bootstrap."""
    reader = verified_reader(bundle, bundle.runtime(runtime))
    watched = []
    for clip in clips:
        watched.append(watch(reader, bundle, clip))
        told(1)
    label, threshold = bundle.manifest.labels[1], bundle.manifest.operating_points[0].threshold
    return {
        **figures(watched),
        "by_probe": _by(watched, lambda one: one.clip.probe),
        "by_gate_learnt_on_the_patient": _by(watched, lambda one: "yes" if one.chosen_on else "no"),
        "classes": _classes(watched, label, threshold),
        "each": [_line(one) for one in watched],
        "bundle": f"{bundle.manifest.name}-{bundle.manifest.version}",
        "bundle_sha256": bundle.sha256,
        "weights_sha256": bundle.manifest.provenance.weights_sha256,
        "runtime": runtime,
    }


def watch(reader: Reader, bundle: Bundle, clip: Clip) -> Watched:
    pipeline, held, scores, alerts, times = Pipeline(reader, bundle.manifest), Counter[str](), [], 0, []
    with open_source(str(clip.path)) as source:
        for frame in source.frames(threading.Event()):
            judged = pipeline.step(frame)
            times.append(frame.captured_s)
            alerts += sum(event.kind == "raised" for event in judged.decision.events)
            why = _held(judged)
            held[why] += 1
            if not why and judged.reading is not None:
                scores.append(judged.reading.malignant)
    del held[""]
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    seconds = len(times) * step_s
    return Watched(clip, len(times), seconds, alerts, held, median(scores) if scores else None)


def _held(judged: Judged) -> str:
    """What held the frame; empty for nothing."""
    if judged.quality.gate is not Gate.PASS:
        return str(judged.quality.gate.value)
    return "frozen" if judged.seen.frozen else ""


def figures(watched: Sequence[Watched]) -> dict[str, Any]:
    frames, minutes = sum(one.frames for one in watched), sum(one.seconds for one in watched) / 60
    held = sum((one.held for one in watched), Counter[str]())
    alerts = sum(one.alerts for one in watched)
    return {
        "clips": len(watched),
        "patients": len({one.clip.patient for one in watched}),
        "frames": frames,
        "minutes": round(minutes, 3),
        "alerts": alerts,
        "clips_with_alerts": sum(one.alerts > 0 for one in watched),
        "alerts_per_clip": _rate(watched, lambda _: 1.0),
        "alerts_per_min": _rate(watched, lambda one: one.seconds / 60),
        "gated_share": round(held.total() / max(1, frames), 4),
        "gated_by": {name: round(count / max(1, frames), 4) for name, count in held.most_common()},
    }


def _rate(watched: Sequence[Watched], whole: Callable[[Watched], float]) -> dict[str, float]:
    above = np.array([one.alerts for one in watched], np.float64)
    below = np.array([whole(one) for one in watched], np.float64)

    def rate(rows: Index) -> float:
        return float(above[rows].sum() / max(1e-9, float(below[rows].sum())))

    found = interval(rate, None, [one.clip.patient for one in watched])
    return {name: round(value, 4) for name, value in found.items()}


def _by(watched: Sequence[Watched], key: Callable[[Watched], str]) -> dict[str, dict[str, Any]]:
    names = ("clips", "patients", "frames", "minutes", "alerts", "clips_with_alerts", "gated_share")
    found = {}
    for name in sorted({key(one) for one in watched}):
        told = figures([one for one in watched if key(one) == name])
        found[name] = {each: told[each] for each in names}
    return found


def _classes(watched: Sequence[Watched], label: str, threshold: float) -> dict[str, dict[str, int]]:
    """By the table's label, how many clips are of the bundle's second class, how many are not, how many unjudged."""
    found: dict[str, Counter[str]] = {}
    for one in watched:
        said = "nothing passed" if one.score is None else label if one.score >= threshold else f"not {label}"
        found.setdefault(one.clip.label, Counter())[said] += 1
    return {name: dict(counts.most_common()) for name, counts in sorted(found.items())}


def _line(one: Watched) -> dict[str, Any]:
    return {
        "clip": one.clip.path.name,
        "label": one.clip.label,
        "patient": one.clip.patient,
        "probe": one.clip.probe,
        "frames": one.frames,
        "seconds": round(one.seconds, 2),
        "alerts": one.alerts,
        "gated_share": round(one.held.total() / max(1, one.frames), 4),
        "score": None if one.score is None else round(one.score, 4),
    }
