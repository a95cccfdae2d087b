"""Fully developed speckle: complex circular Gaussian scatterers, seen through a separable point spread.

A bank holds one long strip of it. A slice is a crop of the strip; between two neighbouring slices the
complex fields are mixed by (cos, sin), which keeps the power and lets the correlation of two frames fall
with the elevational distance between them, as in Wagner et al., "Statistics of speckle in ultrasound
B-scans", IEEE Trans. Sonics Ultrason. 30 (1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""A plane of numbers, (height, width) or (height, width, channels), float32."""

SLACK_PX = 1200
"""How much longer than the picture a strip is: room for independent crops and for the lateral motion."""


@dataclass(frozen=True, slots=True)
class PointSpread:
    """Standard deviations of the point spread in pixels of a picture 480 high; focus as a depth, 0 to 1."""

    axial_px: float
    lateral_px: float
    widening: float
    focus: float


@dataclass(frozen=True, slots=True)
class Strip:
    """A long strip of independent material, and the width of the pictures that are cut from it."""

    planes: tuple[Plane, ...]
    width: int
    seed: int

    def offset(self, number: int) -> int:
        """Say where slice `number` starts in the strip, in pixels."""
        spare = self.planes[0].shape[1] - self.width
        return int(np.random.default_rng((self.seed, number)).integers(spare // 8, spare - spare // 8))

    def at(self, position: float, pan_px: int) -> tuple[Plane, ...]:
        """Cut the planes at an elevational position (in slices), moved sideways by `pan_px`."""
        number = int(np.floor(position))
        angle = (position - number) * np.pi / 2
        crops = []
        for plane in self.planes:
            near = self._crop(plane, number, pan_px)
            far = self._crop(plane, number + 1, pan_px)
            mixed = cv2.addWeighted(near, float(np.cos(angle)), far, float(np.sin(angle)), 0.0)
            crops.append(np.asarray(mixed, np.float32))
        return tuple(crops)

    def _crop(self, plane: Plane, number: int, pan_px: int) -> Plane:
        start = min(max(self.offset(number) + pan_px, 0), plane.shape[1] - self.width)
        return plane[:, start : start + self.width]


def scatterers(rng: np.random.Generator, spread: PointSpread, size: tuple[int, int]) -> Strip:
    """Draw a strip of filtered complex scatterers for pictures of `size` (width, height): unit mean power."""
    width, height = size
    scale = height / 480
    depth = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    blur = np.clip(np.abs(depth - spread.focus) / max(spread.focus, 1 - spread.focus), 0.0, 1.0)
    planes = []
    for _ in range(2):
        noise = rng.standard_normal((height, width + SLACK_PX), np.float32)
        axial = spread.axial_px * scale
        sharp = _smooth(noise, spread.lateral_px * scale, axial)
        wide = _smooth(noise, spread.lateral_px * spread.widening * scale, axial)
        planes.append((1 - blur) * sharp + blur * wide)
    by_depth = np.mean(planes[0] ** 2 + planes[1] ** 2, axis=1, keepdims=True)
    even = np.asarray(1 / np.sqrt(cv2.blur(by_depth, (1, 31))), np.float32)
    return Strip(tuple(plane * even for plane in planes), width, int(rng.integers(2**31)))


def _smooth(noise: Plane, lateral_px: float, axial_px: float) -> Plane:
    """Filter noise by a Gaussian of these deviations; the result has unit deviation."""
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigmaX=lateral_px, sigmaY=axial_px), np.float32)
    return np.asarray(smooth / smooth.std(), np.float32)


def textures(rng: np.random.Generator, size: tuple[int, int]) -> Strip:
    """Draw unit Gaussian textures as one plane of four channels, `size` (width, height) in map pixels.

    The channels: lobes (septa run along their zero lines), streaks, striae, blotches.
    """
    width, height = size
    spreads = ((0.075, 0.038), (0.05, 0.010), (0.16, 0.006), (0.055, 0.030))
    channels = []
    for lateral, axial in spreads:
        noise = rng.standard_normal((height, width + SLACK_PX // 2), np.float32)
        channels.append(_smooth(noise, lateral * height / 1.5, axial * height / 1.5))
    return Strip((np.dstack(channels),), width, int(rng.integers(2**31)))


def power(strip: Strip, position: float, pan_px: int) -> Plane:
    """Give the power of the echo of a homogeneous medium, (height, width), mean 1; its root is Rayleigh."""
    real, imaginary = strip.at(position, pan_px)
    return np.asarray(real * real + imaginary * imaginary, np.float32)


def envelope(strip: Strip, position: float, pan_px: int) -> Plane:
    """Give the envelope before compression: Rayleigh, mean over deviation 1.91."""
    return np.sqrt(power(strip, position, pan_px))
