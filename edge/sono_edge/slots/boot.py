"""Which bundle a start takes: the current one, else the one before, else the one that ships. Always a whole one.

A bundle counts as whole when its file has the sha256 that was written down, every bit of it is right, and its runtime
gives the golden vectors; and with a site profile of the fleet's when that is whole, signed, this site's and in time. A
proven bundle whose profile is not goes on under its own threshold; on probation the pair before it is taken. What the
disk refuses to note is said and does not keep the board from starting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import msgspec

from sono_edge.slots import law
from sono_edge.slots.folder import Slots, whole_profile
from sono_edge.slots.law import Course, Finding, Lived, Stage
from sono_edge.slots.records import Slot
from sono_models.bundle import Bundle, read
from sono_models.errors import BadBundle, Refused, SonoError
from sono_models.messages import rfc3339

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Booted(Generic[Loaded]):
    """What the start took. `rolled_back`: the slot that this start gave up, and why; for a report."""

    slot: Slot
    loaded: Loaded
    rolled_back: tuple[Slot, Finding] | None = None


Load: TypeAlias = Callable[[Bundle, Path | None], Loaded]
"""From a bundle, and the fleet's site profile where there is one, to what the caller needs. Raises Refused."""


def boot(slots: Slots, load: Load[Loaded], shipped: Path) -> Booted[Loaded]:
    """`load` verifies a bundle and makes of it what the caller needs; raises Refused where it is not fit.

    Raises what the shipped bundle raises when even that one is not.
    """
    if not slots.is_there():
        bundle = read(shipped)
        return Booted(shipped_slot(bundle), load(bundle, None))
    _note(slots.sweep)
    gone = _give_up(slots, shipped)
    current = slots.current()
    troubles: list[tuple[Slot | None, Refused]] = []
    for slot in _in_order(slots, gone[0] if gone else None):
        try:
            bundle, profile = _opened(slots, slot, shipped)
            loaded = load(bundle, profile)
        except Refused as trouble:
            log.warning("slots: %s", trouble)
            troubles.append((slot, trouble))
            continue
        chosen = slot or shipped_slot(bundle)
        if current is None or current.pair != chosen.pair or troubles:
            chosen = _settled(slots, current, chosen, troubles)
            if current is not None and current.place == "active" and current.pair != chosen.pair:
                gone = current, Finding("damaged", chosen.boot_reason, lasting=False)
        return Booted(chosen, loaded, gone)
    raise troubles[-1][1]


def shipped_slot(bundle: Bundle, reason: str = "") -> Slot:
    manifest = bundle.manifest
    return Slot(manifest.name, manifest.version, bundle.sha256, "shipped", since=_at(), boot_reason=reason)


def _in_order(slots: Slots, gone: Slot | None) -> Iterator[Slot | None]:
    """None: the bundle that ships. What was just given up is left out, also where the disk did not note it."""
    current, previous = slots.current(), slots.previous()
    bare = None if current is None or current.profile is None else msgspec.structs.replace(current, profile=None)
    proven = current is not None and current.place == "good"
    for slot in (current, bare if proven else None, previous, None if proven else bare):
        if slot is None or (gone is not None and slot.pair == gone.pair):
            continue
        if not slot.file:
            break
        if slots.refused(slot.name, slot.version, *slot.pair) is None:
            yield slot
    yield None


def _opened(slots: Slots, slot: Slot | None, shipped: Path) -> tuple[Bundle, Path | None]:
    path = slots.file_of(slot) if slot else shipped
    bundle = read(path)
    if slot is not None and bundle.sha256 != slot.sha256:
        raise BadBundle(str(path), "it is whole, but not the one that was written down", "Stage it again")
    profile = None if slot is None else slots.profile_of(slot)
    if slot is not None and slot.profile is not None and profile is not None:
        whole_profile(profile, slot.profile)
    return bundle, profile


def _give_up(slots: Slots, shipped: Path) -> tuple[Slot, Finding] | None:
    """Count this start against a bundle on probation; end a roll-back that was cut, begin one that is due."""
    slot = slots.current()
    if slot is None or not slot.file:
        return None
    known = slots.refusals().of(slot.name, slot.version, *slot.pair)
    finding = Finding(known.code, known.reason) if known else None
    if finding is None:
        if slot.place != "active":
            return None
        boots = _note(lambda: slots.begun(slot))
        if boots is None:
            return None
        # the start that runs now has not ended
        ended = Lived(boots.short - 1, boots.lives - 1)
        finding = law.advance(law.Limits(), Course(Stage.ACTIVE), ended).finding
    if finding is None:
        return None
    found = finding
    log.warning("slots: %s is rolled back: %s", slot.said, found.reason)
    _note(lambda: slots.roll_back(slot, found, shipped_slot(read(shipped))))
    return slot, found


def _settled(slots: Slots, current: Slot | None, chosen: Slot, troubles: list[tuple[Slot | None, Refused]]) -> Slot:
    """Note that something else than the current one was taken, and why."""
    why = "; ".join(f"{slot.said if slot else 'shipped'}: {trouble.reason}" for slot, trouble in troubles)
    if current is None and not why:
        if not chosen.file and not slots.refusals().refused and not slots.is_damaged():
            return chosen  # nothing was ever activated here
        why = "current.json is lost or damaged"
    place = "good" if chosen.file else "shipped"
    settled = msgspec.structs.replace(chosen, place=place, since=_at(), boot_reason=why)
    _note(lambda: slots.settle_on(settled))
    return settled


Noted = TypeVar("Noted")


def _note(change: Callable[[], Noted]) -> Noted | None:
    try:
        return change()
    except SonoError as problem:
        log.warning("slots: %s", problem)
        return None


def _at() -> str:
    return rfc3339(datetime.now(UTC))
