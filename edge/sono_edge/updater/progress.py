"""What the updater remembers of the order at hand, from one short run to the next."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sono_models.durable import write_durably

FILE, OF_STICK = "update.json", "update-stick.json"
STAGED = "staged"


class Progress(msgspec.Struct, frozen=True):
    """`ended`: `staged`, or the code for which the order is never tried again; empty: it is under way."""

    order: str = ""
    newest_serial: int = 0
    ended: str = ""
    said: tuple[str, ...] = ()
    """The phases and codes that were reported: each is told once, however many runs meet it."""
    damaged: int = 0
    """How often the whole of it arrived damaged."""


def read(path: Path) -> Progress:
    """A damaged one is none: at worst a phase is told twice."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return Progress()


def write(path: Path, progress: Progress) -> None:
    write_durably(path, msgspec.json.encode(progress))


def for_order(progress: Progress, key: str, serial: int) -> Progress:
    """A new order begins anew."""
    if progress.order == key:
        return progress
    return Progress(order=key, newest_serial=max(serial, progress.newest_serial))
