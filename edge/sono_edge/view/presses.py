"""What a person can press on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody has looked at this alert; None: at whatever the page points to now."""

    alert: str | None


@dataclass(frozen=True, slots=True)
class SetAI:
    """Somebody turned the AI on or off."""

    on: bool


Press: TypeAlias = Seen | SetAI
