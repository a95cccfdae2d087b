"""What the model is given, and the one preprocess that training, calibration and the device share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
"""A grey picture, (height, width), uint8, 0 is black."""


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The picture a model takes: grey uint8, letterboxed, never stretched (orientation is a sign)."""

    width: int
    height: int
    color: Literal["grey"] = "grey"
    dtype: Literal["uint8"] = "uint8"
    letterbox: Literal["centre"] = "centre"
    pad: int = 0
    crop: Literal["none"] = "none"


class Box(msgspec.Struct, frozen=True):
    """A box in a picture, each value a fraction of its width or height, 0 to 1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def iou(self, other: Box) -> float:
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area() + other.area() - shared)

    def area(self) -> float:
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def centre(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the picture lies inside the model's input: fractions of the input's width and height."""

    x0: float
    y0: float
    width: float
    height: float

    def to_picture(self, box: Box) -> Box:
        """A box in the model's input, as a box in the picture (clipped to it)."""

        def across(value: float) -> float:
            return min(max((value - self.x0) / self.width, 0.0), 1.0)

        def down(value: float) -> float:
            return min(max((value - self.y0) / self.height, 0.0), 1.0)

        return Box(across(box.x0), down(box.y0), across(box.x1), down(box.y1))


def place(height: int, width: int, spec: InputSpec) -> tuple[int, int, int, int]:
    """Where a picture of this size goes in the input: (left, top, width, height) in input pixels."""
    scale = min(spec.width / width, spec.height / height)
    placed_w = min(spec.width, max(1, round(width * scale)))
    placed_h = min(spec.height, max(1, round(height * scale)))
    return (spec.width - placed_w) // 2, (spec.height - placed_h) // 2, placed_w, placed_h


def letterbox(picture: Grey, spec: InputSpec) -> tuple[Grey, Placement]:
    """A grey picture of any size as the model's input (spec.height, spec.width), and where it lies in it.

    Halved by averaging while it is at least twice too large, then linear: a seventh of the time of one
    area resize, and integer arithmetic all the way, so every CPU gives the same pixels.
    """
    height, width = picture.shape
    left, top, placed_w, placed_h = place(height, width, spec)
    while picture.shape[0] >= 2 * placed_h and picture.shape[1] >= 2 * placed_w:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)
    canvas = np.full((spec.height, spec.width), spec.pad, np.uint8)
    inside = canvas[top : top + placed_h, left : left + placed_w]
    cv2.resize(picture, (placed_w, placed_h), dst=inside, interpolation=cv2.INTER_LINEAR_EXACT)
    placement = Placement(left / spec.width, top / spec.height, placed_w / spec.width, placed_h / spec.height)
    return canvas, placement
