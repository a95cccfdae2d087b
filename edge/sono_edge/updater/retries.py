"""Trying again: what may heal, so many times, with ever longer waits and jitter. A no (4xx) is final."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from sono_edge.delivery import BackOff

log = logging.getLogger(__name__)

PATIENT = frozenset({408, 425, 429})
"""4xx that say "later", not "no": a whole fleet at once meets them."""
PROGRESS = 1 << 16
"""So many new bytes begin the count again: a server that cuts every few megabytes is slow, not gone."""

Result = TypeVar("Result")


class Retries:
    """`pause` waits so many seconds; it may raise to end the waiting."""

    def __init__(self, most: int, back_off: BackOff, pause: Callable[[float], None]) -> None:
        self._most, self._back_off, self._pause = most, back_off, pause

    def __call__(self, attempt: Callable[[], Result], *, position: Callable[[], int] = lambda: 0) -> Result:
        """The attempt's result, or its last error. `position`: how far it has come, in bytes."""
        failed, reached = 0, position()
        self._back_off.reset()
        while True:
            try:
                return attempt()
            except DownloadError as error:
                if position() - reached >= PROGRESS:
                    failed, reached = 0, position()
                    self._back_off.reset()
                failed += 1
                if not heals(error) or failed > self._most:
                    raise
                log.log(logging.WARNING if failed == 1 else logging.DEBUG, "updater: %s; it is tried again", error)
                self._pause(self._back_off.next_s())


def heals(error: DownloadError) -> bool:
    """Whether asking again may help."""
    if isinstance(error, DownloadHTTPError):
        return error.status_code >= 500 or error.status_code in PATIENT
    return not isinstance(error, DownloadLengthMismatchError)
