"""Who a visitor is, and what he may do.

Who somebody is comes from an `Identity`: the accounts of this database by default. A provider elsewhere (OpenID
Connect) is another `Identity`: `elsewhere` gives the address that a visitor is sent to, and what comes back is the
proof. What a person may do stands in the table `accounts` either way, so that a provider lets nobody in by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sono_models.errors import Refused


class Role(StrEnum):
    """Each may what the one before it may: look; make, pause, stop and take back; approve and let go on."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"

    def covers(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    role: Role


class NotIn(Refused):
    """Nobody is let in on this proof. The words never say which part of it was wrong."""


class Forbidden(Refused):
    """The person's role does not reach so far, or the request is not from our own page."""


class Identity(Protocol):
    def elsewhere(self, state: str) -> str:
        """Where to send a visitor who wants in; empty: our own form asks for name and password.

        `state` has to come back in the proof, as a field of that name.
        """
        ...

    def proves(self, proof: Mapping[str, str], at: datetime) -> str:
        """The name of who this proof is from: the form's fields, or what a provider sent back. Raises NotIn."""
        ...


PERMITTED = {
    "approve": Role.APPROVER,
    "pause": Role.OPERATOR,
    "resume": Role.OPERATOR,
    "abort": Role.OPERATOR,
    "back": Role.OPERATOR,
    "create": Role.OPERATOR,
    "stop-all": Role.OPERATOR,
    "release": Role.APPROVER,
}
"""Who may say what. Stopping is for all who may act; letting go on after everything was stopped is not."""


def allow(person: Person, action: str) -> None:
    """Raises Forbidden."""
    needed = PERMITTED[action]
    if not person.role.covers(needed):
        raise Forbidden(action, f"{person.name} is {person.role}, this needs {needed}", f"Ask one who is {needed}")
