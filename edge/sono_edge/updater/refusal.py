"""Every reason for which an update is refused: one table, and the pure judgements that pick from it.

`run.py` says when each is asked. Nothing else in the updater decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sono_models.bundle import MAX_BYTES
from sono_models.envelope import BAD_SIGNATURE, UNKNOWN_KEY
from sono_models.envelope import MAX_BYTES as PROFILE_BYTES
from sono_models.errors import Refused
from sono_models.release import (
    Place,
    ProfilePlace,
    ProfileRelease,
    Release,
    place_of,
    profile_place_of,
    version_key,
)

if TYPE_CHECKING:
    from sono_edge.updater.order import Order
    from sono_models.manifest import Manifest

CLOCK_SLACK = timedelta(days=1)


class Code(StrEnum):
    """The short machine word of an UpdateReport."""

    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    STALE = "stale-order"
    TOO_LATE = "too-late"
    CLOCK = "clock-behind"
    CHANNEL = "other-channel"
    FAILED_HERE = "failed-here"
    PROFILE = "site-profile"
    PROFILE_SITE = "profile-other-site"
    PROFILE_BUNDLE = "profile-other-bundle"
    PROFILE_SIGNATURE = "profile-bad-signature"
    PROFILE_KEY = "profile-unknown-key"
    PROFILE_EXPIRED = "profile-expired"
    BAD_PROFILE = "bad-profile"
    TOO_LARGE = "too-large"
    UNSIGNED = "unsigned"
    EXPIRED = "expired"
    ROLLBACK = "rollback"
    BELOW_FLOOR = "below-floor"
    FLOOR_LOST = "floor-damaged"
    MIX = "mix-and-match"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    SLOW = "slow"
    ABSENT = "http-4xx"
    UNREACHABLE = "unreachable"
    NOT_PUBLISHED = "not-published"
    OTHER_TARGET = "other-target"
    DEVICE_CLASS = "other-device"
    OLD_AGENT = "agent-too-old"
    BUDGET = "data-budget"
    DISK = "disk-full"
    DAMAGED = "damaged"
    BAD_BUNDLE = "bad-bundle"
    OTHER_BUNDLE = "other-bundle"


@dataclass(frozen=True, slots=True)
class Reason:
    """`final`: this order is never tried again; else the next run may find it mended."""

    words: str
    next_step: str
    final: bool


_WAIT = "It is tried again with the next run"
_ATTACK = "Should it last, someone serves this device old or forged files: look at update.url and what lies between"
_REPUBLISH = "Publish it again and order that"

REASONS: dict[Code, Reason] = {
    # the order
    Code.CANCELLED: Reason("the fleet took the order back", "Nothing to do", final=True),
    Code.SUPERSEDED: Reason("a newer order came", "The newer one is followed", final=True),
    Code.STALE: Reason("older than an order that this device has followed", "The fleet must count on", final=True),
    Code.TOO_LATE: Reason("its deadline is over", "Order it again with a later deadline", final=True),
    Code.CLOCK: Reason(
        "this device's clock stands before a time it has already seen",
        "Set the clock (by the network, or by hand)",
        final=False,
    ),
    Code.CHANNEL: Reason(
        "not of this device's channel", "Order from its channel, or change update.channel", final=True
    ),
    Code.FAILED_HERE: Reason("this version failed on this device before", "Order a newer version", final=True),
    Code.PROFILE: Reason(
        "it brings a site profile, and this device has no key to check one by", "Set update.profile_key", final=False
    ),
    Code.PROFILE_SITE: Reason("its site profile is for another site", "Order this site's own", final=True),
    Code.PROFILE_BUNDLE: Reason(
        "its site profile is for another bundle", "Make one for this bundle with `sono model profile make`", final=True
    ),
    Code.PROFILE_SIGNATURE: Reason(
        "the signature of its site profile is wrong (changed or forged)", _ATTACK, final=True
    ),
    Code.PROFILE_KEY: Reason(
        "its site profile is signed by a key that this device does not know", "Look at update.profile_key", final=True
    ),
    Code.PROFILE_EXPIRED: Reason(
        "its site profile is too old (or this clock is ahead)",
        "Make it again on fresh cases; check the clock",
        final=True,
    ),
    Code.BAD_PROFILE: Reason("signed into the repository, but not a site profile", _REPUBLISH, final=True),
    Code.TOO_LARGE: Reason(f"more than the {MAX_BYTES} bytes of a bundle", "Pack a smaller bundle", final=True),
    # the metadata
    Code.UNSIGNED: Reason("not signed by enough of the keys that may", _ATTACK, final=False),
    Code.EXPIRED: Reason(
        "its time is over (or this clock is ahead)", "Run `sono fleet refresh`; check the clock", final=False
    ),
    Code.ROLLBACK: Reason("older than what was seen before", _ATTACK, final=False),
    Code.BELOW_FLOOR: Reason("older than this device's floor", _ATTACK, final=False),
    Code.FLOOR_LOST: Reason(
        "the record of the newest versions seen is damaged", "Check the disk, then remove tuf-floor.json", final=False
    ),
    Code.MIX: Reason("its length or hash is not the signed one (mixed or damaged files)", _ATTACK, final=False),
    Code.MALFORMED: Reason("not metadata that this agent reads", _ATTACK, final=False),
    Code.OVERSIZED: Reason("longer than it may be", _ATTACK, final=False),
    # the way
    Code.SLOW: Reason("the server sends too slowly", _WAIT, final=False),
    Code.ABSENT: Reason("the server says no", "Copy the repository there whole, then order it again", final=True),
    Code.UNREACHABLE: Reason("the server cannot be reached, or breaks off", _WAIT, final=False),
    # the target
    Code.NOT_PUBLISHED: Reason("the signed metadata name no such bundle", "Publish it, or order another", final=False),
    Code.OTHER_TARGET: Reason("signed with another size or sha256 than ordered", _REPUBLISH, final=True),
    Code.DEVICE_CLASS: Reason("published for another class of device", "Order one for this class", final=True),
    Code.OLD_AGENT: Reason("needs a newer agent", "Update the agent first", final=True),
    Code.BUDGET: Reason("this month's data are used up", "Raise update.budget_mb, or wait for the month", final=False),
    Code.DISK: Reason("no room on the disk", "Free some space in state.folder", final=False),
    Code.DAMAGED: Reason("what arrived is not what was signed", _WAIT, final=False),
    Code.BAD_BUNDLE: Reason("signed, but not a whole bundle", _REPUBLISH, final=True),
    Code.OTHER_BUNDLE: Reason("its manifest says another name or version", _REPUBLISH, final=True),
}
TROUBLE = frozenset({Code.SLOW, Code.UNREACHABLE})
"""No judgement on the update: reported as `downloading` with its code."""


class UpdateRefused(Refused):
    """An update that is not taken."""

    code: Code

    def __init__(self, code: Code, thing: str, detail: str = "") -> None:
        reason = REASONS[code]
        self.code, self.final = code, reason.final
        super().__init__(thing, f"{reason.words} ({detail})" if detail else reason.words, reason.next_step)


def of_serial(serial: int, newest: int) -> Code | None:
    """A signed order that was overtaken cannot be played again. 0 is a stick's, which counts nothing."""
    return Code.STALE if 0 < serial < newest else None


