"""Enrol this board, and renew its certificate. The key is made here and never leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sono_edge.identity.certificate import Term, term
from sono_edge.identity.client import Service
from sono_edge.identity.folder import Enrolled, Identity
from sono_edge.identity.invitation import Invitation
from sono_models.enrolment import EnrolRequest, RenewRequest
from sono_models.errors import BadConfig, BadOrder

CLOCK_MOST = timedelta(hours=12)
_AGAIN = "Ask for a new code: sono fleet enroll code"


@dataclass(frozen=True, slots=True)
class Renewal:
    renewed: bool
    term: Term


def enrol(identity: Identity, given: Invitation, site: str, device: str, now: datetime, *, proxy: str = "") -> Term:
    """Raises Refused or Unavailable; this board's identity, if it has one, is then as it was."""
    service = Service(given.url, proxy=proxy)
    identity.begin()
    served = service.authority(given.fingerprint)
    _check_clock(now, datetime.fromisoformat(served.at))
    key = ec.generate_private_key(ec.SECP256R1())
    made = service.enrol(served.authority, EnrolRequest(given.code, site, device, _request(key)))
    _check(made.certificate, key, served.authority.encode(), f"{site}.{device}", given.url)
    enrolled = Enrolled(given.url, site, device)
    identity.keep_all(served.authority.encode(), made.certificate.encode(), _pem(key), enrolled)
    return term(identity.own)


def renew(
    identity: Identity,
    clock: Callable[[], datetime],
    *,
    proxy: str = "",
    force: bool = False,
) -> Renewal:
    """If it is time. Raises Refused (ended, revoked: a new code is needed) or Unavailable (tried again)."""
    enrolled, held, now = identity.enrolled(), term(identity.own), clock()
    if held.days_left(now) <= 0:
        reason = f"it ended at {held.ends:%Y-%m-%d %H:%M} UTC, and the clock here says {now:%Y-%m-%d %H:%M}"
        raise BadOrder(str(identity.own), reason, f"Set the clock if it is wrong. {_AGAIN}")
    if not force and now < held.renew_from():
        return Renewal(renewed=False, term=held)
    key = ec.generate_private_key(ec.SECP256R1())
    service = Service(enrolled.url, proxy=proxy)
    made = service.renew(identity.authority, identity.own, RenewRequest(_request(key)))
    name = f"{enrolled.site}.{enrolled.device}"
    _check(made.certificate, key, identity.authority.read_bytes(), name, enrolled.url)
    identity.keep(made.certificate.encode(), _pem(key))
    return Renewal(renewed=True, term=term(identity.own))


def _check_clock(here: datetime, there: datetime) -> None:
    if abs(here - there) > CLOCK_MOST:
        reason = f"it says {here:%Y-%m-%d %H:%M}, the enrolment service {there:%Y-%m-%d %H:%M}"
        raise BadConfig("this board's clock", reason, "Set it (timedatectl), then use the same code again")


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    """Without a name: the authority writes that."""
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _check(pem: str, key: ec.EllipticCurvePrivateKey, authority: bytes, name: str, url: str) -> None:
    """That what came is ours: our key, our name, signed by whom we trust."""
    try:
        came = x509.load_pem_x509_certificate(pem.encode())
        came.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
        names = [str(part.value) for part in came.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, TypeError, InvalidSignature) as error:
        raise BadOrder(url, "the certificate that came is not by its authority", _AGAIN) from error
    if came.public_key() != key.public_key() or names != [name]:
        raise BadOrder(url, "the certificate that came is not for this board", _AGAIN)
