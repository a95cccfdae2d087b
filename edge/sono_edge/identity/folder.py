"""The folder of this board's identity.

ca.pem           whom it trusts: the fleet's authority
device.pem       its certificate and its key, in one file (0600), so that a power cut leaves a pair that fits
enrolment.json   where it renews it
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sono_models.durable import on_disk, write_durably
from sono_models.errors import BadConfig

AUTHORITY, OWN, ENROLMENT = "ca.pem", "device.pem", "enrolment.json"
_ENROL = "Enrol this board: sono enroll --url … --code …"


class Enrolled(msgspec.Struct, frozen=True):
    url: str
    site: str
    device: str


class Identity:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.own = folder / AUTHORITY, folder / OWN

    def enrolled(self) -> Enrolled:
        """Raises BadConfig where this board never was."""
        path = self.folder / ENROLMENT
        try:
            return msgspec.json.decode(path.read_bytes(), type=Enrolled)
        except OSError as error:
            raise BadConfig(str(path), error.strerror or "cannot be read", _ENROL) from error
        except msgspec.DecodeError as error:
            raise BadConfig(str(path), f"it is damaged ({error})", _ENROL) from error

    def begin(self) -> None:
        """Find out that it takes files before a code is used up."""
        with on_disk(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self.folder / ".room", b"x" * 4096, mode=0o600)
            (self.folder / ".room").unlink()

    def keep(self, certificate: bytes, key: bytes) -> None:
        with on_disk(self.folder):
            write_durably(self.own, certificate.rstrip() + b"\n" + key, mode=0o600)

    def keep_all(self, authority: bytes, certificate: bytes, key: bytes, enrolled: Enrolled) -> None:
        """The certificate comes last: with it the identity is there."""
        with on_disk(self.folder):
            write_durably(self.authority, authority)
            write_durably(self.folder / ENROLMENT, msgspec.json.encode(enrolled) + b"\n")
        self.keep(certificate, key)
