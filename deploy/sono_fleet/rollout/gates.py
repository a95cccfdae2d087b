"""The gates between waves: what has to hold before more devices get a version. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from sono_fleet.rollout.course import Member, breaks
from sono_fleet.rollout.plan import Limit, Wave


@dataclass(frozen=True, slots=True)
class Verdict:
    """`fails`: why it ends here. `waits`: what is still missing. Both empty: it passes."""

    fails: str = ""
    waits: str = ""
    evidence: dict[str, object] = field(default_factory=dict)


def failures(members: Iterable[Member]) -> dict[str, int]:
    """How many failed, by word."""
    counts: dict[str, int] = {}
    for member in members:
        if member.failure:
            counts[member.failure] = counts.get(member.failure, 0) + 1
    return counts


def judge(members: Iterable[Member], wave: Wave, limits: tuple[Limit, ...]) -> Verdict:
    """All members so far against a wave's limits.

    One device beyond a limit is a failed device, and counted as such; the median over the devices must hold,
    too, as soon as the sample is reached.
    """
    all_so_far = tuple(members)
    failed = failures(all_so_far)
    count = sum(failed.values())
    good = [member for member in all_so_far if member.good and _speaks(member, limits)]
    medians = _medians(all_so_far, limits)
    evidence: dict[str, object] = {"failed": failed, "good": len(good), "of": len(all_so_far), "medians": medians}
    if count > wave.max_failures:
        words = ", ".join(f"{number} {word}" for word, number in sorted(failed.items()))
        return Verdict(f"{count} failed ({words}), {wave.max_failures} are borne", "", evidence)
    if len(good) < wave.sample:
        return Verdict("", f"{len(good)} of {wave.sample} are good with all needed evidence", evidence)
    for limit in limits:
        if limit.key in medians and limit.broken_by(medians[limit.key]):
            return Verdict(f"median {limit.key} is {medians[limit.key]:.3g}, wanted {limit.said}", "", evidence)
    return Verdict("", "", evidence)


def marked(member: Member, limits: tuple[Limit, ...]) -> Member:
    """The member as failed, when what it reported says so."""
    if member.failure:
        return member
    broken = breaks(member, limits)
    if broken is not None:
        return msgspec.structs.replace(member, failure=f"{broken.kind}:{broken.key}")
    if member.phase == "rolled-back" or (member.phase == "refused" and not member.retry):
        return msgspec.structs.replace(member, failure=member.code or member.phase)
    return member


def _speaks(member: Member, limits: tuple[Limit, ...]) -> bool:
    return all(limit.key in member.evidence for limit in limits if limit.needed)


def _medians(members: tuple[Member, ...], limits: tuple[Limit, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for limit in limits:
        values = [member.evidence[limit.key][1] for member in members if limit.key in member.evidence]
        if values:
            found[limit.key] = statistics.median(values)
    return found
