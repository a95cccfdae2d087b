"""The alert writer: it never makes the frame loop wait, and keeps the order through a full disk."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sono_edge.outbox import Outbox
from sono_edge.recorder import AlertWriter
from sono_models import messages
from sono_models.errors import BadConfig
from sono_models.updates import UpdateReport
from tests.support.alerts import AT, an_alert, some_vitals
from tests.support.waiting import until


def stored_tracks(path: Path) -> list[int]:
    with Outbox(path, "demo", "board-1") as outbox:
        return [messages.decode("alert", row.body).data.track for row in outbox.after(0, 1000)]


def test_leaving_writes_everything_in_order(tmp_path: Path) -> None:
    path = tmp_path / "state" / "outbox.sqlite"
    with AlertWriter(path, "demo", "board-1", now=lambda: AT) as writer:
        for track in range(50):
            writer.put(an_alert(track))
        writer.put_vitals(some_vitals())
    assert writer.committed == 50
    assert writer.depth == 50
    assert not writer.trouble
    assert stored_tracks(path) == list(range(50))
    with Outbox(path, "demo", "board-1") as outbox:
        assert outbox.vitals() == some_vitals()
    assert not [thread for thread in threading.enumerate() if thread.name == "alert-writer"]


def test_the_depth_follows_what_the_uplink_deletes(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with AlertWriter(path, "demo", "board-1") as writer, Outbox(path, "demo", "board-1") as uplink:
        for _ in range(3):
            writer.put(an_alert())
        until(lambda: writer.committed == 3)
        uplink.acked(uplink.life()[0], 2)
        until(lambda: writer.depth == 1)


def test_what_became_of_an_update_takes_its_place_among_the_alerts(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    report = UpdateReport("r1", 3, "breast", "0.3.1", "ab" * 32, "good", "2026-11-24T10:00:00.000Z")
    with AlertWriter(path, "demo", "board-1", now=lambda: AT) as writer:
        writer.put(an_alert(1))
        writer.report(report)
        writer.put(an_alert(2))
    assert writer.committed == 2
    with Outbox(path, "demo", "board-1") as outbox:
        rows = outbox.after(0, 10)
    assert [row.topic for row in rows] == ["alert", "update", "alert"]
    data = messages.decode("update", rows[1].body).data
    assert (data.phase, data.version, data.sequence) == ("good", "0.3.1", 2)


def test_another_devices_outbox_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, "demo", "board-2") as outbox:
        outbox.add(an_alert(), AT)
    with pytest.raises(BadConfig, match="board-2"), AlertWriter(path, "demo", "board-1"):
        pass


def test_while_another_process_holds_the_file_alerts_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sono_edge.outbox.BUSY_S", 0.02)
    path = tmp_path / "outbox.sqlite"
    with AlertWriter(path, "demo", "board-1") as writer:
        until(path.exists)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN IMMEDIATE")
        writer.put(an_alert(1))
        writer.put(an_alert(2))
        until(lambda: "another process" in writer.trouble)
        assert writer.depth >= 1
        assert writer.committed == 0
        other.execute("ROLLBACK")
        other.close()
        until(lambda: writer.committed == 2)
        until(lambda: not writer.trouble)
    assert stored_tracks(path) == [1, 2]


FULL_DISK = """
import json, resource, signal, sys, threading
from pathlib import Path
from sono_edge.recorder import AlertWriter
from tests.support.alerts import an_alert
from tests.support.waiting import until

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
with AlertWriter(path, "demo", "board-1") as writer:
    writer.put(an_alert(0))
    until(lambda: writer.committed == 1)
    size = Path(f"{path}-wal").stat().st_size
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3000, unlimited))
    for track in range(1, 21):
        writer.put(an_alert(track))
    until(lambda: writer.trouble)
    told, before = writer.trouble, writer.committed
    resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    until(lambda: writer.committed == 21)
    until(lambda: not writer.trouble)
print(json.dumps({"told": told, "before": before, "depth": writer.depth}))
"""


def test_a_disk_that_is_full_for_real_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout)
    assert told["told"].startswith("Alerts wait in memory: the disk does not take it")
    assert told["before"] < 21
    assert told["depth"] == 21
    assert stored_tracks(path) == list(range(21))


def test_what_cannot_be_written_before_the_end_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "outbox.sqlite"
    with caplog.at_level(logging.ERROR), AlertWriter(path, "demo", "board-1", drain_s=0.1) as writer:
        writer.put(an_alert())
    assert writer.depth == 1
    assert "1 alerts could not be written" in caplog.text


def test_a_fault_in_the_program_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_add = Outbox.add

    def faulty(self: Outbox, *args: object) -> int:
        monkeypatch.setattr(Outbox, "add", true_add)
        raise KeyError("a bug")

    monkeypatch.setattr(Outbox, "add", faulty)
    path = tmp_path / "outbox.sqlite"
    with AlertWriter(path, "demo", "board-1") as writer:
        writer.put(an_alert(5))
        until(lambda: writer.committed == 1)
    assert "a fault in the alert writer" in caplog.text
    assert stored_tracks(path) == [5]
