"""What is said of an update, and to whom."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from sono_edge.alerts import BUNDLES_OWN
from sono_edge.slots.law import Finding
from sono_edge.slots.records import Slot, Staged
from sono_models.errors import BadConfig, BadProfile, Refused
from sono_models.messages import rfc3339
from sono_models.updates import Phase, UpdateReport

log = logging.getLogger(__name__)

Evidence: TypeAlias = dict[str, float | int | str]


class Reports(Protocol):
    """Where reports go; returns at once."""

    def report(self, report: UpdateReport) -> None: ...


class Logged:
    """Reports as log lines only."""

    def report(self, report: UpdateReport) -> None:
        why = f": {report.reason}" if report.reason else ""
        log.info("update: %s-%s is %s%s", report.name, report.version, report.phase, why)


def report_of(of: Slot | Staged, phase: Phase, finding: Finding | None, evidence: Evidence | None) -> UpdateReport:
    return UpdateReport(
        of.rollout,
        of.serial,
        of.name,
        of.version,
        of.sha256,
        phase,
        rfc3339(datetime.now(UTC)),
        finding.code if finding else "",
        finding.reason if finding else "",
        evidence or {},
    )


def finding_of(refusal: Refused) -> Finding:
    """Why an engine could not be made. A profile that does not go with it is the moment's fault: a date, a key, a
    site, another bundle.
    """
    if isinstance(refusal, BadProfile | BadConfig):
        code = f"profile-{refusal.code}" if refusal.code else "profile"
        return Finding(code, f"{refusal.thing}: {refusal.reason}", lasting=False)
    return Finding("golden", refusal.reason)


def left_behind(before: str, now: str) -> Finding | None:
    """Words for a site profile that was in force and is not any more."""
    if before == BUNDLES_OWN or now != BUNDLES_OWN:
        return None
    return Finding("", f"site profile {before} stays behind: the bundle's own threshold and limits hold")
