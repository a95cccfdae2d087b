"""Pictures that a gate must hold, made from a real still: the truth is known because it was put there.

Grey (height, width) or, where colour is the point, blue-green-red (height, width, 3). Each is a function of the
still and a random generator alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sono_models.inputs import Grey

if TYPE_CHECKING:
    from numpy.random import Generator

Colour = NDArray[np.uint8]
"""(height, width, 3), blue first."""
Where = Literal["left", "middle", "right", "whole"]
THIRDS: tuple[Where, ...] = ("left", "middle", "right")
LABELS = ("RT BREAST", "LEFT BREAST", "LT AXILLA", "RT UOQ 10H", "L LOQ", "RETROAREOLAR", "MAMA DIR", "rt12 nippl")


def lifted(picture: Grey, where: Where, rng: Generator) -> Grey:
    """Air under a third of the probe, or under all of it: ringing bands that die away with depth, then noise."""
    height, width = picture.shape
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    period, decay = float(rng.uniform(0.03, 0.08)), float(rng.uniform(0.06, 0.18))
    bands = 0.5 + 0.5 * np.cos(2 * np.pi * depth / period)
    air = float(rng.uniform(60, 200)) * bands**2 * np.exp(-depth / decay) * np.ones((1, width), np.float32)
    grain = cv2.GaussianBlur(rng.standard_normal(picture.shape, np.float32), (0, 0), float(rng.uniform(0.6, 1.5)))
    air = np.clip(air * (1 + 0.15 * grain) + float(rng.uniform(0, 5)) * (1 + grain), 0, 255)
    contact = _contact(width, where, rng)
    return np.asarray(picture * contact + air * (1 - contact), np.uint8)


def _contact(width: int, where: Where, rng: Generator) -> NDArray[np.float32]:
    if where == "whole":
        return np.zeros(width, np.float32)
    middle = {"left": 0.0, "middle": 0.5, "right": 1.0}[where]
    reach = (0.19 if where == "middle" else 0.36) * float(rng.uniform(1.0, 1.15))
    across = np.abs(np.linspace(0, 1, width, dtype=np.float32) - middle)
    return np.asarray(np.clip((across - reach) / float(rng.uniform(0.01, 0.03)), 0, 1), np.float32)


def dim(picture: Grey, rng: Generator) -> Grey:
    """Gain far too low: a seventh of the light or less, and the converter's noise."""
    noise = rng.normal(0, 1.0, picture.shape)
    return np.asarray(np.clip(picture * float(rng.uniform(0.06, 0.15)) + noise, 0, 255), np.uint8)


def glaring(picture: Grey, rng: Generator) -> Grey:
    """Gain far too high: most of the tissue is white."""
    middle = max(float(np.median(picture)), 8.0)
    return np.asarray(np.clip(picture * (float(rng.uniform(0.95, 1.5)) * 255 / middle), 0, 255), np.uint8)


