"""What each identity may say and hear at a broker. Pure; both brokers' configurations come from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sono_fleet.identity.names import Service, Who
from sono_fleet.identity.registry import Identity

SAID = ("alert", "update", "state", "health", "drift")
"""By a device."""
HEARD = ("ack", "desired")


@dataclass(frozen=True, slots=True)
class Rights:
    """MQTT topics, `+` for any one name. Everything else is refused."""

    says: tuple[str, ...]
    hears: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """Somebody who is let in: `uris` of those of its certificates' lines that hold."""

    who: Who
    uris: tuple[str, ...]

    @property
    def rights(self) -> Rights:
        if self.who.site:
            return Rights(_topics(self.who, SAID), _topics(self.who, HEARD))
        return of_service(self.who.service)


def of_service(service: Service) -> Rights:
    everybody = Who("+", "+")
    match service:
        case "ingest":
            return Rights(_topics(everybody, ("ack",)), _topics(everybody, SAID))
        case "engine":
            return Rights(_topics(everybody, ("desired",)), ())
        case "web":
            return Rights((), _topics(everybody, ("state", "health")))


def holders(identities: Iterable[Identity], now: datetime) -> list[Holder]:
    """Who has a certificate that holds. A revoked line is in none of them, a revoked board is not here at all."""
    lines: dict[Who, set[str]] = {}
    for one in identities:
        if one.standing(now) == "good":
            lines.setdefault(one.who, set()).add(one.who.uri(one.line))
    return [Holder(who, tuple(sorted(uris))) for who, uris in sorted(lines.items())]


def _topics(who: Who, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"sono/v1/{who.site}/{who.device}/{name}" for name in names)
