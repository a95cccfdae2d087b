"""One frame through preprocess, gates, inference, aggregate and decide. Replay and the live loop share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sono_edge.alerts import score_interval
from sono_edge.decide import Decision, Event, Memory, Observation, acknowledge, step
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality, look, mean_grey, recognise, same_picture, thumbnail
from sono_models.inputs import Box, Grey, Placement, letterbox
from sono_models.manifest import Manifest
from sono_models.reader import Reader, Reading
from sono_models.saliency import MALIGNANT, Calibration

NOWHERE = Box(0.0, 0.0, 0.0, 0.0)
NotBreast = Callable[[Reading], float]
"""The probability that what was read is not the bundle's organ, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A frame before inference: placed, gated, and whether its picture stands still."""

    frame: Frame
    boxed: Grey
    placement: Placement
    quality: Quality
    reused: bool
    """The picture is the one that was scored before; so is its score."""
    frozen: bool
    ai_on: bool
    grey: float = 0.0

    @property
    def to_score(self) -> bool:
        return self.ai_on and self.quality.gate is Gate.PASS and not self.reused


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame and all that was made of it."""

    frame: Frame
    quality: Quality
    reading: Reading | None
    """None where nothing was scored: gated before inference, or AI off. NOT_BREAST is known only after it."""
    reused: bool
    decision: Decision
    seen: Observation
    """What the law was given: with it and the frames before, the decision can be made again."""
    placement: Placement
    """Where the picture lies in the model's input, and so in the reading's maps."""
    grey: float = 0.0
    """The picture's mean, 0 to 255."""


@dataclass(frozen=True, slots=True)
class Understood:
    """A reading, and what the bundle's heads make of it."""

    reading: Reading
    not_breast: float | None
    """None from a bundle without such a head."""
    thin: str
    """Why nothing can be said of it, in words."""


class Pipeline:
    """The stages between a source and its consumers, for the frames of one stream in order.

    `step` is `look`, inference and `judge` in one; a file's frames may be scored side by side between the two.
    """

    def __init__(self, reader: Reader, manifest: Manifest) -> None:
        self.ai_on = True
        self.memory = Memory()
        self.reader = reader
        self.manifest = manifest
        self._law, self._gates = manifest.law, manifest.gates
        self.not_breast = _not_breast(manifest)
        self.threshold = manifest.law.t_hi
        self._uncertainty = manifest.uncertainty
        self.interval = score_interval(
            manifest.uncertainty, manifest.calibration.get(manifest.labels[MALIGNANT], Calibration())
        )
        self._thumb: Grey | None = None
        self._still_since_s = 0.0
        self._was_scored = False
        self._understood: Understood | None = None

    def step(self, frame: Frame) -> Judged:
        """Judge one frame."""
        looked = self.look(frame)
        return self.judge(looked, self.reader.read_boxed(looked.boxed, looked.placement) if looked.to_score else None)

    def look(self, frame: Frame) -> Looked:
        """Preprocess and gates."""
        boxed, placement = letterbox(frame.picture, self.reader.spec)
        thumb = thumbnail(boxed)
        quality = look(boxed, thumb, placement, frame.coloured_share, self._gates)
        still = self._is_still(frame, thumb)
        passes = self.ai_on and quality.gate is Gate.PASS
        reused = passes and still and self._was_scored
        self._was_scored = passes
        frozen = still and frame.captured_s - self._still_since_s >= self._gates.frozen_s
        return Looked(frame, boxed, placement, quality, reused, frozen, self.ai_on, mean_grey(thumb, placement))

    def judge(self, looked: Looked, fresh: Reading | None) -> Judged:
        """Aggregate and decide; `fresh` is the reading of a frame that was to be scored."""
        if not looked.reused:
            self._understood = self._understand(fresh) if fresh else None
        seen = self._understood
        reading = seen.reading if seen else None
        quality = recognise(looked.quality, seen.not_breast if seen else None, self._gates)
        observation = Observation(
            looked.frame.captured_s,
            quality,
            reading.malignant if reading else 0.0,
            reading.box if reading else NOWHERE,
            fresh=not looked.reused,
            frozen=looked.frozen,
            ai_on=looked.ai_on,
            thin=seen.thin if seen else "",
        )
        self.memory, decision = step(self._law, self.memory, observation)
        return Judged(
            looked.frame, quality, reading, looked.reused, decision, observation, looked.placement, looked.grey
        )

    def _understand(self, reading: Reading) -> Understood:
        not_breast = self.not_breast(reading) if self.not_breast else None
        thin = self._uncertainty.thin(reading) if self._uncertainty else None
        return Understood(reading, not_breast, thin or "")

    def acknowledge(self, captured_s: float) -> tuple[Event, ...]:
        self.memory, events = acknowledge(self._law, self.memory, captured_s)
        return events

    def go_on_from(self, before: Pipeline) -> None:
        """Take a stream over from another bundle's pipeline, between two frames.

        The law goes on: the alert that stands, rests, the minute's count and numbers stay. Evidence does not: no
        alert rests on frames of two models, and a picture that stands still is scored anew.
        """
        self.ai_on = before.ai_on
        self.memory = replace(before.memory, window=(), hold=None)
        if before.reader.spec == self.reader.spec:
            self._thumb, self._still_since_s = before._thumb, before._still_since_s

    def _is_still(self, frame: Frame, thumb: Grey) -> bool:
        """Compared with the first picture that stood still, so that a slow sweep does not drift by unseen."""
        if self._thumb is not None and same_picture(thumb, self._thumb, self._gates):
            return True
        self._thumb, self._still_since_s = thumb, frame.captured_s
        return False


def _not_breast(manifest: Manifest) -> NotBreast | None:
    """None for a bundle that cannot tell its organ from others: that gate is off."""
    domain = manifest.heads.domain if manifest.heads else None
    if domain is None:
        return None
    return lambda reading: 0.0 if reading.embedding is None else 1.0 - domain.apply(reading.embedding)
