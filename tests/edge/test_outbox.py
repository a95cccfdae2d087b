"""The outbox: sequences without gap or reuse, deletion only on the fleet's word, survival of a kill anywhere."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sono_edge.outbox import Outbox, Stored
from sono_models import messages
from sono_models.errors import BadConfig, DiskFull, Stopped
from tests.support.alerts import AT, an_alert, some_vitals
from tests.support.orders import a_report


def boxed(folder: Path, device: str = "board-1") -> Outbox:
    return Outbox(folder / "outbox.sqlite", "demo", device)


def sequences(stored: list[Stored]) -> list[int]:
    return [row.sequence for row in stored]


def test_an_alert_is_stored_as_the_whole_event(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        assert outbox.add(an_alert(), AT) == 1
        (row,) = outbox.after(0, 10)
        event = messages.decode("alert", row.body)
    assert event.id == f"board-1/{row.epoch}/1"
    assert event.source == "/sono/demo/board-1"
    assert event.time == "2026-03-01T09:30:00.000Z"
    assert (event.data.device, event.data.epoch, event.data.sequence) == ("board-1", row.epoch, 1)
    assert event.data.score == an_alert().score


def test_only_an_ack_of_this_epoch_deletes_and_sequences_go_on(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        for _ in range(5):
            outbox.add(an_alert(), AT)
        epoch, last = outbox.life()
        assert last == 5
        assert outbox.acked(epoch + 1, 5) == 0
        assert outbox.acked(epoch, 3) == 3
        assert outbox.acked(epoch, 2) == 0
        assert sequences(outbox.after(0, 10)) == [4, 5]
        assert sequences(outbox.after(4, 10)) == [5]
        assert outbox.acked(epoch, 5) == 2
    with boxed(tmp_path) as outbox:
        assert outbox.life() == (epoch, 5)
        assert outbox.add(an_alert(), AT) == 6
        assert outbox.depth() == 1


def test_two_connections_see_each_other(tmp_path: Path) -> None:
    with boxed(tmp_path) as agent, boxed(tmp_path) as uplink:
        agent.add(an_alert(), AT)
        epoch, _ = uplink.life()
        assert uplink.acked(epoch, 1) == 1
        assert agent.depth() == 0
        agent.put_vitals(some_vitals())
        agent.put_vitals(some_vitals(raised=4))
        assert uplink.vitals() == some_vitals(raised=4)


def test_no_vitals_and_unreadable_vitals_are_none(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        assert outbox.vitals() is None
        outbox.put_vitals(some_vitals())
        with sqlite3.connect(outbox.path) as other:
            other.execute("UPDATE vitals SET body = ?", (b"{}",))
        other.close()
        assert outbox.vitals() is None


def test_a_new_file_is_a_new_epoch_even_while_it_is_open(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        outbox.add(an_alert(), AT)
        before, _ = outbox.life()
        for path in tmp_path.glob("outbox.sqlite*"):
            path.unlink()
        assert outbox.add(an_alert(), AT) == 1
        after, _ = outbox.life()
    assert after != before


def test_an_older_copy_of_the_file_takes_a_new_epoch(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        outbox.add(an_alert(track=7), AT)
        outbox.add(an_alert(track=8), AT)
        epoch, _ = outbox.life()
        assert outbox.acked(epoch, 9) == 0
        renewed, last = outbox.life()
        assert renewed != epoch
        assert last == 2
        events = [messages.decode("alert", row.body) for row in outbox.after(0, 9)]
    assert [event.data.track for event in events] == [7, 8]
    assert [event.id for event in events] == [f"board-1/{renewed}/1", f"board-1/{renewed}/2"]


def test_a_renewed_epoch_numbers_what_waits_from_one(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        for _ in range(4):
            outbox.add(an_alert(), AT)
        epoch, _ = outbox.life()
        outbox.acked(epoch, 3)
        outbox.renew()
        assert sequences(outbox.after(0, 9)) == [1]
        assert outbox.add(an_alert(), AT) == 2


def test_another_devices_outbox_is_refused_while_alerts_wait(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        outbox.add(an_alert(), AT)
        epoch, _ = outbox.life()
    with pytest.raises(BadConfig, match=r"1 alerts of demo/board-1"), boxed(tmp_path, "board-2"):
        pass
    with boxed(tmp_path) as outbox:
        outbox.acked(epoch, 1)
    with boxed(tmp_path, "board-2") as outbox:
        assert outbox.life()[0] != epoch
        outbox.add(an_alert(), AT)
        assert messages.decode("alert", outbox.after(0, 1)[0].body).data.device == "board-2"


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "outbox.sqlite")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(BadConfig, match="not an outbox"), boxed(tmp_path):
        pass


def test_a_file_that_is_no_database_is_kept_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"not a database at all, " * 100)
    with caplog.at_level(logging.ERROR), boxed(tmp_path) as outbox:
        assert outbox.add(an_alert(), AT) == 1
    (kept,) = tmp_path.glob("*.damaged-*")
    assert kept.read_bytes().startswith(b"not a database")
    assert kept.name in caplog.text


def test_what_can_be_read_of_a_damaged_file_goes_on_under_a_new_epoch(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        for track in range(40):
            outbox.add(an_alert(track), AT)
        epoch, _ = outbox.life()
    path = tmp_path / "outbox.sqlite"
    pages = bytearray(path.read_bytes())
    pages[-4096:] = b"\xff" * 4096
    path.write_bytes(pages)
    with boxed(tmp_path) as outbox:
        events = [messages.decode("alert", row.body).data for row in outbox.after(0, 100)]
        assert outbox.life()[0] != epoch
    tracks = [event.track for event in events]
    assert tracks[0] == 0
    assert len(tracks) >= 20
    assert tracks == sorted(tracks)
    assert [event.sequence for event in events] == list(range(1, len(tracks) + 1))


def test_damage_while_it_is_open_is_told_then_healed(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        for _ in range(3):
            outbox.add(an_alert(), AT)
    path = tmp_path / "outbox.sqlite"
    with boxed(tmp_path) as outbox:
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
        assert outbox._connection is not None
        outbox._connection.execute("PRAGMA shrink_memory")  # or it would answer from its cache
        with pytest.raises(Stopped, match="damaged"):
            outbox.depth()
        assert outbox.add(an_alert(), AT) == 1
    assert list(tmp_path.glob("*.damaged-*"))


def test_a_full_disk_is_told_and_nothing_is_half_done(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        connection = outbox._connection
        assert connection is not None
        connection.execute("PRAGMA max_page_count = 8")
        with pytest.raises(DiskFull, match="Free some space"):
            fill(outbox)
        _, added = outbox.life()
        assert added == outbox.depth() > 0
        connection.execute("PRAGMA max_page_count = 1000000")
        assert outbox.add(an_alert(), AT) == added + 1


def fill(outbox: Outbox) -> None:
    for _ in range(100):
        outbox.add(an_alert(), AT)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskFull), Outbox(tmp_path / "file" / "outbox.sqlite", "demo", "board-1"):
        pass


class Model(RuleBasedStateMachine):
    """Against a list: what is added and not acknowledged is there, in order, and numbers never come again."""

    def __init__(self) -> None:
        super().__init__()
        # One file in memory: the rules are SQL, the disk is tested elsewhere.
        self.outbox = Outbox(Path("/nowhere/outbox.sqlite"), "demo", "board-1")
        connection = self.outbox._connect(Path(":memory:"))
        connection.execute("BEGIN")
        self.outbox._prepare(connection, [])
        connection.execute("COMMIT")
        self.outbox._connection = connection
        self.outbox._is_current = lambda: True  # type: ignore[method-assign]
        self.epoch, self.last = self.outbox.life()
        self.waiting: list[int] = []

    def teardown(self) -> None:
        self.outbox._close()

    @rule()
    def add(self) -> None:
        self.last += 1
        assert self.outbox.add(an_alert(), AT) == self.last
        self.waiting.append(self.last)

    @rule(share=st.floats(0, 1))
    def ack(self, share: float) -> None:
        upto = round(share * self.last)
        gone = self.outbox.acked(self.epoch, upto)
        assert gone == sum(1 for number in self.waiting if number <= upto)
        self.waiting = [number for number in self.waiting if number > upto]

    @rule(other=st.integers(1, 2**53), upto=st.integers(0, 100))
    def ack_of_another_epoch(self, other: int, upto: int) -> None:
        if other != self.epoch:
            assert self.outbox.acked(other, upto) == 0

    @rule(beyond=st.integers(1, 50))
    def ack_beyond(self, beyond: int) -> None:
        assert self.outbox.acked(self.epoch, self.last + beyond) == 0
        epoch, self.last = self.outbox.life()
        assert epoch != self.epoch
        self.epoch = epoch
        assert self.last == len(self.waiting)
        self.waiting = list(range(1, self.last + 1))

    @invariant()
    def the_same(self) -> None:
        assert sequences(self.outbox.after(0, 1000)) == self.waiting
        assert self.outbox.depth() == len(self.waiting)
        assert self.outbox.life() == (self.epoch, self.last)


Model.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestModel = Model.TestCase

CHILD = """
import os, signal, sys
from pathlib import Path
from sono_edge import outbox as module
from tests.support.alerts import AT, an_alert

