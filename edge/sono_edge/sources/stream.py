"""A camera or a network stream: frames come when they come, and every way of losing it has a name."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av

from sono_edge.frames import Frame, SourceKind
from sono_edge.sources.luma import look
from sono_edge.sources.video import pictures_of, reason_of
from sono_models.errors import BadSource, SourceLost

if TYPE_CHECKING:
    import threading

    from av.container import InputContainer

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 2.0
"""No byte for this long, and the stream is lost; a stop may take as long. H.264: twice, as its parser holds a frame."""
LOW_LATENCY = {"fflags": "nobuffer", "flags": "low_delay", "probesize": "500000", "analyzeduration": "100000"}
"""Without them FFmpeg collects up to 5 s of stream before the first frame, and serves it late for ever."""
NETWORK = {
    "http": {"protocol_whitelist": "http,https,tls,tcp", "fpsprobesize": "0"},
    "https": {"protocol_whitelist": "http,https,tls,tcp", "fpsprobesize": "0"},
    # Interleaved in TCP: one port through a firewall, and no torn pictures from lost datagrams.
    "rtsp": {"rtsp_transport": "tcp", "max_delay": "0"},
}
CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class StreamSource:
    """`http://`, `https://`, `rtsp://` or `v4l2:/dev/videoN`, decoded by PyAV; may be entered again after a loss.

    `captured_s` and `arrived_s` are the clock when the frame's last bytes were there, so that a latency counts
    decoding. Raises SourceLost whenever it cannot be opened, ends, or is silent for READ_TIMEOUT_S: a camera that
    is not there yet may still come.
    """

    live = True

    def __init__(self, uri: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.kind: SourceKind = "v4l2" if uri.startswith("v4l2:") else "stream"
        self.name = CREDENTIALS.sub("", uri)
        """The address without user and password: fit to be shown."""
        self._uri = uri
        self._clock = clock
        self._container: InputContainer | None = None

    def __enter__(self) -> Self:
        try:
            container = self._open()
        except (av.FFmpegError, OSError) as error:
            reason = f"no answer for {OPEN_TIMEOUT_S:.0f} s" if isinstance(error, av.ExitError) else reason_of(error)
            raise SourceLost(self.name, f"cannot be opened ({reason})", self._next_step()) from error
        try:
            pictures_of(container, self.name)
        except BadSource as error:
            container.close()
            raise SourceLost(self.name, error.reason, self._next_step()) from error
        self._container = container
        return self

    def __exit__(self, *exc: object) -> None:
        # An open container keeps 2.2 MB for ever (measured): a source that reconnects must close every one.
        if self._container is not None:
            self._container.close()
            self._container = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        assert self._container is not None, "enter the source first"
        packets = self._container.demux(pictures_of(self._container, self.name))
        index = 0
        while not stop.is_set():
            try:
                packet = next(packets, None)
                arrived_s = self._clock()
                decoded = packet.decode() if packet is not None else []
            except av.InvalidDataError:
                continue  # A torn picture of a stream that goes on: the next whole one is soon there.
            except (av.FFmpegError, OSError) as error:
                reason = f"silent for {READ_TIMEOUT_S:.0f} s" if isinstance(error, av.ExitError) else reason_of(error)
                raise SourceLost(self.name, f"went away ({reason})", self._next_step()) from error
            for frame in decoded:
                picture, coloured = look(frame)
                yield Frame(index, arrived_s, arrived_s, picture, coloured)
                index += 1
            if packet is None:
                raise SourceLost(self.name, "ended", self._next_step())

    def _open(self) -> InputContainer:
        timeout = (OPEN_TIMEOUT_S, READ_TIMEOUT_S)
        if self.kind == "v4l2":
            device = self._uri.removeprefix("v4l2:")
            if not Path(device).exists():
                raise SourceLost(self.name, "there is no such device", self._next_step())
            return av.open(device, format="video4linux2", container_options=dict(LOW_LATENCY), timeout=timeout)
        options = LOW_LATENCY | NETWORK[self._uri.partition("://")[0].lower()]
        return av.open(self._uri, container_options=options, timeout=timeout)

    def _next_step(self) -> str:
        if self.kind == "v4l2":
            return "Plug the camera or grabber in; `ls /dev/video*` shows what is there"
        return "Check that the scanner sends and that the address is right"
