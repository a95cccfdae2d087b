"""Site profiles in the slots: a bundle and its profile change together, and go back together."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sono_edge.slots.boot import Booted, boot
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import SHORT_LIVES, Finding
from sono_edge.slots.records import SiteProfile, Slot, Staged
from sono_models.bundle import Bundle
from sono_models.errors import BadProfile, Refused
from tests.support.bundles import BREAST
from tests.support.slots import alone, made, shipped, shipped_as_slot

SLOW = Finding("latency", "slow")


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots")


def started(slots: Slots) -> Booted[tuple[Bundle, bytes | None]]:
    """A start that keeps what it was given."""
    return boot(slots, lambda bundle, profile: (bundle, None if profile is None else profile.read_bytes()), BREAST)


def under(slots: Slots, folder: Path, text: str | None, *, good: bool = True) -> Slot:
    """Another profile on what judges now."""
    running = slots.current() or shipped_as_slot()
    path, order = alone(folder, running, text)
    slots.stage(None, order, path if text else None)
    slots.take(order, slots.file_of(running) if running.file else shipped().path)
    slot = slots.activate(order, running)
    return slots.good(slot) if good else slot


def test_a_profile_comes_to_the_bundle_that_judges_and_goes_back_to_the_one_before(
    slots: Slots, tmp_path: Path
) -> None:
    first = under(slots, tmp_path, "first")
    assert first.pair[0] == shipped().sha256
    assert (first.place, first.alone, slots.staged()) == ("good", True, None)
    assert started(slots).loaded[1] == b"first"
    second = under(slots, tmp_path, "second", good=False)
    assert started(slots).loaded[1] == b"second"
    back = slots.roll_back(second, SLOW, shipped_as_slot())
    assert (back.pair, back.boot_reason) == (first.pair, "rolled back from profile clinic-a-1.0.0: latency")
    booted = started(slots)
    assert (booted.loaded[1], booted.slot.pair) == (b"first", first.pair)
    kept = [path.name for path in (slots.folder / "profiles").iterdir()]
    assert first.profile is not None
    assert kept == [first.profile.file]


def test_the_profile_is_to_blame_and_not_the_bundle(slots: Slots, tmp_path: Path) -> None:
    slot = under(slots, tmp_path, "bad", good=False)
    slots.roll_back(slot, SLOW, shipped_as_slot())
    assert slots.refused(slot.name, slot.version, slot.sha256) is None
    assert slots.refused(slot.name, slot.version, *slot.pair) == "slow"
    with pytest.raises(Refused, match="failed on this device"):
        under(slots, tmp_path, "bad")
    assert under(slots, tmp_path, "better").place == "good"


def test_a_profile_that_is_taken_off_and_given_back(slots: Slots, tmp_path: Path) -> None:
    with_one = under(slots, tmp_path, "mine")
    bare = under(slots, tmp_path, None, good=False)
    assert (bare.profile, started(slots).loaded[1]) == (None, None)
    back = slots.roll_back(bare, SLOW, shipped_as_slot())
    assert back.pair == with_one.pair
    assert slots.refusals().refused == ()


def test_a_bundle_comes_with_its_profile_and_both_go_together(slots: Slots, tmp_path: Path) -> None:
    mine = under(slots, tmp_path, "mine")
    path, order = made(tmp_path, "1.0.0")
    sheet, said = alone(tmp_path, mine, "for the new one")
    both = msgspec.structs.replace(order, profile=said.profile)
    slots.stage(path, both, sheet)
    slots.take(both)
    slot = slots.activate(both, mine)
    assert (slot.alone, started(slots).loaded[1]) == (False, b"for the new one")
    back = slots.roll_back(slot, SLOW, shipped_as_slot())
    assert back.pair == mine.pair
    assert slots.refused("breast", "1.0.0") == "slow"
    assert started(slots).loaded[1] == b"mine"


def test_what_is_not_the_profile_that_was_ordered_is_not_staged(slots: Slots, tmp_path: Path) -> None:
    path, order = alone(tmp_path, shipped_as_slot(), "mine")
    path.write_text("not mine", "utf-8")
    with pytest.raises(BadProfile):
        slots.stage(None, order, path)
    assert slots.staged() is None
    with pytest.raises(BadProfile, match="not there"):
        slots.stage(None, order, tmp_path / "nothing.json")
    with pytest.raises(ValueError, match="no name"):
        SiteProfile("../x", "1.0.0", "0" * 64, 1)


def test_a_staged_profile_that_rotted_is_not_taken(slots: Slots, tmp_path: Path) -> None:
    path, order = alone(tmp_path, shipped_as_slot(), "mine")
    slots.stage(None, order, path)
    kept = slots.profile_of(order)
    assert kept is not None
    kept.write_text("rotten", "utf-8")
    with pytest.raises(BadProfile):
        slots.take(order, shipped().path)


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_proven_bundle_without_its_profile_goes_on_under_its_own_threshold_and_says_so(
    slots: Slots, tmp_path: Path, damage: str
) -> None:
    slot = under(slots, tmp_path, "mine")
    _damage(slots, slot, damage)
    booted = started(slots)
    assert (booted.loaded[0].sha256, booted.loaded[1]) == (slot.sha256, None)
    assert (booted.slot.profile, booted.slot.place, booted.rolled_back) == (None, "good", None)
    assert "clinic-a-1.0.0" in booted.slot.boot_reason
    assert slots.current() == booted.slot


def test_on_probation_the_pair_before_is_taken(slots: Slots, tmp_path: Path) -> None:
    first = under(slots, tmp_path, "first")
    second = under(slots, tmp_path, "second", good=False)
    _damage(slots, second, "changed")
    booted = started(slots)
    assert (booted.slot.pair, booted.loaded[1]) == (first.pair, b"first")
    assert booted.rolled_back is not None
    assert booted.rolled_back[0].pair == second.pair


def test_a_profile_under_which_the_agent_keeps_ending_goes_back(slots: Slots, tmp_path: Path) -> None:
    first = under(slots, tmp_path, "first")
    second = under(slots, tmp_path, "second", good=False)
    for _ in range(SHORT_LIVES):
        assert started(slots).slot.pair == second.pair
    for _ in range(3):
        booted = started(slots)
    assert booted.slot.pair == first.pair
    assert slots.refused(second.name, second.version, *second.pair) is not None


def test_what_a_cut_left_of_a_profile_is_swept(slots: Slots, tmp_path: Path) -> None:
    slot = under(slots, tmp_path, "mine")
    left = slots.folder / "profiles" / f"{'0' * 64}.json"
    left.write_text("nobody names it", "utf-8")
    started(slots)
    assert slot.profile is not None
    assert [path.name for path in left.parent.iterdir()] == [slot.profile.file]


def test_a_damaged_record_is_written_anew_where_nothing_else_is_known(slots: Slots, tmp_path: Path) -> None:
    slots.roll_back(
        under(slots, tmp_path, "mine", good=False), Finding("full", "no room", lasting=False), shipped_as_slot()
    )
    (slots.folder / "current.json").write_bytes(b"rotten")
    (slots.folder / "previous.json").unlink()
    booted = started(slots)
    assert (booted.slot.place, slots.current()) == ("shipped", booted.slot)
    assert booted.slot.boot_reason == "current.json is lost or damaged"


def test_an_older_record_is_one_without_a_profile() -> None:
    raw = msgspec.json.encode({"name": "breast", "version": "1.0.0", "sha256": "0" * 64, "place": "good"})
    slot = msgspec.json.decode(raw, type=Slot)
    assert (slot.profile, slot.pair, slot.said) == (None, ("0" * 64, ""), "breast-1.0.0")
    order = Staged("r", "breast", "1.0.0", "0" * 64, 1, "", 0)
    assert not order.alone


def _damage(slots: Slots, slot: Slot, how: str) -> None:
    path = slots.profile_of(slot)
    assert path is not None
    if how == "gone":
        path.unlink()
    else:
        path.write_text("rotten", "utf-8")