left = int(sys.argv[2])

def strike(_what=None):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0

class Doomed(module.Outbox):
    def _connect(self, path):
        connection = super()._connect(path)
        if sys.argv[3] == "statement":
            connection.set_trace_callback(strike)
        else:
            connection.set_progress_handler(strike, 5)
        return connection

with Doomed(Path(sys.argv[1]), "demo", "board-1") as outbox:
    for track in range(3):
        print("added", outbox.add(an_alert(track), AT), flush=True)
    epoch, _ = outbox.life()
    outbox.acked(epoch, 2)
    print("acked", 2, flush=True)
    print("added", outbox.add(an_alert(3), AT), flush=True)
print("end", flush=True)
"""


def strike(path: Path, at: int, unit: str) -> list[list[str]]:
    """What the child said before it was killed at that statement (or after so many steps of SQLite)."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(at), unit],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.returncode in {0, -9}, child.stderr
    return [line.split() for line in child.stdout.splitlines()]


@pytest.mark.parametrize(("unit", "points"), [("statement", range(1, 38, 3)), ("step", range(2, 78, 9))])
def test_a_kill_anywhere_loses_nothing_that_was_promised(tmp_path: Path, unit: str, points: range) -> None:
    for point in points:
        path = tmp_path / f"{unit}-{point}" / "outbox.sqlite"
        said = strike(path, point, unit)
        promised = {int(words[1]) for words in said if words[0] == "added"}
        with Outbox(path, "demo", "board-1") as outbox:
            _, last = outbox.life()
            there = set(sequences(outbox.after(0, 100)))
            assert outbox.add(an_alert(), AT) == last + 1
        gone = set(range(1, last + 1)) - there
        assert promised <= there | gone
        assert gone <= {1, 2}
        if ["acked", "2"] in said:
            assert gone == {1, 2}
        assert last - max(promised, default=0) in {0, 1}  # at most the one that was under way


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_after_is_a_window_on_what_waits(count: int, limit: int, start: int) -> None:
    machine = Model()
    try:
        for _ in range(count):
            machine.add()
        assert sequences(machine.outbox.after(start, limit)) == list(range(start + 1, count + 1))[:limit]
    finally:
        machine.teardown()


