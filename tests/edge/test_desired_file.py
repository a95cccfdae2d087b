"""The desired document on the device: only a signed, newer one for this very device takes the place of another."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from sono_edge.desired_file import DesiredFile
from sono_models.desired import Desired, opened, signed
from sono_models.errors import BadConfig, BadOrder
from tests.support.orders import KEYS, OTHERS, a_document, an_event, public_key


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return public_key(tmp_path)


def on_disk(folder: Path, key: Path) -> Desired:
    return opened((folder / "desired.json").read_bytes(), key, site="demo", device="board-1")


def desk(folder: Path, key: Path | str) -> DesiredFile:
    return DesiredFile(folder, str(key), "demo", "board-1")


def test_a_document_is_kept_whole_and_signed(tmp_path: Path, key: Path) -> None:
    document = a_document()
    assert desk(tmp_path, key).take(an_event(document)) == document
    assert (tmp_path / "desired.json").read_bytes() == signed(document, KEYS.private)
    assert on_disk(tmp_path, key) == document


def test_late_repeated_and_reordered_documents_change_nothing(tmp_path: Path, key: Path) -> None:
    chance = random.Random(3)
    file = desk(tmp_path, key)
    events = [an_event(a_document(serial)) for serial in range(1, 12)] * 2
    chance.shuffle(events)
    newest = 0
    for event in events:
        taken = file.take(event)
        assert taken is None or taken.serial > newest
        newest = newest if taken is None else taken.serial
        assert on_disk(tmp_path, key).serial == newest
    assert newest == 11


def test_the_serial_survives_a_restart(tmp_path: Path, key: Path) -> None:
    desk(tmp_path, key).take(an_event(a_document(5)))
    assert desk(tmp_path, key).take(an_event(a_document(4))) is None
    assert on_disk(tmp_path, key).serial == 5
    assert desk(tmp_path, key).take(an_event(a_document(6))) is not None


def test_a_damaged_file_is_replaced_by_the_next_document(tmp_path: Path, key: Path) -> None:
    (tmp_path / "desired.json").write_text("{}")
    assert desk(tmp_path, key).take(an_event(a_document(1))) is not None


def forged(event: bytes, **changed: str) -> bytes:
    tree = msgspec.json.decode(event)
    tree["data"].update(changed)
    return msgspec.json.encode(tree)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (an_event(a_document(9), OTHERS), "not signed by desired.pub"),
        (an_event(a_document(9, "board-2")), "for demo/board-2, this is demo/board-1"),
        (forged(an_event(a_document(9)), payload="e30="), "changed or forged"),
        (forged(an_event(a_document(9)), payloadType="text/plain"), "holds 'text/plain'"),
        (b"rubbish", "not a signed document"),
        (b"{}", "not a signed document"),
        (b"x" * 40_000, "more than"),
        (an_event(msgspec.structs.replace(a_document(9), serial=0)), "signed, but not one that this agent reads"),
    ],
)
def test_what_is_not_to_be_believed_is_refused_in_words(tmp_path: Path, key: Path, event: bytes, words: str) -> None:
    file = desk(tmp_path, key)
    file.take(an_event(a_document(2)))
    before = (tmp_path / "desired.json").read_bytes()
    with pytest.raises(BadOrder, match=words):
        file.take(event)
    assert (tmp_path / "desired.json").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_without_a_key_none_is_taken(tmp_path: Path) -> None:
    with pytest.raises(BadOrder, match=r"update\.desired_key is not set"):
        desk(tmp_path, "").take(an_event(a_document()))
    with pytest.raises(BadConfig, match="nowhere"):
        desk(tmp_path, "nowhere.pub").take(an_event(a_document()))


def test_every_flipped_bit_of_a_document_is_refused(tmp_path: Path, key: Path) -> None:
    chance = random.Random(5)
    whole = signed(a_document(), KEYS.private)
    for _ in range(150):
        bad = bytearray(whole)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        with pytest.raises(BadOrder):
            opened(bytes(bad), key, site="demo", device="board-1")
