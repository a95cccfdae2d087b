"""Drift, counted: what the frame loop adds to, by integers alone, and when a report of it may leave the device.

No patient can be singled out. A report covers at least SCANS_LEAST scans, hours are added until it does; a bin with
less than CELL_FRAMES frames or CELL_SCANS scans is counted into its neighbour first. A scan ends when the probe has
had no contact for SCAN_GAP_S, whatever buttons say: counting two patients as one is the safe mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from sono_edge.alerts import Provenance
from sono_edge.decide import Event
from sono_edge.drift_box import Counted
from sono_edge.gates import Gate
from sono_edge.pipeline import Judged
from sono_models import drift
from sono_models.drift import AlertMix, DriftData, Histogram, Measure, bin_of
from sono_models.messages import SeenReason

SCAN_GAP_S = 300.0
SCAN_FRAMES_LEAST = 90
"""Fewer frames with contact are no scan of their own: they are added to the next."""
LOST_S = 5.0
"""A longer loss of contact or signal is a pause, and not counted."""
AWAY = frozenset({Gate.NO_SIGNAL, Gate.NO_CONTACT})
GATE_BIN = {gate: drift.GATES.index(gate.value) for gate in Gate}
FIELD: dict[SeenReason, str] = {
    "": "seen",
    "looked-again": "looked_again",
    "known-finding": "known_finding",
    "artefact": "artefact",
    "other": "other",
}


def _zeros() -> dict[Measure, list[int]]:
    return {measure: [0] * drift.SIZE[measure] for measure in drift.MEASURES}


def _shares() -> dict[Measure, list[float]]:
    return {measure: [0.0] * drift.SIZE[measure] for measure in drift.MEASURES}


class OpenScan(msgspec.Struct):
    """The scan that runs: frames by measure and bin."""

    frames: dict[Measure, list[int]] = msgspec.field(default_factory=_zeros)
    touching: int = 0
    contact_s: float = 0.0
    touched_at: datetime | None = None
    """The last contact, for a program that is started again."""


class Tally(msgspec.Struct):
    """What is counted of one bundle since the last report; the agent keeps it on disk between two runs."""

    bundle_sha256: str
    hour: datetime
    source: str
    scans: int = 0
    contact_s: float = 0.0
    frames: dict[Measure, list[int]] = msgspec.field(default_factory=_zeros)
    shares: dict[Measure, list[float]] = msgspec.field(default_factory=_shares)
    touched: dict[Measure, list[int]] = msgspec.field(default_factory=_zeros)
    """By bin: how many scans have a frame in it."""
    alerts: dict[str, int] = msgspec.field(default_factory=dict)
    scan: OpenScan = msgspec.field(default_factory=OpenScan)
    bins: int = drift.BINS


class Shelf(Protocol):
    """Where what was counted is kept. It returns at once."""

    def put_drift(self, counted: Counted) -> None: ...


class Drift(Protocol):
    """What the frame loop tells of each frame and alert. Every method returns at once."""

    def saw(self, judged: Judged, now: float) -> None: ...
    def told(self, event: Event, name: str, reason: SeenReason) -> None: ...
    def judged_by(self, told: Provenance) -> None: ...
    def beat(self, now: float) -> None: ...
    def end(self) -> None: ...


class NoDrift:
    """Nothing is counted: a scan that was kept is looked at again."""

    def saw(self, judged: Judged, now: float) -> None:
        pass

    def told(self, event: Event, name: str, reason: SeenReason) -> None:
        pass

    def judged_by(self, told: Provenance) -> None:
        pass

    def beat(self, now: float) -> None:
        pass

    def end(self) -> None:
        pass


class Counter:
    """Counts for one agent. `kept`: what an earlier run put on the shelf; another bundle's is forgotten."""

    def __init__(
        self,
        shelf: Shelf,
        told: Provenance,
        kept: bytes | None = None,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._shelf, self._told, self._wall = shelf, told, wall
        self._touched_s: float | None = None
        self._plain: set[str] = set()
        self._tally = self._taken_up(kept) or self._fresh()
        self._scan = self._tally.scan

    def saw(self, judged: Judged, now: float) -> None:
        """One frame; `now` is monotonic. A picture that stands still, or that nobody judges, is not counted."""
        if judged.reused or judged.seen.frozen or not judged.seen.ai_on:
            return
        gate, scan = judged.quality.gate, self._scan
        since = None if self._touched_s is None else now - self._touched_s
        if gate in AWAY:
            if since is not None and since <= LOST_S:
                scan.frames["gates"][GATE_BIN[gate]] += 1
            return
        if since is not None and since >= SCAN_GAP_S:
            self._end_scan()
            scan = self._scan
        if since is not None and since < 1.0:
            scan.contact_s += since
        self._touched_s = now
        scan.touching += 1
        frames = scan.frames
        frames["gates"][GATE_BIN[gate]] += 1
        frames["quality"][bin_of(judged.quality.value, drift.QUALITY_EDGES)] += 1
        frames["brightness"][bin_of(judged.grey, drift.BRIGHTNESS_EDGES)] += 1
        if gate is Gate.PASS and judged.reading is not None:
            frames["score"][bin_of(judged.reading.malignant, drift.SCORE_EDGES)] += 1

    def told(self, event: Event, name: str, reason: SeenReason) -> None:
        """A step in an alert's life. A reason that comes after a plain acknowledgement takes its place."""
        if event.kind == "raised":
            self._add("raised", 1)
        elif event.kind == "acknowledged":
            if reason and name in self._plain:
                self._plain.discard(name)
                self._add(FIELD[""], -1)
            elif not reason:
                self._plain.add(name)
            self._add(FIELD[reason], 1)
        elif event.kind == "cleared" and not event.track.seen:
            self._add("unseen", 1)

    def judged_by(self, told: Provenance) -> None:
        """Another bundle judges from the next frame on. What its predecessor has is reported if it is enough."""
        if told.model.sha256 == self._told.model.sha256:
            self._told = told
            return
        self._end_scan()
        report = self._report()
        self._told, self._touched_s = told, None
        self._begin(report)

    def beat(self, now: float) -> None:
        """Now and then: a report, when an hour is over and enough scans are in it."""
        if self._touched_s is not None and now - self._touched_s >= SCAN_GAP_S and self._scan.touching:
            self._end_scan()
            self._touched_s = None
        age = self._wall() - self._tally.hour
        if age < timedelta(hours=1):
            return
        report = self._report()
        if report is not None or age >= timedelta(hours=drift.HOURS_MOST):
            running = self._scan
            self._begin(report, running)

    def end(self) -> None:
        """The run is over: what was counted goes on with the next one."""
        self._mark_touched()
        self._shelf.put_drift(Counted(msgspec.json.encode(self._tally)))

    def _end_scan(self) -> None:
        """Add the scan that ran to the tally. What was no scan yet waits for more."""
        scan, tally = self._scan, self._tally
        if scan.touching < SCAN_FRAMES_LEAST:
            return
        for measure, counts in scan.frames.items():
            whole = sum(counts)
            for place, count in enumerate(counts):
                if count:
                    tally.frames[measure][place] += count
                    tally.shares[measure][place] += count / whole
                    tally.touched[measure][place] += 1
        tally.scans += 1
        tally.contact_s += scan.contact_s
        self._scan = tally.scan = OpenScan()
        self._shelf.put_drift(Counted(msgspec.json.encode(tally)))

    def _report(self) -> DriftData | None:
        """What may leave the device now; None while it holds too few scans."""
        tally, told = self._tally, self._told
        if tally.scans < drift.SCANS_LEAST:
            return None
        hours = (self._wall() - tally.hour) // timedelta(hours=1)
        histograms = {measure: _histogram(measure, tally) for measure in drift.MEASURES}
        return DriftData(
            hour=tally.hour.strftime("%Y-%m-%dT%H:00:00Z"),
            hours=min(max(1, hours), drift.HOURS_MOST),
            bundle=f"{told.model.name}-{told.model.version}",
            bundle_sha256=tally.bundle_sha256,
            profile=told.profile,
            source=tally.source,
            scans=tally.scans,
            minutes=round(tally.contact_s / 60, 1),
            alerts=AlertMix(**{name: max(0, count) for name, count in tally.alerts.items()}),
            score=histograms["score"],
            quality=histograms["quality"],
            gates=histograms["gates"],
            brightness=histograms["brightness"],
        )

    def _begin(self, report: DriftData | None, running: OpenScan | None = None) -> None:
        self._tally = self._fresh()
        self._scan = self._tally.scan = running or OpenScan()
        self._plain.clear()
        self._mark_touched()
        self._shelf.put_drift(Counted(msgspec.json.encode(self._tally), report))

    def _fresh(self) -> Tally:
        hour = self._wall().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return Tally(self._told.model.sha256, hour, self._told.source)

    def _taken_up(self, kept: bytes | None) -> Tally | None:
        """The tally of the run before, and its scan, unless the probe has been away since."""
        if kept is None:
            return None
        try:
            tally = msgspec.json.decode(kept, type=Tally)
        except msgspec.DecodeError:
            return None
        if (tally.bundle_sha256, tally.source, tally.bins) != (self._told.model.sha256, self._told.source, drift.BINS):
            return None
        touched_at, tally.scan.touched_at = tally.scan.touched_at, None
        if touched_at is None or self._wall() - touched_at >= timedelta(seconds=SCAN_GAP_S):
            self._tally, self._scan = tally, tally.scan
            self._end_scan()
        return tally

    def _mark_touched(self) -> None:
        self._scan.touched_at = self._wall() if self._scan.touching else None

    def _add(self, name: str, count: int) -> None:
        self._tally.alerts[name] = self._tally.alerts.get(name, 0) + count


def _histogram(measure: Measure, tally: Tally) -> Histogram:
    gathered = whole_cells(
        tally.frames[measure], tally.shares[measure], tally.touched[measure], ordered=measure != "gates"
    )
    return Histogram(tuple(gathered[0]), tuple(round(share, 6) for share in gathered[1]))


def whole_cells(
    frames: Sequence[int], shares: Sequence[float], touched: Sequence[int], *, ordered: bool
) -> tuple[list[int], list[float]]:
    """Frames and shares with every small cell counted into another: of ordered bins the nearest that is not empty,
    of others the last ("other"), then the largest. All of it empty when there is no cell that is large enough.
    """
    cells = {place: [count, shares[place], touched[place]] for place, count in enumerate(frames) if count}
    last = len(frames) - 1
    while small := [
        place for place, cell in cells.items() if cell[0] < drift.CELL_FRAMES or cell[2] < drift.CELL_SCANS
    ]:
        place = min(small, key=lambda one: (not ordered and one == last, cells[one][0], one))
        count, share, scans = cells.pop(place)
        if not cells:
            break
        into = _into(place, list(cells), last, ordered=ordered, largest=max(cells, key=lambda one: cells[one][0]))
        there = cells.setdefault(into, [0, 0.0, 0])
        # both may be the same scans: the greater number is what there are at least
        cells[into] = [there[0] + count, there[1] + share, max(there[2], scans)]
    made, weights = [0] * len(frames), [0.0] * len(frames)
    for place, cell in cells.items():
        made[place], weights[place] = int(cell[0]), cell[1]
    return made, weights


def _into(place: int, others: Sequence[int], last: int, *, ordered: bool, largest: int) -> int:
    if ordered:
        return min(others, key=lambda other: (abs(other - place), other))
    return largest if place == last else last
