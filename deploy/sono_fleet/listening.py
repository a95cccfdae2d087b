"""Where the fleet's own servers listen: the page, and the enrolment service."""

from __future__ import annotations

import errno
import socket

from sono_models.errors import BadConfig

PORT_MOST = 65_535


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadConfig for an address that cannot be had."""
    thing = f"--host {host} --port {port}"
    if not 0 <= port <= PORT_MOST:
        raise BadConfig(thing, f"a port is 0 to {PORT_MOST}", "Choose another port")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as problem:
        taken = problem.errno == errno.EADDRINUSE
        step = "End what listens there, or choose another --port" if taken else "Choose an address of this machine"
        raise BadConfig(thing, problem.strerror or "it cannot be had", step) from problem
