"""Judged frames for the scan's side: a textured picture on a scanner's dark screen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sono_edge.scan.sight import KeepNow, Sight
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_edge.scene import State
from sono_models.inputs import Box, Grey, InputSpec
from sono_models.reader import Reading

SPEC = InputSpec(64, 64)


def tissue(size: tuple[int, int] = (200, 240), seed: int = 1) -> Grey:
    """Speckle (height, width) with a dark disc."""
    noise = np.random.default_rng(seed).rayleigh(45, (size[0] // 2, size[1] // 2))
    grown = cv2.resize(np.clip(noise, 12, 255).astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    cv2.circle(grown, (size[1] // 2, size[0] // 2), 18, 9, -1)
    return np.asarray(np.maximum(grown, 9), np.uint8)


def screen(at: tuple[int, int] = (60, 120), size: tuple[int, int] = (200, 240)) -> Grey:
    """A scanner's screen (360, 480), the tissue's upper left corner at (row, column)."""
    made = np.zeros((360, 480), np.uint8)
    made[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = tissue(size)
    return made


def sight(
    captured_s: float,
    state: State = State.SCANNING,
    *,
    attention: float = 0.2,
    quality: float = 1.0,
    track: int = 0,
    picture: Grey | None = None,
    reason: str = "",
) -> Sight:
    shown = screen() if picture is None else picture
    saliency = np.zeros((2, 8, 8), np.float32)
    saliency[1, 3:5, 3:5] = attention
    reading = Reading(0.1, attention, Box(0.4, 0.4, 0.6, 0.6), saliency)
    return Sight(captured_s, state, reason, quality, attention, track, reading.box if track else None, shown, reading)


def kept_scan(folder: Path, captures_at_s: tuple[float, ...] = (2.0,), seconds: float = 4.5) -> Path:
    """A scan at 30 fps with manual captures, each with its clip; its folder under `folder`."""
    store = Store(folder, 100)
    with ScanWriter(Means(store, SPEC, System("breast 0.0.0"), 2.0), backlog=10_000) as writer:
        for step in range(round(seconds * 30)):
            writer.offer(sight(step / 30, picture=screen()))
            if step / 30 in captures_at_s:
                writer.order(KeepNow())
    return folder / store.records()[0].id
