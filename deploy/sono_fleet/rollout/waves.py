"""Who is next: stable chance, shares that are never exceeded, membership that is looked at again each time. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from sono_fleet.rollout.course import Device, Key, Member
from sono_fleet.rollout.plan import Plan, Target


def chance(*words: object) -> float:
    """The same words, the same number, evenly in [0, 1)."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


def runs_target(device: Device, target: Target) -> bool:
    same_profile = device.runs is None or device.runs.profile_sha256 == target.profile_sha256
    return device.sha256 == target.sha256 and same_profile


def why_not(device: Device, plan: Plan, now: datetime) -> str:
    """Why a device in scope gets no order now; empty: it may."""
    other_bundle = plan.kind == "profile" and device.sha256 != plan.target.sha256
    judged = (
        (bool(device.held), device.held),
        (not device.sha256, "it has not said what it runs"),
        (runs_target(device, plan.target), "it runs this already"),
        (
            device.runs is None,
            "what it runs is not registered, so there would be no way back (sono fleet releases add)",
        ),
        (other_bundle, f"it does not run {plan.target.name} {plan.target.version}, for which the profile is"),
        (_is_away(device, plan, now), "it is away"),
    )
    return next((words for holds, words in judged if holds), "")


def _is_away(device: Device, plan: Plan, now: datetime) -> bool:
    return not device.online or device.seen_at is None or now - device.seen_at > timedelta(seconds=plan.silence_s)


def in_scope(plan: Plan, fleet: Mapping[Key, Device]) -> dict[Key, Device]:
    return {key: device for key, device in fleet.items() if plan.scope.holds(*key, device.tags)}


def placed_next(
    plan: Plan, index: int, members: Mapping[Key, Member], fleet: Mapping[Key, Device], now: datetime
) -> list[Key]:
    """The devices that get an order in this wave now, in the order of chance."""
    wave = plan.waves[index]
    free = [
        key
        for key, device in in_scope(plan, fleet).items()
        if key not in members and not why_not(device, plan, now) and (not wave.tag or wave.tag in device.tags)
    ]
    free.sort(key=lambda key: chance(plan.rollout, *key))
    if wave.percent is not None:
        # never more than the share: a fleet of fewer than 100 still has one device in its first 1 %
        quota = max(1, int(wave.percent * (len(free) + len(members)) / 100))
        free = free[: max(0, quota - len(members))]
    if wave.at_once:
        under_way = sum(member.pending for member in members.values())
        free = free[: max(0, wave.at_once - under_way)]
    return free
