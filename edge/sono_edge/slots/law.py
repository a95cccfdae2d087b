"""The law of an update: what was found of a candidate in, where it stands out. Pure; time comes as a figure.

                it is ours         golden, time and envelope hold     enough frames, both agree
    STAGED ───────────────> SELF_TEST ──────────────────────> SHADOW ──────────────────────> READY
       │                        │                                │                             │ no scan runs
       │ not for this board     │ wrong, slow, crashes, hangs    │ differs, crashes, hangs     v
       │ only the profile changes: ──────────────────────────> SHADOW (the network is the one that judges)
       └───────> REFUSED <──────┴────────────────────────────────┴───────────────────────── ACTIVE (on probation)
                                                                   (READY: golden in the      │             │
                                                                    agent's own process)      │ crash, hang,│ time and
                                                                                              │ slow,       │ frames
                                                                                              │ operator    │ enough
                                                                                              v             v
                                                                                         ROLLED_BACK <─── GOOD
                                                                                                 operator

REFUSED and ROLLED_BACK are final: the version is kept as refused and never tried again, unless the fault lies with
the moment (no room on the disk, damage on the way), which `Finding.lasting` tells. A candidate meets the frames
only in ACTIVE. News that does not belong to a stage (late, repeated, out of order) changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from sono_models.manifest import Bound

AGREEMENT_FLOOR, SHIFT_CEILING, RATIO_CEILING = 0.5, 0.5, 4.0
"""What no manifest can talk a board out of."""
STEADY_FRAMES = 60
"""Latencies that a median is taken of."""
STEADY_S = 20.0
"""A life this long was not ended by its start."""
SHORT_LIVES, LIVES = 2, 10
"""Unclean ends of a bundle on probation that are borne: in a row and short, and in all."""


class Stage(Enum):
    """See the module's diagram."""

    STAGED = "staged"
    SELF_TEST = "self-test"
    SHADOW = "shadow"
    READY = "ready"
    ACTIVE = "active"
    GOOD = "good"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"


ENDS = frozenset({Stage.ROLLED_BACK, Stage.REFUSED})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a candidate has to meet. From `[trial]`, tightened or loosened by its manifest: `with_bounds`."""

    latency_ratio: float = 1.5
    agreement: float = 0.9
    shift: float = 0.1
    shadow_frames: int = 200
    shadow_wait_s: float = 86_400.0
    probation_s: float = 600.0
    probation_frames: int = 3000
    probation_ratio: float = 2.0
    slow_s: float = 7.0
    """So long must it be slow at a stretch: a board is busy for a moment now and then."""
    hang_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands against a candidate."""

    code: str
    reason: str
    lasting: bool = True
    """The version itself is at fault."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """It was read whole and is meant for this board."""

    same_network: bool = False
    """Only the site profile changes: there is no second network to time, or to set against its golden vectors."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The self-test's figures. Times in ms, of the same inputs in turn in one process."""

    golden: float
    golden_allowed: float
    candidate_ms: float
    current_ms: float
    missed: tuple[str, ...] = ()
    """Of the envelope: what this release had to meet and did not."""

    @property
    def ratio(self) -> float:
        return self.candidate_ms / self.current_ms if self.current_ms > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Compared:
    """Both models on the same live frames, since the shadow began."""

    frames: int
    agreed: int
    """Frames on which both say the same of their own threshold."""
    shift: float
    """Mean of candidate minus current, calibrated scores."""
    waited_s: float

    @property
    def agreement(self) -> float:
        return self.agreed / self.frames if self.frames else 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Whether somebody scans now."""

    scanning: bool


@dataclass(frozen=True, slots=True)
class Served:
    """What the bundle on probation has done so far. Latencies: medians in ms, 0 while not known."""

    served_s: float
    frames: int
    beat_age_s: float
    latency_ms: float = 0.0
    before_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Lived:
    """Its starts that did not end well, this one with them."""

    short: int
    lives: int


News: TypeAlias = Admitted | Tried | Compared | Moment | Served | Lived | Finding
"""A Finding is what was found on the way: a crash, a hang, a file that changed, the operator's word."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a candidate stands, and what stands against it at an end."""

    stage: Stage = Stage.STAGED
    finding: Finding | None = None
    slow_from_s: float | None = None
    """The time served at which it became too slow, while it is."""


def with_bounds(limits: Limits, bounds: Iterable[Bound]) -> Limits:
    """A release says what it changes (`shadow.agreement`, `shadow.shift`, `latency.ratio`), within bounds."""
    for bound in bounds:
        if bound.metric == "shadow.agreement" and bound.at_least is not None:
            limits = replace(limits, agreement=max(AGREEMENT_FLOOR, bound.at_least))
        elif bound.metric == "shadow.shift" and bound.at_most is not None:
            limits = replace(limits, shift=min(SHIFT_CEILING, bound.at_most))
        elif bound.metric == "latency.ratio" and bound.at_most is not None:
            limits = replace(limits, latency_ratio=min(RATIO_CEILING, bound.at_most))
    return limits


