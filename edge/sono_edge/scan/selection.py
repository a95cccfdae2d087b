"""Which frames are worth keeping by themselves. Pure; the clock is the capture time.

While a candidate or an alert stands the best frame (attention times quality) of each WINDOW_S is kept, so that
kept frames lie apart in time; a few a track, and so many a scan that someone will look at them all. A better
frame takes the place of the least. What a person captures is always kept, and is not counted here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sono_edge.scan.sight import Sight
from sono_edge.scene import State

WINDOW_S = 2.0
PER_TRACK, PER_SCAN = 3, 24
WORTH = frozenset({State.CANDIDATE, State.ALERT, State.HELD})


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame that was kept: its number in the order of choice, its track and its worth, 0 to 1."""

    number: int
    track: int
    worth: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What is remembered of one scan."""

    best: Sight | None = None
    """The best frame of the window that is open."""
    since_s: float = 0.0
    kept: tuple[Kept, ...] = ()
    chosen: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Keep this frame as `number`; `instead_of` is the number of one that makes room."""

    sight: Sight
    number: int
    instead_of: int | None


def worth(sight: Sight) -> float:
    return sight.attention * sight.quality


def consider(memory: Selection, sight: Sight) -> tuple[Selection, Choice | None]:
    """The next memory, and what is to be kept now that a window closed."""
    counts = sight.state in WORTH and sight.picture is not None
    if memory.best is None:
        return (replace(memory, best=sight, since_s=sight.captured_s), None) if counts else (memory, None)
    over = not 0 <= sight.captured_s - memory.since_s < WINDOW_S or sight.state not in WORTH
    if not over:
        better = counts and (worth(sight), sight.track) > (worth(memory.best), memory.best.track)
        return (replace(memory, best=sight) if better else memory), None
    memory, choice = close(memory)
    if counts:
        memory = replace(memory, best=sight, since_s=sight.captured_s)
    return memory, choice


def close(memory: Selection) -> tuple[Selection, Choice | None]:
    """The open window ends, as at the end of the scan."""
    best = memory.best
    memory = replace(memory, best=None)
    if best is None:
        return memory, None
    of_track = [one for one in memory.kept if one.track == best.track]
    if len(of_track) >= PER_TRACK:
        rivals = of_track
    elif len(memory.kept) >= PER_SCAN:
        rivals = list(memory.kept)
    else:
        return _keep(memory, best, None)
    least = min(rivals, key=lambda one: one.worth)
    return _keep(memory, best, least) if worth(best) > least.worth else (memory, None)


def _keep(memory: Selection, best: Sight, least: Kept | None) -> tuple[Selection, Choice]:
    number = memory.chosen + 1
    kept = (*(one for one in memory.kept if one is not least), Kept(number, best.track, worth(best)))
    choice = Choice(best, number, None if least is None else least.number)
    return replace(memory, kept=kept, chosen=number), choice
