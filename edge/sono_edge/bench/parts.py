"""A long benchmark's parts on disk as they are played, so that a run that was cut off goes on where it ended."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sono_edge.bench import timelines
from sono_edge.bench.timelines import Timeline
from sono_models.errors import BadConfig

Played = tuple[Timeline, tuple[int, ...]]
"""What the pipeline saw of a sweep, and the frames that raised an alert."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder of parts of one run. `key` tells the run: its bundle, its stills, its seeds."""

    folder: Path
    key: str

    def load(self, number: int) -> list[Played] | None:
        """What `keep` wrote; None where there is no such part. Raises BadConfig for a part of another run."""
        path = self._path(number)
        if not path.is_file():
            return None
        seen, about = timelines.load(path)
        if about.get("key") != self.key:
            raise BadConfig(str(path), "is a part of another run", "Remove the folder, or name other --observations")
        return list(zip(seen, map(tuple, about["raised"]), strict=True))

    def keep(self, number: int, played: list[Played]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"key": self.key, "raised": [raised for _, raised in played]}
        timelines.save(self._path(number), [timeline for timeline, _ in played], about)

    def drop(self) -> None:
        """Once all of it is in one file."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.npz"