def test_reports_of_updates_stand_in_one_order_with_alerts(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        outbox.add(an_alert(1), AT)
        outbox.report(a_report("downloading"))
        outbox.add(an_alert(2), AT)
        rows = outbox.after(0, 9)
        assert [(row.sequence, row.topic) for row in rows] == [(1, "alert"), (2, "update"), (3, "alert")]
        report = messages.decode("update", rows[1].body)
        assert report.type == "org.sonoedge.update.v1"
        assert (report.data.phase, report.data.device, report.data.sequence) == ("downloading", "board-1", 2)
        epoch, _ = outbox.life()
        assert outbox.acked(epoch, 2) == 2
        outbox.report(a_report("good"))
        outbox.renew()
        renewed = outbox.after(0, 9)
        assert [(row.sequence, row.topic) for row in renewed] == [(1, "alert"), (2, "update")]
        assert messages.decode("update", renewed[1].body).data.phase == "good"


def test_a_file_from_before_reports_keeps_its_rows(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        outbox.add(an_alert(7), AT)
        outbox.add(an_alert(8), AT)
        epoch, _ = outbox.life()
    with sqlite3.connect(tmp_path / "outbox.sqlite") as old:
        old.execute("ALTER TABLE alerts DROP COLUMN topic")
    old.close()
    with boxed(tmp_path) as outbox, boxed(tmp_path) as other:
        assert outbox.life() == (epoch, 2)
        assert [(row.sequence, row.topic) for row in other.after(0, 9)] == [(1, "alert"), (2, "alert")]
        outbox.report(a_report())
        assert [row.topic for row in other.after(2, 9)] == ["update"]


def test_reports_are_read_back_from_a_damaged_file(tmp_path: Path) -> None:
    with boxed(tmp_path) as outbox:
        outbox.report(a_report("verified"))
        for track in range(40):
            outbox.add(an_alert(track), AT)
    path = tmp_path / "outbox.sqlite"
    pages = bytearray(path.read_bytes())
    pages[-4096:] = b"\xff" * 4096
    path.write_bytes(pages)
    with boxed(tmp_path) as outbox:
        first, second = outbox.after(0, 2)
    assert (first.topic, second.topic) == ("update", "alert")
    assert messages.decode("update", first.body).data.phase == "verified"
