"""What the pipeline saw of a played stream, frame by frame, and the alert law over it again without the network."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_edge.bench.scenarios import CAUSES, Cause
from sono_edge.decide import Memory, Observation, step
from sono_edge.gates import Gate, Quality
from sono_models.errors import BadSource
from sono_models.inputs import Box
from sono_models.law import AlertLaw

Kind = Literal["lesion", "free"]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
GATES = tuple(Gate)
_PASS = GATES.index(Gate.PASS)
_NONE = CAUSES.index(Cause.NONE)
_COLUMNS = ("captured_s", "score", "box", "gate", "thin", "fresh", "frozen", "truth", "cause")


@dataclass(frozen=True, slots=True)
class Timeline:
    """One sweep or scan; the arrays hold a row a frame. Boxes are (n, 4), NaN for none."""

    kind: Kind
    group: str
    label: str
    captured_s: Floats
    score: Floats
    box: Floats
    gate: NDArray[np.uint8]
    """Index into GATES."""
    thin: Flags
    fresh: Flags
    frozen: Flags
    truth: Floats
    """The box of the lesion's part in view."""
    cause: NDArray[np.uint8]
    """Index into CAUSES: what the frame is known to hold, whatever the gates made of it."""

    def __len__(self) -> int:
        return len(self.captured_s)

    @property
    def plain(self) -> Flags:
        """Frames that nothing is known to stand in the way of."""
        return np.asarray(self.cause == _NONE)

    @property
    def visible(self) -> Flags:
        """Frames that show the lesion and are plain."""
        return np.asarray(~np.isnan(self.truth[:, 0]) & self.plain)

    @property
    def passing(self) -> Flags:
        """Frames that the pipeline let through."""
        return np.asarray((self.gate == _PASS) & ~self.frozen)

    @property
    def telling(self) -> Flags:
        """Frames that passed and whose evidence is not thin."""
        return np.asarray(self.passing & ~self.thin)

    def observations(self) -> list[Observation]:
        """What the law was given."""
        columns = (self.captured_s, self.score, self.box, self.gate, self.thin, self.fresh, self.frozen)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            Observation(at, _QUALITY[gate], score, Box(*box), fresh=fresh, frozen=frozen, thin="thin" if thin else "")
            for at, score, box, gate, thin, fresh, frozen in rows
        ]


_QUALITY = tuple(Quality(gate, "", 1.0) for gate in GATES)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the law put on the screen, a row a frame: `track` is 0 and `box` NaN where there was nothing."""

    box: Floats
    track: NDArray[np.int64]
    raised: tuple[int, ...]
    """The frames that raised an alert."""


@dataclass(slots=True)
class Recording:
    """A timeline while it is being played."""

    frames: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, seen: Observation, truth: Box | None, cause: Cause) -> None:
        box = msgspec.structs.astuple(seen.box)
        there = msgspec.structs.astuple(truth) if truth else (np.nan,) * 4
        gate, why = GATES.index(seen.quality.gate), CAUSES.index(cause)
        self.frames.append(
            (seen.captured_s, seen.score, box, gate, bool(seen.thin), seen.fresh, seen.frozen, there, why)
        )

    def timeline(self, kind: Kind, group: str, label: str) -> Timeline:
        kinds = (np.float64, np.float64, np.float64, np.uint8, np.bool_, np.bool_, np.bool_, np.float64, np.uint8)
        typed = zip(zip(*self.frames, strict=True), kinds, strict=True)
        return Timeline(kind, group, label, *(np.asarray(column, dtype) for column, dtype in typed))


def judge(law: AlertLaw, timeline: Timeline, seen: Sequence[Observation]) -> Shown:
    """The law over a timeline; `seen` are its `observations()`. Where nothing can be raised it is not walked."""
    box, track = np.full((len(timeline), 4), np.nan), np.zeros(len(timeline), np.int64)
    memory, raised, after = Memory(), [], -1
    for start, hot in _hot(law, timeline):
        at = max(start, after + 1)
        if at > after + 1:
            memory = replace(memory, window=())  # what was passed over would have pushed it out
        while at < len(seen) and (at <= hot or memory.track is not None or memory.hold is not None):
            memory, decision = step(law, memory, seen[at])
            if decision.box is not None and memory.track is not None:
                box[at], track[at] = msgspec.structs.astuple(decision.box), memory.track.number
            if any(event.kind == "raised" for event in decision.events):
                raised.append(at)
            after, at = at, at + 1
    return Shown(box, track, tuple(raised))


def _hot(law: AlertLaw, timeline: Timeline) -> Iterator[tuple[int, int]]:
    """The frames at which M of N may stand above `t_hi`, each with the first frame of its N."""
    taken = np.flatnonzero(timeline.passing & timeline.fresh)
    above = np.concatenate([[0], np.cumsum(timeline.score[taken] >= law.t_hi)])
    first = np.maximum(np.arange(len(taken)) - law.n + 1, 0)
    many = above[1:] - above[first] >= law.m
    for index in np.flatnonzero(many).tolist():
        yield int(taken[first[index]]), int(taken[index])


def overlap(shown: Floats, truth: Floats, *, iou: float = 0.1) -> Flags:
    """Row by row: the first box's middle lies in the second, or they meet by so much. False where one is NaN."""
    low, high = np.maximum(shown[:, :2], truth[:, :2]), np.minimum(shown[:, 2:], truth[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = [np.prod(np.clip(one[:, 2:] - one[:, :2], 0, None), axis=1) for one in (shown, truth)]
    middle = (shown[:, :2] + shown[:, 2:]) / 2
    inside = ((middle >= truth[:, :2]) & (middle <= truth[:, 2:])).all(axis=1)
    return np.asarray(inside | (shared > iou * (areas[0] + areas[1] - shared)))


def save(path: Path, timelines: Sequence[Timeline], about: dict[str, Any]) -> None:
    """Write every observation as a compressed .npz; `about` says what they are of."""
    arrays = {name: np.concatenate([getattr(one, name) for one in timelines]) for name in _COLUMNS}
    streams = [(one.kind, one.group, one.label, len(one)) for one in timelines]
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(file, about=json.dumps({"streams": streams, **about}), **arrays)  # type: ignore[arg-type]
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> tuple[list[Timeline], dict[str, Any]]:
    """What `save` wrote. Raises BadSource for anything else."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            arrays = [stored[name] for name in _COLUMNS]
        return list(_cut(arrays, about.pop("streams"))), about
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BadSource(str(path), f"not what --observations writes ({error})", "Make it again") from error


def _cut(arrays: Sequence[NDArray[Any]], streams: Sequence[tuple[Kind, str, str, int]]) -> Iterator[Timeline]:
    begin = 0
    for kind, group, label, length in streams:
        yield Timeline(kind, group, label, *(array[begin : begin + length] for array in arrays))
        begin += length
