"""The last seconds in memory, as grey JPEGs, and their way into an MP4. Belongs to one thread; bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
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

    @property
    def stills(self) -> tuple[Still, ...]:
        """Oldest first."""
        return tuple(self._stills)

    def add(self, captured_s: float, picture: Grey) -> Still | None:
        """Encode and keep it; None where it comes too soon after the one before."""
        if self._stills and captured_s < self._stills[-1].captured_s:
            self.clear()
        if self._stills and captured_s - self._stills[-1].captured_s < STEP_S:
            return None
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        still = Still(captured_s, cv2.imencode(".jpg", np.ascontiguousarray(picture), options)[1].tobytes())
        self._stills.append(still)
        self._held += len(still.jpeg)
        while captured_s - self._stills[0].captured_s > self._seconds or self._held > self._bytes_most:
            self._held -= len(self._stills.popleft().jpeg)
            if not self._stills:
                break
        return still

    def clear(self) -> None:
        self._stills.clear()
        self._held = 0

    def pictures(self) -> Iterator[tuple[float, Grey]]:
        """(captured_s, picture), oldest first."""
        for still in self.stills:
            picture = decoded(still)
            if picture is not None:
                yield still.captured_s, picture


def decoded(still: Still) -> Grey | None:
    picture = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if picture is None else np.asarray(picture, np.uint8)


class ClipFile:
    """An MP4 (H.264, grey) that grows by a picture at a time; all have the size of the first, cut to even sides.

    `add` raises OSError. Whoever opened it closes or abandons it.
    """

    def __init__(self, path: Path, captured_s: float, picture: Grey) -> None:
        """Opens the file; the first picture is still to be added."""
        self.count = 0
        self._from_s, self._shape = captured_s, picture.shape
        self._rows, self._columns = (side - side % 2 for side in picture.shape)
        self._last = -1
        self._container = av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=TICKS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = self._columns, self._rows, "yuv420p"
        self._stream.options = {"preset": "ultrafast", "crf": "20", "tune": "zerolatency"}
        self._stream.thread_count = 1
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def add(self, captured_s: float, picture: Grey) -> None:
        """Another picture; one of another size is left out."""
        if picture.shape != self._shape:
            return
        frame = av.VideoFrame.from_ndarray(_planes(picture[: self._rows, : self._columns]), "yuv420p")
        self._last = max(self._last + 1, round((captured_s - self._from_s) * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def close(self) -> None:
        """Write what the encoder still has, and the file's end. Raises OSError; the file is closed then as well."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Close it as it is. Raises OSError."""
        self._container.close()


def write_clip(path: Path, pictures: Iterator[tuple[float, Grey]]) -> int:
    """A ClipFile of the pictures at their own times; how many it holds. None, no file: 0. Raises OSError."""
    first = next(pictures, None)
    if first is None:
        return 0
    clip = ClipFile(path, *first)
    try:
        for captured_s, picture in chain((first,), pictures):
            clip.add(captured_s, picture)
    except BaseException:
        clip.abandon()
        raise
    clip.close()
    return clip.count


def _planes(picture: Grey) -> Grey:
    """Limited-range luma over two empty chroma planes, as players expect."""
    rows, columns = picture.shape
    planes = np.full((rows * 3 // 2, columns), 128, np.uint8)
    planes[:rows] = cv2.convertScaleAbs(picture, alpha=219 / 255, beta=16)
    return planes
