"""The committed bundle, and clips that are made of phantom frames."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from sono_edge.phantom import sweep
from sono_edge.sweep import write_clip
from sono_models.inputs import Grey

ROOT = Path(__file__).resolve().parents[2]
BREAST = ROOT / "models" / "bundles" / "breast"
FPS = 30.0


def phantom(seconds: float, *, seed: int = 7) -> Iterator[Grey]:
    """The first seconds of a phantom sweep; with seed 7 a lesion to be looked at again is in view from 2 s on."""
    return (frame.picture for frame in islice(sweep(seed=seed, fps=FPS), int(seconds * FPS)))


def clip(path: Path, seconds: float = 4.0, *, seed: int = 7) -> Path:
    write_clip(path, phantom(seconds, seed=seed), FPS)
    return path


def noise(seed: int, size: tuple[int, int] = (480, 640)) -> Grey:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)
