"""What comes after a scan's end: an impression, an acknowledgement, the day that it goes; none of them ends another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sono_edge.alerts import Book
from sono_edge.decide import Event, Track
from sono_edge.gates import Gate, Quality
from sono_edge.scan.records import AlertRecord, ScanRecord
from sono_edge.scan.sight import AlertStep, Begin, End
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import PURGE_EVERY_S, Means, ScanWriter
from sono_edge.scene import State
from sono_models.inputs import Box
from sono_models.messages import Interval
from tests.support.scans import SPEC, screen, sight
from tests.support.waiting import until

PICTURE = screen()
NOW = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)


@contextmanager
def writing(store: Store, *, keep_days: int = 0) -> Iterator[ScanWriter]:
    means = Means(store, SPEC, System("breast 0.0.0"), 0.0, lambda: NOW, keep_days)
    with ScanWriter(means) as writer:
        yield writer


def scanned(writer: ScanWriter, token: str, *, alert: str = "") -> str:
    """A scan that runs; its id."""
    writer.order(Begin(token))
    writer.offer(sight(1.0, picture=PICTURE))
    if alert:
        writer.offer(sight(2.0, State.ALERT, attention=0.8, track=1, picture=PICTURE))
        writer.tell(AlertStep(alert, "raised", 2.0, 0.8, seen=False))
    until(lambda: writer.shown.now.token == token and (not alert or writer.shown.now.alerts))
    return writer.shown.now.id


def by_token(store: Store, token: str) -> ScanRecord:
    return next(one for one in store.records() if one.token == token)


def test_an_impression_for_one_scan_does_not_end_another(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        first = scanned(writer, "WL-1")
        writer.order(End(scan=first))
        until(lambda: writer.shown.ended)
        second = scanned(writer, "WL-2")
        writer.order(End(4, first))
        until(lambda: writer.shown.ended and writer.shown.ended.summary and writer.shown.ended.summary.impression)
        assert writer.shown.now.id == second, "it goes on"
        writer.order(End(scan=first))
        writer.order(End(2, second))
        until(lambda: writer.shown.ended and writer.shown.ended.id == second)
    one, two = by_token(store, "WL-1").summary, by_token(store, "WL-2").summary
    assert one is not None
    assert two is not None
    assert (one.impression, two.impression) == (4, 2)


def test_an_alert_is_acknowledged_after_its_scan_and_counted_anew(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    with writing(store) as writer:
        writer.order(End(scan=scanned(writer, "WL-1", alert="run-1")))
        until(lambda: writer.shown.ended)
        writer.order(End(scan=scanned(writer, "WL-2", alert="run-2")))
        until(lambda: writer.shown.ended and writer.shown.ended.token == "WL-2")
        scanned(writer, "WL-3")
        writer.tell(AlertStep("run-1", "acknowledged", 9.0, 0.0, seen=True, reason="artefact"))
        until(lambda: by_token(store, "WL-1").alerts[0].seen)
    record = by_token(store, "WL-1")
    assert record.alerts == (AlertRecord("run-1", 2.0, 0.8, seen=True, reason="artefact"),)
    assert record.summary is not None
    assert (record.summary.alerts_seen, record.summary.alerts_unseen) == (1, 0)
    assert not by_token(store, "WL-2").alerts[0].seen


def kept(store: Store, days_ago: int, *, seen: bool) -> str:
    name = f"{NOW - timedelta(days=days_ago):%Y%m%dT%H%M%SZ}-00000{days_ago % 10}"
    alerts = (AlertRecord("r-1", 1.0, 0.7, seen),)
    store.save(ScanRecord(name, "2026-03-01T09:30:00.000Z", "T", "2026-03-01T09:40:00.000Z", alerts=alerts))
    return name


def test_what_was_kept_long_enough_goes_unless_nobody_saw_it(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    old, unseen, young = kept(store, 31, seen=True), kept(store, 40, seen=False), kept(store, 29, seen=True)
    with writing(store, keep_days=30) as writer:
        until(lambda: writer.shown.records)
        assert {one.id for one in writer.shown.records} == {unseen, young}
        assert not (tmp_path / old).exists()
        assert (writer.shown.retention.keep_days, writer.shown.retention.quota_mb) == (30, 100)
        writer.tell(AlertStep("r-1", "acknowledged", 9.0, 0.0, seen=True))
        until(lambda: all(one.alerts[0].seen for one in writer.shown.records))
        writer.offer(sight(PURGE_EVERY_S + 1.0, State.NO_CONTACT, picture=PICTURE))
        until(lambda: len(store.records()) == 1)
    assert [one.id for one in store.records()] == [young]


def test_without_keep_days_nothing_goes_by_age(tmp_path: Path) -> None:
    store = Store(tmp_path, 100)
    kept(store, 4000, seen=True)
    with writing(store) as writer:
        until(lambda: writer.shown.records)
    assert len(store.records()) == 1


def test_an_alert_that_is_gone_can_be_acknowledged_and_one_of_another_run_cannot() -> None:
    book = Book(most=2)
    quality = Quality(Gate.PASS, "", 0.9)
    for number in (1, 2, 3):
        track = Track(number, Box(0.1, 0.1, 0.2, 0.2), 1.0, 1.2, 1.2, Interval(0.8, 0.7, 0.9), 6)
        book.note(f"run-{number}", Event("raised", track, 1.2, 9), quality)
    late = book.late("run-3", 7.0)
    assert late is not None
    event, told = late
    assert (event.kind, event.track.seen, event.captured_s, told) == ("acknowledged", True, 7.0, quality)
    book.note("run-3", event, quality)
    assert book.late("run-3", 8.0) is None, "it was seen"
    assert book.late("run-3", 8.0, again=True) is not None
    assert ("run-3" in book, "run-1" in book) == (True, False)
    assert book.late("run-1", 7.0) is None
    assert book.late("other-1", 7.0) is None
