"""The slots' folder on a real disk: what each change leaves, and what a start makes of damage."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import msgspec
import pytest

from sono_edge.slots.boot import Booted, boot
from sono_edge.slots.disk import Disk
from sono_edge.slots.folder import Slots, kept_as
from sono_edge.slots.law import SHORT_LIVES, Finding
from sono_edge.slots.records import Slot, Staged
from sono_models.bundle import Bundle
from sono_models.errors import BadBundle, DiskFull, Refused
from tests.support.bundles import BREAST
from tests.support.slots import made, shipped, shipped_as_slot

GOLDEN = Finding("golden", "differs from its golden vectors")


def started(slots: Slots) -> Booted[Bundle]:
    """A start that reads every bit, and leaves the golden vectors to the campaign."""
    return boot(slots, lambda bundle, _: bundle, BREAST)


def staged(slots: Slots, folder: Path, version: str) -> Staged:
    path, order = made(folder, version)
    slots.stage(path, order)
    return order


def activated(slots: Slots, folder: Path, version: str, *, good: bool = False) -> Slot:
    order = staged(slots, folder, version)
    slots.take(order)
    slot = slots.activate(order, slots.current() or shipped_as_slot(), before_ms=9.0)
    return slots.good(slot) if good else slot


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots")


def test_nothing_there_is_the_shipped_bundle_and_makes_nothing(slots: Slots) -> None:
    booted = started(slots)
    assert (booted.slot.place, booted.loaded.sha256) == ("shipped", shipped().sha256)
    assert not slots.folder.exists()


def test_staging_is_what_the_updater_and_the_agent_agreed_on(slots: Slots, tmp_path: Path) -> None:
    order = staged(slots, tmp_path, "1.0.0")
    assert slots.staged() == order
    assert json.loads((slots.folder / "staged" / "staged.json").read_bytes())["sha256"] == order.sha256
    assert (slots.folder / "staged" / "breast-1.0.0.tar").stat().st_size == order.size
    newer = staged(slots, tmp_path, "1.0.1")
    assert slots.staged() == newer
    assert [path.name for path in (slots.folder / "staged").glob("*.tar")] == ["breast-1.0.1.tar"]


def test_a_file_that_is_not_what_the_order_says_is_not_staged(slots: Slots, tmp_path: Path) -> None:
    before = staged(slots, tmp_path, "1.0.0")
    path, order = made(tmp_path, "1.0.1")
    for wrong in (
        msgspec.structs.replace(order, sha256="0" * 64),
        msgspec.structs.replace(order, size=order.size - 1),
        msgspec.structs.replace(order, size=order.size + 1),
    ):
        with pytest.raises(BadBundle):
            slots.stage(path, wrong)
    with pytest.raises(BadBundle, match="not there"):
        slots.stage(tmp_path / "nothing.tar", order)
    assert slots.staged() == before
    assert sorted(path.name for path in (slots.folder / "staged").iterdir()) == ["breast-1.0.0.tar", "staged.json"]


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a.b"])
def test_a_name_that_is_a_path_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Staged("r", name, "1.0.0", "0" * 64, 1, "", 0)


def test_from_staged_to_good(slots: Slots, tmp_path: Path) -> None:
    active = activated(slots, tmp_path, "1.0.0")
    assert (active.place, slots.current(), slots.staged()) == ("active", active, None)
    previous = slots.previous()
    assert previous is not None
    assert previous.place == "shipped"
    good = slots.good(slots.served(active, served_s=30.0, frames=900))
    assert (good.place, good.frames) == ("good", 900)
    booted = started(slots)
    assert (booted.slot, booted.loaded.sha256) == (good, good.sha256)
    activated(slots, tmp_path, "1.0.1", good=True)
    activated(slots, tmp_path, "1.0.2", good=True)
    kept = {path.name for path in (slots.folder / "bundles").iterdir()}
    assert {name.rpartition("-")[0] for name in kept} == {"breast-1.0.1", "breast-1.0.2"}


def test_a_roll_back_is_for_good(slots: Slots, tmp_path: Path) -> None:
    good = activated(slots, tmp_path, "1.0.0", good=True)
    bad = activated(slots, tmp_path, "1.0.1")
    back = slots.roll_back(bad, Finding("hang", "it stood still"), shipped_as_slot())
    assert (back.sha256, back.place, back.boot_reason) == (good.sha256, "good", "rolled back from 1.0.1: hang")
    assert slots.current() == back
    assert slots.refused("breast", "1.0.1") == "it stood still"
    assert not slots.file_of(bad).exists()
    with pytest.raises(Refused, match="failed on this device"):
        staged(slots, tmp_path, "1.0.1")
    assert slots.roll_back(bad, GOLDEN, shipped_as_slot()) == back  # late: another is current
    assert slots.roll_back(back, Finding("operator", "by hand"), shipped_as_slot()).place == "shipped"


def test_what_runs_is_not_staged_again(slots: Slots, tmp_path: Path) -> None:
    activated(slots, tmp_path, "1.0.0", good=True)
    with pytest.raises(Refused, match="the current bundle"):
        staged(slots, tmp_path, "1.0.0")


def test_the_same_content_under_another_version_is_refused_too(slots: Slots, tmp_path: Path) -> None:
    order = staged(slots, tmp_path, "1.0.0")
    slots.take(order)
    slots.refuse(order, GOLDEN)
    assert slots.staged() is None
    assert not list((slots.folder / "bundles").glob("*.tar"))
    assert slots.refused("breast", "9.9.9", order.sha256)


def test_a_fault_of_the_moment_is_not_kept(slots: Slots, tmp_path: Path) -> None:
    order = staged(slots, tmp_path, "1.0.0")
    slots.refuse(order, Finding("disk", "full", lasting=False))
    assert slots.refused("breast", "1.0.0") is None
    assert staged(slots, tmp_path, "1.0.0") == order


class FullDisk(Disk):
    def __init__(self) -> None:
        self.full = False

    def sync(self, descriptor: int, path: Path) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().sync(descriptor, path)


def test_a_full_disk_changes_nothing_and_says_so(tmp_path: Path) -> None:
    disk = FullDisk()
    slots = Slots(tmp_path / "slots", disk=disk)
    good = activated(slots, tmp_path, "1.0.0", good=True)
    files = {path: path.read_bytes() for path in slots.folder.rglob("*") if path.is_file()}
    path, order = made(tmp_path, "1.0.1")
    disk.full = True
    with pytest.raises(DiskFull, match="no room"):
        slots.stage(path, order)
    assert {path: path.read_bytes() for path in slots.folder.rglob("*") if path.is_file()} == files
    assert started(slots).slot == good


def garble(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = bytes(64)
    path.write_bytes(raw)


def test_damage_falls_back_to_the_one_before_and_then_to_the_shipped(slots: Slots, tmp_path: Path) -> None:
    first = activated(slots, tmp_path, "1.0.0", good=True)
    second = activated(slots, tmp_path, "1.0.1", good=True)
    garble(slots.file_of(second))
    booted = started(slots)
    assert booted.slot.sha256 == first.sha256
    assert "damaged" in booted.slot.boot_reason
    assert slots.current() == booted.slot
    garble(slots.file_of(first))
    booted = started(slots)
    assert (booted.slot.place, booted.loaded.sha256) == ("shipped", shipped().sha256)
    assert slots.refused("breast", "1.0.1") is None


def test_a_lost_current_json_is_the_one_before(slots: Slots, tmp_path: Path) -> None:
    first = activated(slots, tmp_path, "1.0.0", good=True)
    activated(slots, tmp_path, "1.0.1", good=True)
    (slots.folder / "current.json").write_bytes(b"\0" * 300)
    booted = started(slots)
    assert booted.slot.sha256 == first.sha256
    assert booted.slot.boot_reason == "current.json is lost or damaged"


def test_another_bundle_under_its_name_is_not_taken(slots: Slots, tmp_path: Path) -> None:
    slot = activated(slots, tmp_path, "1.0.0", good=True)
    path, _ = made(tmp_path, "1.0.1")
    slots.file_of(slot).write_bytes(path.read_bytes())
    assert started(slots).slot.place == "shipped"


def test_starts_that_end_badly_take_it_back(slots: Slots, tmp_path: Path) -> None:
    bad = activated(slots, tmp_path, "1.0.0")
    for _ in range(SHORT_LIVES + 1):
        assert started(slots).slot.sha256 == bad.sha256
    booted = started(slots)
    assert booted.slot.place == "shipped"
    assert booted.rolled_back is not None
    assert booted.rolled_back[1].code == "crash-loop"
    assert slots.refused("breast", "1.0.0")


def test_starts_that_end_well_do_not(slots: Slots, tmp_path: Path) -> None:
    slot = activated(slots, tmp_path, "1.0.0")
    for _ in range(10):
        assert started(slots).slot.sha256 == slot.sha256
        slots.ended_well(slot)
    for _ in range(4):
        started(slots)
        slots.steady(slot)
    boots = slots.boots()
    assert boots is not None
    assert (boots.short, boots.lives) == (0, 4)


@pytest.mark.parametrize("proven", [False, True])
def test_a_roll_back_that_was_cut_is_ended_by_the_next_start(slots: Slots, tmp_path: Path, proven: bool) -> None:
    good = activated(slots, tmp_path, "1.0.0", good=True)
    bad = activated(slots, tmp_path, "1.0.1", good=proven)
    slots._keep_refusal(bad, GOLDEN)
    booted = started(slots)
    assert (booted.slot.sha256, booted.slot.boot_reason) == (good.sha256, "rolled back from 1.0.1: golden")
    assert booted.rolled_back is not None
    assert booted.rolled_back[0].sha256 == bad.sha256


def test_a_sweep_takes_what_nothing_names(slots: Slots, tmp_path: Path) -> None:
    slot = activated(slots, tmp_path, "1.0.0", good=True)
    order = staged(slots, tmp_path, "1.0.1")
    slots.take(order)
    bundles = slots.folder / "bundles"
    for name in ("breast-0.0.1-abc.tar", ".breast-9.9.9-abc.tar.part"):
        (bundles / name).write_bytes(b"x")
    slots.sweep()
    assert {path.name for path in bundles.iterdir()} == {slot.file, kept_as(order)}


def test_a_start_on_a_disk_that_takes_nothing_still_starts(tmp_path: Path) -> None:
    disk = FullDisk()
    slots = Slots(tmp_path / "slots", disk=disk)
    slot = activated(slots, tmp_path, "1.0.0")
    disk.full = True
    assert started(slots).slot.sha256 == slot.sha256
    slots.file_of(slot).unlink()
    assert started(slots).slot.place == "shipped"


def test_a_crash_loop_ends_also_on_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    disk = FullDisk()
    slots = Slots(tmp_path / "slots", disk=disk)
    bad = activated(slots, tmp_path, "1.0.0")
    slots._keep_refusal(bad, GOLDEN)
    disk.full = True
    booted = started(slots)
    assert (booted.slot.place, booted.loaded.sha256) == ("shipped", shipped().sha256)
