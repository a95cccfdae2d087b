"""What the slots' folder holds, as JSON. Unknown fields are ignored: an older agent reads what a newer one wrote."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}")
SHA256 = re.compile(r"[0-9a-f]{64}")

Place = Literal["active", "good", "shipped"]
"""Of the current slot: on probation, proven, or the bundle that came with the agent."""


class Staged(msgspec.Struct, frozen=True):
    """`staged/staged.json`: a bundle beside it is whole, verified and durable."""

    rollout: str
    name: str
    version: str
    sha256: str
    size: int
    staged_at: str
    """RFC 3339."""
    serial: int

    def __post_init__(self) -> None:
        """Raises ValueError for what could not be a file's name."""
        for pattern, value in ((NAME, self.name), (VERSION, self.version), (SHA256, self.sha256)):
            if not pattern.fullmatch(value):
                raise ValueError(f"{value!r} is no name, version or sha256 of a bundle")

    @property
    def title(self) -> str:
        return f"{self.name}-{self.version}"


class Slot(msgspec.Struct, frozen=True):
    """`current.json`, `previous.json`."""

    name: str
    version: str
    sha256: str
    place: Place
    file: str = ""
    """In `bundles/`; empty: the bundle that ships with the agent."""
    rollout: str = ""
    serial: int = 0
    since: str = ""
    """RFC 3339, when it became what it is."""
    served_s: float = 0.0
    frames: int = 0
    """How far its probation came, over restarts."""
    before_ms: float = 0.0
    """Median latency under the bundle before it; 0: not known."""
    boot_reason: str = ""
    """Why it is here, where that was no plain course (a roll-back, damage); for `state`."""

    @property
    def title(self) -> str:
        return f"{self.name}-{self.version}"


class Refusal(msgspec.Struct, frozen=True):
    """A version that failed here and is never tried again."""

    name: str
    version: str
    sha256: str
    code: str
    reason: str
    at: str


class Refused(msgspec.Struct, frozen=True):
    """`refused.json`, oldest first."""

    refused: tuple[Refusal, ...] = ()

    def of(self, name: str, version: str, sha256: str) -> Refusal | None:
        """By version, or by content under whichever version."""
        for one in self.refused:
            if (one.name, one.version) == (name, version) or one.sha256 == sha256:
                return one
        return None


class Boots(msgspec.Struct, frozen=True):
    """`boots.json`: starts of the bundle on probation that did not end well."""

    sha256: str
    short: int = 0
    """In a row, each shorter than it takes to be steady."""
    lives: int = 0
    """All of them."""
