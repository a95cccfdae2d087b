"""How large a picture in a file is, from its first bytes: a table of thousands is checked in seconds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

Size = tuple[int, int]
"""(height, width)."""

_TAIL = 4096


def read_size(path: Path) -> Size:
    """(height, width) of a PNG, JPEG, BMP, WebP or TIFF from its header, of any other by decoding it.

    Raises ValueError with the reason: empty, cut short, not a picture, floating point.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            reader = next((reader for sign, reader in _FORMATS if head.startswith(sign)), None)
            if not head:
                raise ValueError("the file is empty")
            if reader is not None:
                return reader(file, head)
    except OSError as error:
        raise ValueError(f"cannot be opened ({error.strerror})") from error
    except (struct.error, IndexError) as error:
        raise ValueError("cannot be read as an image, its header is damaged") from error
    return decoded_size(path)


def decoded_size(path: Path) -> Size:
    """The same by decoding, turned as the file's orientation says. Raises ValueError."""
    picture = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("cannot be read as an image")
    if picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(_NOT_WHOLE)
    return picture.shape[0], picture.shape[1]


_NOT_WHOLE = "holds numbers that are not whole 8 or 16 bit grey levels (and may hold NaN)"
_CUT = "the file is cut short"


def _png(file: BinaryIO, head: bytes) -> Size:
    width, height = struct.unpack(">II", head[16:24])
    if b"IEND" not in _tail(file):
        raise ValueError(_CUT)
    return height, width


def _jpeg(file: BinaryIO, _head: bytes) -> Size:
    if b"\xff\xd9" not in _tail(file):
        raise ValueError(_CUT)
    at = 2
    while True:
        file.seek(at)
        sign, kind, length = struct.unpack(">BBH", file.read(4))
        if sign != 0xFF:
            raise ValueError("cannot be read as an image, its header is damaged")
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:  # a start of frame
            _, height, width = struct.unpack(">BHH", file.read(5))
            return height, width
        at += 1 if kind == 0xFF else 2 + length  # 0xFF: a fill byte


def _bmp(file: BinaryIO, head: bytes) -> Size:
    said, header = struct.unpack("<I", head[2:6])[0], struct.unpack("<I", head[14:18])[0]
    if _length(file) < said:
        raise ValueError(_CUT)
    width, height = struct.unpack("<HH", head[18:22]) if header == 12 else struct.unpack("<ii", head[18:26])
    return abs(height), width


def _webp(file: BinaryIO, head: bytes) -> Size:
    if head[8:12] != b"WEBP":
        raise ValueError("cannot be read as an image")
    if _length(file) < struct.unpack("<I", head[4:8])[0] + 8:
        raise ValueError(_CUT)
    match head[12:16]:
        case b"VP8X":
            return int.from_bytes(head[27:30], "little") + 1, int.from_bytes(head[24:27], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        case _:
            width, height = struct.unpack("<HH", head[26:30])
            return height & 0x3FFF, width & 0x3FFF


def _tiff(file: BinaryIO, head: bytes) -> Size:
    order = "<" if head[:2] == b"II" else ">"
    file.seek(struct.unpack(f"{order}I", head[4:8])[0])
    (entries,) = struct.unpack(f"{order}H", file.read(2))
    tags = {}
    for _ in range(entries):
        tag, kind, count, _ = found = struct.unpack(f"{order}HHII", raw := file.read(12))
        tags[tag] = (kind, count, found[3], raw[8:12])
    if _first(file, order, tags.get(339)) == 3 or (_first(file, order, tags.get(258)) or 1) > 16:
        raise ValueError(_NOT_WHOLE)
    width, height = _first(file, order, tags.get(256)), _first(file, order, tags.get(257))
    if width is None or height is None:
        raise ValueError("cannot be read as an image, its header is damaged")
    return height, width


def _first(file: BinaryIO, order: str, entry: tuple[int, int, int, bytes] | None) -> int | None:
    """The first value of a TIFF entry: 16 bit (kind 3) or 32 bit, in the entry, or where it points."""
    if entry is None:
        return None
    kind, count, offset, inline = entry
    letter, size = ("H", 2) if kind == 3 else ("I", 4)
    if count * size > 4:
        file.seek(offset)
        inline = file.read(size)
    return int(struct.unpack(f"{order}{letter}", inline[:size])[0])


_FORMATS: tuple[tuple[bytes, Callable[[BinaryIO, bytes], Size]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)


def _length(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _tail(file: BinaryIO) -> bytes:
    file.seek(max(0, _length(file) - _TAIL))
    return file.read()
