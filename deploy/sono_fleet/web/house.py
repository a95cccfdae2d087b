"""What the page's routes stand on, put together once; and how a template becomes an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from sono_fleet.database import Database
from sono_fleet.rollout.records import Records
from sono_fleet.web.accounts import Accounts
from sono_fleet.web.chart import KINDS, Chart, duration
from sono_fleet.web.door import Door
from sono_fleet.web.identity import PERMITTED, Identity
from sono_fleet.web.lists import Verifier, overall
from sono_fleet.web.live import Charts, Live
from sono_fleet.web.sessions import Session, Sessions
from sono_fleet.web.shelf import Shelf
from sono_models import DISCLAIMER, __version__

MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:12]


@cache
def assets() -> dict[str, Asset]:
    """Every file of the page by name, in memory."""
    folder = files("sono_fleet.web") / "static"
    named = ((entry.name, MEDIA.get("." + entry.name.rpartition(".")[2])) for entry in folder.iterdir())
    return {name: Asset((folder / name).read_bytes(), media) for name, media in named if media}


def templates(now: Callable[[], datetime]) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("sono_fleet.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["moment"] = lambda value: moment(value, now())
    made.filters["duration"] = duration
    made.filters["figure"] = figure
    made.globals.update(
        disclaimer=DISCLAIMER,
        version=__version__,
        kinds=KINDS,
        asset=lambda name: f"/static/{name}?{assets()[name].digest}",
    )
    return made


def moment(value: str | datetime | None, now: datetime) -> Markup:
    """`3 min ago`, with the moment itself for those who point at it."""
    if not value:
        return Markup("never")
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    away = now - at
    words = "now" if abs(away) < timedelta(seconds=1) else _rough(abs(away))
    if words != "now":
        words = f"{words} ago" if away > timedelta(0) else f"in {words}"
    exact = at.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), exact, words)


def _rough(away: timedelta) -> str:
    """In whole units: nobody counts the seconds of an hour."""
    seconds = round(away.total_seconds())
    for unit, size, least in (("days", 86_400, 2 * 86_400), ("h", 3600, 2 * 3600), ("min", 60, 120)):
        if seconds >= least:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def figure(value: float | None, unit: str = "", digits: int = 0) -> str:
    return "\u2013" if value is None else f"{value:,.{digits}f}{unit}"


@dataclass(frozen=True, slots=True)
class House:
    database: Database
    records: Records
    identity: Identity
    sessions: Sessions
    door: Door
    charts: Charts
    live: Live
    shelf: Shelf
    verifier: Verifier
    now: Callable[[], datetime]
    environment: jinja2.Environment
    burdens: dict[int, tuple[datetime, list[Any]]] = field(default_factory=dict)
    """By hours: what was counted a moment ago, for all who look."""

    def show(
        self, request: Request, template: str, session: Session, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page with what stands on every page."""
        known = {
            "session": session,
            "person": session.person,
            "may": {action: session.person.role.covers(role) for action, role in PERMITTED.items()},
            "overall": overall(self.database),
            "path": request.url.path,
            "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "problem": None,
        }
        text = self.environment.get_template(template).render({**known, **values})
        return HTMLResponse(text, status)

    def plain(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page for somebody who is not known, or while the database is away: it asks nobody anything."""
        return HTMLResponse(self.environment.get_template(template).render(values), status)


def build_house(
    database: Database,
    door: Door,
    *,
    repository: Path | None = None,
    identity: Identity | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> House:
    records, environment = Records(database), templates(now)
    charts = Charts(records)
    picture = environment.get_template("_chart.html")

    def draw(chart: Chart) -> str:
        return picture.render(chart=chart)

    return House(
        database,
        records,
        identity or Accounts(database),
        Sessions(database),
        door,
        charts,
        Live(records, charts, draw, now),
        Shelf(database, repository),
        Verifier(database),
        now,
        environment,
    )
