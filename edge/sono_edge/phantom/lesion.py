"""Lesions: ellipsoids with a margin, an inside and what they do to the echoes behind them.

The two families follow the BI-RADS descriptors (ACR BI-RADS Atlas, 5th ed., Ultrasound): benign is oval,
parallel to the skin, circumscribed, with enhancement; malignant is irregular, often not parallel,
spiculated, with a halo and shadowing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_edge.phantom.speckle import Plane

Kind = Literal["benign", "malignant"]

ANGLES = 720
"""Steps of the table that holds a margin's radius by angle."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion. Lengths in picture heights, along the sweep in seconds, strengths in decibels."""

    kind: Kind
    identity: int
    x: float
    y: float
    z_s: float
    radius_x: float
    radius_y: float
    radius_z_s: float
    lean: float
    margin: NDArray[np.float32]
    soft: float
    inside_db: float
    texture_db: float
    rim_db: float
    rim: float
    posterior_db: float
    edge_shadow_db: float
    specks: tuple[tuple[float, float, float], ...]

    def section(self, z_s: float) -> float:
        """Give the scale of the cross-section at a position along the sweep: 1 at the middle, 0 outside."""
        off = (z_s - self.z_s) / self.radius_z_s
        return float(np.sqrt(max(0.0, 1.0 - off * off)))


def _margin(rng: np.random.Generator, amplitude: float, spikes: int, spike: float) -> NDArray[np.float32]:
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    radius = np.ones(ANGLES)
    for n in range(2, 9):
        radius += amplitude * rng.normal() / (n - 0.5) * np.cos(n * angle + rng.uniform(0, 2 * np.pi))
    for _ in range(spikes):
        off = np.angle(np.exp(1j * (angle - rng.uniform(0, 2 * np.pi))))
        radius += spike * rng.uniform(0.3, 1.0) * np.exp(-(np.abs(off / rng.uniform(0.05, 0.13)) ** 1.3))
    return np.clip(radius, 0.5, 1.9).astype(np.float32)


def draw_lesion(
    rng: np.random.Generator, kind: Kind, *, place: tuple[float, float], surround_db: float, identity: int = 0
) -> Lesion:
    """Draw a lesion of this kind at `place` (x, y), centred at z_s = 0; `surround_db`: the tissue around."""
    draw = _draw_benign if kind == "benign" else _draw_malignant
    return draw(rng, place, surround_db, identity)


def _draw_benign(rng: np.random.Generator, place: tuple[float, float], surround_db: float, identity: int) -> Lesion:
    radius_x = rng.uniform(0.075, 0.2)
    radius_y = radius_x * rng.uniform(0.42, 0.72)
    cyst = rng.random() < 0.25
    darker = rng.uniform(26, 34) if cyst else rng.uniform(9, 17)
    return Lesion(
        "benign",
        identity,
        *place,
        0.0,
        radius_x,
        radius_y,
        rng.uniform(1.1, 1.7),
        lean=rng.normal(0, 0.12),
        margin=_margin(rng, rng.uniform(0.01, 0.07), 0, 0.0),
        soft=rng.uniform(0.005, 0.01),
        inside_db=surround_db - darker,
        texture_db=rng.uniform(0.3, 1.2),
        rim_db=rng.uniform(3, 8),
        rim=rng.uniform(0.006, 0.010),
        posterior_db=rng.uniform(6, 10) if cyst else rng.uniform(2.5, 7),
        edge_shadow_db=rng.uniform(2, 8),
        specks=(),
    )


def _draw_malignant(rng: np.random.Generator, place: tuple[float, float], surround_db: float, identity: int) -> Lesion:
    radius_x = rng.uniform(0.07, 0.15)
    radius_y = radius_x * rng.uniform(0.8, 1.45)
    specks = tuple(
        (float(rng.normal(0, 0.35)), float(rng.normal(0, 0.35)), float(rng.uniform(8, 20)))
        for _ in range(int(rng.integers(3, 14)) if rng.random() < 0.45 else 0)
    )
    return Lesion(
        "malignant",
        identity,
        *place,
        0.0,
        radius_x,
        radius_y,
        rng.uniform(1.1, 1.7),
        lean=rng.normal(0, 0.35),
        margin=_margin(rng, rng.uniform(0.1, 0.25), int(rng.integers(3, 20)), rng.uniform(0.2, 0.65)),
        soft=rng.uniform(0.008, 0.03),
        inside_db=surround_db - rng.uniform(13, 22),
        texture_db=rng.uniform(1.5, 4),
        rim_db=rng.uniform(1, 6),
        rim=rng.uniform(0.02, 0.05),
        posterior_db=-rng.uniform(5, 18),
        edge_shadow_db=0.0,
        specks=specks,
    )


