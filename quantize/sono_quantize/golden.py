"""The golden frames of a bundle: simulated and synthetic only, so that no patient's picture travels in it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sono_models.inputs import Grey, InputSpec
from sono_models.runtime import MODEL_FILE, open_runtime

COUNT = 12


def golden_frames(simulated: Sequence[Grey], spec: InputSpec, *, seed: int) -> NDArray[np.uint8]:
    """(12, height, width): the synthetic patterns, then simulated frames (letterboxed), then speckle to fill."""
    frames = [*_patterns(spec), *simulated][:COUNT]
    rng = np.random.default_rng(seed)
    while len(frames) < COUNT:
        frames.append(_speckle(spec, rng))
    return np.stack(frames)


def archive(frames: NDArray[np.uint8], models: Mapping[str, bytes]) -> bytes:
    """`golden.npz`: the frames, and for each runtime the logits that its model gives here."""
    logits: dict[str, Any] = {}
    for name, file in MODEL_FILE.items():
        runtime = open_runtime(name, models[file])
        logits[f"logits_{name}"] = np.stack([runtime.run(frame).saliency for frame in frames])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, frames=frames, **logits)
    return buffer.getvalue()


def _patterns(spec: InputSpec) -> list[Grey]:
    """Black, white, a ramp in depth, a dark disc in grey: the ends of the input's range and one easy shape."""
    size = (spec.height, spec.width)
    ramp = np.linspace(0, 255, spec.height).astype(np.uint8)[:, None].repeat(spec.width, axis=1)
    disc = np.full(size, 120, np.uint8)
    cv2.circle(disc, (spec.width // 2, spec.height // 2), spec.height // 6, 20, -1)
    return [np.zeros(size, np.uint8), np.full(size, 255, np.uint8), np.ascontiguousarray(ramp), disc]


def _speckle(spec: InputSpec, rng: np.random.Generator) -> Grey:
    """Smoothed noise with the brightness spread of tissue."""
    noise = rng.rayleigh(60.0, (spec.height, spec.width)).astype(np.float32)
    return np.asarray(np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255), np.uint8)
