"""The site profile that an order brings: found in the signed metadata, fetched, and checked by this device's own key.

Two words have to be given for it: the fleet's (TUF: this file is published) and its maker's (its own signature).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sono_edge.slots.records import SiteProfile
from sono_edge.updater.download import Incoming
from sono_edge.updater.order import Order
from sono_edge.updater.refusal import Code, UpdateRefused, of_profile, of_profile_target
from sono_edge.updater.repository import Repository
from sono_edge.updater.retries import Retries
from sono_edge.updater.trust import Trust
from sono_models.bundle import Bundle
from sono_models.errors import BadProfile
from sono_models.release import profile_place_of

if TYPE_CHECKING:
    from sono_models.profile import Profile


class Here(Protocol):
    """What of this device matters to a profile."""

    @property
    def site(self) -> str: ...
    @property
    def profile_key(self) -> Path | None: ...


class Ways(Protocol):
    """Where files come from."""

    @property
    def repository(self) -> Repository: ...
    @property
    def retries(self) -> Retries: ...


@dataclass(frozen=True, slots=True)
class Brought:
    """A profile that is here, verified, for this site and in time. Whether it is for the bundle is not yet asked."""

    file: Path
    said: SiteProfile
    profile: Profile


class Profiles:
    """Raises UpdateRefused."""

    def __init__(self, here: Here, ways: Ways, incoming: Incoming) -> None:
        self._here, self._ways, self._incoming = here, ways, incoming

    def fetched(self, order: Order, trust: Trust, now: datetime, check: Callable[[], None]) -> Brought | None:
        """None: the order brings none."""
        place, key = profile_place_of(order.profile), self._here.profile_key
        if place is None or key is None:  # of_order has asked already
            return None
        found = trust.find_profile(place)
        if found is None:
            raise UpdateRefused(Code.NOT_PUBLISHED, order.profile)
        judged = of_profile_target(order, place, found.size, found.sha256, found.release)
        if judged is not None:
            raise UpdateRefused(judged, order.profile)
        ways = self._ways
        file = self._incoming.whole(found) or self._incoming.fetch(
            ways.repository, found, retries=ways.retries, check=check
        )
        said = SiteProfile(place.name, place.version, found.sha256, found.size)
        return Brought(file, said, self._read(file, key, order, now))

    def _read(self, file: Path, key: Path, order: Order, now: datetime) -> Profile:
        from sono_models import profile  # noqa: PLC0415  (4 to 12 MB that a run without one saves)

        try:
            made = profile.read(file, key).profile
            profile.check(made, site=self._here.site, now=now)
        except BadProfile as refusal:
            raise UpdateRefused(of_profile(refusal.code), order.profile, refusal.reason) from refusal
        place = profile_place_of(order.profile)
        if place is None or (made.name, made.version) != (place.name, place.version):
            raise UpdateRefused(Code.OTHER_TARGET, order.profile, f"it is {made.name} {made.version}")
        return made

    def check_bundle(self, order: Order, bundle: Bundle, brought: Brought | None) -> None:
        """Whether the profile is for this bundle: its name, version, weights and labels."""
        if brought is None:
            return
        from sono_models import profile  # noqa: PLC0415  (as above)

        try:
            profile.apply(bundle.manifest, brought.profile)
        except BadProfile as refusal:
            raise UpdateRefused(of_profile(refusal.code), order.profile, refusal.reason) from refusal

    def clear(self) -> None:
        self._incoming.clear()
