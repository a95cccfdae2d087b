"""What the alert benchmark plays: simulated sweeps with what happens in a scan, and the truth of every frame.

A lesion sweep is one pass of `sono_edge.sweep` over a still with a mask: the probe comes near, crosses and leaves,
the hand shakes, the gain drifts, and two of five passes end with the probe lifted. A lesion-free scan is SCAN_S
seconds of such passes over a normal still, or over the tissue beside another still's lesion (`lesion_free`). Into
some passes comes an interruption: a frozen picture, a colour box, or measurements left on the screen; and in some the
gain is turned. Everything is a function of the still and the seed; frames are made one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count

import cv2
import numpy as np

from sono_edge.bench import gated
from sono_edge.frames import Frame
from sono_edge.sources.images import share_of_colours
from sono_edge.sweep import NORMAL, Still, SweepFrame, sweep_over
from sono_models.inputs import Box, Grey
from sono_models.tissue import across, outspread

FPS = 30.0
SCAN_S = 30.0
"""How long a lesion-free scan is."""
INTERRUPTED = 0.4
"""The share of the passes that are interrupted, and of those whose gain is turned."""
FROM_S, FOR_S = (0.5, 4.0), (0.8, 1.6)
"""When an interruption begins, within a pass, and how long it lasts."""
TURNED = (0.75, 1.3)
"""By how much the gain is turned."""
GRAIN = 1.5
"""Grey of a grabber's noise on a frozen picture."""
STRIP, MARGIN = 0.3, 0.03
"""The least width of tissue beside a lesion that is swept as lesion-free, and how far it keeps from the lesion."""


DARK = 0.3
"""A column at a side that is darker than this share of the middling column is a border, not tissue."""


class Cause(Enum):
    """Why a frame must raise nothing."""

    NONE = "none"
    LIFT_OFF = "lift-off"
    FROZEN = "frozen"
    DOPPLER = "doppler"
    CALIPERS = "calipers"


CAUSES = tuple(Cause)
_INTERRUPTIONS = (Cause.FROZEN, Cause.DOPPLER, Cause.CALIPERS)


@dataclass(frozen=True, slots=True)
class Played:
    """A frame and its truth. `box` is of the lesion's part in view, whatever else is on the screen."""

    frame: Frame
    box: Box | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Course:
    """What happens in one pass besides the sweep itself. Times are seconds of the pass."""

    interruption: Cause
    from_s: float
    for_s: float
    turned_s: float
    turned: float
    """The factor of the gain from then on."""
    drawn: int
    """Seeds what is drawn on the picture, which stands still while the tissue moves."""


def draw_course(rng: np.random.Generator) -> Course:
    interrupted, turned = rng.random(2) < INTERRUPTED
    return Course(
        interruption=_INTERRUPTIONS[int(rng.integers(len(_INTERRUPTIONS)))] if interrupted else Cause.NONE,
        from_s=float(rng.uniform(*FROM_S)),
        for_s=float(rng.uniform(*FOR_S)),
        turned_s=float(rng.uniform(*FROM_S)),
        turned=float(rng.uniform(*TURNED)) if turned else 1.0,
        drawn=int(rng.integers(2**31)),
    )


def lesion_sweep(still: Still, seed: tuple[int, ...], *, fps: float = FPS) -> Iterator[Played]:
    """One pass over a still's lesion."""
    return _timed(_pass(still, seed, fps), fps)


def lesion_free_scan(
    still: Still, seed: tuple[int, ...], *, seconds: float = SCAN_S, fps: float = FPS
) -> Iterator[Played]:
    """Passes over a still without a lesion, one after the other, for so long."""
    passes = (one for number in count() for one in _pass(still, (*seed, number), fps))
    frames = _timed(passes, fps)
    for _ in range(round(seconds * fps)):
        yield next(frames)


def trimmed(still: Still) -> Still:
    """Without the dark borders at its sides, whose mirror image would look like the gap between two pictures."""
    light = still.picture.mean(axis=0)
    tissue = np.flatnonzero(light >= DARK * np.median(light))
    first, last = int(tissue[0]), int(tissue[-1]) + 1
    mask = None if still.mask is None else np.ascontiguousarray(still.mask[:, first:last])
    return Still(np.ascontiguousarray(still.picture[:, first:last]), still.label, mask)


def lesion_free(still: Still) -> Still | None:
    """The wider of the strips beside a still's lesion, mirrored outwards to the still's width; None for too little.

    A normal still is itself.
    """
    if still.label == NORMAL:
        return Still(still.picture, NORMAL, None)
    lesion = across(still.mask) if still.mask is not None else None
    if lesion is None:
        return None
    width = still.picture.shape[1]
    away = round(MARGIN * width)
    left, right = lesion[0] - away, lesion[1] + away
    if max(left, width - right) < STRIP * width:
        return None
    on_left = left >= width - right
    strip = still.picture[:, :left] if on_left else still.picture[:, right:]
    missing = width - strip.shape[1]
    beyond = (missing, 0) if on_left else (0, missing)
    return Still(outspread(strip, (strip.shape[1], strip.shape[1]), beyond), NORMAL, None)


def _timed(frames: Iterator[Played], fps: float) -> Iterator[Played]:
    """The frames as one stream: numbered, at their time of capture."""
    for index, played in enumerate(frames):
        yield replace(played, frame=replace(played.frame, index=index, captured_s=index / fps))


def _pass(still: Still, seed: tuple[int, ...], fps: float) -> Iterator[Played]:
    rng = np.random.default_rng((*seed, 1))
    course = draw_course(rng)
    held = 0
    for swept in sweep_over(still, seed=(*seed, 0), fps=fps):
        at_s = swept.captured_s
        picture = _turned(swept.picture, course.turned) if at_s >= course.turned_s else swept.picture
        within = course.from_s <= at_s < course.from_s + course.for_s
        cause = course.interruption if within and not swept.lift_off else Cause.NONE
        if cause is Cause.FROZEN and held == 0:
            held = round(course.for_s * fps)
            yield _played(swept, picture, Cause.NONE)
            for _ in range(held):
                yield _played(swept, _grained(picture, rng), Cause.FROZEN)
            continue
        yield _drawn(swept, picture, cause, course.drawn)


def _drawn(swept: SweepFrame, picture: Grey, cause: Cause, seed: int) -> Played:
    rng = np.random.default_rng(seed)
    if cause is Cause.DOPPLER:
        colour = gated.flowing(picture, rng)
        luma = np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8)
        return _played(swept, luma, cause, share_of_colours(colour))
    if cause is Cause.CALIPERS:
        return _played(swept, gated.measured(picture, rng), cause)
    return _played(swept, picture, Cause.LIFT_OFF if swept.lift_off else Cause.NONE)


def _played(swept: SweepFrame, picture: Grey, cause: Cause, coloured: float = 0.0) -> Played:
    return Played(Frame(swept.index, swept.captured_s, 0.0, picture, coloured), swept.box, cause)


def _turned(picture: Grey, factor: float) -> Grey:
    return picture if factor == 1.0 else np.asarray(cv2.convertScaleAbs(picture, alpha=factor), np.uint8)


def _grained(picture: Grey, rng: np.random.Generator) -> Grey:
    grain = rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.clip(picture + np.float32(GRAIN) * grain, 0, 255), np.uint8)
