"""Constructed frames: stills made worse by a known severity, and pictures that no probe has made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

WORST = 5.0
"""Severities go from 0 (as it was) to this (hardly anything left to see)."""


def degrade(picture: Grey, kind: str, severity: float, rng: Generator) -> Grey:
    """The picture made worse in one way of DEGRADATIONS, the same size, a copy."""
    share = min(max(severity / WORST, 0.0), 1.0)
    return DEGRADATIONS[kind](picture, share, rng) if share > 0 else picture.copy()


def _gain(picture: Grey, share: float, rng: Generator) -> Grey:
    """Gain lost: darker, and what was dark is gone."""
    crushed = rng.uniform(0.0, 40.0) * share
    return _bytes(picture * (1.0 - 0.88 * share) - crushed)


def _contact(picture: Grey, share: float, rng: Generator) -> Grey:
    """The probe tilted off the skin on one side: those columns dark below a ringing near field."""
    height, width = picture.shape
    across = np.linspace(0, 1, width, dtype=np.float32)
    across = across if rng.random() < 0.5 else across[::-1]
    touching = np.clip((across - 0.85 * share) / 0.06 + 0.5, 0, 1)
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ringing = rng.uniform(20, 70) * np.exp(-depth / rng.uniform(0.02, 0.06)) * (1 + 0.3 * _grain(picture, rng))
    return _bytes(picture * touching + ringing * (1 - touching))


def _blur(picture: Grey, share: float, rng: Generator) -> Grey:
    """Out of focus, or moved (wider across than down)."""
    sigma = 0.022 * share * picture.shape[1]
    across = rng.uniform(1.0, 2.5)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma * across, sigmaY=sigma / across), np.uint8)


def _depth(picture: Grey, share: float, rng: Generator) -> Grey:
    """Depth set too deep: the tissue small at the top, weak noise below and beside."""
    height, width = picture.shape
    scale = 1.0 - 0.72 * share
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    out = _bytes(rng.uniform(0, 12) * np.abs(_grain(picture, rng)))
    left = (width - size[0]) // 2
    out[: size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return out


def _noise(picture: Grey, share: float, rng: Generator) -> Grey:
    """Electronic noise, and speckle that hides the tissue."""
    added, speckled = 70.0 * share * _grain(picture, rng), 0.6 * share * _grain(picture, rng)
    return _bytes(picture * (1.0 - 0.4 * share) * (1 + speckled) + added)


def _jpeg(picture: Grey, share: float, rng: Generator) -> Grey:
    """A starved codec: fewer pixels, coarse blocks."""
    height, width = picture.shape
    scale = 1.0 - 0.6 * share * rng.random()
    small = cv2.resize(picture, (max(8, round(width * scale)), max(8, round(height * scale))))
    quality = round(3 + 77 * (1.0 - share) ** 2)
    _, code = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    coarse = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)
    assert coarse is not None
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


DEGRADATIONS: dict[str, Callable[[Grey, float, Generator], Grey]] = {
    "gain": _gain,
    "contact": _contact,
    "blur": _blur,
    "depth": _depth,
    "noise": _noise,
    "jpeg": _jpeg,
}


def construct(kind: str, rng: Generator, size: tuple[int, int] = (448, 360)) -> Grey:
    """A picture of `size` (width, height) that is of no organ, of a kind of CONSTRUCTED."""
    return CONSTRUCTED[kind](size[0], size[1], rng)


def _card(width: int, height: int, rng: Generator) -> Grey:
    """A test card: bars, a ramp, a grid, circles."""
    bars = np.repeat(rng.permutation(np.linspace(0, 255, int(rng.integers(4, 13)))), 64)
    card = np.tile(cv2.resize(bars[None].astype(np.float32), (width, 1)), (height, 1))
    third = height // 3
    card[third : 2 * third] = np.linspace(0, 255, width)[None] if rng.random() < 0.5 else rng.uniform(0, 255)
    out = _bytes(np.asarray(card, np.float32))
    step = int(rng.integers(16, 64))
    shade = int(rng.integers(0, 256))
    out[::step] = shade
    out[:, ::step] = shade
    for _ in range(int(rng.integers(0, 4))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(
            out, centre, int(rng.integers(10, height // 2)), (int(rng.integers(0, 256)),), int(rng.integers(1, 6))
        )
    return out


def _static(width: int, height: int, rng: Generator) -> Grey:
    """A receiver's noise, fine or coarse, dark or bright."""
    fine = rng.standard_normal((height, width), np.float32)
    grain = cv2.GaussianBlur(fine, (0, 0), rng.uniform(0.3, 4.0))
    grain = np.asarray(grain / max(float(grain.std()), 1e-6))
    return _bytes(rng.uniform(10, 200) + rng.uniform(10, 90) * grain)


