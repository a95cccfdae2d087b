"""Scenes to show, and a client that reads the view's stream as the page does."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sono_edge.scene import AlertLine, Scene, State
from sono_models.inputs import Box

PATIENCE_S = 20.0
"""A reader that hears nothing for so long fails the test; nothing is measured by it."""


def scene(
    index: int = 0,
    *,
    picture: NDArray[np.uint8] | None = None,
    state: State = State.SCANNING,
    reason: str = "",
    box: Box | None = None,
    alerts: tuple[AlertLine, ...] = (),
    strip: tuple[float, ...] = (0.1, 0.2, float("nan")),
    uplink: str = "",
) -> Scene:
    """A scene with plausible numbers."""
    return Scene(
        frame_index=index,
        captured_s=100.0 + index / 30,
        arrived_s=0.0,
        picture=picture,
        state=state,
        reason=reason,
        attention=0.8 if box else 0.2,
        box=box,
        alerts=alerts,
        fps_in=30.0,
        fps_scored=29.7,
        latency_ms_p50=6.4,
        frames_dropped=2,
        outbox_depth=3,
        uplink=uplink,
        bundle="breast 0.1.0",
        runtime="onnx",
        source="phantom",
        simulated=True,
        strip=strip,
        threshold=0.6,
    )


@dataclass(frozen=True, slots=True)
class Record:
    values: dict[str, Any]
    jpeg: bytes


class Stream:
    """One browser's `GET /live`; with a small `buffer` (bytes) the kernel reads little ahead of it."""

    def __init__(self, port: int, buffer: int | None = None) -> None:
        self._buffer = buffer
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        self._connection.connect()
        if self._buffer is not None:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        self._connection.request("GET", "/live")
        self._response = self._connection.getresponse()
        self.status = self._response.status
        return self

    def __exit__(self, *exc: object) -> None:
        self._response.close()
        self._connection.close()

    def read(self) -> Record:
        """The next record, a beat or a scene."""
        head = self._part()
        return Record(json.loads(head), self._part())

    def scene(self) -> Record:
        """The next scene; beats are skipped."""
        record = self.read()
        while record.values["kind"] != "scene":
            record = self.read()
        return record

    def _part(self) -> bytes:
        (length,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        got = self._response.read(size) if size else b""  # a read of 0 bytes would wait for the next chunk
        if len(got) < size:
            raise EOFError("the stream ended")
        return got
