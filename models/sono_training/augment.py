"""What training does to a picture: geometry, gain, blur, noise, and clutter that goes with no class.

Letterbox, no stretch beyond a tenth, no vertical flip: orientation and aspect are signs. Text, calipers and
borders are pasted at random because in public sets they go with the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sono_models.inputs import InputSpec, place

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from sono_models.inputs import Grey


def warp(picture: Grey, mask: Grey | None, spec: InputSpec, rng: Generator) -> tuple[Grey, Grey | None]:
    """The picture, letterboxed under a random similarity with a tenth of aspect, and its mask with it."""
    height, width = picture.shape
    _, _, placed_w, _ = place(height, width, spec)
    scale = placed_w / width * float(np.exp(rng.uniform(-0.25, 0.3)))
    aspect = float(np.exp(rng.uniform(-0.1, 0.1)))
    angle = np.deg2rad(rng.uniform(-10, 10))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([mirror * scale * aspect, scale / aspect])
    centre = np.array([width / 2, height / 2])
    target = np.array([spec.width / 2, spec.height / 2]) + rng.uniform(-0.08, 0.08, 2) * spec.width
    matrix = np.column_stack([linear, target - linear @ centre])
    size = (spec.width, spec.height)
    warped = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(spec.pad,))
    if mask is None:
        return np.asarray(warped, np.uint8), None
    warped_mask = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(0,))
    return np.asarray(warped, np.uint8), np.asarray(warped_mask, np.uint8)


def disturb(picture: Grey, rng: Generator) -> Grey:
    """Gain, gamma, limited range, blur, speckle-like noise, JPEG, clutter: each with its own chance."""
    out = _tone(picture, rng)
    if rng.random() < 0.25:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.4))), np.uint8)
    if rng.random() < 0.25:
        grain = cv2.GaussianBlur(rng.standard_normal(out.shape, np.float32), (0, 0), float(rng.uniform(0.5, 1.2)))
        noisy = out * (1 + rng.uniform(0.05, 0.35) * np.asarray(grain))
        out = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        out = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    if rng.random() < 0.5:
        out = _clutter(out.copy(), rng)
    return out


def _tone(picture: Grey, rng: Generator) -> Grey:
    ramp = np.linspace(0, 1, 256)
    gamma = float(np.exp(rng.uniform(-0.35, 0.35)))
    low = rng.uniform(0, 0.1) if rng.random() < 0.3 else 0.0
    curve = np.clip((ramp - low) / (1 - low), 0, 1) ** gamma * rng.uniform(0.75, 1.25)
    curve += rng.uniform(-0.04, 0.04) * (ramp > 0)
    return np.asarray(cv2.LUT(picture, np.clip(curve * 255, 0, 255).astype(np.uint8)), np.uint8)


def _clutter(picture: Grey, rng: Generator) -> Grey:
    kind = rng.integers(0, 4)
    if kind in {0, 3}:
        _calipers(picture, rng)
    if kind in {1, 3}:
        _text(picture, rng)
    if kind == 2:
        _blackout(picture, rng)
    return picture


def _calipers(picture: Grey, rng: Generator) -> None:
    height, width = picture.shape
    shade = int(rng.integers(150, 256))
    for _ in range(int(rng.integers(1, 3))):
        ends = rng.uniform([0.1, 0.1], [0.9, 0.9], (2, 2)) * [width, height]
        for x, y in ends.astype(int):
            arm = int(rng.integers(2, 5))
            cv2.line(picture, (x - arm, y), (x + arm, y), (shade,), 1)
            cv2.line(picture, (x, y - arm), (x, y + arm), (shade,), 1)
        for share in np.arange(0, 1, 5 / max(1.0, float(np.hypot(*(ends[1] - ends[0]))))):
            x, y = (ends[0] + share * (ends[1] - ends[0])).astype(int)
            picture[min(max(y, 0), height - 1), min(max(x, 0), width - 1)] = shade


def _text(picture: Grey, rng: Generator) -> None:
    height, width = picture.shape
    for _ in range(int(rng.integers(1, 5))):
        letters = "".join(chr(int(code)) for code in rng.integers(48, 91, int(rng.integers(3, 12))))
        at = (int(rng.integers(0, int(0.8 * width))), int(rng.integers(8, height)))
        size = float(rng.uniform(0.25, 0.5))
        cv2.putText(picture, letters, at, cv2.FONT_HERSHEY_SIMPLEX, size, (int(rng.integers(120, 256)),), 1)


def _blackout(picture: Grey, rng: Generator) -> None:
    depth = int(rng.uniform(0.02, 0.15) * picture.shape[0])
    turned: NDArray[np.uint8] = np.rot90(picture, int(rng.integers(0, 4)))
    turned[:depth] = int(rng.choice([0, 0, 20, 255]))
