"""The last seconds in memory, as grey JPEGs, and their way into an MP4. Belongs to one thread; bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from sono_models.inputs import Grey

JPEG_QUALITY = 85
STEP_S = 1 / 16
"""Frames nearer to the one before are left out: every second one of a 30-fps stream is kept."""
BYTES_MOST = 24 * 1024 * 1024
TICKS = 1000
"""Of the clip's clock a second."""


@dataclass(frozen=True, slots=True)
class Still:
    captured_s: float
    jpeg: bytes


class PreRoll:
    """The frames of the last `seconds`. A stream whose time went back begins anew."""

    def __init__(self, seconds: float, *, bytes_most: int = BYTES_MOST) -> None:
        self._seconds, self._bytes_most = seconds, bytes_most
        self._stills: deque[Still] = deque()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        return self._held

    def add(self, captured_s: float, picture: Grey) -> None:
        """Encode and keep it, unless it comes too soon after the one before."""
        if self._stills and captured_s < self._stills[-1].captured_s:
            self.clear()
        if self._stills and captured_s - self._stills[-1].captured_s < STEP_S:
            return
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture), options)[1].tobytes()
        self._stills.append(Still(captured_s, jpeg))
        self._held += len(jpeg)
        while captured_s - self._stills[0].captured_s > self._seconds or self._held > self._bytes_most:
            self._held -= len(self._stills.popleft().jpeg)
            if not self._stills:
                break

    def clear(self) -> None:
        self._stills.clear()
        self._held = 0

    def pictures(self) -> Iterator[tuple[float, Grey]]:
        """(captured_s, picture), oldest first."""
        for still in tuple(self._stills):
            decoded = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
            if decoded is not None:
                yield still.captured_s, np.asarray(decoded, np.uint8)


def write_clip(path: Path, pictures: Iterator[tuple[float, Grey]]) -> int:
    """An MP4 (H.264, grey) of the pictures at their own times; how many it holds. None, no file: 0.

    All have the size of the first, cut to even sides. Raises OSError.
    """
    first = next(pictures, None)
    if first is None:
        return 0
    rows, columns = (side - side % 2 for side in first[1].shape)
    count = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=TICKS)
        stream.width, stream.height, stream.pix_fmt = columns, rows, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        stream.thread_count = 1
        stream.codec_context.time_base = Fraction(1, TICKS)
        last = -1
        for captured_s, picture in _with(first, pictures):
            if picture.shape != first[1].shape:
                continue
            frame = av.VideoFrame.from_ndarray(_planes(picture[:rows, :columns]), "yuv420p")
            last = max(last + 1, round((captured_s - first[0]) * TICKS))
            frame.pts, frame.time_base = last, Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return count


def _with(first: tuple[float, Grey], rest: Iterator[tuple[float, Grey]]) -> Iterator[tuple[float, Grey]]:
    yield first
    yield from rest


def _planes(picture: Grey) -> Grey:
    """Limited-range luma over two empty chroma planes, as players expect."""
    rows, columns = picture.shape
    planes = np.full((rows * 3 // 2, columns), 128, np.uint8)
    planes[:rows] = cv2.convertScaleAbs(picture, alpha=219 / 255, beta=16)
    return planes
