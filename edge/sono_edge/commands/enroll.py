"""`sono enroll`: this board's certificate, with a one-time code; and its renewal, which a timer starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_edge.identity.certificate import Term
    from sono_edge.identity.folder import Identity


def enroll(
    config: Annotated[Path | None, typer.Option("--config", help="agent.toml: site, device, state.folder.")] = None,
    url: Annotated[str, typer.Option(help="The enrolment service: https://HOST:PORT.")] = "",
    code: Annotated[str, typer.Option(envvar="SONO_ENROL_CODE", help="The one-time code.")] = "",
    ca_fingerprint: Annotated[str, typer.Option(help="sha256:… of the fleet's authority, as printed.")] = "",
    qr_text: Annotated[str, typer.Option(help="What the QR code says, instead of the three.")] = "",
    out: Annotated[Path | None, typer.Option(help="The identity's folder; default: state.folder/identity.")] = None,
    *,
    renew: Annotated[bool, typer.Option("--renew", help="Renew, once a third of its time is left.")] = False,
    now: Annotated[bool, typer.Option("--now", help="With --renew: whatever is left.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Get this board its own certificate. The key is made here and stays here."""
    from datetime import UTC, datetime

    from sono_edge.config import load
    from sono_edge.identity import enrolling
    from sono_edge.identity.folder import Identity
    from sono_edge.identity.invitation import invitation
    from sono_models.errors import BadConfig

    settings = load(config)
    identity = Identity(out or settings.state.identity)
    if renew:
        if code or url or qr_text:
            raise BadConfig("--renew", "it takes no code", "Leave --url, --code and --qr-text out")
        done = enrolling.renew(identity, lambda: datetime.now(UTC), proxy=settings.update.proxy, force=now)
        _say(identity, done.term, "renewed" if done.renewed else "not-due", as_json=as_json)
        return
    given = invitation(url, code, ca_fingerprint, qr_text)
    device = settings.device
    held = enrolling.enrol(identity, given, device.site, device.id, datetime.now(UTC), proxy=settings.update.proxy)
    _say(identity, held, "enrolled", as_json=as_json)


def _say(identity: Identity, held: Term, outcome: str, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    days = round(held.days_left(datetime.now(UTC)), 2)
    if as_json:
        print(json.dumps({"outcome": outcome, "days_left": days, "ends_at": held.ends.isoformat()}), flush=True)
        return
    if outcome == "not-due":
        print(f"{days:g} days left; renewed from {held.renew_from():%Y-%m-%d %H:%M} UTC")
        return
    print(f"{outcome.capitalize()}, until {held.ends:%Y-%m-%d %H:%M} UTC.")
    if outcome == "enrolled":
        own = identity.own.absolute()
        print(f'In agent.toml:\n\n[broker]\ntls_ca = "{identity.authority.absolute()}"', end="\n")
        print(f'tls_cert = "{own}"\ntls_key = "{own}"')
