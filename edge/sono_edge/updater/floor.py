"""The version floor: the newest metadata this device has found good, on the disk and outside TUF's own cache.

A cache can be wiped, and python-tuf forgets its protection against rollback with it. The floor does not.
As the specification has it (5.3.11), a change of the timestamp's or the snapshot's keys forgets what these
keys had said: who stole one could have counted ahead.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from sono_edge.updater.refusal import Code, UpdateRefused
from sono_models.durable import write_durably

FILE = "tuf-floor.json"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role's newest version, and the keys that might sign it then."""

    version: int
    keys: tuple[str, ...]


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seen_at`: when the metadata were last found good."""

    roles: dict[str, Mark] = {}
    seen_at: datetime | None = None


def read(path: Path) -> Floor:
    """No floor yet is an empty one. Raises UpdateRefused for a damaged one: it may hide a rollback."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Floor)
    except FileNotFoundError:
        return Floor()
    except (OSError, msgspec.DecodeError) as error:
        raise UpdateRefused(Code.FLOOR_LOST, str(path), str(error)) from error


def write(path: Path, floor: Floor) -> None:
    write_durably(path, msgspec.json.encode(floor))


def below(floor: Floor, now: dict[str, Mark]) -> str:
    """The role that is older than the floor, in words; empty: none. Pure."""
    forgotten = _forgotten(floor, now)
    for role, mark in now.items():
        old = floor.roles.get(role)
        if old is not None and role not in forgotten and mark.version < old.version:
            return f"{role} {mark.version}, this device has seen {old.version}"
    return ""


def raised(floor: Floor, now: dict[str, Mark], at: datetime) -> Floor:
    """The floor after `now` was found good. What was not looked at stays. Pure."""
    forgotten = _forgotten(floor, now)
    kept = {role: mark for role, mark in floor.roles.items() if role not in forgotten}
    return Floor({**kept, **now}, at)


def _forgotten(floor: Floor, now: dict[str, Mark]) -> set[str]:
    gone: set[str] = set()
    if _rekeyed("timestamp", floor, now):
        gone |= {"timestamp", "snapshot"}
    if _rekeyed("snapshot", floor, now):
        gone |= set(floor.roles) - {"root", "timestamp"}
    return gone


def _rekeyed(role: str, floor: Floor, now: dict[str, Mark]) -> bool:
    return role in floor.roles and role in now and set(floor.roles[role].keys) != set(now[role].keys)
