"""The view's server: one thread with one loop, beside the frame path and never in it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Self
from urllib.parse import quote

from sono_edge.scene import Scene
from sono_edge.view.door import Door, Guard
from sono_edge.view.live import Live
from sono_edge.view.presses import Press
from sono_edge.view.routes import Beside, build_app
from sono_edge.view.scans import Drive, Shelf
from sono_edge.view.stage import Stage
from sono_models.address import is_loopback
from sono_models.errors import BadConfig
from sono_models.serving import Server, bind, settings

logger = logging.getLogger(__name__)

TOKEN_LEAST = 8
SEND_BUFFER = 64 * 1024
"""Bytes the kernel may hold for a browser: what is in there is old when it arrives."""
VANISHED_MS = 10_000
"""A browser that acknowledges nothing for this long has gone without saying so."""
JOIN_S = 10.0


class View:
    """A page at `url` that shows the newest scene. A context manager: the server runs inside it.

    `show` swaps a reference and returns, whatever the browsers do. Pictures are encoded on the view's own
    thread, once for all browsers, and not at all while nobody watches. Bound wider than loopback there is
    always a token; one is made up when none is given. Raises BadConfig for a port that is taken, an
    address that is not this machine's, or a short token.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8780,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        scans: Shelf | None = None,
        drive: Drive | None = None,
        card: str = "",
    ) -> None:
        if token is not None and len(token) < TOKEN_LEAST:
            raise BadConfig("view token", f"shorter than {TOKEN_LEAST} characters", "Choose a longer one, or none")
        self.commands: SimpleQueue[Press] = SimpleQueue()
        """What was pressed on the page, oldest first, for the agent's loop to take."""
        self._host, self._port = host, port
        self._local_only = is_loopback(host)
        self._token = token if token or self._local_only else secrets.token_urlsafe(16)
        self._stage = Stage(clock)
        self.card = card
        """The model's card; to be replaced when another bundle judges."""
        self._beside = Beside(scans, drive, lambda: self.card)
        self._closing = False
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where to open the page, with the token; port 0 is known inside the context only."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        host = f"[{host}]" if ":" in host else host
        query = "" if self._token is None else f"?token={quote(self._token, safe='')}"
        return f"http://{host}:{self._port}/{query}"

    @property
    def viewers(self) -> int:
        """How many browsers are connected to the stream."""
        return self._stage.watchers

    def show(self, scene: Scene) -> None:
        """Make this the newest scene; returns at once, from any thread, inside and outside of the context."""
        self._stage.show(scene)

    def __enter__(self) -> Self:
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        door = Door(self._token, self._local_only, self._port)
        live = Live(self._stage, lambda: self._closing)
        app = Guard(build_app(self._stage, self.commands, live, self._beside), door)
        server = Server(
            settings(app, lifespan="off", date_header=False, limit_concurrency=64, timeout_graceful_shutdown=1)
        )
        loop = asyncio.new_event_loop()
        self._server, self._loop, self._closing = server, loop, False
        self._stage.attach(loop)
        self._thread = threading.Thread(target=serve, args=(server, loop, listener), name="view")
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._thread is not None
        assert self._loop is not None
        self._stage.attach(None)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._close)
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            raise RuntimeError(f"the view's thread did not end within {JOIN_S:g} s")

    def _close(self) -> None:
        """Stop, on the loop's thread. Streams have no end: their connections are cut, stalled ones too."""
        assert self._server is not None
        self._closing = True
        self._server.should_exit = True
        self._server.cut()


def serve(server: Server, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
    """The thread's whole life; it owns the loop and the listening socket."""
    try:
        with listener, asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(sockets=[listener]))
    except Exception:
        logger.exception("the view stopped; frames go on")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. What it sets, each connection inherits (Linux: socket(7), tcp(7)). Raises BadConfig."""
    listener = bind(host, port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_MS)
    return listener
