"""The phantom's scenarios: a round of things that happen, again and again, each time to another breast.

A frame is a function of the scenario, the seed and its time alone. What a scanner draws (colour boxes, calipers, a
second picture) is drawn as the gates' benchmark draws it, once for as long as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sono_edge.bench import gated
from sono_edge.phantom.anatomy import Anatomy
from sono_edge.phantom.lesion import Lesion
from sono_edge.phantom.render import Hold, Scanner, build_scanner, render
from sono_edge.phantom.stills import settle
from sono_edge.phantom.sweep import PAN, PAN_PERIOD_S, SHOWN, anatomy_of, box_of, burn, peeled, sweep_look
from sono_edge.sources.images import share_of_colours
from sono_models.inputs import Box, Grey

if TYPE_CHECKING:
    from numpy.random import Generator

PEEL_S = 0.1
"""How long the probe takes to leave the skin, and to be back."""
MEASUREMENTS = 3


class Mishap(Enum):
    """What stands in the way, in a part of a round."""

    LIFTED = "the probe off the skin"
    TOO_DARK = "gain far too low"
    TOO_BRIGHT = "gain far too high"
    FROZEN = "frozen"
    DOPPLER = "colour Doppler"
    CALIPERS = "calipers"
    DUAL = "two pictures"
    NO_SIGNAL = "no frames at all"


@dataclass(frozen=True, slots=True)
class Part:
    """From when to when in a round, seconds, something happens."""

    from_s: float
    to_s: float
    mishap: Mishap


@dataclass(frozen=True, slots=True)
class Round:
    """`course`: (at_s, z_s), where the probe is along the breast; between them it moves evenly.

    `lesion_z_s`: where the lesion's middle lies; None: there is none.
    """

    seconds: float
    course: tuple[tuple[float, float], ...]
    lesion_z_s: float | None
    pan: float
    """How far the hand drifts sideways, in picture heights."""
    parts: tuple[Part, ...]

    def z_s(self, at_s: float) -> float:
        times, places = zip(*self.course, strict=True)
        return float(np.interp(at_s, times, places))

    def part(self, at_s: float) -> Part | None:
        return next((part for part in self.parts if part.from_s <= at_s < part.to_s), None)


ROUNDS = {
    "quiet": Round(
        26.0,
        ((0.0, 0.0), (26.0, 9.0)),
        None,
        PAN,
        (
            Part(13.0, 15.0, Mishap.FROZEN),
            Part(22.5, 25.5, Mishap.LIFTED),
        ),
    ),
    "lesion": Round(
        30.0,
        ((0.0, 4.0), (5.0, 9.0), (8.0, 9.4), (11.0, 13.0), (14.0, 9.2), (16.0, 8.8), (21.0, 5.0), (30.0, 0.5)),
        9.0,
        PAN / 6,
        (Part(26.0, 29.5, Mishap.LIFTED),),
    ),
    "trouble": Round(
        46.0,
        ((0.0, 0.0), (7.0, 3.0), (10.0, 5.0), (12.0, 5.4), (15.0, 9.0), (36.0, 22.0), (46.0, 32.0)),
        5.0,
        PAN,
        (
            Part(2.0, 3.5, Mishap.TOO_DARK),
            Part(4.5, 6.0, Mishap.TOO_BRIGHT),
            Part(13.0, 15.0, Mishap.FROZEN),
            Part(16.0, 18.5, Mishap.DOPPLER),
            Part(19.5, 22.0, Mishap.CALIPERS),
            Part(23.0, 25.0, Mishap.DUAL),
            Part(26.5, 29.0, Mishap.LIFTED),
            Part(31.0, 35.0, Mishap.NO_SIGNAL),
            Part(43.0, 45.5, Mishap.LIFTED),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Staged:
    """A frame and its truth; `box` is of the lesion in view, whatever else is on the screen."""

    captured_s: float
    picture: Grey
    coloured_share: float
    mishap: Mishap | None
    box: Box | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One round's breast, under the scenario's scanner."""

    scanner: Scanner
    anatomy: Anatomy
    lesion: Lesion | None
    plan: Round
    from_left: bool
    drawn: int
    """Seeds what is drawn on the picture."""


