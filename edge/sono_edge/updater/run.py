"""One short run of the updater, readable from top to bottom: order, trust, target, profile, fetch, bundle, stage.

It never touches what the agent runs: a refusal, a kill or a full disk leaves the current bundle scoring.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from sono_edge.slots.records import Slot, Staged
from sono_edge.updater import progress as progress_file
from sono_edge.updater.budget import Budget
from sono_edge.updater.download import Incoming
from sono_edge.updater.order import OFFLINE, Order, Orders
from sono_edge.updater.profiles import Brought, Profiles
from sono_edge.updater.refusal import TROUBLE, Code, UpdateRefused, of_bundle, of_order, of_serial, of_target
from sono_edge.updater.repository import Repository
from sono_edge.updater.retries import Retries
from sono_edge.updater.staging import StagingArea
from sono_edge.updater.trust import Found, Trust
from sono_models import __version__, bundle
from sono_models.bundle import Bundle
from sono_models.errors import BadBundle, Refused, Stopped
from sono_models.messages import rfc3339
from sono_models.release import Place
from sono_models.updates import Phase, UpdateReport

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """How a run ended, when it was not refused."""

    NOTHING = "nothing-ordered"
    NOT_YET = "not-yet"
    DONE = "done-before"
    STAGED = "staged"


class Reports(Protocol):
    """Who hears of each phase, and sees to it that the fleet does."""

    def report(self, report: UpdateReport) -> None: ...


@dataclass(frozen=True, slots=True)
class Here:
    """What of this device matters to an update."""

    name: str
    channel: str
    device_class: str
    state: Path
    slots: Path
    """The folder of bundles, the agent's too."""
    root: Path
    site: str = ""
    profile_key: Path | None = None
    """Of who makes this site's profiles; None: none is taken."""
    shipped: Path | None = None
    """The bundle that came with the agent."""
    agent: str = __version__


@dataclass(frozen=True, slots=True)
class Ways:
    """Where an update comes from. `budget` None: it costs nothing (a stick)."""

    repository: Repository
    orders: Orders
    retries: Retries
    budget: Budget | None = None

    @property
    def is_stick(self) -> bool:
        return self.budget is None


