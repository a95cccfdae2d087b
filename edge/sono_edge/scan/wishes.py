"""Files that the page wants, from the thread that owns the store."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    scan: str
    name: str
    answer: Future[bytes | None]


class Wishes:
    """`ask` from any thread; `serve` from the store's."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Wish] = queue.SimpleQueue()

    def ask(self, scan: str, name: str) -> Future[bytes | None]:
        answer: Future[bytes | None] = Future()
        self._waiting.put(Wish(scan, name, answer))
        return answer

    def serve(self, read: Callable[[str, str], bytes | None]) -> None:
        """Answer all who still wait."""
        with suppress(queue.Empty):
            while True:
                wish = self._waiting.get_nowait()
                if wish.answer.set_running_or_notify_cancel():
                    wish.answer.set_result(read(wish.scan, wish.name))
