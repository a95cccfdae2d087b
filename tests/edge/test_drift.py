"""Drift on the device: what is counted, that no small cell leaves, and that it outlives the agent."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sono_edge.drift as drift_module
from sono_edge.agent import Agent, Parts
from sono_edge.alerts import Provenance, model_used
from sono_edge.capture import Capture
from sono_edge.decide import Event, Track
from sono_edge.drift import SCAN_GAP_S, Counter, whole_cells
from sono_edge.drift_box import Counted
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality
from sono_edge.outbox import Outbox
from sono_edge.pipeline import Judged, Pipeline
from sono_edge.recorder import AlertWriter
from sono_edge.view.presses import Press
from sono_models.bundle import Bundle, read
from sono_models.drift import CELL_FRAMES, CELL_SCANS, GATES, MEASURES, SCANS_LEAST, DriftData, trouble
from sono_models.inputs import Box, Grey
from sono_models.messages import Interval
from sono_models.reader import verified_reader
from tests.support.bundles import BREAST, FPS, phantom
from tests.support.hand_fed import HandFed, Recorded

BEGIN = datetime(2026, 3, 2, 8, 10, tzinfo=UTC)
FRAMES = 24


class Shelf:
    def __init__(self) -> None:
        self.kept: bytes | None = None
        self.reports: list[DriftData] = []

    def put_drift(self, counted: Counted) -> None:
        self.kept = counted.tally
        if counted.report is not None:
            self.reports.append(counted.report)


class Board:
    """A counter, its shelf, and both clocks."""

    def __init__(self, told: Provenance, judged: Judged) -> None:
        self.told, self.judged = told, judged
        self.shelf = Shelf()
        self.at = BEGIN
        self.counter = self.started()

    def started(self) -> Counter:
        return Counter(self.shelf, self.told, self.shelf.kept, wall=lambda: self.at)

    @property
    def now(self) -> float:
        return (self.at - BEGIN).total_seconds()

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.counter.beat(self.now)

    def scan(self, frames: int = 100, judged: Judged | None = None) -> None:
        for _ in range(frames):
            self.at += timedelta(seconds=1 / FPS)
            self.counter.saw(judged or self.judged, self.now)

    def scans(self, count: int) -> None:
        for _ in range(count):
            self.scan()
            self.passes(SCAN_GAP_S + 60)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read(BREAST)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> tuple[Pipeline, Provenance]:
    runtime = bundle.runtime("onnx")
    pipeline = Pipeline(verified_reader(bundle, runtime), bundle.manifest)
    return pipeline, Provenance("run", "phantom", model_used(bundle, runtime))


@pytest.fixture(scope="module")
def pictures() -> list[Grey]:
    return list(phantom(FRAMES / FPS))


@pytest.fixture
def board(engine: tuple[Pipeline, Provenance], pictures: list[Grey]) -> Board:
    judged = engine[0].step(Frame(0, 0.0, 0.0, pictures[0]))
    passing = replace(judged, reused=False, quality=Quality(Gate.PASS, "", 0.9))
    assert passing.reading is not None
    return Board(engine[1], replace(passing, seen=replace(passing.seen, frozen=False, ai_on=True)))


def test_every_gate_has_a_bin() -> None:
    assert [gate.value for gate in Gate] == list(GATES[:-1])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.floats(0.01, 9.0), st.integers(1, 9)), min_size=len(GATES), max_size=len(GATES)
    ),
    st.booleans(),
)
def test_no_small_cell_leaves_and_nothing_is_counted_twice(cells: list[tuple[int, float, int]], ordered: bool) -> None:
    frames = [cell[0] for cell in cells]
    shares = [cell[1] if cell[0] else 0.0 for cell in cells]
    touched = [cell[2] if cell[0] else 0 for cell in cells]
    made, weights = whole_cells(frames, shares, touched, ordered=ordered)
    assert all(count == 0 or count >= CELL_FRAMES for count in made)
    assert sum(made) in {0, sum(frames)}
    assert sum(weights) == pytest.approx(sum(shares) if sum(made) else 0.0)
    # a cell of too few scans does not stand: some cell with enough was counted into it
    for place, count in enumerate(made):
        assert not count or max(touched) >= CELL_SCANS, place


def test_a_cell_of_one_patient_does_not_leave() -> None:
    made, weights = whole_cells([500, 0, 400, 300], [4.0, 0.0, 0.5, 0.5], [5, 0, 1, 1], ordered=True)
    assert made == [1200, 0, 0, 0]
    assert weights == pytest.approx([5.0, 0.0, 0.0, 0.0])


def test_an_hour_of_too_few_scans_waits_for_the_next(board: Board) -> None:
    board.scans(SCANS_LEAST - 1)
    board.passes(3600)
    assert not board.shelf.reports
    board.scans(1)
    (report,) = board.shelf.reports
    assert report.scans == SCANS_LEAST
    assert report.hour == "2026-03-02T08:00:00Z"
    assert report.hours >= 1
    assert sum(report.score.frames) == 500
    assert sum(report.score.scans) == pytest.approx(5.0)
    assert not trouble(report)
    board.scans(SCANS_LEAST)
    board.passes(3600)
    assert len(board.shelf.reports) == 2
    assert board.shelf.reports[1].hour > report.hour


def test_never_more_than_one_report_an_hour(board: Board) -> None:
    board.scans(8)
    assert not board.shelf.reports
    board.passes(3600)
    board.passes(60)
    assert [report.scans for report in board.shelf.reports] == [8]


def test_a_short_pause_and_a_short_touch_are_no_other_scan(board: Board) -> None:
    for _ in range(2 * SCANS_LEAST):
        board.scan(50)
        board.passes(SCAN_GAP_S - 10)
    board.passes(3600)
    assert not board.shelf.reports
    for _ in range(2 * SCANS_LEAST):
        board.scan(40)
        board.passes(SCAN_GAP_S + 10)
    board.passes(3600)
    assert not board.shelf.reports  # one scan, and ten touches that make three


def test_what_nobody_judges_is_not_counted(board: Board) -> None:
    seen = board.judged.seen
    away = replace(board.judged, quality=Quality(Gate.NO_CONTACT, "", 0.0), reading=None)
    for one in (
        replace(board.judged, reused=True),
        replace(board.judged, seen=replace(seen, frozen=True)),
        replace(board.judged, seen=replace(seen, ai_on=False)),
        away,
    ):
        board.scan(100, one)
    assert board.counter._scan.touching == 0
    assert not any(sum(counts) for counts in board.counter._scan.frames.values())
    board.scan(1)
    board.scan(3, away)
    board.passes(60)
    board.scan(3, away)
    gates = board.counter._scan.frames["gates"]
    assert (gates[GATES.index("pass")], gates[GATES.index("no-contact")]) == (1, 3)


def test_alerts_are_counted_by_what_became_of_them(board: Board) -> None:
    track = Track(1, Box(0, 0, 1, 1), 0.0, 0.0, 0.0, Interval(0.8, 0.7, 0.9), 6)
    raised, seen = Event("raised", track, 0.0, 9), Event("acknowledged", replace(track, seen=True), 1.0, 9)
    tell = board.counter.told
    for name in ("r-1", "r-2", "r-3"):
        tell(raised, name, "")
    tell(seen, "r-1", "")
    tell(seen, "r-1", "artefact")
    tell(seen, "r-2", "")
    tell(Event("cleared", seen.track, 2.0, 9), "r-1", "")
    tell(Event("cleared", track, 2.0, 9), "r-3", "")
    board.scans(SCANS_LEAST)
    board.passes(3600)
    mix = board.shelf.reports[0].alerts
    assert (mix.raised, mix.seen, mix.artefact, mix.unseen, mix.other) == (3, 1, 1, 1, 0)


def test_it_outlives_the_agent_but_for_the_scan_that_ran(board: Board) -> None:
    board.scans(3)
    board.scan(100)  # and then the power goes
    board.counter = board.started()
    board.scans(1)
    board.passes(3600)
    assert not board.shelf.reports
    board.scan(60)
    board.counter.end()  # a restart in the middle of a scan
    board.at += timedelta(seconds=20)
    board.counter = board.started()
    board.scan(60)
    board.passes(SCAN_GAP_S + 1)
    (report,) = board.shelf.reports
    assert (report.scans, sum(report.score.frames)) == (5, 520)


def test_another_bundle_begins_anew(board: Board) -> None:
    board.scans(SCANS_LEAST)
    old = board.told
    new = replace(old, model=type(old.model)("breast", "0.9.0", "2" * 64, "int8", "onnx"))
    board.counter.judged_by(old)
    assert not board.shelf.reports
    board.counter.judged_by(new)
    assert [report.bundle_sha256 for report in board.shelf.reports] == [old.model.sha256]
    board.scans(2)
    board.told = old
    board.counter = board.started()  # the other's tally is not ours
    board.scans(SCANS_LEAST - 1)
    board.passes(3600)
    assert len(board.shelf.reports) == 1


def test_a_clock_that_was_years_off_makes_no_report_of_then(board: Board) -> None:
    board.at = datetime(1970, 1, 1, tzinfo=UTC)
    board.counter = Counter(board.shelf, board.told, wall=lambda: board.at)
    board.scans(2)
    board.at = BEGIN
    board.counter.beat(0.0)
    board.scans(SCANS_LEAST)
    board.passes(3600)
    assert [report.hour for report in board.shelf.reports] == ["2026-03-02T08:00:00Z"]


def test_what_an_earlier_program_left_is_not_believed(board: Board) -> None:
    assert Counter(board.shelf, board.told, b"rubbish", wall=lambda: board.at)._tally.scans == 0


@contextmanager
def agent_on(
    engine: tuple[Pipeline, Provenance], frames: list[Frame], folder: Path, clock: list[float]
) -> Iterator[tuple[Agent, HandFed]]:
    source = HandFed(frames, "phantom")
    commands: queue.SimpleQueue[Press] = queue.SimpleQueue()

    def wall() -> datetime:
        return BEGIN + timedelta(seconds=clock[0])

    with (
        AlertWriter(folder / "outbox.sqlite", "demo", "board-1") as writer,
        Capture(source, wait=lambda stop, _: stop.is_set()) as capture,
    ):
        counter = Counter(writer, engine[1], writer.kept_drift, wall=wall)
        yield (
            Agent(
                Parts(
                    capture,
                    engine[0],
                    writer,
                    Recorded(),
                    commands,
                    engine[1],
                    clock=lambda: clock[0],
                    drift=counter,
                )
            ),
            source,
        )


def reported(folder: Path) -> list[DriftData]:
    with Outbox(folder / "outbox.sqlite", "demo", "board-1") as outbox:
        return [one.report for one in outbox.drift(10)]


def scanned(engine: tuple[Pipeline, Provenance], pictures: list[Grey], folder: Path) -> DriftData:
    """Five scans through the agent's own loop, its run ended and begun again after the third."""
    clock = [0.0]
    for scans in (3, 2):
        shown = pictures * scans
        frames = [Frame(index, index / FPS, 0.0, picture) for index, picture in enumerate(shown)]
        with agent_on(engine, frames, folder, clock) as (agent, source):
            for index in range(len(shown)):
                agent.step()
                source.judged.release()
                clock[0] += 900.0 if index % len(pictures) == len(pictures) - 1 else 1 / FPS
            agent.parts.drift.beat(clock[0])
            agent.parts.drift.end()
    (report,) = reported(folder)
    return report


