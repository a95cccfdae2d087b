"""What a published bundle says of itself inside the signed update metadata, and how its place is written."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""The name of a bundle that can be published: it names a role of the metadata and a folder."""
CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
_TARGET = re.compile(rf"({MODEL.pattern})/({CHANNEL.pattern})/\1-({VERSION.pattern})\.tar")


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


def place_of(target: str) -> Place | None:
    """None for what is no such path."""
    found = _TARGET.fullmatch(target)
    return Place(found[1], found[2], found[3]) if found else None


def version_key(version: str) -> tuple[int, ...]:
    """For comparing. Raises ValueError for what is not MAJOR.MINOR.PATCH."""
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not MAJOR.MINOR.PATCH")
    return tuple(int(part) for part in version.split("."))