def paint(echo: Plane, lesion: Lesion, texture: Plane, x: Plane, z_s: float) -> NDArray[np.bool_]:
    """Paint the cross-section at `z_s` into `echo` (decibels, in place); its mask, (rows, columns)."""
    rows, columns = echo.shape
    mask = np.zeros((rows, columns), np.bool_)
    scale = lesion.section(z_s)
    if scale <= 0.1:
        return mask
    across = x[0] - np.float32(lesion.x)
    reach = 2.2 * scale * max(lesion.radius_x, lesion.radius_y) + 2 * lesion.rim
    left, right = np.searchsorted(across, (-reach, reach))
    if right - left < 2:
        return mask
    part = np.s_[:, left:right]
    dx = across[None, left:right]
    y = ((np.arange(rows, dtype=np.float32) + np.float32(0.5)) / np.float32(rows))[:, None]
    distance = _distance(lesion, dx, y - np.float32(lesion.y), scale)
    fade = min(1.0, (scale - 0.1) / 0.3)
    _paint_behind(echo[part], lesion, dx, y, scale=scale, fade=fade)
    _paint_body(echo[part], lesion, texture[part], distance, fade)
    _paint_specks(echo, lesion, x, scale)
    mask[part] = distance < 0
    return mask


def _distance(lesion: Lesion, dx: Plane, dy: Plane, scale: float) -> Plane:
    """Estimate the distance to the margin in heights, negative inside."""
    cos, sin = np.float32(np.cos(lesion.lean)), np.float32(np.sin(lesion.lean))
    along = (dx * cos + dy * sin) * np.float32(1 / (lesion.radius_x * scale))
    down = (dy * cos - dx * sin) * np.float32(1 / (lesion.radius_y * scale))
    step = np.arctan2(down, along) * np.float32(ANGLES / (2 * np.pi))
    radius = lesion.margin[step.astype(np.int32) % ANGLES]
    inner = np.float32(min(lesion.radius_x, lesion.radius_y) * scale)
    return np.asarray((np.sqrt(along * along + down * down) - radius) * inner, np.float32)


def _paint_body(echo: Plane, lesion: Lesion, texture: Plane, distance: Plane, fade: float) -> None:
    inside = np.clip(0.5 - distance / np.float32(lesion.soft), 0, 1)
    rim = distance - np.float32(0.4 * lesion.rim)
    halo = np.exp(-((rim / np.float32(lesion.rim)) ** 2)) * (1 - inside)
    echo += halo * np.float32(lesion.rim_db * fade)
    body = np.float32(lesion.inside_db) + np.float32(lesion.texture_db) * (
        texture[..., 3] + np.float32(0.5) * texture[..., 1]
    )
    echo += inside * np.float32(fade) * (body - echo)


def _paint_behind(echo: Plane, lesion: Lesion, dx: Plane, y: Plane, *, scale: float, fade: float) -> None:
    """Paint enhancement or shadow behind the lesion, and the refractive shadows of its two edges."""
    width = np.float32(lesion.radius_x * scale)
    chord = np.clip(1.25 - (dx / width) ** 2, 0, 1)
    below = y - np.float32(lesion.y)
    depth = np.float32(lesion.radius_y * scale)
    behind = np.clip(below / depth, 0, 1) * np.exp(-np.clip(below - depth, 0, 1) * np.float32(1.2))
    echo += (np.float32(lesion.posterior_db * fade * min(1.0, 0.4 + scale)) * chord) * behind
    if lesion.edge_shadow_db > 0:
        sides = np.exp(-(((np.abs(dx) - width) / np.float32(0.014)) ** 2))
        echo -= np.float32(lesion.edge_shadow_db * fade) * sides * behind


def _paint_specks(echo: Plane, lesion: Lesion, x: Plane, scale: float) -> None:
    rows, columns = echo.shape
    for along, down, strength in lesion.specks:
        column = int((lesion.x + along * lesion.radius_x * scale - float(x[0, 0])) * rows)
        row = int((lesion.y + down * lesion.radius_y * scale) * rows)
        if 1 <= column < columns - 1 and 1 <= row < rows - 1:
            echo[row, column - 1 : column + 2] += np.float32(strength)
