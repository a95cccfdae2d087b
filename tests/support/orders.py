"""Desired documents to send, and a key that signs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sono_models import messages
from sono_models.desired import Desired, signed
from sono_models.envelope import KeyPair, make_keys, parsed
from sono_models.updates import Phase, UpdateReport

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
KEYS = make_keys()
OTHERS = make_keys()


def a_document(serial: int = 1, device: str = "board-1", *, version: str = "0.3.1") -> Desired:
    return Desired(
        site="demo",
        device=device,
        serial=serial,
        rollout="r1",
        bundle="breast",
        version=version,
        target=f"breast/stable/breast-{version}.tar",
        sha256="a" * 64,
        size=1000,
        not_before=AT,
        deadline=AT + timedelta(hours=1),
    )


def an_event(desired: Desired, keys: KeyPair = KEYS) -> bytes:
    """The message as the fleet sends it."""
    sealed = parsed(signed(desired, keys.private))
    return messages.encode("desired", sealed, source="/sono/fleet", event_id=f"desired/{desired.serial}", at=AT)


def public_key(folder: Path, keys: KeyPair = KEYS) -> Path:
    path = folder / "desired.pub"
    path.write_bytes(keys.public)
    return path


def a_report(phase: Phase = "offered", serial: int = 1) -> UpdateReport:
    return UpdateReport("r1", serial, "breast", "0.3.1", "a" * 64, phase, messages.rfc3339(AT))
