"""The authority's public files as a broker gets them, looked at first."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from sono_fleet.identity.authority import CERTIFICATE, REVOKED, certificate_of
from sono_models.errors import BadConfig

LEFT = timedelta(days=2)
_SIGN = "Sign it anew: sono fleet enroll crl"


def checked_list(folder: Path, now: datetime) -> dict[str, str | bytes]:
    """`ca.pem` and `crl.pem`. Raises BadConfig for a list that is not this authority's or ends within two days:
    a broker would refuse everybody.
    """
    authority, path = certificate_of(folder), folder / REVOKED
    try:
        raw = path.read_bytes()
        listed = x509.load_pem_x509_crl(raw)
    except OSError as error:
        raise BadConfig(str(path), error.strerror or "cannot be read", _SIGN) from error
    except ValueError as error:
        raise BadConfig(str(path), "not a list of revoked certificates", _SIGN) from error
    if not listed.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]
        raise BadConfig(str(path), "not signed by the authority beside it", _SIGN)
    ends = listed.next_update_utc
    if ends is None or ends - now < LEFT:
        raise BadConfig(str(path), f"it ends at {ends}", _SIGN)
    return {CERTIFICATE: (folder / CERTIFICATE).read_bytes(), REVOKED: raw}
