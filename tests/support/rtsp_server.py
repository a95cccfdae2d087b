"""A scanner's RTSP server: H.264 in RTP interleaved in TCP (RFC 2326, RFC 6184), one NAL unit a packet, on loopback."""

from __future__ import annotations

import base64
import re
import socketserver
import struct
import threading
from fractions import Fraction
from typing import Self

import av

from sono_models.inputs import Grey
from tests.support.clips import FPS, SIZE, greys

CLOCK_HZ = 90000


class RtspServer(socketserver.ThreadingTCPServer):
    """Plays `pictures` once to everyone who asks, `interval_s` apart, then hangs up; a context manager."""

    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, pictures: list[Grey] | None = None, *, interval_s: float = 0.01) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.frames = encoded(pictures or list(greys(30)))
        self.interval_s = interval_s
        self.gone = threading.Event()
        self.uri = f"rtsp://nurse:secret@127.0.0.1:{self.server_address[1]}/scan"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="rtsp-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.gone.set()
        self.shutdown()
        self.server_close()
        self._thread.join(10)


class Session(socketserver.StreamRequestHandler):
    """One client: answers every request, and after PLAY sends the pictures."""

    def handle(self) -> None:
        assert isinstance(self.server, RtspServer)
        while (request := self._request()) is not None:
            method, sequence = request
            self._answer(method, sequence, self.server.frames[0])
            if method == "PLAY":
                self._play(self.server)
                return

    def _request(self) -> tuple[str, str] | None:
        lines: list[str] = []
        while line := self.rfile.readline().decode().strip():
            lines.append(line)
        found = re.search(r"CSeq: *(\d+)", "\n".join(lines), re.IGNORECASE)
        return (lines[0].split()[0], found[1]) if lines and found else None

    def _answer(self, method: str, sequence: str, first: list[bytes]) -> None:
        head = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n"
        body = sdp(first) if method == "DESCRIBE" else ""
        if method == "SETUP":
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        if body:
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        self.wfile.write(f"{head}\r\n{body}".encode())

    def _play(self, server: RtspServer) -> None:
        sequence = 0
        for number, units in enumerate(server.frames):
            for unit in units:
                mark = 0x80 if unit is units[-1] else 0
                head = struct.pack(">BBHII", 0x80, 96 | mark, sequence, number * CLOCK_HZ // FPS, 1)
                self.wfile.write(b"$\0" + struct.pack(">H", len(head) + len(unit)) + head + unit)
                sequence += 1
            if server.gone.wait(server.interval_s):
                return


def encoded(pictures: list[Grey]) -> list[list[bytes]]:
    """The NAL units of every picture, parameter sets with the first; small pictures, so each fits a packet."""
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.framerate = *SIZE, "yuv420p", Fraction(FPS)
    codec.options = {"tune": "zerolatency", "crf": "20", "x264-params": "slices=1:threads=1"}
    units: list[list[bytes]] = []
    for picture in pictures:
        for packet in codec.encode(av.VideoFrame.from_ndarray(picture, "gray").reformat(format="yuv420p")):
            found = re.split(rb"\x00\x00\x00?\x01", bytes(packet))
            units.append([unit for unit in found if unit])
    return units


def sdp(first: list[bytes]) -> str:
    sets = ",".join(base64.b64encode(unit).decode() for unit in first if unit[0] & 31 in (7, 8))
    lines = (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=scan",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        f"a=rtpmap:96 H264/{CLOCK_HZ}",
        f"a=fmtp:96 packetization-mode=0;sprop-parameter-sets={sets}",
        "a=control:streamid=0",
    )
    return "\r\n".join(lines) + "\r\n"
