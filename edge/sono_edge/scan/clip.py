"""A clip while it is being made, a picture at a time: its thread has other things to do in between.

A clip in one go is half a second of work, in which frames would pile up and the frame loop would have to share the
processor. A picture a frame costs a few ms each, and the clip is there three seconds after its capture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sono_edge.scan.kept import Cleaner
from sono_edge.scan.preroll import ClipFile, Still, decoded
from sono_edge.scan.store import Store, said
from sono_models.errors import SonoError

AFTER_S = 2.0
"""The seconds after a capture that its clip holds: whoever plays it sees the alert come up."""

OPEN_MOST = 4
"""More clips than these do not wait for one another: the oldest is made in one go, so that memory stays bounded."""
PAUSE_S = 0.05
"""Without a frame for so long, the next picture is worked on."""
SILENT_S = 1.0
"""Without a frame for so long, a clip waits for no more of them."""


class Clip:
    """Pictures of `stills`, and of those that are offered until `until_s`, into a file at `path`. Cleaned, in order."""

    def __init__(self, path: Path, stills: Iterable[Still], until_s: float) -> None:
        self.path = path
        self.from_s: float | None = None
        """When its first picture was captured; None while it has none."""
        self._until_s = until_s
        self._waiting = deque(stills)
        self._complete = False
        self._cleaner = Cleaner()
        self._file: ClipFile | None = None

    @property
    def busy(self) -> bool:
        """There is something to do now."""
        return bool(self._waiting)

    @property
    def done(self) -> bool:
        return self._complete and not self._waiting

    def offer(self, still: Still) -> None:
        """A picture that was captured since; one that is too late, or from before, completes the clip."""
        last_s = self._waiting[-1].captured_s if self._waiting else still.captured_s
        self._complete = self._complete or not last_s <= still.captured_s <= self._until_s
        if not self._complete:
            self._waiting.append(still)

    def complete(self) -> None:
        """No more pictures come."""
        self._complete = True

    def step(self) -> None:
        """Clean and write the oldest picture that waits; without a region it is left out. Raises OSError."""
        if not self._waiting:
            return
        still = self._waiting.popleft()
        picture = decoded(still)
        clean = None if picture is None else self._cleaner.storable(picture)
        if clean is None:
            return
        if self._file is None:
            self._file, self.from_s = ClipFile(self.path, still.captured_s, clean), still.captured_s
        self._file.add(still.captured_s, clean)

    def close(self) -> None:
        """Write the rest and the file's end. Raises OSError."""
        while self._waiting:
            self.step()
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is. Raises OSError."""
        self._waiting.clear()
        if self._file is not None:
            self._file.abandon()


@dataclass(frozen=True, slots=True)
class Made:
    """A clip that is in its place; `from_s` is None where none of its pictures could be stored, and there is none."""

    scan: str
    capture: str
    from_s: float | None


class Clips:
    """The clips that are being made, one after the other. Belongs to the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: deque[tuple[str, str, Clip]] = deque()

    @property
    def pending(self) -> bool:
        return bool(self._open)

    @property
    def full(self) -> bool:
        return len(self._open) >= OPEN_MOST

    @property
    def pause_s(self) -> float | None:
        """How long to wait for something else before `work`; None while there is none to do."""
        if not self._open:
            return None
        return PAUSE_S if self._open[0][2].busy else SILENT_S

    def begin(self, scan: str, capture: str, stills: Iterable[Still], until_s: float) -> None:
        """Raises SonoError when the disk takes nothing."""
        path = self._store.begin(scan, f"{capture}.mp4")
        self._open.append((scan, capture, Clip(path, stills, until_s)))

    def offer(self, still: Still) -> None:
        for _, _, clip in self._open:
            clip.offer(still)

    def work(self, *, idle: bool = False) -> Made | None:
        """A picture of the oldest clip; what was made, when that was its last. `idle`: no frame has come.

        Raises SonoError when the disk takes nothing: that clip is given up.
        """
        if not self._open:
            return None
        clip = self._open[0][2]
        if idle and not clip.busy:
            clip.complete()
        try:
            with said(clip.path.parent):
                clip.step()
        except BaseException:
            self._give_up()
            raise
        return self.close() if clip.done else None

    def close(self) -> Made:
        """Make the rest of the oldest clip in one go. Raises SonoError as `work` does."""
        scan, capture, clip = self._open[0]
        try:
            with said(clip.path.parent):
                clip.close()
            there = self._store.finish(scan, f"{capture}.mp4")
        except BaseException:
            self._give_up()
            raise
        self._open.popleft()
        return Made(scan, capture, clip.from_s if there else None)

    def _give_up(self) -> None:
        scan, capture, clip = self._open.popleft()
        with suppress(OSError):
            clip.abandon()
        with suppress(SonoError):
            self._store.drop(scan, f"{capture}.mp4")
