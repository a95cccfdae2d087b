"""Tables that others bring: what is read right, and what is refused, with the row and the reason, before any hour."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sono_models.errors import BadConfig, BadManifest
from sono_models.inputs import Grey
from sono_models.picture_size import read_size
from sono_models.table import read_grey, read_table
from sono_models.table_check import check_apart, check_rows

LABELS = ("benign", "malignant")
HEAD = "image,label,patient,mask"


def grey(height: int = 40, width: int = 56) -> Grey:
    noise = np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)


def png(path: Path, height: int, width: int, *, kind: int, data: bytes, palette: bytes = b"") -> None:
    """A PNG of 8 bits as its standard writes it; kind 3: palette, 4: grey with alpha."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    colours = chunk(b"PLTE", palette) if palette else b""
    body = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + colours + body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abcd":
        cv2.imwrite(str(tmp_path / f"{name}.png"), grey())
        cv2.imwrite(str(tmp_path / f"{name}-mask.png"), grey() // 200 * 255)
    return tmp_path


def table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join((head, *lines)) + "\n", "utf-8")
    return path


GOOD = ("a.png,benign,p1,a-mask.png", "b.png,malignant,p2,b-mask.png", "c.png,normal,p3,")


def refused(folder: Path, *lines: str, negatives: tuple[str, ...] = (), target: str | None = None) -> str:
    rows = read_table(table(folder, *lines))
    with pytest.raises(BadManifest) as caught:
        check_rows(rows, labels=LABELS, negatives=negatives, target=target)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_table_passes_and_a_normal_without_a_mask_is_one(folder: Path) -> None:
    check_rows(read_table(table(folder, *GOOD)), labels=LABELS, target="malignant")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x.png,benign,p4,", "there is no such file"),
        (".,benign,p4,", "there is no such file"),
        ("text.png,benign,p4,", "cannot be read as an image"),
        ("empty.png,benign,p4,", "the file is empty"),
        ("cut.png,benign,p4,", "the file is cut short"),
        ("cut.jpg,benign,p4,", "the file is cut short"),
        ("cut.bmp,benign,p4,", "the file is cut short"),
        ("cut.webp,benign,p4,", "the file is cut short"),
        ("nan.tif,benign,p4,", "may hold NaN"),
        ("one.png,benign,p4,", "1x1 px, allowed are 8 to 8192 px a side"),
        ("wide.png,benign,p4,", "20000x10 px, allowed are"),
        ("huge.png,benign,p4,", "2000000x2000000 px, allowed are"),
        ("d.png,nan,p4,", "its label is 'nan'"),
        ("d.png,NaN,p4,", "its label is 'NaN'"),
        ("d.png,cyst,p4,", "unknown label 'cyst'. Known are benign, malignant, normal"),
        ("d.png,Malignant,p4,", "unknown label 'Malignant'"),
        ("d.png,benign,nan,", "its group is 'nan'"),
        ("d.png,benign,,", "has no patient or group, other rows have"),
        ("a.png,benign,p4,", "the same image as"),
        ("./a.png,benign,p4,", "the same image as"),
        ("d.png,benign,p4,no-mask.png", "its mask"),
        ("d.png,benign,p4,nan", "there is no such file"),
        ("d.png,benign,p4,small-mask.png", "its mask is 28x20 px, the image is 56x40 px"),
        ("d.png,benign,p4,text.png", "its mask text.png: cannot be read"),
    ],
)
def test_a_row_at_fault_is_named_with_the_reason(folder: Path, line: str, words: str) -> None:
    (folder / "text.png").write_text("not a picture", "utf-8")
    (folder / "empty.png").write_bytes(b"")
    for kind in ("png", "jpg", "bmp", "webp"):
        cv2.imwrite(str(folder / f"whole.{kind}"), grey())
        whole = (folder / f"whole.{kind}").read_bytes()
        (folder / f"cut.{kind}").write_bytes(whole[: len(whole) // 2])
    with_nan = grey().astype(np.float32)
    with_nan[0, 0] = np.nan
    cv2.imwrite(str(folder / "nan.tif"), with_nan)
    cv2.imwrite(str(folder / "one.png"), grey(1, 1))
    cv2.imwrite(str(folder / "wide.png"), grey(10, 20_000))
    cv2.imwrite(str(folder / "small-mask.png"), grey(20, 28))
    png(folder / "huge.png", 2_000_000, 2_000_000, kind=0, data=b"")
    told = refused(folder, *GOOD, line)
    assert words in told
    assert "table.csv:5" in told


def test_the_first_row_is_named_and_the_others_are_counted(folder: Path) -> None:
    told = refused(folder, GOOD[0], GOOD[1], "x.png,benign,p4,", "y.png,benign,p5,", "z.png,normal,p6,")
    assert "table.csv:4 (x.png)" in told
    assert "(2 more rows are at fault)" in told


def test_a_declared_negative_is_known(folder: Path) -> None:
    rows = read_table(table(folder, *GOOD, "d.png,cyst,p4,"))
    check_rows(rows, labels=LABELS, negatives=["cyst"])
    with pytest.raises(BadConfig, match="--negative benign: is a label of the model"):
        check_rows(rows, labels=LABELS, negatives=["benign"])


def test_one_class_only_is_refused(folder: Path) -> None:
    assert "must hold two classes, they hold: benign" in refused(folder, GOOD[0])
    told = refused(folder, GOOD[0], GOOD[2], target="malignant")
    assert "must hold it and something else, they hold: benign, normal" in told


def test_a_group_on_two_sides_is_named(folder: Path) -> None:
    rows = read_table(table(folder, *GOOD, "d.png,benign,p1,"))
    check_apart({"fit": rows[:2], "dev": rows[2:3]})
    with pytest.raises(BadManifest, match=r"group 'p1': is on two sides, fit \(.*:2\) and dev \(.*:5\)"):
        check_apart({"fit": rows[:2], "dev": rows[2:]})


def test_a_table_without_any_group_stands_for_itself(folder: Path) -> None:
    rows = read_table(table(folder, "a.png,benign", "b.png,malignant", head="image,label"))
    check_rows(rows, labels=LABELS)
    assert [row.group for row in rows] == ["a.png", "b.png"]


def test_a_spreadsheets_table_is_read(folder: Path) -> None:
    path = folder / "sheet.csv"
    path.write_text("\ufeffimage, label ,patient\r\n a.png , benign ,p1\r\n\r\nb.png,malignant,p2\r\n", "utf-8")
    rows = read_table(path)
    assert [row.label for row in rows] == ["benign", "malignant"]
    assert [row.at.rpartition(":")[2] for row in rows] == ["2", "4"]
    check_rows(rows, labels=LABELS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image;label\na.png;benign\n", "lacks the column image, label"),
        ("image,label,label\na.png,benign,x\n", "has two columns 'label'"),
        ("image,label\na.png,benign,left, upper\n", "more cells than the table has columns"),
        ("image,label\na.png,\n", "table.csv:2: a row without an image or a label"),
        ('image,label\n"a.png,benign\n', "not a CSV"),
        ("image,label\n", "has no rows"),
        ("", "lacks the column"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(BadManifest) as caught:
        read_table(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("grey.png", 0),
        ("grey16.png", 0),
        ("colour.png", 0),
        ("colour16.png", 0),
        ("alpha.png", 0),
        ("palette.png", 0),
        ("grey-alpha.png", 0),
        ("grey.bmp", 0),
        ("colour.bmp", 0),
        ("grey.tif", 0),
        ("grey16.tif", 0),
        ("colour.tif", 0),
        ("colour.webp", 0),
        ("grey.jpg", 4),
        ("colour.jpg", 4),
        ("grey.pgm", 0),
        ("grey.jp2", 4),
    ],
)
def test_every_kind_of_file_gives_the_same_grey(tmp_path: Path, name: str, allowed: int) -> None:
    picture = grey(41, 57)
    path = tmp_path / name
    kinds: dict[str, NDArray[Any]] = {
        "grey": picture,
        "grey16": picture.astype(np.uint16) * 257,
        "colour": cv2.merge([picture] * 3),
        "colour16": cv2.merge([picture] * 3).astype(np.uint16) * 257,
        "alpha": cv2.merge([picture, picture, picture, np.full_like(picture, 7)]),
    }
    lines = [b"\0" + line.tobytes() for line in picture]
    if path.stem == "palette":
        shades = bytes(shade for level in range(256) for shade in (level, level, level))
        png(path, 41, 57, kind=3, data=b"".join(lines), palette=shades)
    elif path.stem == "grey-alpha":
        pairs = [b"\0" + np.stack([line, np.full_like(line, 9)], 1).tobytes() for line in picture]
        png(path, 41, 57, kind=4, data=b"".join(pairs))
    else:
        cv2.imwrite(str(path), kinds[path.stem])
    read = read_grey(path)
    assert read_size(path) == read.shape == (41, 57)
    assert int(np.abs(read.astype(int) - picture.astype(int)).max()) <= allowed
