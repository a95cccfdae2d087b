"""The newest desired document on disk: what the uplink heard, whole and signed, for the updater to read.

Only a document that is signed for this very device and newer than the one on disk takes its place: a broker
that lies, repeats or reorders changes nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from sono_models import atomic, messages
from sono_models.desired import FILE, MAX_BYTES, Desired, opened
from sono_models.envelope import text_of
from sono_models.errors import BadOrder, Refused

log = logging.getLogger(__name__)

EVENT_MOST = 2 * MAX_BYTES


class DesiredFile:
    """`key` empty: no document is taken. Used by one process, the uplink."""

    def __init__(self, folder: Path, key: str, site: str, device: str) -> None:
        self.path = folder / FILE
        self._key, self._site, self._device = key, site, device
        self._serial: int | None = None

    def take(self, body: bytes) -> Desired | None:
        """Keep the document of a `desired` event, on disk when this returns; None when it is no newer.

        Raises BadOrder for what is not to be believed, BadConfig for the key, DiskFull.
        """
        if not self._key:
            raise BadOrder("a desired document", "update.desired_key is not set, so none is taken", "Set it")
        raw = _envelope(body)
        desired = self._opened(raw)
        if desired.serial <= self._last():
            log.debug("desired: serial %d is not newer than %d", desired.serial, self._last())
            return None
        with atomic.writing(self.path) as file:
            file.write(raw.decode())
        self._serial = desired.serial
        return desired

    def _last(self) -> int:
        """The serial on disk; 0 when there is none that can be believed."""
        if self._serial is None:
            try:
                self._serial = self._opened(self.path.read_bytes()).serial
            except FileNotFoundError:
                self._serial = 0
            except (OSError, Refused) as problem:
                log.warning("desired: %s is not believed: %s", self.path, problem)
                self._serial = 0
        return self._serial

    def _opened(self, raw: bytes) -> Desired:
        return opened(raw, Path(self._key), site=self._site, device=self._device)


def _envelope(body: bytes) -> bytes:
    """The signed file in an event, in its one form."""
    if len(body) > EVENT_MOST:
        raise BadOrder("a desired document", f"more than {EVENT_MOST} bytes", "Look at who writes to this topic")
    try:
        return text_of(messages.decode("desired", body).data)
    except msgspec.DecodeError as problem:
        raise BadOrder(
            "a desired document", f"not a signed document ({problem})", "Look at who writes to this topic"
        ) from problem
