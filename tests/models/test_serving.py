"""What every HTTP server has in common: where it listens, and that nothing stays open behind it."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from sono_models.errors import BadConfig
from sono_models.serving import Server, bind, settings
from tests.support.scenes import PATIENCE_S
from tests.support.waiting import until


def test_a_connection_that_misses_the_goodbye_is_cut_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that is accepted while the server closes."""
    monkeypatch.setattr(H11Protocol, "shutdown", lambda _self: None)
    server = Server(settings(Starlette(), lifespan="off", timeout_graceful_shutdown=1))
    with bind("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        with socket.create_connection(listener.getsockname()) as late:
            thread.start()
            until(lambda: server.server_state.connections)
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
            late.settimeout(PATIENCE_S)
            with suppress(ConnectionResetError):
                assert late.recv(1) == b""
    assert not server.server_state.connections


def test_where_nobody_can_listen_is_said_in_words() -> None:
    with pytest.raises(BadConfig, match="a port is 0 to 65535"):
        bind("127.0.0.1", 65_536)
    with pytest.raises(BadConfig, match="not this machine's"):
        bind("192.0.2.1", 0)
    with pytest.raises(BadConfig, match="not known here"):
        bind("no such name", 0)
    with bind("127.0.0.1", 0) as taken, pytest.raises(BadConfig, match="already in use"):
        bind("127.0.0.1", taken.getsockname()[1])
