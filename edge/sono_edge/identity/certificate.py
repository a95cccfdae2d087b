"""Until when a certificate holds, and when it is to be renewed. Pure, but for reading the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sono_models.errors import BadConfig

RENEW_LEFT = 1 / 3
"""Of its time: then it is renewed, by its name up to a fifth of that later, so that a fleet does not come at once."""
SPREAD = 0.2
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Term:
    begins: datetime
    ends: datetime
    serial: str

    def days_left(self, now: datetime) -> float:
        """Below zero: it has ended."""
        return (self.ends - now) / timedelta(days=1)

    def renew_from(self) -> datetime:
        draw = int.from_bytes(hashlib.sha256(self.serial.encode()).digest()[:4]) / 2**32
        return self.ends - (self.ends - self.begins) * RENEW_LEFT * (1 - SPREAD * draw)


def term(path: Path) -> Term:
    """Of the first certificate in a PEM file. Raises BadConfig: it cannot be read, or `sonoedge[enrol]` is not here."""
    try:
        from cryptography import x509  # noqa: PLC0415  (8 MB of memory: only where there is a certificate)
    except ModuleNotFoundError as error:
        raise BadConfig(str(path), "to read it needs the extra 'enrol'", "pip install 'sonoedge[enrol]'") from error
    try:
        read = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise BadConfig(str(path), error.strerror or "cannot be read", "Enrol this board: sono enroll") from error
    except ValueError as error:
        raise BadConfig(str(path), "holds no certificate", "Enrol this board: sono enroll") from error
    return Term(read.not_valid_before_utc, read.not_valid_after_utc, f"{read.serial_number:x}")