def _texture(width: int, height: int, rng: Generator) -> Grey:
    """Amplitude falling with frequency as in natural scenes (Field 1987), some of it stretched."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(down * rng.uniform(0.4, 2.5), across)
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    scene = np.fft.irfft2(phases / frequency ** rng.uniform(0.7, 1.8), (height, width))
    scene = (scene - scene.mean()) / max(float(scene.std()), 1e-9)
    return _bytes(rng.uniform(50, 180) + rng.uniform(20, 70) * scene)


def _mosaic(width: int, height: int, rng: Generator) -> Grey:
    """Patches of flat or shaded grey with straight edges, as a room or a desk has."""
    out = np.full((height, width), rng.uniform(0, 255), np.float32)
    for _ in range(int(rng.integers(8, 60))):
        corners = rng.uniform(-0.1, 1.1, (int(rng.integers(3, 6)), 2)) * [width, height]
        middle, reach = corners[0], rng.uniform(0.05, 0.5)
        shape = (middle + reach * (corners - middle)).astype(np.int32)
        cv2.fillPoly(out, [shape], (float(rng.uniform(0, 255)),))
    lit = np.linspace(rng.uniform(0.5, 1.2), rng.uniform(0.5, 1.2), width)[None]
    blurred = cv2.GaussianBlur(out * lit, (0, 0), rng.uniform(0.4, 3.0))
    return _bytes(blurred + rng.uniform(0, 8) * rng.standard_normal(out.shape))


def _menu(width: int, height: int, rng: Generator) -> Grey:
    """A screen of words: lines of text, frames, a bar that is picked."""
    ground, ink = (20, 220) if rng.random() < 0.6 else (235, 30)
    out = np.full((height, width), ground + int(rng.integers(-15, 16)), np.uint8)
    size, pitch = float(rng.uniform(0.3, 0.9)), int(rng.integers(14, 40))
    for top in range(pitch, height, pitch):
        if rng.random() < 0.25:
            continue
        words = "".join(chr(int(code)) for code in rng.integers(48, 123, int(rng.integers(4, 30))))
        cv2.putText(out, words, (int(rng.integers(2, 60)), top), cv2.FONT_HERSHEY_SIMPLEX, size, (ink,), 1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 5))):
        one = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        other = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.rectangle(out, one, other, (int(rng.integers(0, 256)),), int(rng.choice([1, 2, -1])))
    return out


def _fan(width: int, height: int, rng: Generator) -> Grey:
    """The sector of a curved or phased probe: speckle, dark chambers, bright walls, black beside it."""
    speckle = np.hypot(*rng.standard_normal((2, height, width), np.float32))
    scene = rng.uniform(25, 110) * cv2.GaussianBlur(np.asarray(speckle), (0, 0), rng.uniform(0.5, 2.0))
    for _ in range(int(rng.integers(1, 7))):
        middle = (int(rng.uniform(0.2, 0.8) * width), int(rng.uniform(0.2, 0.9) * height))
        reach = (int(rng.uniform(0.03, 0.3) * width), int(rng.uniform(0.02, 0.25) * height))
        layer = np.zeros((height, width), np.float32)
        cv2.ellipse(layer, middle, reach, float(rng.uniform(0, 180)), 0, 360, (1.0,), int(rng.choice([-1, 2, 5])))
        scene = scene * (1 + rng.uniform(-1.0, 1.5) * cv2.GaussianBlur(layer, (0, 0), rng.uniform(1, 5)))
    apex = np.array([width * rng.uniform(0.45, 0.55), -height * rng.choice([0.0, 0.1, 0.3])])
    down, across = np.mgrid[0:height, 0:width]
    angle, far = np.arctan2(across - apex[0], down - apex[1]), np.hypot(across - apex[0], down - apex[1])
    near = -apex[1] + height * rng.uniform(0.0, 0.08)
    inside = (np.abs(angle) < np.deg2rad(rng.uniform(22, 50))) & (far > near) & (far < -apex[1] + 0.97 * height)
    return _bytes(np.asarray(scene) * inside * np.exp(-rng.uniform(0, 1.2) * down / height))


CONSTRUCTED: dict[str, Callable[[int, int, Generator], Grey]] = {
    "card": _card,
    "static": _static,
    "texture": _texture,
    "mosaic": _mosaic,
    "menu": _menu,
    "fan": _fan,
}


def _grain(picture: Grey, rng: Generator) -> NDArray[np.float32]:
    """Noise of unit strength, a little smoothed, of the picture's shape."""
    grain = cv2.GaussianBlur(rng.standard_normal(picture.shape, np.float32), (0, 0), float(rng.uniform(0.5, 1.2)))
    return np.asarray(grain / max(float(grain.std()), 1e-6), np.float32)


def _bytes(values: NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(values, 0, 255), np.uint8)
