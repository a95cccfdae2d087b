"""What a board is given to enrol with: where to go, a one-time code, and whom to trust there. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from sono_models.errors import BadConfig

_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_AS_PRINTED = "Copy it as `sono fleet enroll code` printed it"


@dataclass(frozen=True, slots=True)
class Invitation:
    url: str
    code: str
    fingerprint: str
    """sha256:… of the authority's certificate (DER)."""


def invitation(url: str, code: str, fingerprint: str, qr_text: str) -> Invitation:
    """From the three, or from what a QR code says. Raises BadConfig."""
    if qr_text:
        if url or code or fingerprint:
            raise BadConfig("--qr-text", "it holds url, code and fingerprint already", "Leave the others out")
        found = _from_qr(qr_text)
    else:
        found = Invitation(url, code, fingerprint.strip().lower().replace(" ", ""))
    for option, value in (("--url", found.url), ("--code", found.code), ("--ca-fingerprint", found.fingerprint)):
        if not value:
            raise BadConfig(option, "it is missing", _AS_PRINTED)
    checked_url(found.url)
    if not _FINGERPRINT.fullmatch(found.fingerprint):
        raise BadConfig(
            f"--ca-fingerprint {found.fingerprint:.80}", "not sha256: and 64 hexadecimal digits", _AS_PRINTED
        )
    return found


def checked_url(url: str) -> tuple[str, int]:
    """Host and port. Raises BadConfig."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError as error:
        raise BadConfig(f"--url {url}", str(error), _AS_PRINTED) from error
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadConfig(f"--url {url}", "not https://HOST:PORT", _AS_PRINTED)
    return parts.hostname, port


def _from_qr(text: str) -> Invitation:
    scheme, _, query = text.strip().partition(":?")
    values = parse_qs(query)
    if scheme != "sono-enrol" or values.get("v") != ["1"]:
        raise BadConfig("--qr-text", "not the text of an enrolment code (sono-enrol:?v=1…)", _AS_PRINTED)
    url, code, fingerprint = (values.get(name, [""])[0] for name in ("url", "code", "ca"))
    return Invitation(url, code, fingerprint)
