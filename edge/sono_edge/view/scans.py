"""What the page may ask of scans. The same door and token as the rest; nothing here reads a disk.

| route | answer |
|---|---|
| `POST /capture` `{}` | 204; the newest picture is kept, and the seconds before it |
| `POST /scan/start` `{"token": "…"}` | 204; a scan begins (one that runs ends first); `token` may be left out, else it matches ^[A-Za-z0-9_-]{1,64}$, or 400 |
| `POST /scan/end` `{"impression": 3, "scan": "…"}` | 204; the scan ends. `impression` (1 to 5) may be left out; sent after the end it is added to the summary. `scan` may be left out; with it, another one that runs goes on |
| `POST /seen` `{"alert": …, "reason": "artefact"}` | as before; `reason` may be left out, else looked-again, known-finding, artefact or other |
| `GET /scan` | the running scan: `running, id, token, started_at, elapsed_s, captures, alerts, counts, frames_dropped, trouble` |
| `GET /scan/ended` | the scan that ended last: `id, token, started_at, ended_at, captures, alerts, summary`; 404 before the first |
| `GET /scan/captures/{id}.png` | a capture's picture, of the running scan or else of the one that ended last; 404 |
| `GET /scan/captures/{id}-saliency.png` | where its score came from, a small grey picture over the same extent; 404 |
| `GET /scan/list` | `{"scans": [{id, token, started_at, ended_at, captures, alerts, alerts_unseen, scanned_s, running}], "retention": {used_mb, quota_mb, keep_days}}`, newest first |
| `GET /scan/records/{id}` | any scan, as `/scan/ended`; 404 |
| `GET /scan/records/{id}/{capture}.png` | a picture of any scan; also `{capture}-saliency.png`; 404 |
| `GET /scan/export` | the drive: `ready, why_not, outcome ("none", "running", "done", "failed"), scan, reason` |
| `POST /scan/export` `{"scan": "…", "lang": "de"}` | 202; the scan goes to the drive, its PDF in that language: `lang` may be left out, and one that is not spoken here is English; 404 for none, 409 with the reason in words where it cannot go now |

A capture: `id, kind ("automatic", "manual", "alert"), captured_s (since the scan began), state, attention,
quality, worth, box {x0, y0, x1, y1} or null, alert, saliency (bool), clip (bool)`. An alert: `alert, raised_s,
score, seen, reason`. The summary is `sono_edge.scan.records.Summary`. Without recording every GET is 404.
"""  # noqa: E501  (a table)

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sono_edge.scan.exporter import DriveState
from sono_edge.scan.records import ScanRecord
from sono_edge.scan.shown import Shown
from sono_edge.scan.words import Language, language_named
from sono_edge.view.body import read_body

FETCH_S = 5.0
"""How long a page waits for a picture of a disk that is slow."""
NAME = re.compile(r"[abm][0-9]{3,6}(-saliency)?")
"""A capture's file without its ending: nothing else of the folder can be asked for."""
Endpoint = Callable[[Request], Awaitable[Response]]


class Shelf(Protocol):
    """Where scans are kept: what there is, in memory, and the files, from the store's own thread."""

    @property
    def shown(self) -> Shown: ...
    def fetch(self, scan: str, name: str) -> Future[bytes | None]: ...


class Drive(Protocol):
    """Where scans are exported to. `export` returns at once; False where none may begin now."""

    @property
    def drive(self) -> DriveState: ...
    def export(self, scan: str, language: Language) -> bool: ...


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /scan/export`. `lang` is the page's language, which the PDF is to speak."""

    scan: str
    lang: str = "en"


def drive_routes(shelf: Shelf, drive: Drive) -> list[Route]:
    async def state(_: Request) -> Response:
        return _json(drive.drive)

    async def export(request: Request) -> Response:
        body = await read_body(request)
        try:
            wanted = msgspec.json.decode(body or b"", type=Wanted)
        except msgspec.DecodeError as error:
            return PlainTextResponse(f"No scan to export: {error}.\n", 400)
        record = _record(shelf.shown, wanted.scan)
        if record is None:
            return _nothing("such scan")
        if record.id == shelf.shown.now.id:
            return PlainTextResponse("It still runs: end it first.\n", 409)
        if not drive.export(record.id, language_named(wanted.lang) or "en"):
            return PlainTextResponse(f"{drive.drive.why_not or 'Another scan is on its way to the drive'}.\n", 409)
        return Response(status_code=202)

    return [Route("/scan/export", state), Route("/scan/export", export, methods=["POST"])]


def scan_routes(shelf: Shelf | None) -> list[Route]:
    if shelf is None:
        return []

    async def now(_: Request) -> Response:
        return _json(shelf.shown.now)

    async def ended(_: Request) -> Response:
        last = shelf.shown.ended
        return _nothing("scan has ended yet") if last is None else _json(last)

    async def listed(_: Request) -> Response:
        shown = shelf.shown
        running = shown.now.id
        lines = [msgspec.structs.replace(line, running=line.id == running) for line in shown.lines]
        return _json({"scans": lines, "retention": shown.retention})

    async def one(request: Request) -> Response:
        record = _record(shelf.shown, str(request.path_params["scan"]))
        return _nothing("such scan") if record is None else _json(record)

    async def picture_of(request: Request) -> Response:
        record = _record(shelf.shown, str(request.path_params["scan"]))
        return _nothing("such scan") if record is None else await _picture(shelf, record.id, request)

    async def picture(request: Request) -> Response:
        name = str(request.path_params["name"])
        shown = shelf.shown
        scan = _scan_with(shown, name.partition("-")[0])
        return _nothing("such capture") if scan is None else await _picture(shelf, scan, request)

    return [
        Route("/scan", now),
        Route("/scan/ended", ended),
        Route("/scan/list", listed),
        Route("/scan/captures/{name}.png", picture),
        Route("/scan/records/{scan}", one),
        Route("/scan/records/{scan}/{name}.png", picture_of),
    ]


async def _picture(shelf: Shelf, scan: str, request: Request) -> Response:
    name = str(request.path_params["name"])
    if not NAME.fullmatch(name):
        return _nothing("such capture")
    try:
        content = await asyncio.wait_for(asyncio.wrap_future(shelf.fetch(scan, f"{name}.png")), FETCH_S)
    except TimeoutError:
        return PlainTextResponse("The disk is slow.\n", 503)
    return _nothing("such file") if content is None else Response(content, media_type="image/png")


def _record(shown: Shown, scan: str) -> ScanRecord | None:
    """As it is now: what ended last may be newer in memory than on a disk that is full."""
    if shown.ended is not None and shown.ended.id == scan:
        return shown.ended
    return next((one for one in shown.records if one.id == scan), None)


def _scan_with(shown: Shown, capture: str) -> str | None:
    """The scan that has this capture: the one that runs, else the one that ended last."""
    if any(one.id == capture for one in shown.now.captures):
        return shown.now.id
    if shown.ended is not None and any(one.id == capture for one in shown.ended.captures):
        return shown.ended.id
    return None


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _nothing(what: str) -> Response:
    return PlainTextResponse(f"No {what}.\n", 404)
