"""A signed file: one DSSE envelope with one Ed25519 signature, by securesystemslib (TUF's own library).

DSSE v1.0: https://github.com/secure-systems-lab/dsse. Its bytes are a function of its content, so that reading
one can insist on every bit, as with a bundle. To verify needs securesystemslib alone; to sign, its extra
`crypto`. Both are imported when a file is opened: an agent without a signed file never loads them.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sono_models.errors import BadConfig, BadProfile, Refused

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, Key

MAX_BYTES = 64 * 1024
KEY_MAX_BYTES = 4096
UNKNOWN_KEY, BAD_SIGNATURE = "unknown-key", "bad-signature"
"""`code` of a refusal: signed by another key than the one that is trusted; by that one, and wrong."""
_AGAIN = "Fetch the file again, or have it signed again"


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    sig: str


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"payload_type": "payloadType"}):
    """The envelope as DSSE writes it; in a message it travels as the event's data."""

    payload: str
    payload_type: str
    signatures: tuple[Signature]


class _KeyValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    public: str


class PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key as TUF's metadata writes it, with its id."""

    keyid: str
    keytype: str
    scheme: str
    keyval: _KeyValue


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`private`: PKCS#8 PEM, encrypted when a passphrase was given; `public`: JSON, for the devices."""

    private: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class Unsealed:
    """The payload of a signed file, verified, and the sha256 of the file."""

    payload: bytes
    sha256: str


def make_keys(passphrase: bytes | None = None) -> KeyPair:
    """A new Ed25519 pair. Raises BadConfig where the extra that signs is not installed."""
    _needs_crypto()
    from cryptography.hazmat.primitives import serialization as pem  # noqa: PLC0415  (see the module's docstring)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    lock = pem.BestAvailableEncryption(passphrase) if passphrase else pem.NoEncryption()
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, lock)
    public = CryptoSigner(key).public_key
    return KeyPair(private, _text({"keyid": public.keyid, **public.to_dict()}))


def seal(payload: bytes, kind: str, private: bytes, passphrase: bytes | None = None) -> bytes:
    """The signed file. Raises BadConfig for a key that cannot be used."""
    signer = _signer(private, passphrase)
    from securesystemslib.dsse import Envelope  # noqa: PLC0415

    envelope = Envelope(payload, kind, {})
    envelope.sign(signer)
    return _text(envelope.to_dict())


def unseal(path: Path, kind: str, public: Path) -> Unsealed:
    """A signed file of this kind, verified by a public key's file. Raises BadProfile, BadConfig."""
    # 1. no larger than it may be, and there
    return unseal_bytes(_content(path, MAX_BYTES, BadProfile, "Check the path"), kind, public, name=str(path))


def unseal_bytes(
    raw: bytes, kind: str, public: Path, *, name: str, refusal: type[Refused] = BadProfile, again: str = _AGAIN
) -> Unsealed:
    """The bytes of a signed file of this kind, verified by a public key's file. `name` is what a refusal calls
    it, `refusal` its class. Raises that, and BadConfig for the key.
    """
    key = _public(public)
    # 2. an envelope, in the one form that its content gives
    try:
        envelope = _envelope(raw)
    except ValueError as error:
        raise refusal(name, str(error), again) from error
    if envelope.payload_type != kind:
        raise refusal(name, f"holds {envelope.payload_type!r}, not {kind!r}", "Name another file")
    # 3. the signature, over the payload and its kind
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError  # noqa: PLC0415

    if key.keyid not in envelope.signatures:
        stranger = refusal(name, f"is not signed by {public.name}", "Name the key of the site that made it")
        stranger.code = UNKNOWN_KEY
        raise stranger
    try:
        envelope.verify([key], 1)
    except (VerificationError, UnverifiedSignatureError, ValueError) as error:
        forged = refusal(name, f"its signature by {public.name} is wrong (changed or forged)", again)
        forged.code = BAD_SIGNATURE
        raise forged from error
    return Unsealed(envelope.payload, hashlib.sha256(raw).hexdigest())


def text_of(sealed: Sealed) -> bytes:
    """The one form that a signed file of this content has."""
    return _text(msgspec.to_builtins(sealed))


def parsed(raw: bytes) -> Sealed:
    """A signed file as what a message carries. Raises msgspec.DecodeError when it is none. Verifies nothing."""
    return msgspec.json.decode(raw, type=Sealed)


def _envelope(raw: bytes) -> Envelope:
    """Raises ValueError."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415
    from securesystemslib.exceptions import Error  # noqa: PLC0415

    try:
        envelope = Envelope.from_dict(msgspec.to_builtins(parsed(raw)))
    except (msgspec.DecodeError, binascii.Error, Error, ValueError, KeyError) as error:
        raise ValueError(f"not a signed file ({error})") from error
    if _text(envelope.to_dict()) != raw:
        raise ValueError("its bytes are not what its content gives (damaged or rewritten)")
    return envelope


def _public(path: Path) -> Key:
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    again = "Name the .pub file of `sono model profile key`"
    raw = _content(path, KEY_MAX_BYTES, BadConfig, again)
    try:
        found = msgspec.json.decode(raw, type=PublicKey)
        if (found.keytype, found.scheme) != ("ed25519", "ed25519") or len(bytes.fromhex(found.keyval.public)) != 32:
            raise BadConfig(str(path), "not an Ed25519 public key", again)
        return SSlibKey(found.keyid, found.keytype, found.scheme, {"public": found.keyval.public})
    except (msgspec.DecodeError, ValueError) as error:
        raise BadConfig(str(path), f"not a public key ({error})", again) from error


def _signer(private: bytes, passphrase: bytes | None) -> CryptoSigner:
    _needs_crypto()
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    try:
        key = load_pem_private_key(private, passphrase)
    except TypeError as error:  # a passphrase is missing, or given for a key that has none
        raise BadConfig("the private key", str(error).rstrip("."), "Check --passphrase-file") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        reason = "the passphrase is wrong, or it is not a PEM private key"
        raise BadConfig("the private key", reason, "Make one with `sono model profile key`") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadConfig("the private key", "not an Ed25519 key", "Make one with `sono model profile key`")
    return CryptoSigner(key)


def _needs_crypto() -> None:
    try:
        import cryptography  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise BadConfig("signing", "needs the extra 'evaluate' or 'fleet'", "pip install 'sonoedge[fleet]'") from error


def _content(path: Path, most: int, refusal: type[BadConfig | BadProfile], next_step: str) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise refusal(str(path), error.strerror or "it cannot be read", next_step) from error
    if not 0 < len(raw) <= most:
        raise refusal(str(path), f"empty, or more than {most} bytes", next_step)
    return raw


def _text(content: object) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"
