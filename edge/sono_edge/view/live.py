"""`GET /live`: an endless response of records, each the newest scene there was when the browser had room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from sono_edge.view.record import beat_record
from sono_edge.view.stage import Stage

BEAT_S = 0.5
"""Without a new scene a browser hears at least this often that the device lives."""
SPACING_S = 0.03
"""Scenes to one browser are at least this far apart: a little under 1/30 s, so that 30 fps pass whole."""
WATCHERS_MOST = 24
WHOLE_MOST = 8
"""So many pages get every scene; who comes while they are there gets fewer, so that 24 cost little more than 8."""
SPARE_SPACING_S = 0.1

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/octet-stream")],
}
NOTHING: Message = {"type": "http.response.body", "body": b"", "more_body": True}
"""Sends no byte, but waits until what was sent before has left."""


class Live:
    """The ASGI application of the stream. A slow browser misses scenes; one that went away is let go."""

    def __init__(self, stage: Stage, closing: Callable[[], bool]) -> None:
        self._stage = stage
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._stage.watchers += 1
        spacing_s = SPACING_S if self._stage.watchers <= WHOLE_MOST else SPARE_SPACING_S
        pump = asyncio.create_task(self._pump(send, spacing_s))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stage.watchers -= 1
            pump.cancel()
            gone.cancel()
            ends = await asyncio.gather(pump, gone, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        if scope["method"] != "GET":
            return PlainTextResponse("Only GET.\n", 405)
        if self._closing():
            return PlainTextResponse("The device is stopping.\n", 503)
        if self._stage.watchers >= WATCHERS_MOST:
            return PlainTextResponse(f"{WATCHERS_MOST} pages are open already: close one.\n", 503)
        return None

    async def _pump(self, send: Send, spacing_s: float) -> None:
        await send(START)
        now = asyncio.get_running_loop().time
        number = 0
        while True:
            await self._stage.wait_newer(number, BEAT_S)
            await send(NOTHING)
            started_s, shown = now(), self._stage.newest
            if shown is None or shown.number == number:
                await send(_body(beat_record(self._stage.age_s())))
                continue
            number = shown.number
            await send(_body(self._stage.record(shown)))
            await asyncio.sleep(max(0.0, spacing_s - (now() - started_s)))


def _body(record: bytes) -> Message:
    return {"type": "http.response.body", "body": record, "more_body": True}


async def _gone(receive: Receive) -> None:
    """Return when the browser has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
