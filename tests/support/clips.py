"""Test pictures whose frames can be told apart, and real files and streams of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from sono_models.inputs import Grey

FPS = 30
SIZE = (64, 48)


def grey(index: int, size: tuple[int, int] = SIZE) -> Grey:
    """A smooth ramp whose brightness tells the index: its mean grows by 3 a frame, up to 50 frames."""
    width, height = size
    ramp = np.linspace(0, 60, width, dtype=np.float32)[None].repeat(height, axis=0)
    return np.asarray(ramp + 30 + 3 * index, np.uint8)


def greys(count: int, size: tuple[int, int] = SIZE) -> Iterator[Grey]:
    return (grey(index, size) for index in range(count))


def jpeg(picture: Grey, quality: int = 95) -> bytes:
    done, packed = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return packed.tobytes()


def mjpeg_file(path: Path, pictures: Iterator[Grey]) -> Path:
    """Concatenated JPEGs in an AVI, as a grabber records them: full range."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        for number, picture in enumerate(pictures):
            if number == 0:
                (stream.height, stream.width), stream.pix_fmt = picture.shape, "yuvj420p"
            packet = av.Packet(jpeg(picture))
            packet.stream, packet.pts, packet.dts, packet.time_base = (
                stream,
                number,
                number,
                Fraction(1, FPS),
            )
            container.mux(packet)
    return path


def h264_file(path: Path, pictures: Iterator[Grey], *, options: dict[str, str] | None = None) -> Path:
    """H.264 as most programs write it: limited-range luma, and nothing that says so."""
    with av.open(str(path), "w", container_options=options or {}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10", "g": "5"}
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape
            planes = np.full((picture.shape[0] * 3 // 2, picture.shape[1]), 128, np.uint8)
            planes[: picture.shape[0]] = np.round(16 + picture * (219 / 255))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        container.mux(stream.encode(None))
    return path
