"""A video file, decoded by PyAV."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av

from sono_edge.frames import Frame, SourceKind
from sono_edge.sources.luma import look
from sono_models.errors import BadSource

if TYPE_CHECKING:
    import threading

    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

TEXT_ART = frozenset({"ansi", "bintext", "idf", "xbin"})
"""What FFmpeg plays a text file with."""
LARGEST_PX = 64_000_000
"""A larger picture than any scanner's is damage or an attack on memory."""
USUAL_FPS = 30.0
"""Assumed where a file does not say."""
PLAY = "Play it in another player, or convert it with: ffmpeg -i IN -c:v libx264 OUT.mp4"


class VideoSource:
    """A file of any container and codec that FFmpeg reads; frames once an entry, none of it in memory.

    `captured_s` counts from the first frame. Whether it shows ultrasound is not known here: the gates judge
    the pictures. Raises BadSource on entry, or while reading when nothing in it decodes; a file that breaks
    off gives what decodes and a warning in the log.
    """

    kind: SourceKind = "video"
    live = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container: InputContainer | None = None

    def __enter__(self) -> Self:
        if not self.path.is_file():
            raise BadSource(str(self.path), "there is no such file", "Check the path")
        if self.path.stat().st_size == 0:
            raise BadSource(str(self.path), "the file is empty", "Copy it again from where it came")
        try:
            # A playlist must not reach out of the file that was named.
            container = av.open(str(self.path), container_options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError, UnicodeError) as error:
            raise BadSource(str(self.path), f"cannot be read as a video ({reason_of(error)})", PLAY) from error
        try:
            pictures_of(container, str(self.path))
        except BaseException:
            container.close()
            raise
        self._container = container
        return self

    def __exit__(self, *exc: object) -> None:
        # An open container keeps 2.2 MB for ever (measured), so closing never waits for the garbage collector.
        if self._container is not None:
            self._container.close()
            self._container = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        assert self._container is not None, "enter the source first"
        stream = pictures_of(self._container, str(self.path))
        times = StreamTime(1.0 / float(stream.average_rate or USUAL_FPS))
        toll = Toll()
        for decoded in _decoded(self._container, stream, toll):
            if stop.is_set():
                return
            picture, coloured = look(decoded)
            yield Frame(toll.frames, times.seconds(decoded), 0.0, picture, coloured)
            toll.frames += 1
        self._conclude(toll, stream.frames)

    def _conclude(self, toll: Toll, promised: int) -> None:
        if toll.frames == 0:
            raise BadSource(str(self.path), f"no picture in it decodes ({toll.reason or 'it ends at once'})", PLAY)
        if toll.broken or toll.frames < promised:
            log.warning(
                "%s is damaged or breaks off: %d frames decoded of %s; %d pieces did not decode%s",
                self.path.name,
                toll.frames,
                promised or "an unknown number",
                toll.broken,
                f" ({toll.reason})" if toll.reason else "",
            )


@dataclass(slots=True)
class Toll:
    """What a reading has given so far, and what was lost."""

    frames: int = 0
    broken: int = 0
    reason: str = ""

    def lose(self, error: Exception) -> None:
        self.broken += 1
        self.reason = self.reason or reason_of(error)


class StreamTime:
    """Seconds of a stream from its first frame on, by its own timestamps; always growing.

    Where a timestamp is missing or steps back (joined files), the frame is one interval after the last one.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._shift_s: float | None = None
        self._last_s = -interval_s

    def seconds(self, frame: av.VideoFrame) -> float:
        next_s = self._last_s + self._interval_s
        if frame.pts is None or frame.time_base is None:
            self._last_s = next_s
            return next_s
        stamped_s = float(frame.pts * frame.time_base)
        if self._shift_s is None or stamped_s - self._shift_s <= self._last_s:
            self._shift_s = stamped_s - next_s
        self._last_s = stamped_s - self._shift_s
        return self._last_s


def pictures_of(container: InputContainer, name: str) -> VideoStream:
    """The container's first video stream, set to decode in the caller's thread. Raises BadSource."""
    if not container.streams.video:
        raise BadSource(name, "there is no video in it", "Name a video, an image folder or a DICOM cine")
    stream = container.streams.video[0]
    if stream.codec_context.name in TEXT_ART:
        raise BadSource(name, "is a text, not a video", "Name a video, an image folder or a DICOM cine")
    if stream.codec_context.width * stream.codec_context.height > LARGEST_PX:
        raise BadSource(name, "its pictures are larger than 64 million pixels", "Scale it down first")
    # The capture thread is decode's own thread already. Measured, 640x480 H.264 on two cores: one thread
    # 1.7 ms of CPU a frame; slices 2.1; frame threads 1.9, a frame later, and a core taken from inference.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def reason_of(error: BaseException) -> str:
    """FFmpeg's words for what went wrong, without path and number."""
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__


def _decoded(container: InputContainer, stream: VideoStream, toll: Toll) -> Iterator[av.VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            toll.lose(error)
            with suppress(av.FFmpegError):
                yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.FFmpegError as error:
            toll.lose(error)
