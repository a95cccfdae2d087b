"""What systemd is told: ready, and alive. A datagram to NOTIFY_SOCKET, where there is one: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress


def notifier(address: str | None = None) -> Callable[[str], None]:
    """What sends a state such as `READY=1`; returns at once, and a manager that does not listen is no trouble."""
    address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
    if not address:
        return lambda _: None
    target = "\0" + address[1:] if address.startswith("@") else address

    def send(state: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto(state.encode(), target)

    return send
