"""What a person can press on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import msgspec

from sono_models.messages import SeenReason

Token = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
"""An exam's opaque number: only the hospital's side can tell whose it is."""
Impression = Annotated[int, msgspec.Meta(ge=1, le=5)]


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody has looked at this alert; None: at whatever the page points to now. Sent again it adds a reason."""

    alert: str | None
    reason: SeenReason = ""


@dataclass(frozen=True, slots=True)
class SetAI:
    """Somebody turned the AI on or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class Capture:
    """Somebody wants this picture kept, and the seconds before it."""


@dataclass(frozen=True, slots=True)
class StartScan:
    """A scan begins, for the exam of this token where there is one."""

    token: Token | None = None


@dataclass(frozen=True, slots=True)
class EndScan:
    """The scan ends; `impression` is the category that the reader entered, then or later.

    `scan` names which one is meant: another one that runs meanwhile goes on.
    """

    impression: Impression | None = None
    scan: Token | None = None


Press: TypeAlias = Seen | SetAI | Capture | StartScan | EndScan
