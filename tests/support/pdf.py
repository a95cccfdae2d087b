"""What a PDF of ours says, read from its bytes."""

from __future__ import annotations

import re
import zlib
from base64 import a85decode

STREAM = re.compile(rb"ASCII85Decode.*?stream\r?\n(.*?)endstream", re.DOTALL)
SHOWN = re.compile(rb"\(((?:\\.|[^\\)])*)\) Tj", re.DOTALL)
ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)


def words_of(pdf: bytes) -> str:
    """The shown strings of a PDF whose streams are base-85 and deflated, as ours are."""
    shown = (one for stream in STREAM.findall(pdf) for one in SHOWN.findall(_inflated(stream)))
    return " ".join(ESCAPED.sub(_plain, one).decode("cp1252").strip() for one in shown)


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(a85decode(stream.strip().removesuffix(b"~>")))
    except (zlib.error, ValueError):
        return b""  # a picture


def _plain(escaped: re.Match[bytes]) -> bytes:
    return bytes([int(escaped[1], 8)]) if len(escaped[1]) == 3 else escaped[1]
