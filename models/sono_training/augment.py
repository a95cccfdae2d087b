"""What training does to a picture: geometry, gain, blur, noise, and clutter that goes with no class.

`disturb` is what scanners and cables do every day; `disturb_hard` is what they do on a bad one (strong grain,
gratings, calipers on the lesion itself), for the last epochs: it costs nothing on clean pictures then.

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
    scale = placed_w / width * float(np.exp(rng.uniform(-0.4, 0.35)))
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
    if rng.random() < 0.1:
        out = _moire(out, rng)
    if rng.random() < 0.2:
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        out = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    if rng.random() < 0.6:
        out = _clutter(out.copy(), rng)
    return out


def disturb_hard(picture: Grey, mask: Grey | None, rng: Generator) -> Grey:
    """As `disturb`, stronger and more often; `mask` (of the same size) says where calipers would be set."""
    out = _tone(picture, rng)
    if rng.random() < 0.15:
        out = _framed(out, rng)
    out = _roughened(out, rng)
    if rng.random() < 0.5:
        out = _clutter(out.copy(), rng)
    if rng.random() < 0.35:
        out = out.copy()
        _measured(out, mask, rng)
    return out


def _roughened(picture: Grey, rng: Generator) -> Grey:
    """Blur, grain, gratings, JPEG: each with its own chance."""
    out = picture
    if rng.random() < 0.3:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 2.2))), np.uint8)
    if rng.random() < 0.35:
        out = _grain(out, rng)
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(1, 3))):
            out = _moire(out, rng)
    if rng.random() < 0.2:
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 90))])
        out = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    return out


def _grain(picture: Grey, rng: Generator) -> Grey:
    """Additive on the log-compressed picture, 3 to 30 levels rms, grains of 0.4 to 1.6 px; black stays black."""
    grain = np.asarray(cv2.GaussianBlur(rng.standard_normal(picture.shape, np.float32), (0, 0), rng.uniform(0.4, 1.6)))
    noisy = picture + rng.uniform(3, 30) * (grain / grain.std()) * np.minimum(picture / 16.0, 1.0)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def _framed(picture: Grey, rng: Generator) -> Grey:
    """An uneven frame of one shade over the edges, as a capture of a whole screen has."""
    height, width = picture.shape
    framed = np.full_like(picture, int(rng.choice([0, 20, 60, 128, 255])))
    top, bottom = (int(share * height) for share in rng.uniform(0, 0.12, 2))
    left, right = (int(share * width) for share in rng.uniform(0, 0.12, 2))
    inside = (slice(top, height - bottom), slice(left, width - right))
    framed[inside] = picture[inside]
    return framed


def _measured(picture: Grey, mask: Grey | None, rng: Generator) -> None:
    """Calipers across the lesion, or across a place of a lesion's size where there is none."""
    height, width = picture.shape
    if mask is not None and mask.any():
        x, y, w, h = cv2.boundingRect(mask)
    else:
        w, h = (int(length * rng.uniform(0.1, 0.4)) for length in (width, height))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
    shade = int(rng.integers(150, 256))
    across = np.array([[x, y + h / 2], [x + w, y + h / 2]]), np.array([[x + w / 2, y], [x + w / 2, y + h]])
    for ends in across[: int(rng.integers(1, 3))]:
        _caliper(picture, ends + rng.normal(0, 3, (2, 2)), shade, int(rng.integers(2, 6)))


def _tone(picture: Grey, rng: Generator) -> Grey:
    ramp = np.linspace(0, 1, 256)
    gamma = float(np.exp(rng.uniform(-0.35, 0.35)))
    low = rng.uniform(0, 0.1) if rng.random() < 0.3 else 0.0
    curve = np.clip((ramp - low) / (1 - low), 0, 1) ** gamma * rng.uniform(0.75, 1.25)
    if rng.random() < 0.4:  # gain: on a log-compressed picture 6 dB of 60 dB is a tenth of the scale
        curve += rng.uniform(-0.13, 0.13) * (ramp > 0)
    if rng.random() < 0.15:  # a limited range: video levels taken for full, or a dim monitor's capture
        bottom, top = rng.uniform(0, 0.15), rng.uniform(0.7, 1.0)
        curve = bottom + curve * (top - bottom)
    return np.asarray(cv2.LUT(picture, np.clip(curve * 255, 0, 255).astype(np.uint8)), np.uint8)


def _moire(picture: Grey, rng: Generator) -> Grey:
    """The waves of a filmed screen: one grating, of a period of 3 to 12 px."""
    height, width = picture.shape
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 12)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = np.sin((xs * np.cos(angle) + ys * np.sin(angle)) * (2 * np.pi / period) + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(picture * (1 + rng.uniform(0.05, 0.25) * wave), 0, 255), np.uint8)


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
        _caliper(picture, ends, shade, int(rng.integers(2, 5)))


def _caliper(picture: Grey, ends: NDArray[np.float64], shade: int, arm: int) -> None:
    """Two crosses and a dotted line between them; `ends` are (x, y) in pixels."""
    height, width = picture.shape
    for x, y in ends.astype(int):
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