def for_profile(limits: Limits) -> Limits:
    """A site profile is there to move scores and some decisions; one that turns every second decision is none."""
    return replace(limits, agreement=AGREEMENT_FLOOR, shift=1.0)


def advance(limits: Limits, course: Course, news: News) -> Course:
    """Where the candidate stands after the news."""
    if course.stage in ENDS:
        return course
    if isinstance(news, Finding):
        return _against(course, news)
    found, then = _judged(limits, course, news)
    if found is not None:
        return _against(course, found)
    if isinstance(news, Served) and then is Stage.ACTIVE and course.stage is then:
        return replace(course, slow_from_s=_slow_from(limits, course, news))
    return course if then is course.stage else Course(then)


def _judged(limits: Limits, course: Course, news: News) -> tuple[Finding | None, Stage]:
    """What stands against it, and where it goes when nothing does."""
    found: Finding | None = None
    then = course.stage
    match course.stage, news:
        case Stage.STAGED, Admitted(same_network=same):
            then = Stage.SHADOW if same else Stage.SELF_TEST
        case Stage.SELF_TEST, Tried():
            found, then = self_test(limits, news), Stage.SHADOW
        case Stage.SHADOW, Compared(frames=frames) if frames >= limits.shadow_frames:
            found, then = shadow(limits, news), Stage.READY
        case Stage.SHADOW, Compared():
            found = _waited(limits, news)
        case Stage.READY, Moment(scanning=False):
            then = Stage.ACTIVE
        case Stage.ACTIVE, Served():
            found, then = probation(limits, course, news), Stage.GOOD if _served(limits, course, news) else Stage.ACTIVE
        case Stage.ACTIVE, Lived():
            found = lives(news)
        case _:
            pass
    return found, then


def self_test(limits: Limits, tested: Tried) -> Finding | None:
    # written so that a NaN fails
    if not tested.golden <= tested.golden_allowed:
        words = f"differs from its golden vectors by {tested.golden:.4f}, allowed is {tested.golden_allowed:.4f}"
        return Finding("golden", words)
    if tested.missed:
        return Finding("envelope", f"did not meet what this release had to: {', '.join(tested.missed)}")
    if not tested.ratio <= limits.latency_ratio:
        words = f"takes {tested.ratio:.2f} times as long as the current bundle, allowed is {limits.latency_ratio:g}"
        return Finding("latency", words)
    return None


def shadow(limits: Limits, seen: Compared) -> Finding | None:
    if not abs(seen.shift) <= limits.shift:
        words = f"scores {seen.frames} live frames {seen.shift:+.3f} from the current bundle on average"
        return Finding("shadow-shift", f"{words}, at most {limits.shift:g} is allowed")
    if not seen.agreement >= limits.agreement:
        words = f"agrees with the current bundle on {seen.agreement:.1%} of {seen.frames} live frames"
        return Finding("shadow-agreement", f"{words}, at least {limits.agreement:.1%} is asked for")
    return None


def probation(limits: Limits, course: Course, served: Served) -> Finding | None:
    if served.beat_age_s > limits.hang_s:
        return Finding("hang", f"the frame loop stood still for {served.beat_age_s:.1f} s")
    since_s = _slow_from(limits, course, served)
    if since_s is not None and served.served_s - since_s >= limits.slow_s:
        words = f"median latency {served.latency_ms:.1f} ms after {served.before_ms:.1f} ms under the bundle before"
        return Finding("latency", f"{words}, allowed is {limits.probation_ratio:g} times")
    return None


def _slow_from(limits: Limits, course: Course, served: Served) -> float | None:
    known = served.before_ms > 0 and served.latency_ms > 0
    if not known or served.latency_ms <= served.before_ms * limits.probation_ratio:
        return None
    return served.served_s if course.slow_from_s is None else course.slow_from_s


def lives(lived: Lived) -> Finding | None:
    if lived.short > SHORT_LIVES:
        return Finding("crash-loop", f"the agent ended {lived.short} times within {STEADY_S:g} s of its start")
    if lived.lives > LIVES:
        return Finding("crash-loop", f"the agent ended uncleanly {lived.lives} times on probation")
    return None


def _served(limits: Limits, course: Course, served: Served) -> bool:
    """Long enough, on enough frames, and not slow just now."""
    if _slow_from(limits, course, served) is not None:
        return False
    return served.served_s >= limits.probation_s and served.frames >= limits.probation_frames


def _waited(limits: Limits, seen: Compared) -> Finding | None:
    if seen.waited_s <= limits.shadow_wait_s:
        return None
    words = f"{seen.frames} of {limits.shadow_frames} frames to compare on in {seen.waited_s / 3600:.1f} h"
    return Finding("no-frames", words, lasting=False)


def _against(course: Course, found: Finding) -> Course:
    met_frames = course.stage in {Stage.ACTIVE, Stage.GOOD}
    return Course(Stage.ROLLED_BACK if met_frames else Stage.REFUSED, found)
