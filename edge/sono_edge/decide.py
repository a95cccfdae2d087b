"""The alert law: frames' judgements in, states and alerts out. Pure; its only clock is the capture time.

Enter at M of the last N quality-passing frames above `t_hi` that point to one place; stay until nothing there is
above `t_lo` for `clear_s`; shown at least `shown_s`; one alert a track; a cool-down at the same place; at most
`per_minute`, then folded into a counter. A gated or frozen frame never raises. Every suppressed candidate is counted
(`Hold` says why). (Withholding detections of six frames or fewer removed 88 % of false activations in a published
study of live colonoscopy.)

The states of a stream, by the first rule that holds of a frame; any may follow any:

    no frame comes (the agent says so) ───────> DEGRADED
    AI switched off ──────────────────────────> AI_OFF
    a gate holds ─────────────────────────────> NO_SIGNAL, NO_CONTACT, LOW_QUALITY, GATED_*
    the picture has stood still for frozen_s ─> FROZEN
    an alert stands: its evidence is here ────> ALERT       (not yet seen)
                     gone, or it was seen ────> HELD
    M of N, but the place rests or the minute
    is full ──────────────────────────────────> COOLDOWN
    half of M above t_hi ─────────────────────> CANDIDATE
    M thin frames ────────────────────────────> CANT_SAY
    else ─────────────────────────────────────> SCANNING

And the life of an alert, which the states above show:

                    M of N above t_hi at one place,                below t_lo there for clear_s,
                    fresh, passing, place and minute free          and shown for shown_s
    SCANNING ──> CANDIDATE ──────────────────────────> ALERT <──> HELD ──────────────────> (rest of cooldown_s)
        ^            │ too few, or held back          above t_lo    below it, a gate,             │
        │            v (counted)                      again         or Seen                       v
        └────────────┴────────────────────────────────────────────────────────────────────── SCANNING

What points elsewhere than the alert that stands is not its evidence: it waits, counted, for that one to end, and then
is a track of its own. Evidence at a place that rests supports no alert anywhere.

A gate or AI_OFF empties the window (evidence does not reach across) and lets a standing alert run out; FROZEN and a
reused picture keep both as they are, since the evidence is still on the screen, and so never raise or clear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from sono_edge.aggregate import Evidence, Window, attention, blend, doubtful, interval, push, supporting
from sono_edge.gates import Gate, Quality
from sono_edge.scene import State
from sono_models.inputs import Box
from sono_models.law import AlertLaw
from sono_models.messages import Interval

UPDATE_STEP = 0.1
"""An alert is updated when its score rose by this much."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One frame as the law sees it. `score` and `box` count only when the frame is fresh and passes."""

    captured_s: float
    quality: Quality
    score: float
    box: Box
    fresh: bool = True
    """False when the picture is the one that was scored before."""
    frozen: bool = False
    ai_on: bool = True
    thin: str = ""
    """Why nothing can be said of this frame, in words; it counts toward no alert."""


@dataclass(frozen=True, slots=True)
class Track:
    """One raised alert, from its first frame to its clearing."""

    number: int
    box: Box
    first_seen_s: float
    raised_s: float
    supported_s: float
    """The last time its evidence stood at or above `t_lo`."""
    score: Interval
    m: int
    seen: bool = False


class Hold(Enum):
    """Why M of N above `t_hi` raise nothing, by the first that holds."""

    TRACK = "another alert stands"
    THIN = "too many of them say nothing"
    REST = "the place rests"
    MINUTE = "the minute is full"


