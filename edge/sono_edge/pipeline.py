"""One frame through preprocess, gates, inference, aggregate and decide. Replay and the live loop share it."""

from __future__ import annotations

from dataclasses import dataclass

from sono_edge.decide import Decision, Event, Memory, Observation, acknowledge, step
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality, look, same_picture, thumbnail
from sono_models.inputs import Box, Grey, Placement, letterbox
from sono_models.manifest import Manifest
from sono_models.reader import Reader, Reading

NOWHERE = Box(0.0, 0.0, 0.0, 0.0)


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

    @property
    def to_score(self) -> bool:
        return self.ai_on and self.quality.gate is Gate.PASS and not self.reused


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame and all that was made of it."""

    frame: Frame
    quality: Quality
    reading: Reading | None
    """None where nothing was scored: gated before inference, or AI off."""
    reused: bool
    decision: Decision


class Pipeline:
    """The stages between a source and its consumers, for the frames of one stream in order.

    `step` is `look`, inference and `judge` in one; a file's frames may be scored side by side between the two.
    """

    def __init__(self, reader: Reader, manifest: Manifest) -> None:
        self.ai_on = True
        self.memory = Memory()
        self.reader = reader
        self._law, self._gates = manifest.law, manifest.gates
        self.threshold = manifest.law.t_hi
        self._thumb: Grey | None = None
        self._still_since_s = 0.0
        self._was_scored = False
        self._reading: Reading | None = None

    def step(self, frame: Frame) -> Judged:
        """Judge one frame."""
        looked = self.look(frame)
        return self.judge(looked, self.reader.read_boxed(looked.boxed, looked.placement) if looked.to_score else None)

    def look(self, frame: Frame) -> Looked:
        """Preprocess and gates."""
        boxed, placement = letterbox(frame.picture, self.reader.spec)
        thumb = thumbnail(boxed)
        quality = look(thumb, placement, frame.coloured_share, self._gates)
        still = self._is_still(frame, thumb)
        passes = self.ai_on and quality.gate is Gate.PASS
        reused = passes and still and self._was_scored
        self._was_scored = passes
        frozen = still and frame.captured_s - self._still_since_s >= self._gates.frozen_s
        return Looked(frame, boxed, placement, quality, reused, frozen, self.ai_on)

    def judge(self, looked: Looked, fresh: Reading | None) -> Judged:
        """Aggregate and decide; `fresh` is the reading of a frame that was to be scored."""
        self._reading = reading = self._reading if looked.reused else fresh
        seen = Observation(
            looked.frame.captured_s,
            looked.quality,
            reading.malignant if reading else 0.0,
            reading.box if reading else NOWHERE,
            fresh=not looked.reused,
            frozen=looked.frozen,
            ai_on=looked.ai_on,
        )
        self.memory, decision = step(self._law, self.memory, seen)
        return Judged(looked.frame, looked.quality, reading, looked.reused, decision)

    def acknowledge(self, captured_s: float) -> tuple[Event, ...]:
        self.memory, events = acknowledge(self._law, self.memory, captured_s)
        return events

    def _is_still(self, frame: Frame, thumb: Grey) -> bool:
        """Compared with the first picture that stood still, so that a slow sweep does not drift by unseen."""
        if self._thumb is not None and same_picture(thumb, self._thumb, self._gates):
            return True
        self._thumb, self._still_since_s = thumb, frame.captured_s
        return False
