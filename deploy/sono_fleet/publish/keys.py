"""The keys that sign the repository: a folder that is kept away from it, the offline part of it away from any network.

`ring.json` says of every key whose it is and where its private half lies: a PEM file beside it (PKCS#8, mode
0600, encrypted where a passphrase is given) or a PKCS#11 token. A folder may hold only some of them: who
refreshes the repository needs the two online keys, nobody needs all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import CryptoSigner, HSMSigner, Key, Signer, SSlibKey

from sono_models.durable import on_disk, write_durably
from sono_models.envelope import PublicKey, make_keys
from sono_models.errors import BadConfig

_BRING_IT = "pip install 'sonoedge[token]', set PYKCS11LIB to the token's library, plug the token in"
RING = "ring.json"
RETIRED = "retired"
FILE, TOKEN = "file:", "hsm:"
ONLINE = ("snapshot", "timestamp")
"""Their keys lie on a machine that renews the metadata by itself, so they carry no passphrase."""


class Held(msgspec.Struct, frozen=True):
    """One key. `uri`: file:NAME.pem beside the ring, or hsm:… as securesystemslib writes it."""

    role: str
    uri: str
    keytype: str
    scheme: str
    public: str

    def key(self, keyid: str) -> Key:
        return SSlibKey(keyid, self.keytype, self.scheme, {"public": self.public})


class Ring(msgspec.Struct, frozen=True):
    keys: dict[str, Held] = {}


class KeyFolder:
    """Makes keys, and finds the signers that are here. Nothing is written before `save`.

    `pin` asks for a token's PIN.
    """

    def __init__(
        self, folder: Path, ring: Ring, passphrase: bytes | None = None, pin: Callable[[str], str] | None = None
    ) -> None:
        self.folder, self.ring = folder, ring
        self._passphrase, self._pin = passphrase, pin
        self._fresh: dict[str, bytes] = {}
        self._signers: dict[str, Signer] = {}
        self._gone: dict[str, bool] = {}

    @classmethod
    def opened(cls, folder: Path, passphrase: bytes | None = None, pin: Callable[[str], str] | None = None) -> Self:
        """Raises BadConfig when it is no folder of keys."""
        again = "Name the --keys of `sono fleet init`"
        try:
            ring = msgspec.json.decode((folder / RING).read_bytes(), type=Ring)
        except OSError as error:
            raise BadConfig(str(folder), f"holds no {RING} ({error.strerror})", again) from error
        except msgspec.DecodeError as error:
            raise BadConfig(str(folder / RING), f"not a ring of keys ({error})", again) from error
        return cls(folder, ring, passphrase, pin)

    def make(self, role: str, uri: str = "") -> Key:
        """A new key for a role, in a file or (hsm:…) the one that a token holds."""
        if uri:
            if not uri.startswith(TOKEN):
                raise BadConfig(uri, "not a PKCS#11 key", "Write hsm:KEYID?label=TOKEN")
            return self._from_token(role, uri)
        pair = make_keys(None if role in ONLINE else self._passphrase)
        public = msgspec.json.decode(pair.public, type=PublicKey)
        name = self._free_name(role)
        self._fresh[name] = pair.private
        return self._add(public.keyid, Held(role, FILE + name, public.keytype, public.scheme, public.keyval.public))

    def retire(self, keyid: str, *, destroy: bool) -> None:
        """Take a key out of use: its file goes to `retired/`, or is destroyed."""
        self._gone[keyid] = destroy

    def signers(self, keyids: Sequence[str]) -> list[Signer]:
        """Of these keys the ones whose private half is here. Raises BadConfig for one that cannot be used."""
        return [signer for keyid in keyids if (signer := self._signer(keyid)) is not None]

    def named(self, keyids: Sequence[str]) -> str:
        """How a person knows them."""
        return ", ".join(self.ring.keys[keyid].uri if keyid in self.ring.keys else keyid[:8] for keyid in keyids)

    def is_here(self, keyid: str) -> bool:
        held = self.ring.keys.get(keyid)
        return held is not None and (held.uri.startswith(TOKEN) or (self.folder / held.uri[len(FILE) :]).is_file())

    def save(self) -> None:
        """New keys onto the disk. Before the repository that needs them."""
        with on_disk(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, private in self._fresh.items():
                write_durably(self.folder / name, private, mode=0o600)
            write_durably(self.folder / RING, _text(self.ring), mode=0o600)
        self._fresh.clear()

    def drop_retired(self) -> None:
        """Old keys out of the folder. After the repository no longer needs them."""
        with on_disk(self.folder):
            for keyid, destroy in self._gone.items():
                held = self.ring.keys.get(keyid)
                if held is None or not held.uri.startswith(FILE):
                    continue
                path = self.folder / held.uri[len(FILE) :]
                if destroy:
                    _overwrite(path)
                elif path.is_file():
                    (self.folder / RETIRED).mkdir(mode=0o700, exist_ok=True)
                    path.rename(self.folder / RETIRED / path.name)
            left = {keyid: held for keyid, held in self.ring.keys.items() if keyid not in self._gone}
            self.ring = Ring(left)
            write_durably(self.folder / RING, _text(self.ring), mode=0o600)
        self._gone.clear()

    def _add(self, keyid: str, held: Held) -> Key:
        self.ring = Ring({**self.ring.keys, keyid: held})
        return held.key(keyid)

    def _free_name(self, role: str) -> str:
        taken = {held.uri for held in self.ring.keys.values()}
        places = (f"{role}-{number}.pem" for number in range(1, 10_000))
        return next(
            name
            for name in places
            if FILE + name not in taken
            and not (self.folder / name).exists()
            and not (self.folder / RETIRED / name).exists()
        )

    def _from_token(self, role: str, uri: str) -> Key:
        from urllib.parse import parse_qs, urlsplit  # noqa: PLC0415

        parts = urlsplit(uri)
        label = parse_qs(parts.query).get("label", [None])[0]
        try:
            found, key = HSMSigner.import_(int(parts.path) if parts.path else None, label, self._pin)
        except (SigningError, ValueError) as error:
            raise BadConfig(uri, str(error), _BRING_IT) from error
        return self._add(key.keyid, Held(role, found, key.keytype, key.scheme, key.keyval["public"]))

    def _signer(self, keyid: str) -> Signer | None:
        held = self.ring.keys.get(keyid)
        if held is None:
            return None
        if keyid not in self._signers:
            made = self._token_signer(keyid, held) if held.uri.startswith(TOKEN) else self._file_signer(keyid, held)
            if made is None:
                return None
            self._signers[keyid] = made
        return self._signers[keyid]

    def _token_signer(self, keyid: str, held: Held) -> Signer:
        try:
            return Signer.from_priv_key_uri(held.uri, held.key(keyid), self._pin)
        except (SigningError, ValueError) as error:
            raise BadConfig(held.uri, str(error), _BRING_IT) from error

    def _file_signer(self, keyid: str, held: Held) -> Signer | None:
        path = self.folder / held.uri[len(FILE) :]
        private = self._fresh.get(path.name)
        if private is None:
            if not path.is_file():
                return None
            if path.stat().st_mode & 0o077:
                raise BadConfig(str(path), "a private key that others may read", f"chmod 600 {path}")
            private = path.read_bytes()
        passphrase = None if held.role in ONLINE else self._passphrase
        try:
            return CryptoSigner(_ed25519(path, private, passphrase), SSlibKey.from_dict(keyid, _as_dict(held)))
        except (SigningError, ValueError) as error:
            raise BadConfig(str(path), "not the key that the ring says it is", "Put the right file there") from error


def _ed25519(path: Path, private: bytes, passphrase: bytes | None) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(private, passphrase)
    except TypeError as error:  # a passphrase is missing, or given for a key that has none
        raise BadConfig(str(path), str(error).rstrip("."), "Check --passphrase-file") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadConfig(str(path), "the passphrase is wrong, or it is no PEM", "Check --passphrase-file") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadConfig(str(path), "not an Ed25519 key", "Put the right file there")
    return key


def _as_dict(held: Held) -> dict[str, object]:
    return {"keytype": held.keytype, "scheme": held.scheme, "keyval": {"public": held.public}}


def _text(ring: Ring) -> bytes:
    return msgspec.json.format(msgspec.json.encode(ring, order="sorted"), indent=1) + b"\n"


def _overwrite(path: Path) -> None:
    """Destroyed as far as a file system lets one: a copy on a back-up is the operator's to find."""
    if not path.is_file():
        return
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
