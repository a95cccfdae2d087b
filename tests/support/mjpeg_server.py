"""A camera's web server: MJPEG over HTTP on loopback, that can vanish and come back on the same port."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.support.clips import grey, jpeg


class MjpegServer:
    """Sends a numbered picture every `interval_s` to everyone who connects; a context manager."""

    def __init__(self, port: int = 0, *, interval_s: float = 0.01, frames: int = 10**9) -> None:
        self._gone = threading.Event()
        gone = self._gone

        class Camera(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for index in range(frames):
                    packed = jpeg(grey(index % 50))
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(packed)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + packed + b"\r\n")
                    except OSError:
                        return
                    if gone.wait(interval_s):
                        return

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = False

        self._server = Server(("127.0.0.1", port), Camera)
        self.port = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}/stream"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="mjpeg-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
