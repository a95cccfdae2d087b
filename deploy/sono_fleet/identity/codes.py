"""One-time codes, and what a QR of one says. Pure but for chance.

120 random bits: nobody guesses one, so its plain sha256 may lie in a database.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import urlencode

BYTES = 15
GROUP = 4
SCHEME = "sono-enrol"


def fresh() -> str:
    """24 letters and digits in groups of four; none of 0, 1, 8 and 9, so none looks like another."""
    letters = base64.b32encode(secrets.token_bytes(BYTES)).decode()
    return "-".join(letters[at : at + GROUP] for at in range(0, len(letters), GROUP))


def hashed(code: str) -> str:
    """Of what a person typed: spaces, dashes and small letters do not matter."""
    return hashlib.sha256("".join(code.split()).replace("-", "").upper().encode()).hexdigest()


def qr_text(url: str, code: str, fingerprint: str) -> str:
    """Where to go, with what, and whom to trust there: all that a new board needs."""
    return f"{SCHEME}:?{urlencode({'v': 1, 'url': url, 'code': code, 'ca': fingerprint})}"
