"""What lies under the probe: layers of a breast, as a map of echo strength in decibels.

Lengths are in picture heights (1.0 is the full depth), x from the left edge at no lateral motion.
Echo strengths are relative to white. The order of the layers, and fat darker than fibroglandular tissue,
follow Stavros, "Breast Ultrasound" (2004), chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from sono_edge.phantom.speckle import Plane

LIFT_MARGIN = 0.25
"""How far beyond the picture, in heights, the textures reach up and down."""


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave of a boundary: amplitude in heights, cycles a height, cycles a second of sweep, phase."""

    amplitude: float
    across: float
    along: float
    phase: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One place of one breast. Depths in heights, echo strengths in decibels."""

    skin: float
    fat: float
    gland: float
    retro: float
    muscle: float
    tilt: float
    waves: tuple[Wave, ...]
    skin_db: float
    fat_db: float
    gland_db: float
    retro_db: float
    muscle_db: float
    deep_db: float
    septa_db: float
    grain_db: float
    blotch_db: float
    striae_db: float
    fascia_db: float
    rib_x: float | None
    texture_start: float


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw some anatomy; thicknesses and strengths vary as they do from patient to patient."""
    skin = rng.uniform(0.02, 0.05)
    fat = skin + rng.uniform(0.03, 0.22)
    gland = fat + rng.uniform(0.22, 0.5)
    retro = gland + rng.uniform(0.02, 0.15)
    muscle = retro + rng.uniform(0.12, 0.35)
    waves = tuple(
        Wave(
            rng.uniform(0.2, 1.0) * 0.035 / (1 + k),
            rng.uniform(0.3, 0.7) * (1 + k),
            rng.uniform(-0.12, 0.12),
            rng.uniform(0, 2 * np.pi),
        )
        for k in range(4)
    )
    fat_db = rng.uniform(-43, -35)
    return Anatomy(
        skin=skin,
        fat=fat,
        gland=gland,
        retro=retro,
        muscle=muscle,
        tilt=rng.normal(0, 0.09),
        waves=waves,
        skin_db=rng.uniform(-26, -18),
        fat_db=fat_db,
        gland_db=fat_db + rng.uniform(4, 11),
        retro_db=fat_db + rng.uniform(-2, 2),
        muscle_db=fat_db + rng.uniform(-3, 3),
        deep_db=fat_db + rng.uniform(-14, -4),
        septa_db=rng.uniform(5, 11),
        grain_db=rng.uniform(2, 4.5),
        blotch_db=rng.uniform(2, 8),
        striae_db=rng.uniform(3, 7),
        fascia_db=rng.uniform(4, 11),
        rib_x=rng.uniform(0.2, 1.1) if rng.random() < 0.15 else None,
        texture_start=rng.uniform(0, 1000),
    )


def sway(anatomy: Anatomy, x: Plane, z_s: float) -> Plane:
    """Say how far down the layers bend at x, in heights; `z_s` is the position along the sweep in seconds."""
    bend = anatomy.tilt * (x - 0.65)
    for wave in anatomy.waves:
        bend = bend + wave.amplitude * np.sin(
            2 * np.pi * (wave.across * x + wave.along * z_s) + wave.phase, dtype=np.float32
        )
    return np.asarray(bend, np.float32)


def _step(y: Plane, at: Plane, soft: float) -> Plane:
    return np.asarray(np.clip((y - at) * np.float32(1 / soft) + np.float32(0.5), 0.0, 1.0), np.float32)


def _ridge(value: Plane, width: float) -> Plane:
    square = (value * np.float32(1 / width)) ** 2
    return np.asarray(1 / (1 + square * square), np.float32)


def bend_textures(texture: Plane, bend: Plane, rows: int) -> tuple[Plane, ...]:
    """Bend the textures (tall, width, channels) along the layers, cut to `rows`: flat at the skin."""
    width = texture.shape[1]
    y = np.arange(rows, dtype=np.float32)[:, None]
    follow = np.minimum(y / np.float32(0.25 * rows), 1.0)
    source_y = y + np.float32(LIFT_MARGIN * rows) - follow * (bend * np.float32(rows))
    source_x = np.broadcast_to(np.arange(width, dtype=np.float32), (rows, width))
    source_x = np.ascontiguousarray(source_x)
    bent = cv2.remap(texture, source_x, source_y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    return tuple(np.asarray(channel, np.float32) for channel in cv2.split(bent))


def echo_map(anatomy: Anatomy, texture: Plane, x: Plane, z_s: float) -> Plane:
    """Map the echo strength in decibels, (rows, columns) float32, before attenuation and lesions."""
    rows = round(texture.shape[0] / (1 + 2 * LIFT_MARGIN))
    y = ((np.arange(rows, dtype=np.float32) + np.float32(0.5)) / np.float32(rows))[:, None]
    bend = sway(anatomy, x, z_s)
    lobes, streaks, striae, blotches = bend_textures(texture, bend, rows)
    edges = {
        name: depth + min(depth / 0.25, 1.0) * bend
        for name, depth in (
            ("fat", anatomy.fat),
            ("gland", anatomy.gland),
            ("retro", anatomy.retro),
            ("muscle", anatomy.muscle),
        )
    }
    septa = _ridge(lobes, 0.18) * (np.float32(anatomy.septa_db) * (0.6 + 0.4 * blotches))
    fat = np.float32(anatomy.fat_db) + septa + np.float32(1.5) * streaks + blotches
    gland = (
        np.float32(anatomy.gland_db)
        + np.float32(anatomy.grain_db) * streaks
        + np.float32(0.4) * septa
        - np.float32(anatomy.blotch_db) * np.clip(blotches * 2 - 1, 0, 1)
    )
    muscle = np.float32(anatomy.muscle_db) + np.float32(anatomy.striae_db) * (striae + 0.4 * streaks)
    skin_line = _ridge(y - np.float32(anatomy.skin), 0.004) + _ridge(y - np.float32(0.004), 0.005)
    skin = np.float32(anatomy.skin_db - 6) + 6 * skin_line + np.float32(0.5) * streaks
    rough = 0.6 + 0.4 * striae
    echo = skin + _step(y, np.full_like(bend, anatomy.skin), 0.008) * (fat - skin)
    echo += _step(y + 0.012 * lobes, edges["fat"], 0.02) * (gland - echo)
    echo += _step(y + 0.008 * lobes, edges["gland"], 0.02) * (np.float32(anatomy.retro_db) + septa - echo)
    echo += _step(y, edges["retro"], 0.01) * (muscle - echo)
    echo += _step(y, edges["muscle"], 0.02) * (
        np.float32(anatomy.deep_db) + 2 * striae + 1.5 * streaks + 2 * blotches - echo
    )
    for name, strength in (("fat", 0.4), ("gland", 0.5), ("retro", 1.0), ("muscle", 1.0)):
        echo += np.float32(strength * anatomy.fascia_db) * rough * _ridge(y - edges[name], 0.006)
    if anatomy.rib_x is not None:
        _paint_rib(echo, anatomy, x, y)
    return np.asarray(echo, np.float32)


def _paint_rib(echo: Plane, anatomy: Anatomy, x: Plane, y: Plane) -> None:
    """Paint a rib under the muscle, in place: a bright arc, and little behind it."""
    assert anatomy.rib_x is not None
    across = (x - np.float32(anatomy.rib_x)) / np.float32(0.17)
    inside = np.exp(-(across**4))
    top = np.asarray(anatomy.muscle - 0.02 + np.float32(0.06) * across * across, np.float32)
    echo += inside * (11 * _ridge(y - top, 0.012) - 9 * _step(y, top + np.float32(0.05), 0.1))
