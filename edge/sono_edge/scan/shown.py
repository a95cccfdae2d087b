"""What the page is told of scans: whole values, swapped, so that reading them waits for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from sono_edge.scan.records import AlertRecord, CaptureRecord, ScanRecord


class Counts(msgspec.Struct, frozen=True):
    """Captures by kind."""

    automatic: int = 0
    manual: int = 0
    alert: int = 0


class Now(msgspec.Struct, frozen=True):
    """`GET /scan`. `id` is empty while no scan runs."""

    running: bool = False
    id: str = ""
    token: str = ""
    started_at: str = ""
    elapsed_s: float = 0.0
    captures: tuple[CaptureRecord, ...] = ()
    alerts: tuple[AlertRecord, ...] = ()
    counts: Counts = Counts()
    frames_dropped: int = 0
    trouble: str = ""


class Line(msgspec.Struct, frozen=True):
    """One scan of `GET /scan/list`."""

    id: str
    token: str
    started_at: str
    ended_at: str
    captures: int
    alerts: int
    alerts_unseen: int
    scanned_s: float | None = None
    """None where it did not end."""
    running: bool = False


class Retention(msgspec.Struct, frozen=True):
    """How long scans stay. `keep_days` 0: until the quota needs the room."""

    used_mb: float = 0.0
    quota_mb: int = 0
    keep_days: int = 0


class Shown(msgspec.Struct, frozen=True):
    """`ended`: the scan that ended last, with its summary; None before the first since the start."""

    now: Now
    ended: ScanRecord | None
    lines: tuple[Line, ...]
    records: tuple[ScanRecord, ...] = ()
    """Those that `lines` sum up, newest first."""
    retention: Retention = Retention()


NOTHING = Shown(Now(), None, ())


def now_of(record: ScanRecord | None, elapsed_s: float, dropped: int, trouble: str) -> Now:
    if record is None:
        return Now(frames_dropped=dropped, trouble=trouble)
    kinds = Counter(one.kind for one in record.captures)
    return Now(
        running=True,
        id=record.id,
        token=record.token,
        started_at=record.started_at,
        elapsed_s=round(elapsed_s, 1),
        captures=record.captures,
        alerts=tuple(msgspec.structs.replace(alert, raised=None) for alert in record.alerts),
        counts=Counts(kinds["automatic"], kinds["manual"], kinds["alert"]),
        frames_dropped=dropped,
        trouble=trouble,
    )


def lines_of(records: Iterable[ScanRecord]) -> tuple[Line, ...]:
    return tuple(
        Line(
            one.id,
            one.token,
            one.started_at,
            one.ended_at,
            len(one.captures),
            len(one.alerts),
            sum(not alert.seen for alert in one.alerts),
            one.summary.scanned_s if one.summary else None,
        )
        for one in records
    )