def test_an_agent_on_a_phantom_and_on_one_with_its_gain_turned_down(
    engine: tuple[Pipeline, Provenance], pictures: list[Grey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_module, "SCAN_FRAMES_LEAST", FRAMES // 2)
    usual = scanned(engine, pictures, tmp_path / "usual")
    assert usual.scans == SCANS_LEAST
    assert usual.source == "phantom"
    assert all(sum(usual.of(measure).frames) > 100 for measure in MEASURES)
    assert not trouble(usual)
    dark = [np.asarray(np.maximum(picture.astype(int) - 25, 0), np.uint8) for picture in pictures]
    low = scanned(engine, dark, tmp_path / "low")

    def mean(report: DriftData) -> float:
        bins = report.brightness.frames
        return sum(place * count for place, count in enumerate(bins)) / sum(bins)

    assert mean(low) < mean(usual) - 1.0


def test_what_cannot_be_read_holds_nothing_up(board: Board, tmp_path: Path) -> None:
    board.scans(SCANS_LEAST)
    board.passes(3600)
    (report,) = board.shelf.reports
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, "demo", "b") as outbox:
        for hour in range(6):
            made = msgspec.structs.replace(report, hour=f"2026-03-02T{hour:02}:00:00Z")
            outbox.put_drift(Counted(b"{}", made))
        with sqlite3.connect(path) as rotten:
            rotten.execute("UPDATE drift SET body = 'x' WHERE hour < '2026-03-02T05'")
        rotten.close()
        assert [one.report.hour[11:13] for one in outbox.drift(5)] == ["05"]


def test_reports_wait_in_order_and_a_new_owner_does_not_send_them(board: Board, tmp_path: Path) -> None:
    board.scans(SCANS_LEAST)
    board.passes(3600)
    (report,) = board.shelf.reports
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, "demo", "b") as outbox:
        for hour in (9, 7, 8):
            made = msgspec.structs.replace(report, hour=f"2026-03-02T{hour:02}:00:00Z")
            outbox.put_drift(Counted(b"{}", made))
        waiting = outbox.drift(2)
        assert [one.report.hour[11:13] for one in waiting] == ["07", "08"]
        outbox.drift_sent(waiting)
        assert [one.report.hour[11:13] for one in outbox.drift(9)] == ["09"]
        assert outbox.drift_tally() == b"{}"
    with Outbox(path, "ward", "b") as outbox:
        assert outbox.drift(9) == []
        assert outbox.drift_tally() is None
