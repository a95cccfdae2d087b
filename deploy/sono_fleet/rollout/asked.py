"""What a manager asks for in words, on the command line or in the page's form, as a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sono_fleet.database import Database
from sono_fleet.rollout import releases, words
from sono_fleet.rollout.plan import LIMITS, PROFILE_LIMITS, Plan, Scope, checked


@dataclass(frozen=True, slots=True)
class Asked:
    """Every word of it as it was typed; what is empty is as usual."""

    name: str
    bundle: str = ""
    profile: str = ""
    waves: Sequence[str] = ()
    sites: Sequence[str] = ()
    tags: Sequence[str] = ()
    devices: Sequence[str] = ()
    limits: Sequence[str] = ()
    soak: str = "24h"
    deadline: str = "24h"
    sample: int = 1
    max_failures: int = 0
    silence: str = "15m"
    quiet: str = "12h"
    spread: str = "0s"
    patience: str = "14d"
    four_eyes: bool = False
    by: str = ""


def planned(database: Database, asked: Asked) -> Plan:
    """Raises BadOrder, BadConfig, with the word that is wrong."""
    rest = {
        "soak_s": words.seconds(asked.soak),
        "deadline_s": words.seconds(asked.deadline),
        "sample": asked.sample,
        "max_failures": asked.max_failures,
    }
    target, made = releases.wanted(database, asked.bundle, asked.profile)
    sites = tuple(asked.sites) if made is None else (made.site,)
    alone = made is not None and not asked.bundle
    plan = Plan(
        asked.name,
        target,
        tuple(words.wave(text, rest) for text in asked.waves or words.WAVES),
        Scope(sites, tuple(asked.tags), tuple(asked.devices)),
        words.limits(list(asked.limits), PROFILE_LIMITS if alone else LIMITS),
        kind="profile" if alone else "bundle",
        by=asked.by,
        four_eyes=asked.four_eyes,
        silence_s=words.seconds(asked.silence),
        quiet_s=words.seconds(asked.quiet),
        spread_s=words.seconds(asked.spread),
        patience_s=words.seconds(asked.patience),
    )
    return checked(plan)
