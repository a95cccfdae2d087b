"""Where the frame path leaves the newest scene, and the page's side picks it up: one place, no queue."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sono_edge.scene import Scene
from sono_edge.view.record import held_record, scene_record

HELD_MOST_S = 1.0
"""A picture that was scored longer ago is not what one who holds it saw."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A scene with its place in the row of scenes (1, 2, …) and when it was shown, on the view's clock."""

    number: int
    scene: Scene
    at_s: float


class Stage:
    """One scene, the newest. `show` may be called from any thread; everything else belongs to the loop's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.newest: Shown | None = None
        self.watchers = 0
        self._clock = clock
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._rung = False
        self._encoded = (0, b"")
        self._scored: Shown | None = None
        self._held = (0, b"")

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Name the loop that waits for scenes; None when it is about to go."""
        self._loop = loop

    def show(self, scene: Scene) -> None:
        """Swap the newest scene and return; the loop is woken once, however many scenes it is behind."""
        self.newest = shown = Shown(next(self._numbers), scene, self._clock())
        if scene.saliency is not None:
            self._scored = shown
        if self._loop is None or not self.watchers or self._rung:
            return
        self._rung = True
        with suppress(RuntimeError):  # the loop has closed since: nobody is left to wake
            self._loop.call_soon_threadsafe(self._ring)

    def age_s(self) -> float | None:
        """Seconds since the newest scene was shown; None before the first."""
        return None if self.newest is None else self._clock() - self.newest.at_s

    async def wait_newer(self, than: int, within_s: float) -> None:
        """Return when there is a scene with a higher number than this, or after `within_s`."""
        bell = self._bell
        if self.newest is not None and self.newest.number > than:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await bell.wait()

    def record(self, shown: Shown) -> bytes:
        """The scene's bytes, made once for all who watch."""
        if self._encoded[0] != shown.number:
            self._encoded = (shown.number, scene_record(shown.scene, shown.number))
        return self._encoded[1]

    def held(self) -> bytes | None:
        """The newest scored picture with its saliency, encoded when asked for; None without one, or with an old one."""
        shown = self._scored
        if shown is None or self.now_s() - shown.at_s > HELD_MOST_S:
            return None
        scene = shown.scene
        if scene.picture is None or scene.saliency is None:
            return None
        if self._held[0] != shown.number:
            self._held = (shown.number, held_record(scene.picture, scene.frame_index, scene.saliency))
        return self._held[1]

    def now_s(self) -> float:
        """The clock that scenes' `arrived_s` and `at_s` are on."""
        return self._clock()

    def _ring(self) -> None:
        self._rung = False
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()
