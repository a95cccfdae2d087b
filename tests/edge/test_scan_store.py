"""The scans' folder: whole files, a quota with an order of going, and what a power cut leaves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sono_edge.scan.records import AlertRecord, CaptureRecord, ScanRecord
from sono_edge.scan.store import MB, RECORD, Store
from sono_models.errors import DiskFull, Stopped

THIRD = bytes(3 * MB)


def record(number: int, *, seen: bool = True, captures: tuple[str, ...] = ()) -> ScanRecord:
    kept = tuple(CaptureRecord(name, "manual", 1.0, "SCANNING", 0.1, 1.0, 0.1) for name in captures)
    alerts = (AlertRecord("r-1", 1.0, 0.7, seen),)
    return ScanRecord(f"2026030{number}T093000Z-000000", "2026-03-01T09:30:00.000Z", captures=kept, alerts=alerts)


def filled(folder: Path, *records: ScanRecord) -> Store:
    store = Store(folder, 10)
    store.open()
    for one in records:
        store.put(one.id, "m001.png", THIRD)
        store.save(one)
    return store


def ids(store: Store) -> list[str]:
    return [one.id[7] for one in store.records()]


def test_what_was_saved_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    one = record(1, captures=("m001",))
    filled(tmp_path / "scans", one)
    again = Store(tmp_path / "scans", 10)
    again.open()
    assert again.records() == (one,)
    assert again.read(one.id, "m001.png") == THIRD
    assert again.read(one.id, "m002.png") is None
    assert again.used_bytes > 3 * MB


def test_after_a_power_cut_what_is_whole_stays(tmp_path: Path) -> None:
    one, two = record(1, captures=("m001",)), record(2)
    filled(tmp_path, one, two)
    (tmp_path / one.id / ".m002.png.part").write_bytes(b"half")
    (tmp_path / one.id / "m003.png").write_bytes(b"not named")
    (tmp_path / two.id / RECORD).write_text('{"id": "2026')
    again = Store(tmp_path, 10)
    again.open()
    assert again.records() == (one,)
    assert sorted(path.name for path in (tmp_path / one.id).iterdir()) == ["m001.png", RECORD]
    assert not (tmp_path / two.id).exists()


def test_the_oldest_acknowledged_goes_first(tmp_path: Path) -> None:
    store = filled(tmp_path, record(1, seen=False), record(2), record(3))
    store.put(record(4).id, "m001.png", THIRD)
    assert ids(store) == ["3", "1"]
    store.save(record(4))
    store.put(record(5).id, "m001.png", THIRD)
    assert ids(store) == ["4", "1"]


def test_the_oldest_unacknowledged_goes_last_and_the_running_never(tmp_path: Path) -> None:
    store = filled(tmp_path, record(1, seen=False), record(2, seen=False), record(3))
    running = record(4).id
    for number in range(3):
        store.put(running, f"m00{number}.png", THIRD)
    assert ids(store) == []
    with pytest.raises(DiskFull, match="quota of 10 MB"):
        store.put(running, "m004.png", THIRD)
    assert sorted(path.name for path in (tmp_path / running).iterdir()) == ["m000.png", "m001.png", "m002.png"]


def test_a_disk_that_takes_nothing_is_said_and_nothing_is_left_half(tmp_path: Path) -> None:
    (tmp_path / "scans").write_text("a file where the folder should be")
    store = Store(tmp_path / "scans", 10)
    with pytest.raises(Stopped):
        store.open()
    with pytest.raises(Stopped):
        store.put("one", "m001.png", b"1")

    def fails(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    other = filled(tmp_path / "other", record(1))
    with pytest.raises(DiskFull, match="no room"):
        other.put_by(record(1).id, "m002.mp4", fails)
    assert sorted(path.name for path in (tmp_path / "other" / record(1).id).iterdir()) == ["m001.png", RECORD]


def test_a_record_of_another_name_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / RECORD).write_bytes(msgspec.json.encode(record(1)))
    store = Store(tmp_path, 10)
    store.open()
    assert store.records() == ()