def staged(scenario: str, *, seed: int = 7, fps: float = 30.0, size: tuple[int, int] = (640, 480)) -> Iterator[Staged]:
    """The scenario's frames, endless; pictures of `size` (width, height). While the signal is lost there are none."""
    plan = ROUNDS[scenario]
    scanner = build_scanner(np.random.default_rng((seed, 2)), sweep_look(seed), size)
    for number in count():
        stage = _stage(scanner, plan, seed, number)
        held: Staged | None = None
        for index in range(round(plan.seconds * fps)):
            at_s = index / fps
            part = plan.part(at_s)
            if part is not None and part.mishap is Mishap.NO_SIGNAL:
                continue
            frozen = part is not None and part.mishap is Mishap.FROZEN
            shown = replace(held, mishap=Mishap.FROZEN) if frozen and held is not None else _look(stage, part, at_s)
            held = shown
            yield replace(shown, captured_s=number * plan.seconds + at_s, picture=shown.picture.copy())


def _stage(scanner: Scanner, plan: Round, seed: int, number: int) -> Stage:
    rng = np.random.default_rng((seed, 6, number))
    anatomy = anatomy_of(seed, number)
    lesion = None
    if plan.lesion_z_s is not None:
        lesion = settle(rng, "malignant", anatomy, scanner.size[0] / scanner.size[1], identity=number)
        lesion = replace(lesion, z_s=plan.lesion_z_s)
    return Stage(scanner, anatomy, lesion, plan, bool(rng.random() < 0.5), int(rng.integers(2**31)))


def _look(stage: Stage, part: Part | None, at_s: float) -> Staged:
    """A live picture, with what stands in its way."""
    z_s = stage.plan.z_s(at_s)
    lifted = 0.0 if part is None else _lifted(part, at_s)
    contact = peeled(lifted, stage.scanner.size[0] // 2, from_left=stage.from_left)
    hold = Hold(z_s=z_s, pan=stage.plan.pan * float(np.sin(2 * np.pi * at_s / PAN_PERIOD_S)), contact=contact)
    lesions = () if stage.lesion is None else (stage.lesion,)
    picture, masks = render(stage.scanner, stage.anatomy, lesions, hold)
    box = box_of(masks[0]) if stage.lesion is not None and stage.lesion.section(z_s) >= SHOWN else None
    mishap = None if part is None else part.mishap
    picture, coloured = _drawn(picture, mishap, stage.drawn)
    burn(picture)
    return Staged(at_s, picture, coloured, mishap, box)


def _lifted(part: Part, at_s: float) -> float:
    """How much of the probe's face is off the skin, 0 to a little over 1."""
    if part.mishap is not Mishap.LIFTED:
        return 0.0
    return 1.2 * min(max(min((at_s - part.from_s) / PEEL_S, (part.to_s - at_s) / PEEL_S), 0.0), 1.0)


def _drawn(picture: Grey, mishap: Mishap | None, seed: int) -> tuple[Grey, float]:
    """The picture with what the scanner or its knobs did to it, and its coloured share."""
    rng = np.random.default_rng(seed)
    if mishap is Mishap.DOPPLER:
        colour = gated.flowing(picture, rng)
        return np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8), share_of_colours(colour)
    change = None if mishap is None else CHANGES.get(mishap)
    return (picture if change is None else change(picture, rng)), 0.0


def _measured(picture: Grey, rng: Generator) -> Grey:
    """A screen full of measurements, and a label."""
    for _ in range(MEASUREMENTS):
        picture = gated.measured(picture, rng)
    return gated.labelled(picture, rng)


def _two(picture: Grey, rng: Generator) -> Grey:
    """The picture beside itself, as a scanner's dual view; its size stays."""
    both = gated.paired(picture, np.ascontiguousarray(picture[:, ::-1]), rng, stacked=False)
    return np.asarray(cv2.resize(both, picture.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


CHANGES: dict[Mishap, Callable[[Grey, Generator], Grey]] = {
    Mishap.TOO_DARK: gated.dim,
    Mishap.TOO_BRIGHT: gated.glaring,
    Mishap.CALIPERS: _measured,
    Mishap.DUAL: _two,
}
