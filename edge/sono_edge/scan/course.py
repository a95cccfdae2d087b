"""A scan that runs: what is known of it in memory, and when it begins and ends by itself. Belongs to the writer."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sono_edge.scan.records import AlertRecord, CaptureRecord, ScanRecord
from sono_edge.scan.selection import Selection
from sono_edge.scan.sight import AlertStep, Sight
from sono_edge.scan.summary import Tally
from sono_edge.scene import State
from sono_models.messages import Alert

IDLE_END_S = 600.0
"""A scan without contact for so long has ended, whether or not somebody said so."""
AWAY = frozenset({State.NO_SIGNAL, State.NO_CONTACT, State.DEGRADED})


@dataclass(slots=True)
class Course:
    """One scan from its first frame on. Times in its record count from `began_s`."""

    record: ScanRecord
    began_s: float
    contact_s: float
    tally: Tally = field(default_factory=Tally)
    selection: Selection = field(default_factory=Selection)
    manual: int = 0
    by_number: dict[int, str] = field(default_factory=dict)
    """The captures' ids of the selection's numbers."""
    dropped_before: int = 0

    @property
    def empty(self) -> bool:
        """It began by itself and nothing came of it: it gives way to one that somebody begins."""
        return not (self.record.token or self.record.captures or self.record.alerts)

    def note(self, capture: CaptureRecord) -> None:
        """Into the record, in the place of what was there under its id."""
        kept = {one.id: one for one in self.record.captures} | {capture.id: capture}
        self.record = msgspec.structs.replace(self.record, captures=tuple(kept.values()))

    def forget(self, capture: str | None) -> CaptureRecord | None:
        """Out of the record; what was there, None when nothing was."""
        going = next((one for one in self.record.captures if one.id == capture), None)
        left = tuple(one for one in self.record.captures if one is not going)
        self.record = msgspec.structs.replace(self.record, captures=left)
        return going

    def see(self, sight: Sight) -> None:
        self.tally.add(sight)
        if sight.state not in AWAY or sight.captured_s < self.contact_s:
            self.contact_s = sight.captured_s

    def idle(self, sight: Sight) -> bool:
        return sight.captured_s - self.contact_s > IDLE_END_S


def with_step(record: ScanRecord, step: AlertStep, began_s: float) -> ScanRecord | None:
    """The record after a step in an alert's life; None when the step changes nothing in it."""
    known = {alert.alert: alert for alert in record.alerts}
    before = known.get(step.alert)
    if before is None and step.kind != "raised":
        return None
    after = AlertRecord(
        step.alert,
        before.raised_s if before else round(step.captured_s - began_s, 3),
        round(max(step.score, before.score if before else 0.0), 4),
        step.seen,
        step.reason or (before.reason if before else ""),
        before.raised if before else step.message,
    )
    known[step.alert] = after
    return None if after == before else msgspec.structs.replace(record, alerts=tuple(known.values()))


def acknowledgement(record: ScanRecord, alert: str) -> Alert | None:
    """The message that this alert was seen, with the times of the run that raised it; None where that is not known."""
    known = next(one for one in record.alerts if one.alert == alert)
    if known.raised is None:
        return None
    return msgspec.structs.replace(known.raised, kind="acknowledged", acknowledgement="seen", reason=known.reason)