class Update:
    """One run. Raises UpdateRefused (reported), Refused, Stopped; the next run goes on where it ended."""

    def __init__(
        self,
        here: Here,
        ways: Ways,
        staging: StagingArea,
        reports: Reports,
        *,
        stop: threading.Event,
        now: Callable[[], datetime],
    ) -> None:
        self._here, self._ways, self._staging, self._reports = here, ways, staging, reports
        self._stop, self._now = stop, now
        self._incoming = Incoming(here.slots / "incoming")
        self._profiles = Profiles(here, ways, Incoming(here.slots / "incoming-profile"))
        self._memory = here.state / (progress_file.OF_STICK if ways.is_stick else progress_file.FILE)
        self._progress = progress_file.read(self._memory)

    def run(self) -> Outcome:
        here = self._here
        # 1. what the fleet wants; without a fleet, the newest on the stick
        order, found, trust = self._ways.orders.current(), None, None
        if order is None:
            if not self._ways.is_stick:
                return Outcome.NOTHING
            trust = self._trust()
            found = trust.newest(here.name, here.channel)
            if found is None:
                raise UpdateRefused(Code.NOT_PUBLISHED, f"{here.name} in {here.channel}")
            order = _from_stick(found)
        _refuse_for(of_serial(order.serial, self._progress.newest_serial), order.target)
        self._begin(order)
        if self._progress.ended:
            return self._ended_before(order)
        try:
            return self._follow(order, trust, found)
        except UpdateRefused as refusal:
            self._refuse(order, refusal)
            raise

    def _follow(self, order: Order, trust: Trust | None, found: Found | None) -> Outcome:
        here, path = self._here, order.target
        # 2. may it be followed at all, and now?
        if order.cancelled:
            self._withdraw(order)
        failed = self._staging.refused(order.name, order.version, order.sha256, order.profile_sha256)
        current = self._staging.current()
        if current is not None and current.pair == order.pair and not order.cancelled:
            return self._is_here(order, current)
        knows_key, now = here.profile_key is not None, self._now()
        judged = of_order(order, channel=here.channel, failed=failed, now=now, site=here.site, knows_key=knows_key)
        _refuse_for(judged, path, failed or "")
        self._say(order, "offered")
        if order.not_before is not None and self._now() < order.not_before:
            return Outcome.NOT_YET
        # 3. what do the signed metadata say of it?
        trust = trust or self._trust()
        found = found or trust.find(Place(order.name, here.channel, order.version))
        if found is None:
            raise UpdateRefused(Code.NOT_PUBLISHED, path)
        judged = of_target(
            order, found.size, found.sha256, found.release, device_class=here.device_class, agent=here.agent
        )
        _refuse_for(judged, path)
        # 4. the site profile that goes with it: small, and refused before the rest is fetched
        profile = self._profiles.fetched(order, trust, self._now(), lambda: self.check(order))
        # 5. its bytes, unless this very bundle judges already
        alone = self._judges(order, current)
        file = alone or self._incoming.whole(found) or self._fetch(order, found)
        # 6. a whole bundle, and the one that was ordered? Does the profile belong to it?
        read = self._check_bundle(order, file)
        self._profiles.check_bundle(order, read, profile)
        self._say(order, "verified", size=0 if alone else order.size)
        # 7. over to the agent
        self._stage(order, None if alone else file, profile)
        return Outcome.STAGED

    def _judges(self, order: Order, current: Slot | None) -> Path | None:
        """The file of the bundle that judges, when only its site profile is to change."""
        if current is not None and current.file:
            return self._staging.file_of(current) if current.sha256 == order.sha256 else None
        shipped = self._here.shipped if order.profile else None
        if shipped is None:
            return None
        try:
            return shipped if bundle.read(shipped).sha256 == order.sha256 else None
        except BadBundle as trouble:
            log.warning("updater: %s", trouble)
            return None

    def _withdraw(self, order: Order) -> None:
        """What this roll-out brought and the agent has not taken yet goes; what judges already stays."""
        waits = self._staging.staged()
        if waits is not None and waits.rollout == order.rollout:
            self._staging.unstage(waits)

    def _is_here(self, order: Order, current: Slot) -> Outcome:
        """The bundle that is ordered judges already: there is nothing to fetch, and the fleet is told."""
        if current.place == "active":  # on probation for an earlier order: its end is not known yet
            return Outcome.NOT_YET
        self._say(order, "good")
        self._remember(ended=progress_file.STAGED)
        return Outcome.DONE

    def _fetch(self, order: Order, found: Found) -> Path:
        budget, left = self._ways.budget, self._incoming.left(found)
        if budget is not None and not budget.room_for(left):
            raise UpdateRefused(Code.BUDGET, order.target, f"{left} bytes to come, {budget.spent} spent")
        self._say(order, "downloading", left=left)
        return self._incoming.fetch(
            self._ways.repository, found, retries=self._ways.retries, check=lambda: self.check(order)
        )

    def check(self, order: Order | None = None) -> None:
        """Whether to go on: asked for every piece and in every pause. Raises Stopped, UpdateRefused."""
        if self._stop.is_set():
            raise Stopped("the updater", "it was told to stop", "The next run goes on where it ended")
        if order is None or not self._ways.orders.changed():
            return
        try:
            newer = self._ways.orders.current()
        except Refused as problem:  # a forged or damaged document cannot cancel what a good one ordered
            log.warning("updater: %s", problem)
            return
        if newer is None or newer == order or newer.serial < order.serial:
            return
        same = newer.rollout == order.rollout and newer.cancelled
        raise UpdateRefused(Code.CANCELLED if same else Code.SUPERSEDED, order.target)

    def _check_bundle(self, order: Order, file: Path) -> Bundle:
        try:
            read = bundle.read(file)
        except BadBundle as error:
            raise UpdateRefused(Code.BAD_BUNDLE, order.target, error.reason) from error
        _refuse_for(of_bundle(order, read.manifest, read.sha256, agent=self._here.agent), order.target)
        return read

    def _stage(self, order: Order, file: Path | None, profile: Brought | None) -> None:
        staged = Staged(
            order.rollout,
            order.name,
            order.version,
            order.sha256,
            order.size,
            rfc3339(self._now()),
            order.serial,
            None if profile is None else profile.said,
            alone=file is None,
        )
        try:
            self._staging.stage(file, staged, None if profile is None else profile.file)
        except Refused as error:
            raise UpdateRefused(Code.FAILED_HERE, order.target, error.reason) from error
        self._remember(ended=progress_file.STAGED)
        self._clear()

    def _clear(self) -> None:
        self._incoming.clear()
        self._profiles.clear()

    def _trust(self) -> Trust:
        here = self._here
        return Trust(here.state / "tuf", here.state / "tuf-floor.json", here.root, self._ways.repository, self._now())

    def _begin(self, order: Order) -> None:
        fresh = progress_file.for_order(self._progress, order.key, order.serial)
        if fresh != self._progress:
            self._progress = fresh
            progress_file.write(self._memory, fresh)

    def _ended_before(self, order: Order) -> Outcome:
        if self._progress.ended == progress_file.STAGED:
            return Outcome.DONE
        raise UpdateRefused(Code(self._progress.ended), order.target, "said before, it is not tried again")

    def _refuse(self, order: Order, refusal: UpdateRefused) -> None:
        phase: Phase = "downloading" if refusal.code in TROUBLE else "refused"
        damaged = self._progress.damaged + (refusal.code is Code.DAMAGED)
        final = refusal.final or damaged >= 3
        self._say(order, phase, code=refusal.code, reason=f"{refusal.reason}. {refusal.next_step}")
        self._remember(ended=refusal.code.value if final else "", damaged=damaged)
        if final:
            self._clear()

    def _say(self, order: Order, phase: Phase, *, code: str = "", reason: str = "", **evidence: float | str) -> None:
        """Each phase and code once: what an earlier run said is not said again."""
        said = f"{phase} {code}"
        if said in self._progress.said:
            return
        at = rfc3339(self._now())
        report = UpdateReport(
            order.rollout, order.serial, order.name, order.version, order.sha256, phase, at, code, reason, evidence
        )
        self._reports.report(report)
        self._remember(said=(*self._progress.said, said))

    def _remember(self, **changes: str | int | tuple[str, ...]) -> None:
        self._progress = msgspec.structs.replace(self._progress, **changes)
        progress_file.write(self._memory, self._progress)


def _refuse_for(code: Code | None, thing: str, detail: str = "") -> None:
    if code is not None:
        raise UpdateRefused(code, thing, detail)


def _from_stick(found: Found) -> Order:
    place = found.place
    return Order(OFFLINE, 0, place.name, place.version, place.path, found.sha256, found.size)
