"""Compact simulated sweeps for training: a few frames of a probe that passes over a still, away and back.

Not `sono sweep` (which writes whole clips, and stays unseen by training, to be measured on): the hand here is
rougher, and frames differ in gain, focus, contact and zoom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sono_models.tissue import across, outspread
from sono_training.heads.frames import DEGRADATIONS, degrade

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

WINDOW = (0.55, 0.85)
"""The window's width as a share of the still's."""
STRIP = 0.1
"""A lesion-free strip at least this wide, as a share, is where a sweep may begin and end."""
CENTRE = (0.35, 0.65)
"""Where a lesion without a mask is taken to be."""
SPOILT = 0.3
"""The share of frames that are made worse, by up to a severity of 3."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A still with its lesion-free strips mirrored outwards, and where in it things lie (pixels)."""

    picture: Grey
    lesion: tuple[int, int]
    width: int
    left: bool
    right: bool


def sweep_frames(picture: Grey, mask: NDArray[np.bool_] | None, count: int, rng: Generator) -> list[Grey]:
    """`count` frames of one sweep over a still, a function of the still and `rng` alone."""
    canvas = _canvas(picture, mask)
    window = round(rng.uniform(*WINDOW) * canvas.width)
    ends = _ends(canvas, window, rng)
    over = sum(canvas.lesion) / 2 - window * rng.uniform(0.3, 0.7)
    away, back = sorted(rng.uniform(0.1, 0.9, 2)) if rng.random() < 0.5 else (0.33, 0.67)
    gains = 1 + 0.15 * np.sin(2 * np.pi * (np.linspace(0, rng.uniform(0.3, 1.5), count) + rng.random()))
    frames: list[Grey] = []
    for index in range(count):
        at = index / max(count - 1, 1)
        left = np.interp(at, (0.0, away, back, 1.0), (ends[0], over, over, ends[1]))
        frame = _cut(canvas, left + rng.normal(0, 0.012) * window, window, rng)
        frames.append(_spoil(np.asarray(cv2.convertScaleAbs(frame, alpha=float(gains[index])), np.uint8), rng))
    return frames


def _canvas(picture: Grey, mask: NDArray[np.bool_] | None) -> Canvas:
    width = picture.shape[1]
    lesion = across(mask) if mask is not None else None
    first, last = lesion or (round(CENTRE[0] * width), round(CENTRE[1] * width))
    left, right = first >= STRIP * width, width - last >= STRIP * width
    tissue = first if left else width, width - last if right else width
    wide = outspread(picture, tissue, (width, width))
    return Canvas(wide, (width + first, width + last), width, left, right)


def _ends(canvas: Canvas, window: int, rng: Generator) -> tuple[float, float]:
    """Left edges where the sweep begins and ends: beside the lesion, or on it where there is no tissue beside."""
    beside = [canvas.lesion[0] - window] if canvas.left else []
    beside += [canvas.lesion[1]] if canvas.right else []
    beside = beside or [(canvas.lesion[0] + canvas.lesion[1] - window) // 2]
    return float(rng.choice(beside)), float(rng.choice(beside))


def _cut(canvas: Canvas, left: float, window: int, rng: Generator) -> Grey:
    """One window, with a little zoom, tilt and lift."""
    height = canvas.picture.shape[0]
    zoom = float(np.exp(rng.normal(0, 0.05)))
    size = (window, height)
    tilt = rng.normal(0, 0.02)
    middle = np.array([left + window / 2, height * (0.5 + rng.normal(0, 0.015))])
    turn = zoom * np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    view = np.column_stack([turn, middle - turn @ np.array([window / 2, height / 2])])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(canvas.picture, view, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101))


def _spoil(frame: Grey, rng: Generator) -> Grey:
    grain = rng.standard_normal((frame.shape[0] // 2, frame.shape[1] // 2), np.float32)
    speckle = cv2.resize(grain, (frame.shape[1], frame.shape[0]))
    out = np.clip(frame * (1 + 0.07 * speckle), 0, 255).astype(np.uint8)
    if rng.random() < SPOILT:
        out = degrade(out, str(rng.choice(list(DEGRADATIONS))), float(rng.uniform(0.3, 3.0)), rng)
    return out
