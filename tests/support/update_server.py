"""A web server for a signed repository, on loopback, with the faults of real ones."""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit


@dataclass(slots=True)
class Faults:
    """What the server does wrong, for paths that contain `where`. It may be changed while it runs."""

    where: str = "/targets/"
    cut_every: int = 0
    """Close the connection after so many body bytes."""
    status: int = 0
    statuses: list[int] = field(default_factory=list)
    """The next answers' statuses, used up one by one."""
    no_range: bool = False
    wrong_range: bool = False
    short_by: int = 0
    """Announce and send so many bytes fewer than there are."""
    drip_s: float = 0.0
    """A byte, then this pause, until the client leaves."""
    silent: bool = False
    """Accept, and say nothing."""
    swap: Callable[[bytes], bytes] | None = None
    redirect: str = ""
    on_bytes: Callable[[int], None] | None = None
    """Told of the body bytes sent so far, over all answers."""


class UpdateServer:
    """Hands out a folder. A context manager."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None) -> None:
        self.faults, self.asked, self.sent = Faults(), Counter[str](), 0
        self.ranges: list[str] = []
        self._gone = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _answers(self, folder))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="update-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _send(self, answer: BaseHTTPRequestHandler, content: bytes, faults: Faults) -> None:
        if faults.swap is not None:
            content = faults.swap(content)
        if faults.short_by:
            content = content[: -faults.short_by]
        start = self._start(answer, len(content), faults)
        body = content[start:]
        answer.send_header("Content-Length", str(len(body)))
        answer.end_headers()
        with suppress(OSError):  # the client left
            self._pour(answer, body, faults)

    def _start(self, answer: BaseHTTPRequestHandler, length: int, faults: Faults) -> int:
        asked = answer.headers.get("Range", "")
        self.ranges.append(asked)
        if not asked or faults.no_range:
            answer.send_response(200)
            return 0
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= length:
            answer.send_response(416)
            return length
        answer.send_response(206)
        told = start + 1 if faults.wrong_range else start
        answer.send_header("Content-Range", f"bytes {told}-{length - 1}/{length}")
        return start

    def _pour(self, answer: BaseHTTPRequestHandler, body: bytes, faults: Faults) -> None:
        step = 1 if faults.drip_s else 8192
        end = min(len(body), faults.cut_every or len(body))
        for at in range(0, end, step):
            piece = body[at : min(at + step, end)]
            answer.wfile.write(piece)
            self.sent += len(piece)
            if faults.on_bytes is not None:
                faults.on_bytes(self.sent)
            if faults.drip_s and self._gone.wait(faults.drip_s):
                return


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        pass  # a client that left, or never trusted us


def _answers(server: UpdateServer, folder: Path) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            server.asked[self.path] += 1
            faults = server.faults if server.faults.where in self.path else Faults()
            status = faults.statuses.pop(0) if faults.statuses else faults.status
            path = folder / urlsplit(self.path).path.lstrip("/")  # a proxy is asked for the whole address
            if faults.silent:
                server._gone.wait(10)
            elif status or faults.redirect:
                self.send_response(status or 302)
                if faults.redirect:
                    self.send_header("Location", faults.redirect)
                self.end_headers()
            elif not path.is_file():
                self.send_error(404)
            else:
                server._send(self, path.read_bytes(), faults)

        def log_message(self, *_: object) -> None:
            pass

    return Answer
