"""What every HTTP server here has in common: a device's page, the fleet's page, and the enrolment service."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import uvicorn

from sono_models.errors import BadConfig

PORT_MOST = 65_535


class Server(uvicorn.Server):
    """Leaves no connection behind: one that is accepted while the server closes misses uvicorn's own goodbye."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.cut()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    def cut(self) -> None:
        """End every connection now, whatever is still to be sent; on the loop's thread."""
        for connection in list(self.server_state.connections):
            transport = connection.transport
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()


def settings(app: Any, **own: Any) -> uvicorn.Config:
    """One HTTP version, no websockets, nothing in the log but trouble, and no word of what serves; and `own`."""
    usual: dict[str, Any] = {
        "http": "h11",
        "ws": "none",
        "loop": "asyncio",
        "log_config": None,
        "log_level": "error",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
    }
    return uvicorn.Config(app, **(usual | own))


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadConfig for an address or a port that cannot be had."""
    thing = f"port {port}"
    if not 0 <= port <= PORT_MOST:
        raise BadConfig(thing, f"a port is 0 to {PORT_MOST}", "Choose another port")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise BadConfig(f"address {host!r}", "not known here", "Name an address of this machine") from error
    except PermissionError as error:
        raise BadConfig(thing, "not allowed for this user", "Choose a port above 1023") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BadConfig(thing, "already in use", "Stop the other program or choose another port") from error
        reason = "not this machine's" if error.errno == errno.EADDRNOTAVAIL else error.strerror or "it cannot be had"
        raise BadConfig(f"address {host!r}", reason, "Name an address of this machine") from error
