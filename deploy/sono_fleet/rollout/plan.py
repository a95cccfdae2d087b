"""What a fleet manager asked for: which release, for which devices, in which waves, within which limits."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sono_models.errors import BadOrder
from sono_models.messages import IDENTIFIER

Seconds = Annotated[float, msgspec.Meta(ge=0, le=365 * 86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
HOUR_S, DAY_S = 3600.0, 86_400.0


class Target(msgspec.Struct, frozen=True):
    """What one device is to run: a published bundle, and the site profile that goes with it."""

    name: str
    version: str
    path: str
    """The path of the TUF target."""
    sha256: str
    size: int
    profile_path: str = ""
    profile_sha256: str = ""

    @property
    def said(self) -> str:
        profile = f" with profile {self.profile_path}" if self.profile_path else ""
        return f"{self.name} {self.version}{profile}"


class Limit(msgspec.Struct, frozen=True):
    """What a device's own evidence, reported with its phases, has to meet. None: unbounded on that side."""

    key: str
    kind: Literal["technical", "clinical"]
    least: float | None = None
    most: float | None = None
    needed: bool = False
    """A device that does not report it adds nothing to the sample."""

    def broken_by(self, value: float) -> bool:
        below = self.least is not None and not value >= self.least  # a NaN is beyond every bound
        above = self.most is not None and not value <= self.most
        return below or above

    @property
    def said(self) -> str:
        bounds = [f"at least {self.least:g}"] if self.least is not None else []
        bounds += [f"at most {self.most:g}"] if self.most is not None else []
        return f"{self.key} {' and '.join(bounds)}"


LIMITS = (
    Limit("golden_difference", "clinical", most=0.02),
    Limit("agreement", "clinical", least=0.9),
    Limit("shift", "clinical", least=-0.1, most=0.1),
    Limit("alert_ratio", "clinical", least=0.33, most=3.0),
    Limit("latency_ratio", "technical", most=1.5),
    Limit("memory_ratio", "technical", most=1.25),
)
"""Of a device against its own bundle before: largest difference from the golden scores, decisions that agree on the
same live frames (share), mean change of the calibrated score, alerts a minute, median latency, memory."""

PROFILE_LIMITS = (
    Limit("agreement", "clinical", least=0.7),
    Limit("shift", "clinical", least=-0.3, most=0.3),
    *(limit for limit in LIMITS if limit.key not in {"agreement", "shift"}),
)
"""Of a site profile alone: it is there to move scores and some decisions, further than a new network may."""


class Wave(msgspec.Struct, frozen=True):
    """Who is next: a share of the fleet by stable hash (all waves so far counted in), or a tag."""

    name: str
    percent: Annotated[float, msgspec.Meta(gt=0, le=100)] | None = None
    tag: str = ""
    soak_s: Seconds = DAY_S
    """So long nothing more may happen after the last of the wave is good."""
    deadline_s: Seconds = DAY_S
    """A device that has not said how it ended so long after it may begin has failed."""
    sample: Count = 1
    """So many devices, all waves so far counted in, have to be good with all needed evidence."""
    max_failures: Count = 0
    """So many failures, all waves so far counted in, are borne; one more ends the roll-out."""
    at_once: Count = 0
    """So many devices are under way at a time; 0: the whole wave."""
    approval: bool = False
    """It waits for a person's word."""


class Scope(msgspec.Struct, frozen=True):
    """Which devices: all that match every line that is not empty. Membership is looked at again and again."""

    sites: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """SITE/DEVICE."""

    def holds(self, site: str, device: str, tags: frozenset[str]) -> bool:
        return (
            (not self.sites or site in self.sites)
            and (not self.devices or f"{site}/{device}" in self.devices)
            and (not self.tags or bool(tags.intersection(self.tags)))
        )


class Plan(msgspec.Struct, frozen=True):
    rollout: str
    target: Target
    waves: tuple[Wave, ...]
    scope: Scope = Scope()
    limits: tuple[Limit, ...] = LIMITS
    kind: Literal["bundle", "profile"] = "bundle"
    by: str = ""
    four_eyes: bool = False
    """Who made it may not approve it."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=20)] = 3
    """For trouble that may pass (TRANSIENT); a version that failed on a device is never tried there again."""
    retry_s: Seconds = 15 * 60.0
    """The first wait; it doubles each time, with jitter."""
    spread_s: Seconds = 0.0
    """Devices of a wave begin spread over so long, so that they do not fetch all at once."""
    silence_s: Seconds = 15 * 60.0
    """A device not heard of for so long is away: it gets no order."""
    quiet_s: Seconds = 12 * HOUR_S
    """A good device that is not heard of for so long while its wave soaks has failed, unless it said goodbye."""
    patience_s: Seconds = 14 * DAY_S
    """A wave that has not passed after so long is paused for a person to look at."""
    back_s: Seconds = HOUR_S
    """So long after a roll-back began, what is not back is named."""
    away_s: Seconds = 600.0
    """If nobody watched for so long (no engine, no database), it pauses: silence meant nothing meanwhile."""


TRANSIENT = frozenset(
    {"unreachable", "slow", "disk-full", "damaged", "expired", "not-published", "data-budget", "clock-behind", "busy"}
)
"""Codes of `refused` that do not judge the version."""


def checked(plan: Plan) -> Plan:
    """Raises BadOrder for a plan that cannot be carried out whatever the fleet is like."""
    name = f"roll-out {plan.rollout}"
    if not IDENTIFIER.fullmatch(plan.rollout):
        raise BadOrder(f"roll-out {plan.rollout!r}", "not 1 to 64 of A-Z a-z 0-9 _ -", "Choose another name")
    if not plan.waves:
        raise BadOrder(name, "it has no wave", "Name at least one, such as --wave 100%")
    shares = [wave.percent for wave in plan.waves if wave.percent is not None]
    if shares != sorted(set(shares)):
        raise BadOrder(name, f"its shares do not grow ({shares})", "Order the waves from the smallest to the largest")
    for wave in plan.waves:
        if (wave.percent is None) == (not wave.tag):
            raise BadOrder(
                name, f"wave {wave.name} is neither a share nor a tag", "Such as --wave 1% or --wave tag:ward"
            )
        if wave.deadline_s <= 0:
            raise BadOrder(name, f"wave {wave.name} has no deadline", "Silence has to count as failure at some time")
    return plan
