"""Wait for something that another thread or process brings about."""

from __future__ import annotations

import threading
from collections.abc import Callable


def until(true: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Return as soon as `true()` holds; fail after so many seconds."""
    beat = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if true():
            return
        beat.wait(0.02)
    raise AssertionError(f"it did not come within {seconds} s")
