"""Does a picture that must be held raise an alert? The whole pipeline over lesions that alert when they are clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from sono_edge.bench import gated
from sono_edge.frames import Frame
from sono_edge.pipeline import Judged, Pipeline
from sono_edge.sources.images import share_of_colours
from sono_models.bundle import Bundle
from sono_models.inputs import Grey
from sono_models.reader import Reader, verified_reader
from sono_models.runtime import RuntimeName
from sono_models.table import Row, read_grey

LESIONS, TRIED = 6, 18
"""So many lesions that alert when clean are played, found among so many malignant stills."""
CLEAN_FRAMES, GATED_FRAMES = 10, 12
FPS = 30.0


def alerts_while_gated(bundle: Bundle, runtime: RuntimeName, rows: Sequence[Row], *, seed: int) -> dict[str, Any]:
    """`gated_alerts`: raised by a frame that was held; `missed_alerts`: by one that should have been and was not."""
    rng = np.random.default_rng((seed, 3))
    reader = verified_reader(bundle, bundle.runtime(runtime))
    lesions = _that_alert(reader, bundle, rows, rng)
    found = {"gated_alerts": 0, "missed_alerts": 0, "gated_frames": 0, "missed_frames": 0}
    missed: Counter[str] = Counter()
    for number, lesion in enumerate(lesions):
        other = lesions[number - 1]
        for kind in _KINDS:
            pipeline = Pipeline(reader, bundle.manifest)
            for judged, truth in _played(pipeline, lesion, other, kind, rng):
                held = judged.reused or judged.decision.state.name.startswith(_PAUSED)
                raised = any(event.kind == "raised" for event in judged.decision.events)
                missed[kind] += truth and not held
                found["gated_alerts"] += raised and held
                found["missed_alerts"] += raised and truth and not held
                found["gated_frames"] += truth and held
                found["missed_frames"] += truth and not held
    return {**found, "missed_by_kind": dict(+missed), "alerting_lesions": len(lesions)}


_PAUSED = ("GATED_", "FROZEN", "NO_", "LOW_QUALITY")
_KINDS = ("no-contact", "dim", "blurred", "colour", "side by side", "stacked", "measured", "labelled", "frozen")


def _that_alert(reader: Reader, bundle: Bundle, rows: Sequence[Row], rng: Generator) -> list[Grey]:
    """Malignant stills that pass the gates and raise an alert when they are shown as they are."""
    malignant = [row for row in rows if row.label == "malignant"]
    found: list[Grey] = []
    for number in rng.permutation(len(malignant))[:TRIED]:
        picture = read_grey(malignant[int(number)].image)
        pipeline = Pipeline(reader, bundle.manifest)
        events = [
            event
            for index in range(CLEAN_FRAMES)
            for event in pipeline.step(Frame(index, index / FPS, 0.0, _shaken(picture, rng))).decision.events
        ]
        if any(event.kind == "raised" for event in events):
            found.append(picture)
        if len(found) == LESIONS:
            break
    return found


def _played(pipeline: Pipeline, lesion: Grey, other: Grey, kind: str, rng: Generator) -> Iterator[tuple[Judged, bool]]:
    """A few clean frames, too few for an alert, then frames that must be held; and whether each must be."""
    few = 3
    for index in range(few):
        yield pipeline.step(Frame(index, index / FPS, 0.0, _shaken(lesion, rng))), False
    made = _made(lesion, other, kind, rng)
    share = share_of_colours(made) if made.ndim == 3 else 0.0
    grey = np.asarray(made.max(axis=2), np.uint8) if made.ndim == 3 else made
    for index in range(few, few + GATED_FRAMES):
        picture = grey if kind == "frozen" else _shaken(grey, rng)
        judged = pipeline.step(Frame(index, index / FPS, 0.0, picture, share))
        # a freeze is known as one only after a while: until then its score is used once, which must not alert either
        yield judged, kind != "frozen" or judged.reused


def _made(lesion: Grey, other: Grey, kind: str, rng: Generator) -> gated.Colour:
    if kind in {"side by side", "stacked"}:
        return gated.paired(lesion, other, rng, stacked=kind == "stacked")
    if kind == "no-contact":
        return gated.lifted(lesion, "whole", rng)
    draw = {
        "dim": gated.dim,
        "blurred": gated.blurred,
        "colour": gated.flowing,
        "measured": gated.measured,
        "labelled": gated.labelled,
    }
    return draw[kind](lesion, rng) if kind in draw else lesion


def _shaken(picture: Grey, rng: Generator) -> Grey:
    """A hand's shaking and a drift of gain: enough that the picture does not stand still."""
    down, across = (int(px) for px in rng.integers(-3, 4, 2))
    by = np.array([[1, 0, across], [0, 1, down]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    moved = np.asarray(cv2.warpAffine(picture, by, size, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(np.clip(moved * float(rng.uniform(0.9, 1.1)), 0, 255), np.uint8)
