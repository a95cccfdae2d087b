"""What the view answers: the page and its files, the stream, what was pressed, and whether it is well.

The routes of scans and captures stand in `scans.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from queue import SimpleQueue

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sono_edge.view.body import BODY_MOST, read_body
from sono_edge.view.card import CardPage
from sono_edge.view.live import Live
from sono_edge.view.presses import Capture, EndScan, Press, Seen, SetAI, StartScan
from sono_edge.view.scans import Drive, Shelf, drive_routes, scan_routes
from sono_edge.view.stage import Stage

MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PRESSES_MOST = 64
"""Presses that wait for the agent; more come from no hand."""
STALE_S = 1.5
"""Without a scene for this long the AI is not running; the page holds the same figure."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, in memory: nothing is read from disk while frames run."""

    body: bytes
    media: str

    def response(self) -> Response:
        return Response(self.body, media_type=self.media)


class Health(msgspec.Struct, frozen=True):
    """`GET /healthz`. `running` is false while no scene comes, whatever the reason."""

    running: bool
    state: str | None
    scene_age_s: float | None
    viewers: int


def read_page() -> dict[str, Asset]:
    """Every file of the page by name."""
    folder = files("sono_edge.view") / "page"
    named = ((entry.name, MEDIA.get("." + entry.name.rpartition(".")[2])) for entry in folder.iterdir())
    return {name: Asset((folder / name).read_bytes(), media) for name, media in named if media}


@dataclass(frozen=True, slots=True)
class Beside:
    """What the page shows beside the scene: the recorded scans and their drive, where there are; the model's card."""

    shelf: Shelf | None = None
    drive: Drive | None = None
    card: str = ""


def build_app(stage: Stage, presses: SimpleQueue[Press], live: Live, beside: Beside | None = None) -> Starlette:
    """The routes, without the door."""
    page, beside = read_page(), beside or Beside()
    card = CardPage(beside.card)

    async def index(_: Request) -> Response:
        return page["index.html"].response()

    async def static(request: Request) -> Response:
        asset = page.get(request.path_params["name"])
        return PlainTextResponse("No such file.\n", 404) if asset is None else asset.response()

    async def model_card(_: Request) -> Response:
        body = card.body
        return PlainTextResponse("No model card.\n", 404) if body is None else Response(body, media_type=MEDIA[".html"])

    async def held(_: Request) -> Response:
        record = stage.held()
        if record is None:
            return PlainTextResponse("No picture was scored just now.\n", 404)
        return Response(record, media_type="application/octet-stream")

    async def clock(_: Request) -> Response:
        return Response(msgspec.json.encode({"now_s": stage.now_s()}), media_type="application/json")

    async def healthz(_: Request) -> Response:
        shown, age_s = stage.newest, stage.age_s()
        state = None if shown is None else shown.scene.state.name
        health = Health(age_s is not None and age_s < STALE_S, state, age_s, stage.watchers)
        return Response(msgspec.json.encode(health), media_type="application/json")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/static/{name}", static),
            Route("/live", live),
            Route("/held", held),
            Route("/card", model_card),
            Route("/clock", clock),
            Route("/healthz", healthz),
            Route("/seen", _press(Seen, presses), methods=["POST"]),
            Route("/ai", _press(SetAI, presses), methods=["POST"]),
            Route("/capture", _press(Capture, presses), methods=["POST"]),
            Route("/scan/start", _press(StartScan, presses), methods=["POST"]),
            Route("/scan/end", _press(EndScan, presses), methods=["POST"]),
            *scan_routes(beside.shelf),
            *(drive_routes(beside.shelf, beside.drive) if beside.shelf and beside.drive else ()),
        ]
    )


def _press(kind: type[Press], presses: SimpleQueue[Press]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that takes one kind of press as JSON and leaves it for the agent."""

    async def pressed(request: Request) -> Response:
        body = await read_body(request)
        if body is None:
            return PlainTextResponse(f"More than {BODY_MOST} bytes.\n", 413)
        try:
            press: Press = msgspec.json.decode(body or b"{}", type=kind)
        except msgspec.DecodeError as error:
            return PlainTextResponse(f"Not a press: {error}.\n", 400)
        if presses.qsize() >= PRESSES_MOST:
            return PlainTextResponse("The agent takes no presses now.\n", 503)
        presses.put(press)
        return Response(status_code=204)

    return pressed