def of_order(
    order: Order, *, channel: str, failed: str | None, now: datetime, site: str = "", knows_key: bool = False
) -> Code | None:
    """Before anything is fetched. `failed`: why this version went back on this device, if it did. `knows_key`: whether
    a site profile could be checked.
    """
    place = place_of(order.target)
    judged = (
        (order.cancelled, Code.CANCELLED),
        (order.deadline is not None and now >= order.deadline, Code.TOO_LATE),
        (place is None or place != Place(order.name, channel, order.version), Code.CHANNEL),
        (failed is not None, Code.FAILED_HERE),
        *_of_profile_order(order, channel, site, knows_key=knows_key),
        (order.size > MAX_BYTES, Code.TOO_LARGE),
    )
    return _first(judged)


def _of_profile_order(order: Order, channel: str, site: str, *, knows_key: bool) -> Iterable[tuple[bool, Code]]:
    if not order.profile:
        return ()
    place = profile_place_of(order.profile)
    return (
        (place is None or not order.profile_sha256, Code.BAD_PROFILE),
        (place is not None and place.site != site, Code.PROFILE_SITE),
        (place is not None and (place.model, place.channel) != (order.name, channel), Code.PROFILE_BUNDLE),
        (not knows_key, Code.PROFILE),
    )


def of_profile_target(
    order: Order, place: ProfilePlace, size: int, sha256: str, release: ProfileRelease
) -> Code | None:
    """The signed metadata's word on the profile, against the order."""
    judged = (
        (sha256 != order.profile_sha256, Code.OTHER_TARGET),
        (size > PROFILE_BYTES, Code.OVERSIZED),
        (release.site != place.site, Code.PROFILE_SITE),
        ((release.bundle, release.bundle_version) != (order.name, order.version), Code.PROFILE_BUNDLE),
        ((release.name, release.version) != (place.name, place.version), Code.OTHER_TARGET),
    )
    return _first(judged)


def of_profile(code: str) -> Code:
    """What the profile itself was refused for: `code` of a BadProfile."""
    return _OF_PROFILE.get(code, Code.BAD_PROFILE)


_OF_PROFILE = {
    UNKNOWN_KEY: Code.PROFILE_KEY,
    BAD_SIGNATURE: Code.PROFILE_SIGNATURE,
    "other-site": Code.PROFILE_SITE,
    "expired": Code.PROFILE_EXPIRED,
    "other-bundle": Code.PROFILE_BUNDLE,
}
"""The words of sono_models.profile, which is loaded only where there is one."""


def of_clock(seen: datetime | None, now: datetime) -> Code | None:
    """A clock that went back would make old metadata young again. `seen`: when metadata were last found good."""
    return Code.CLOCK if seen is not None and now < seen - CLOCK_SLACK else None


def of_target(order: Order, size: int, sha256: str, release: Release, *, device_class: str, agent: str) -> Code | None:
    """The signed metadata's word on the target, against the order and this device."""
    judged = (
        ((size, sha256) != (order.size, order.sha256), Code.OTHER_TARGET),
        (size > MAX_BYTES, Code.TOO_LARGE),
        ((release.name, release.version) != (order.name, order.version), Code.OTHER_TARGET),
        (bool(release.devices) and device_class not in release.devices, Code.DEVICE_CLASS),
        (_older(agent, release.min_agent), Code.OLD_AGENT),
    )
    return _first(judged)


def of_bundle(order: Order, manifest: Manifest, sha256: str, *, agent: str) -> Code | None:
    """The bundle's own word, once it is whole."""
    judged = (
        (sha256 != order.sha256, Code.DAMAGED),
        ((manifest.name, manifest.version) != (order.name, order.version), Code.OTHER_BUNDLE),
        (_older(agent, manifest.min_agent), Code.OLD_AGENT),
    )
    return _first(judged)


def _first(judged: Iterable[tuple[bool, Code]]) -> Code | None:
    return next((code for holds, code in judged if holds), None)


def _older(agent: str, wanted: str) -> bool:
    try:
        return version_key(agent) < version_key(wanted)
    except ValueError:
        return True
