"""The clip that the benchmarks run on: a phantom sweep, 640x480, 30 fps, made once into a temporary folder."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from sono_edge.phantom import sweep
from sono_edge.sweep import write_clip
from sono_models.inputs import Grey

SEED = 7
FPS = 30.0


def pictures(count: int) -> list[Grey]:
    """The sweep's frames that differ from their predecessor: a frozen stretch would measure nothing."""
    fresh = (frame.picture for frame in sweep(seed=SEED, fps=FPS) if not frame.frozen and frame.contact)
    return list(islice(fresh, count))


def h264(path: Path, frames: list[Grey]) -> Path:
    write_clip(path, frames, FPS)
    return path


def jpegs(frames: list[Grey]) -> list[bytes]:
    """The same frames as a capture box or a camera sends them: colour JPEG, quality 90."""
    return [_jpeg(frame) for frame in frames]


def _jpeg(frame: Grey) -> bytes:
    _, code = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return np.asarray(code).tobytes()