@dataclass(frozen=True, slots=True)
class Rest:
    """A place that had its alert: nothing is raised there until then."""

    box: Box
    until_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """All that the law remembers between two frames."""

    window: Window = ()
    track: Track | None = None
    rests: tuple[Rest, ...] = ()
    raised_s: tuple[float, ...] = ()
    tracks: int = 0
    folded: int = 0
    suppressed: int = 0
    """Candidates that were held back, for whatever Hold, since the beginning."""
    hold: Hold | None = None
    """Why the candidate that stands raises nothing; it is counted once, however long it stands."""
    last_s: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A step in an alert's life, to be recorded and sent."""

    kind: Literal["raised", "updated", "acknowledged", "cleared"]
    track: Track
    captured_s: float
    n: int
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What this frame means."""

    state: State
    reason: str
    attention: float
    box: Box | None
    events: tuple[Event, ...] = ()


_GATED = {
    Gate.NO_SIGNAL: State.NO_SIGNAL,
    Gate.NO_CONTACT: State.NO_CONTACT,
    Gate.LOW_QUALITY: State.LOW_QUALITY,
    Gate.DOPPLER: State.GATED_DOPPLER,
    Gate.DUAL: State.GATED_DUAL,
    Gate.CALIPERS: State.GATED_CALIPERS,
    Gate.NOT_BREAST: State.GATED_NOT_BREAST,
}


def step(law: AlertLaw, memory: Memory, seen: Observation) -> tuple[Memory, Decision]:
    """The next memory, and what to show, record and send."""
    memory = _follow_clock(memory, seen)
    paused = _paused(seen)
    if paused is None and seen.fresh:
        evidence = Evidence(seen.captured_s, seen.score, seen.box, seen.thin)
        memory = replace(memory, window=push(memory.window, evidence, law))
    elif paused is not None and paused is not State.FROZEN:
        memory = replace(memory, window=())
    events: list[Event] = []
    memory = _keep_track(law, memory, seen, paused, events)
    if paused is None and seen.fresh:
        memory = _try_to_raise(law, memory, seen, events)
    state = paused or _state(law, memory, seen)
    return memory, Decision(
        state,
        _why_not(memory) if state is State.CANT_SAY else seen.quality.reason,
        0.0 if paused else attention(memory.window),
        memory.track.box if memory.track else None,
        tuple(events),
    )


def acknowledge(law: AlertLaw, memory: Memory, captured_s: float) -> tuple[Memory, tuple[Event, ...]]:
    """The sonographer has seen the alert. It stays, and stays on record."""
    if memory.track is None or memory.track.seen:
        return memory, ()
    track = replace(memory.track, seen=True)
    return replace(memory, track=track), (Event("acknowledged", track, captured_s, law.n),)


def _paused(seen: Observation) -> State | None:
    if not seen.ai_on:
        return State.AI_OFF
    if seen.quality.gate is not Gate.PASS:
        return _GATED[seen.quality.gate]
    return State.FROZEN if seen.frozen else None


def _follow_clock(memory: Memory, seen: Observation) -> Memory:
    """A stream whose time went back is a new stream: old evidence and rests do not reach into it."""
    if memory.last_s is not None and seen.captured_s < memory.last_s:
        track = memory.track
        if track is not None:
            track = replace(track, raised_s=seen.captured_s, supported_s=seen.captured_s)
        memory = replace(memory, window=(), rests=(), raised_s=(), track=track)
    return replace(memory, last_s=seen.captured_s)


def _keep_track(law: AlertLaw, memory: Memory, seen: Observation, paused: State | None, events: list[Event]) -> Memory:
    """Support, update or clear the alert that stands."""
    track = memory.track
    if track is None:
        return memory
    if paused is State.FROZEN or (paused is None and not seen.fresh):
        # the picture that carried the evidence is still on the screen
        return replace(memory, track=replace(track, supported_s=seen.captured_s))
    if paused is None and seen.score >= law.t_lo and same_place(track.box, seen.box, law):
        track = _supported(law, memory, track, seen, events)
        return replace(memory, track=track)
    silent_s = seen.captured_s - track.supported_s
    if silent_s < law.clear_s or seen.captured_s - track.raised_s < law.shown_s:
        return memory
    events.append(Event("cleared", track, seen.captured_s, law.n))
    rest = Rest(track.box, seen.captured_s + law.cooldown_s)
    return replace(memory, track=None, rests=(*memory.rests, rest))


def _supported(law: AlertLaw, memory: Memory, track: Track, seen: Observation, events: list[Event]) -> Track:
    track = replace(track, supported_s=seen.captured_s, box=blend(track.box, seen.box))
    strong = _together(supporting(memory.window, law), law)
    if len(strong) < law.m or interval(strong).value < track.score.value + UPDATE_STEP:
        return track
    track = replace(track, score=interval(strong), m=len(strong))
    events.append(Event("updated", track, seen.captured_s, law.n))
    return track


def _try_to_raise(law: AlertLaw, memory: Memory, seen: Observation, events: list[Event]) -> Memory:
    """Raise when M of N stand above `t_hi` at one place, unless something holds them back."""
    at = seen.captured_s
    rests = tuple(rest for rest in memory.rests if rest.until_s > at)
    raised_s = tuple(before for before in memory.raised_s if at - before < 60.0)
    memory = replace(memory, rests=rests, raised_s=raised_s)
    strong = _together(supporting(memory.window, law), law)
    free = tuple(one for one in strong if not any(same_place(rest.box, one.box, law) for rest in rests))
    hold = _hold(law, memory, strong, free)
    if hold is not None:
        first = memory.hold is None
        folded = memory.folded + int(hold is Hold.MINUTE and memory.hold is not Hold.MINUTE)
        return replace(memory, hold=hold, suppressed=memory.suppressed + int(first), folded=folded)
    memory = replace(memory, hold=None)
    if memory.track is not None or len(free) < law.m:
        return memory
    best = max(free, key=lambda one: one.score)
    number = memory.tracks + 1
    track = Track(number, best.box, free[0].captured_s, at, at, interval(free), len(free))
    events.append(Event("raised", track, at, law.n, memory.folded))
    return replace(memory, track=track, tracks=number, raised_s=(*raised_s, at), folded=0)


def _hold(law: AlertLaw, memory: Memory, strong: Window, free: Window) -> Hold | None:
    """What keeps a candidate from being an alert; None where there is no candidate, or nothing does."""
    track = memory.track
    if track is not None:
        elsewhere = sum(not same_place(track.box, one.box, law) for one in strong)
        return Hold.TRACK if elsewhere >= law.m else None
    if len(strong) < law.m:
        claims = tuple(one for one in memory.window if one.score >= law.t_hi)
        return Hold.THIN if len(_together(claims, law)) >= law.m else None
    if len(free) < law.m:
        return Hold.REST
    return Hold.MINUTE if len(memory.raised_s) >= law.per_minute else None


def _together(strong: Window, law: AlertLaw) -> Window:
    """Those at the newest one's place."""
    return tuple(one for one in strong if same_place(strong[-1].box, one.box, law))


def same_place(one: Box, other: Box, law: AlertLaw) -> bool:
    """The other's middle lies in the one, or they overlap by `same_place_iou`."""
    x, y = other.centre()
    inside = one.x0 <= x <= one.x1 and one.y0 <= y <= one.y1
    return inside or one.iou(other) >= law.same_place_iou


def _state(law: AlertLaw, memory: Memory, seen: Observation) -> State:
    track = memory.track
    if track is not None:
        return State.ALERT if track.supported_s >= seen.captured_s and not track.seen else State.HELD
    if memory.hold in (Hold.REST, Hold.MINUTE):
        return State.COOLDOWN
    if len(supporting(memory.window, law)) >= (law.m + 1) // 2:
        return State.CANDIDATE
    return State.CANT_SAY if len(doubtful(memory.window)) >= law.m else State.SCANNING


def _why_not(memory: Memory) -> str:
    """The newest thin frame's reason, without the state's own words before it."""
    return doubtful(memory.window)[-1].thin.partition(": ")[2]
