"""The one renderer that stills and sweeps share: a scene in, a grey picture and the lesions' masks out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sono_edge.phantom.anatomy import LIFT_MARGIN, Anatomy, echo_map
from sono_edge.phantom.lesion import Lesion, paint
from sono_edge.phantom.speckle import Plane, PointSpread, Strip, power, scatterers, textures

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIBEL = float(np.log(10) / 10)
"""A decibel of power as a natural logarithm."""

SPECKLE_SLICES_A_S = 4.0
TEXTURE_SLICES_A_S = 0.7
"""Independent slices a second of sweep: a slow hand over an elevational beam of a few millimetres."""


@dataclass(frozen=True, slots=True)
class Look:
    """A scanner and its settings. Strengths in decibels; `sector`: half angle in radians, 0 is linear."""

    spread: PointSpread
    range_db: float
    gain_db: float
    attenuation_db: float
    floor_db: float
    tgc_db: tuple[float, ...]
    focus_db: float
    smooth_px: float
    sector: float
    side_db: float


@dataclass(frozen=True, slots=True)
class Scanner:
    """A look with its strips of scatterers and textures, for pictures of one size (width, height)."""

    look: Look
    size: tuple[int, int]
    speckle: Strip
    texture: Strip
    gain: Plane


@dataclass(frozen=True, slots=True)
class Hold:
    """How the probe is held: along the sweep, sideways in heights, and its contact by column, 0 to 1."""

    z_s: float = 0.0
    pan: float = 0.0
    contact: Plane | None = None


def draw_look(rng: np.random.Generator, *, sector_share: float = 0.15) -> Look:
    """Draw some scanner; the ranges span what the public breast data sets show."""
    axial = rng.uniform(0.8, 1.5)
    return Look(
        spread=PointSpread(axial, axial * rng.uniform(1.3, 2.6), rng.uniform(1.2, 2.0), rng.uniform(0.25, 0.6)),
        range_db=rng.uniform(52, 68),
        gain_db=rng.normal(3, 4.5),
        attenuation_db=rng.uniform(2, 15),
        floor_db=rng.uniform(-64, -52),
        tgc_db=tuple(float(v) for v in rng.normal(0, 1.6, 6)),
        focus_db=rng.uniform(0, 3),
        smooth_px=rng.uniform(0.5, 1.9),
        sector=rng.uniform(0.12, 0.4) if rng.random() < sector_share else 0.0,
        side_db=rng.uniform(0, 6),
    )


def build_scanner(rng: np.random.Generator, look: Look, size: tuple[int, int]) -> Scanner:
    """Build the strips of a scanner; `size` (width, height), both even."""
    width, height = size
    map_size = (width // 2, round(height // 2 * (1 + 2 * LIFT_MARGIN)))
    return Scanner(look, size, scatterers(rng, look.spread, size), textures(rng, map_size), _gain_map(look, size))


def _gain_map(look: Look, size: tuple[int, int]) -> Plane:
    """Add up attenuation, what the depth gain left over, the focal band and the dim sides, in decibels."""
    width, height = size[0] // 2, size[1] // 2
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    side = np.linspace(-1, 1, width, dtype=np.float32)[None]
    knobs = np.interp(depth[:, 0], np.linspace(0, 1, len(look.tgc_db)), look.tgc_db)
    smooth = cv2.GaussianBlur(knobs.astype(np.float32)[:, None], (1, 31), 0)
    focus = np.float32(look.focus_db) * np.exp(-(((depth - look.spread.focus) / 0.12) ** 2))
    gain = look.gain_db - look.attenuation_db * depth**1.5 + smooth + focus - look.side_db * side**6
    return np.asarray(gain, np.float32)


def render(
    scanner: Scanner, anatomy: Anatomy, lesions: tuple[Lesion, ...], hold: Hold
) -> tuple[NDArray[np.uint8], tuple[NDArray[np.uint8], ...]]:
    """Give the picture, (height, width) uint8, and for every lesion its mask, 0 or 255, of the same shape."""
    width, height = scanner.size
    rows, columns = height // 2, width // 2
    pan_px = round(hold.pan * height)
    x = ((np.arange(columns, dtype=np.float32) + np.float32(0.5)) / np.float32(rows))[None]
    x = x + np.float32(pan_px / height)
    texture = scanner.texture.at(hold.z_s * TEXTURE_SLICES_A_S + anatomy.texture_start, pan_px // 2)[0]
    echo = echo_map(anatomy, texture, x, hold.z_s)
    flat = texture[: echo.shape[0]]
    masks = [paint(echo, lesion, flat, x, hold.z_s) for lesion in lesions]
    if hold.contact is not None:
        echo += (1 - hold.contact) * (_air(rows) - echo)
    echo += scanner.gain
    picture = _compress(scanner, echo, hold.z_s, pan_px)
    if scanner.look.sector > 0:
        picture = bend_sector(picture, scanner.look.sector)
    return picture, tuple(_full_mask(scanner, mask) for mask in masks)


def _full_mask(scanner: Scanner, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bring a mask of map pixels to the picture's shape and bend, 0 or 255."""
    if not mask.any():
        return np.zeros(scanner.size[::-1], np.uint8)
    grey = mask.astype(np.uint8) * np.uint8(255)
    full = np.asarray(cv2.resize(grey, scanner.size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if scanner.look.sector > 0:
        full = bend_sector(full, scanner.look.sector)
    return np.asarray(cv2.threshold(full, 127, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _air(rows: int) -> Plane:
    """Give the echo of a probe in the air, decibels, (rows, 1): reverberations of its face, then nothing."""
    y = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    rings = np.cos(2 * np.pi * y / 0.032) * 9 - 9
    return np.asarray(-14 - y * 190 + rings * np.clip(1 - y * 4, 0, 1), np.float32)


def _compress(scanner: Scanner, echo: Plane, z_s: float, pan_px: int) -> NDArray[np.uint8]:
    """Turn speckle of the strength `echo` over the noise floor into grey, log-compressed."""
    look = scanner.look
    coarse = cv2.exp(echo * np.float32(DECIBEL))
    strength = np.asarray(cv2.resize(coarse, scanner.size, interpolation=cv2.INTER_LINEAR), np.float32)
    speckle = power(scanner.speckle, z_s * SPECKLE_SLICES_A_S, pan_px)
    floor = float(np.exp(look.floor_db * DECIBEL))
    strength *= speckle
    strength += speckle[::-1] * np.float32(floor)
    strength += np.float32(floor * 0.2)
    level = cv2.log(strength)
    scale = 255 / (look.range_db * DECIBEL)
    if look.smooth_px > 0.3:
        level = cv2.GaussianBlur(level, (0, 0), look.smooth_px * scanner.size[1] / 480)
    grey = np.clip(level * np.float32(scale) + np.float32(255), 0, 255)
    return np.asarray(grey, np.uint8)


def bend_sector(picture: NDArray[np.uint8], half_angle: float) -> NDArray[np.uint8]:
    """Bend a rectangular picture of beams to a sector of this half angle in radians; black outside it."""
    height, width = picture.shape
    apex = width / 2 / np.tan(half_angle) * 0.75
    reach = apex + height * 0.98
    column, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    down = row + np.float32(apex * np.cos(half_angle))
    across = column - np.float32(width / 2)
    angle = np.arctan2(across, down)
    radius = np.sqrt(across * across + down * down)
    source_x = (angle / np.float32(half_angle) + 1) * np.float32(width / 2)
    source_y = (radius - np.float32(apex)) * np.float32(height / (reach - apex))
    return np.asarray(cv2.remap(picture, source_x, source_y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT), np.uint8)
