"""The fleet's certificate authority: one key that signs, in a folder that is kept to oneself.

    ca.pem        the authority's certificate; every board and broker gets it
    ca-key.pem    its key (0600, encrypted where a passphrase is given)
    crl.pem       what it has taken back

ECDSA on P-256 throughout: every TLS library and every hardware token has it.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sono_fleet.identity.names import Who
from sono_fleet.identity.requests import PublicKey
from sono_models.durable import on_disk, write_durably
from sono_models.errors import BadConfig

CERTIFICATE, KEY, REVOKED = "ca.pem", "ca-key.pem", "crl.pem"
EARLY = timedelta(hours=1)
"""A certificate holds since so long before now: clocks differ."""
CRL_EARLY = timedelta(minutes=1)
AUTHORITY_DAYS = 3650
CRL_DAYS = 30
"""A list older than that closes a broker's door to everybody: it is signed anew at each revocation and daily."""
_AGAIN = "Name the folder of `sono fleet ca init` with --ca"


@dataclass(frozen=True, slots=True)
class Issued:
    certificate: x509.Certificate
    line: str

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Revocation:
    serial: str
    at: datetime


class Authority:
    """Signs. `now` is an argument everywhere; a clock outside the authority's own time signs nothing (BadConfig)."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.folder, self.certificate = folder, certificate
        self._key = key

    @classmethod
    def made(cls, folder: Path, name: str, passphrase: bytes | None, now: datetime, days: int = AUTHORITY_DAYS) -> Self:
        """A new one. Raises BadConfig where there is one already."""
        if any((folder / file).exists() for file in (CERTIFICATE, KEY)):
            raise BadConfig(str(folder), "holds an authority already", "Choose another --ca")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject("SonoEdge fleet", name)
        certificate = (
            _builder(subject, subject, key.public_key(), now, now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        with on_disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(folder / KEY, _private(key, passphrase), mode=0o600)
            write_durably(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))
        made = cls(folder, certificate, key)
        made.revoke([], now)
        return made

    @classmethod
    def opened(cls, folder: Path, passphrase: bytes | None = None) -> Self:
        """Raises BadConfig for a folder that holds none, a key that others may read, or a wrong passphrase."""
        certificate, path = certificate_of(folder), folder / KEY
        try:
            if path.stat().st_mode & 0o077:
                raise BadConfig(str(path), "a private key that others may read", f"chmod 600 {path}")
            key = load_pem_private_key(path.read_bytes(), passphrase)
        except OSError as error:
            raise BadConfig(str(path), error.strerror or "cannot be read", _AGAIN) from error
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            reason = "the passphrase is wrong or missing, or it is no PEM key"
            raise BadConfig(str(path), reason, "Check --passphrase-file") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise BadConfig(str(path), f"not the key of {CERTIFICATE} beside it", "Put the right file there")
        return cls(folder, certificate, key)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.certificate)

    def client(self, who: Who, key: PublicKey, days: float, now: datetime, line: str = "") -> Issued:
        """For a device or a service; `line`: that of the certificate that this one renews."""
        serial = secrets.randbits(127) | 1 << 126
        line = line or f"{serial:x}"
        names = [x509.UniformResourceIdentifier(who.uri(line))]
        subject = _subject(who.organisation, who.common_name)
        return Issued(self._sign(subject, key, names, ExtendedKeyUsageOID.CLIENT_AUTH, serial, days, now), line)

    def server(self, names: Sequence[str], key: PublicKey, days: float, now: datetime) -> Issued:
        """For a broker, or for the enrolment service; `names`: host names and addresses that clients connect to."""
        serial = secrets.randbits(127) | 1 << 126
        subject = _subject("SonoEdge server", names[0])
        hosts = [_host(name) for name in names]
        return Issued(
            self._sign(subject, key, hosts, ExtendedKeyUsageOID.SERVER_AUTH, serial, days, now), f"{serial:x}"
        )

    def revoke(self, revoked: Iterable[Revocation], now: datetime) -> None:
        """Write the list of what is taken back. A younger list always says so, by its time and its number."""
        begins = max(self._in_time(now) - CRL_EARLY, self._last_list() + timedelta(seconds=1)).replace(microsecond=0)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begins)
            .next_update(now + timedelta(days=CRL_DAYS))
            .add_extension(x509.CRLNumber(int(begins.timestamp())), critical=False)
            .add_extension(_identifier_of(self.certificate), critical=False)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16)).revocation_date(one.at)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(self._key, hashes.SHA256())
        with on_disk(self.folder):
            write_durably(self.folder / REVOKED, signed.public_bytes(Encoding.PEM))

    def _sign(
        self,
        subject: x509.Name,
        key: PublicKey,
        names: Sequence[x509.GeneralName],
        use: x509.ObjectIdentifier,
        serial: int,
        days: float,
        now: datetime,
    ) -> x509.Certificate:
        ends = min(self._in_time(now) + timedelta(days=days), self.certificate.not_valid_after_utc)
        builder = _builder(subject, self.certificate.subject, key, now, ends, serial)
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_identifier_of(self.certificate), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _in_time(self, now: datetime) -> datetime:
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if not begins <= now < ends:
            reason = f"it holds from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}, and the clock here says {now:%Y-%m-%d}"
            raise BadConfig(str(self.folder / CERTIFICATE), reason, "Set the clock; or make a new authority")
        return now

    def _last_list(self) -> datetime:
        path = self.folder / REVOKED
        if not path.exists():
            return self.certificate.not_valid_before_utc
        try:
            return x509.load_pem_x509_crl(path.read_bytes()).last_update_utc
        except (OSError, ValueError) as error:
            raise BadConfig(str(path), "not a list of revoked certificates", "Move it away, run it again") from error


def certificate_of(folder: Path) -> x509.Certificate:
    """The public half. Raises BadConfig."""
    path = folder / CERTIFICATE
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise BadConfig(str(path), error.strerror or "cannot be read", _AGAIN) from error
    except ValueError as error:
        raise BadConfig(str(path), "not a certificate (PEM)", _AGAIN) from error


def fingerprint_of(certificate: x509.Certificate) -> str:
    return f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


def a_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _private(key, None)


def _private(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    how: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def _subject(organisation: str, name: str) -> x509.Name:
    pairs = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime, ends: datetime, serial: int = 0
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier_of(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise BadConfig(f"--name {name}", "not a host name or an address", "Write it as clients connect") from error
