"""The desired document: what the fleet wants one device to run. Signed, so that a broker that lies can only delay it.

It travels as the `desired` message (retained); the device keeps the newest one, whole and signed, as
`desired.json`. `serial` grows per device: an older or an equal one changes nothing, so late, repeated and
reordered messages are harmless.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from sono_models.envelope import seal, unseal_bytes
from sono_models.errors import BadOrder

KIND = "application/vnd.sonoedge.desired+json"
"""The payload's type, which the signature covers too."""
FILE = "desired.json"
"""Its name in the device's state folder."""
MAX_BYTES = 16 * 1024
_AGAIN = "The fleet has to send it again"

Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Version = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
NoDigest = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
TargetPath = Annotated[str, msgspec.Meta(max_length=300)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Serial = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class Desired(msgspec.Struct, frozen=True):
    """The signed payload. What a newer fleet adds, an older device ignores."""

    site: Name
    device: Name
    serial: Serial
    rollout: Name
    bundle: Name
    """The bundle's name; with `version` it says which."""
    version: Version
    target: TargetPath
    """The path of the TUF target, such as `breast/stable/breast-0.3.1.tar`."""
    sha256: Digest
    size: Size
    not_before: Moment
    deadline: Moment
    profile_target: TargetPath = ""
    """The site profile that goes with it; empty is the bundle's own threshold and limits."""
    profile_sha256: NoDigest = ""
    cancelled: bool = False
    """Leave what is under way; what runs, stays."""


def signed(desired: Desired, private: bytes, passphrase: bytes | None = None) -> bytes:
    """The file as the device keeps it. Raises BadConfig for a key that cannot be used."""
    return seal(msgspec.json.encode(desired), KIND, private, passphrase)


def opened(raw: bytes, public: Path, *, site: str, device: str) -> Desired:
    """A document for this very device, whose signature by this public key holds.

    Raises BadOrder for every other, BadConfig for the key. Whether it is due or too late is not asked here.
    """
    name = "the desired document"
    if not 0 < len(raw) <= MAX_BYTES:
        raise BadOrder(name, f"empty, or more than {MAX_BYTES} bytes", _AGAIN)
    unsealed = unseal_bytes(raw, KIND, public, name=name, refusal=BadOrder, again=_AGAIN)
    try:
        desired = msgspec.json.decode(unsealed.payload, type=Desired)
    except msgspec.DecodeError as error:
        raise BadOrder(name, f"signed, but not one that this agent reads ({error})", "Update the agent") from error
    if (desired.site, desired.device) != (site, device):
        reason = f"it is for {desired.site}/{desired.device}, this is {site}/{device}"
        raise BadOrder(name, reason, "Look at who writes to this device's topics")
    return desired


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the payload."""
    return msgspec.json.schema(Desired)
