"""A process that reads the page's stream as browsers do, without the painting: `watcher.py URL KIND…`.

`quick` reads all that comes (a second tab is one more of them); `slow` reads SLOW_KB_S, as a tablet on a 2G network
does; `stopped` reads the beginning and then nothing, without closing, as a laptop whose lid was shut. On SIGTERM it
prints how many bytes each kind has read, and ends.
"""

import asyncio
import json
import signal
import socket
import sys
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

SLOW_KB_S = 5
STEP_S = 0.1
FIRST = 1024
SMALL = 4096
"""Bytes that the kernel may hold for one who reads slowly: what it holds, nobody has read."""


async def watch(url: str, kind: str, read: Counter[str]) -> None:
    """One reader until the stream or the process ends."""
    at = urlsplit(url)
    sock = socket.socket()
    if kind != "quick":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (at.hostname, at.port))
    limit = 65536 if kind == "quick" else SMALL
    reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
    writer.write(f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
    most = {"quick": limit, "slow": round(SLOW_KB_S * 1000 * STEP_S), "stopped": FIRST}[kind]
    while got := await reader.read(most):
        read[kind] += len(got)
        if kind == "stopped":
            await asyncio.Event().wait()
        if kind == "slow":
            await asyncio.sleep(STEP_S)


async def watch_all(url: str, kinds: list[str]) -> Counter[str]:
    read: Counter[str] = Counter(dict.fromkeys(kinds, 0))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    watching = [asyncio.create_task(watch(url, kind, read)) for kind in kinds]
    await ended.wait()
    for one in watching:
        one.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await one
    return read


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch_all(sys.argv[1], sys.argv[2:]))), flush=True)  # noqa: T201
