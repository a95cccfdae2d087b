"""What a published bundle or site profile says of itself in signed update metadata, and how its place is written."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""The name of a bundle that can be published: it names a role of the metadata and a folder."""
CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
_TARGET = re.compile(rf"({MODEL.pattern})/({CHANNEL.pattern})/\1-({VERSION.pattern})\.tar")
_NAME = r"[A-Za-z0-9_-]{1,64}"
_PROFILE = re.compile(rf"({MODEL.pattern})/({CHANNEL.pattern})/profile\.({_NAME})\.({_NAME})-({VERSION.pattern})\.json")


class Release(msgspec.Struct, frozen=True):
    """`custom` of a target: signed with it. What a newer fleet adds, an older device ignores."""

    name: str
    version: str
    min_agent: str
    devices: tuple[Annotated[str, msgspec.Meta(max_length=64)], ...] = ()
    """The classes of device it is for; empty: every one."""


class Place(msgspec.Struct, frozen=True):
    """Where a bundle is published: `breast/stable/breast-0.3.1.tar`."""

    name: str
    channel: str
    version: str

    @property
    def path(self) -> str:
        return f"{self.name}/{self.channel}/{self.name}-{self.version}.tar"


class ProfileRelease(msgspec.Struct, frozen=True):
    """`custom` of a site profile's target: the bundle that it belongs to, by version."""

    name: str
    version: str
    site: str
    bundle: str
    bundle_version: str


class ProfilePlace(msgspec.Struct, frozen=True):
    """Where a site profile is published, beside the bundles of its model, under the same role:
    `breast/stable/profile.SITE.NAME-1.2.0.json`.
    """

    model: str
    channel: str
    site: str
    name: str
    version: str

    @property
    def path(self) -> str:
        return f"{self.model}/{self.channel}/profile.{self.site}.{self.name}-{self.version}.json"


def profile_place_of(target: str) -> ProfilePlace | None:
    """None for what is no such path."""
    found = _PROFILE.fullmatch(target)
    return ProfilePlace(found[1], found[2], found[3], found[4], found[5]) if found else None


def place_of(target: str) -> Place | None:
    """None for what is no such path."""
    found = _TARGET.fullmatch(target)
    return Place(found[1], found[2], found[3]) if found else None


def version_key(version: str) -> tuple[int, ...]:
    """For comparing. Raises ValueError for what is not MAJOR.MINOR.PATCH."""
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not MAJOR.MINOR.PATCH")
    return tuple(int(part) for part in version.split("."))