def blurred(picture: Grey, rng: Generator) -> Grey:
    """A capture out of focus: a blur of 1 to 3 % of the width."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.01, 0.03)) * picture.shape[1]), np.uint8)


def flowing(picture: Grey, rng: Generator) -> Colour:
    """Colour Doppler: a box with red and blue vessels, and its colour bar."""
    colour = _coloured(picture)
    left, top, right, bottom = _colour_box(picture, rng)
    hot, cold = (20, 60, 230), (230, 90, 30)
    for _ in range(int(rng.integers(3, 9))):
        _vessel(colour, (left, top, right, bottom), hot if rng.random() < 0.5 else cold, rng)
    cv2.rectangle(colour, (left, top), (right, bottom), (200, 200, 200), 1)
    _colour_bar(colour, hot, cold)
    return colour


def powered(picture: Grey, rng: Generator) -> Colour:
    """Power Doppler: orange vessels and an orange bar."""
    colour = _coloured(picture)
    box = _colour_box(picture, rng)
    for _ in range(int(rng.integers(3, 9))):
        _vessel(colour, box, (20, int(rng.integers(90, 180)), 240), rng)
    _colour_bar(colour, (40, 200, 255), (0, 30, 120))
    return colour


def _coloured(picture: Grey) -> Colour:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)


def _colour_box(picture: Grey, rng: Generator) -> tuple[int, int, int, int]:
    height, width = picture.shape
    box_w, box_h = rng.uniform(0.25, 0.5, 2) * (width, height)
    left, top = rng.uniform(0.1, 0.9 - box_w / width) * width, rng.uniform(0.1, 0.9 - box_h / height) * height
    return round(left), round(top), round(left + box_w), round(top + box_h)


def _vessel(colour: Colour, box: tuple[int, int, int, int], shade: tuple[int, ...], rng: Generator) -> None:
    left, top, right, bottom = box
    centre = (int(rng.integers(left, right)), int(rng.integers(top, bottom)))
    reach = max(2, round(float(rng.uniform(0.03, 0.12)) * (right - left)))
    axes = (reach, max(2, round(reach * float(rng.uniform(0.3, 1.0)))))
    cv2.ellipse(colour, centre, axes, float(rng.uniform(0, 180)), 0, 360, shade, -1)


def _colour_bar(colour: Colour, above: tuple[int, ...], below: tuple[int, ...]) -> None:
    height, width = colour.shape[:2]
    span, left = height // 4, round(0.02 * width)
    share = np.linspace(0, 1, span)[:, None, None]
    bar = np.asarray(above) * (1 - share) + np.asarray(below) * share
    colour[height // 20 : height // 20 + span, left : left + max(3, width // 40)] = bar.astype(np.uint8)


def paired(picture: Grey, other: Grey, rng: Generator, *, stacked: bool) -> Grey:
    """Two pictures beside or above each other; between them nothing, a dark gap or a line."""
    one, two = (np.rot90(part) if stacked else part for part in (picture, other))
    height = one.shape[0]
    if rng.random() < 0.5:  # the middle of each in its own shape, or each whole and narrowed, as scanners do
        one, two = (part[:, part.shape[1] // 4 : part.shape[1] // 4 + part.shape[1] // 2] for part in (one, two))
    else:
        one = _resized(one, one.shape[1] // 2, height)
    two = _resized(two, one.shape[1], height)
    gap = np.full((height, int(rng.integers(1, 1 + max(1, one.shape[1] // 12)))), int(rng.choice([0, 0, 12])), np.uint8)
    middle = {0: gap[:, :0], 1: gap, 2: np.full((height, 2), 150, np.uint8)}[int(rng.integers(0, 3))]
    both = np.hstack((one, middle, two))
    return np.ascontiguousarray(np.rot90(both, -1) if stacked else both)


def _resized(picture: Grey, width: int, height: int) -> Grey:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def measured(picture: Grey, rng: Generator) -> Grey:
    """One or two measurements: crosses at the ends of a dotted line, as scanners draw them over a lesion."""
    out = picture.copy()
    height, width = out.shape
    shade, thick = int(rng.integers(190, 256)), int(rng.integers(1, 3))
    middle = rng.uniform([0.3, 0.3], [0.7, 0.7])
    angle = float(rng.uniform(0, np.pi))
    for turn in range(int(rng.integers(1, 3))):
        way = np.array([np.cos(angle + turn * np.pi / 2), np.sin(angle + turn * np.pi / 2)])
        half = way * float(rng.uniform(0.07, 0.2)) * min(width, height)
        ends = (middle * (width, height) + half, middle * (width, height) - half)
        _crosses(out, ends, shade, thick, upright=turn == 0 or rng.random() < 0.7)
        if rng.random() < 0.7:
            _dots(out, ends, shade, thick)
    return out


def _crosses(out: Grey, ends: tuple[NDArray[np.float64], ...], shade: int, thick: int, *, upright: bool) -> None:
    arm = round(0.013 * max(out.shape))
    for x, y in (end.astype(int) for end in ends):
        mark = cv2.MARKER_CROSS if upright else cv2.MARKER_TILTED_CROSS
        cv2.drawMarker(out, (int(x), int(y)), (shade,), mark, 2 * arm, thick)


def _dots(out: Grey, ends: tuple[NDArray[np.float64], ...], shade: int, thick: int) -> None:
    reach = float(np.hypot(*(ends[1] - ends[0])))
    for share in np.arange(0, 1, 4 / max(1.0, reach)):
        x, y = (ends[0] + share * (ends[1] - ends[0])).astype(int)
        out[y, x : x + thick] = shade


def labelled(picture: Grey, rng: Generator) -> Grey:
    """A label over the tissue."""
    out = picture.copy()
    height, width = out.shape
    size = float(rng.uniform(0.42, 0.7)) * max(width, height) / 448
    at = (round(float(rng.uniform(0.1, 0.45)) * width), round(float(rng.uniform(0.25, 0.85)) * height))
    label, shade = str(rng.choice(LABELS)), int(rng.integers(190, 256))
    flags = cv2.LINE_AA if rng.random() < 0.7 else cv2.LINE_8
    cv2.putText(out, label, at, cv2.FONT_HERSHEY_SIMPLEX, size, (shade,), int(rng.choice([1, 2, 2])), flags)
    return out


def black(rng: Generator) -> Grey:
    """A black screen with a converter's noise."""
    return np.clip(rng.normal(float(rng.uniform(0, 16)), 0.7, (480, 640)), 0, 255).astype(np.uint8)


def test_card(rng: Generator) -> Grey:
    """Bars of grey with a ramp under them, as signal generators send."""
    bars = np.repeat(np.linspace(255, 0, int(rng.integers(6, 10))), 640 // 6)[:640]
    card = np.tile(np.resize(bars, 640), (480, 1))
    card[360:] = np.linspace(0, 255, 640)
    return card.astype(np.uint8)


def menu(rng: Generator) -> Grey:
    """A scanner's patient page: a plain ground, boxes and lines of text."""
    ground = int(rng.integers(10, 80))
    page = np.full((480, 640), ground, np.uint8)
    for row in range(40, 460, 30):
        if rng.random() < 0.8:
            cv2.rectangle(page, (200, row - 16), (int(rng.integers(300, 620)), row + 6), (ground + 60,), 1)
            text = "".join(chr(int(code)) for code in rng.integers(65, 91, int(rng.integers(4, 16))))
            cv2.putText(page, text, (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (220,), 1, cv2.LINE_AA)
    return page


SCREENS: dict[str, Callable[[Generator], Grey]] = {"black": black, "test-card": test_card, "menu": menu}
