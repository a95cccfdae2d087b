"""What the slots' folder holds, as JSON. Unknown fields are ignored: an older agent reads what a newer one wrote."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}")
SHA256 = re.compile(r"[0-9a-f]{64}")

Place = Literal["active", "good", "shipped"]
"""Of the current slot: on probation, proven, or the bundle that came with the agent."""


class SiteProfile(msgspec.Struct, frozen=True):
    """A site profile of the fleet's, `profiles/SHA256.json`; what is written of it elsewhere."""

    name: str
    version: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        """Raises ValueError for what could not be a file's name."""
        _check(self, "profile")

    @property
    def title(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def file(self) -> str:
        """By its content: two profiles never have one name."""
        return f"{self.sha256}.json"


Pair: TypeAlias = tuple[str, str]
"""What judges: the bundle's sha256 and the profile's, empty where the fleet brought none."""


def _pair(sha256: str, profile: SiteProfile | None) -> Pair:
    return sha256, "" if profile is None else profile.sha256


class Staged(msgspec.Struct, frozen=True):
    """`staged/staged.json`: what it names is whole, verified and durable."""

    rollout: str
    name: str
    version: str
    sha256: str
    size: int
    staged_at: str
    """RFC 3339."""
    serial: int
    profile: SiteProfile | None = None
    """The site profile that goes with it."""
    alone: bool = False
    """No bundle lies beside it: it is the one that judges already, and only the profile changes."""

    def __post_init__(self) -> None:
        """Raises ValueError for what could not be a file's name."""
        _check(self, "bundle")

    @property
    def title(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def pair(self) -> Pair:
        return _pair(self.sha256, self.profile)

    @property
    def said(self) -> str:
        return _said(self.title, self.profile)


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
    profile: SiteProfile | None = None
    """The fleet's site profile that it judges under; None: model.profile where that is set, else the bundle's own."""
    alone: bool = False
    """Only the profile changed: the bundle is that of the slot before, and not to blame."""

    @property
    def title(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def pair(self) -> Pair:
        return _pair(self.sha256, self.profile)

    @property
    def said(self) -> str:
        return _said(self.title, self.profile)


def _said(title: str, profile: SiteProfile | None) -> str:
    return title if profile is None else f"{title} with site profile {profile.title}"


class Refusal(msgspec.Struct, frozen=True):
    """A version that failed here and is never tried again."""

    name: str
    version: str
    sha256: str
    code: str
    reason: str
    at: str
    profile_sha256: str = ""
    """Not the bundle failed but this profile on it."""


class Refused(msgspec.Struct, frozen=True):
    """`refused.json`, oldest first."""

    refused: tuple[Refusal, ...] = ()

    def of(self, name: str, version: str, sha256: str, profile_sha256: str = "") -> Refusal | None:
        """By version, or by content under whichever version; or the profile on it."""
        for one in self.refused:
            if one.profile_sha256:
                if one.profile_sha256 == profile_sha256:
                    return one
            elif (one.name, one.version) == (name, version) or one.sha256 == sha256:
                return one
        return None


class Boots(msgspec.Struct, frozen=True):
    """`boots.json`: starts of the bundle on probation that did not end well."""

    sha256: str
    short: int = 0
    """In a row, each shorter than it takes to be steady."""
    lives: int = 0
    """All of them."""
    profile_sha256: str = ""

    @property
    def pair(self) -> Pair:
        return self.sha256, self.profile_sha256


def _check(one: SiteProfile | Staged, what: str) -> None:
    for pattern, value in ((NAME, one.name), (VERSION, one.version), (SHA256, one.sha256)):
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is no name, version or sha256 of a {what}")
