"""One frame through preprocess, gates, inference, aggregate and decide. Replay and the live loop share it."""

from __future__ import annotations

from dataclasses import dataclass

from sono_edge.decide import Decision, Event, Memory, Observation, acknowledge, step
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality, look, same_picture, thumbnail
from sono_models.inputs import Box, Grey, letterbox
from sono_models.manifest import Manifest
from sono_models.reader import Reader, Reading

NOWHERE = Box(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame and all that was made of it. `reused`: the picture stood still, so did its score."""

    frame: Frame
    quality: Quality
    reading: Reading | None
    """None where nothing was scored: gated before inference, or AI off."""
    reused: bool
    decision: Decision


class Pipeline:
    """The stages between a source and its consumers; holds what one stream's next frame needs."""

    def __init__(self, reader: Reader, manifest: Manifest) -> None:
        self.ai_on = True
        self.memory = Memory()
        self._reader = reader
        self._law, self._gates = manifest.law, manifest.gates
        self._thumb: Grey | None = None
        self._still_since_s: float | None = None
        self._reading: Reading | None = None

    def step(self, frame: Frame) -> Judged:
        """Judge one frame. The frames of one stream come in order."""
        boxed, placement = letterbox(frame.picture, self._reader.spec)
        thumb = thumbnail(boxed)
        quality = look(thumb, placement, frame.coloured_share, self._gates)
        still = self._thumb is not None and same_picture(thumb, self._thumb, self._gates)
        frozen = self._frozen(frame, thumb, still=still)
        reading: Reading | None = None
        reused = False
        if self.ai_on and quality.gate is Gate.PASS:
            reused = still and self._reading is not None
            reading = self._reading if reused else self._reader.read_boxed(boxed, placement)
        self._reading = reading
        seen = Observation(
            frame.captured_s,
            quality,
            reading.malignant if reading else 0.0,
            reading.box if reading else NOWHERE,
            fresh=not reused,
            frozen=frozen,
            ai_on=self.ai_on,
        )
        self.memory, decision = step(self._law, self.memory, seen)
        return Judged(frame, quality, reading, reused, decision)

    def acknowledge(self, captured_s: float) -> tuple[Event, ...]:
        self.memory, events = acknowledge(self._law, self.memory, captured_s)
        return events

    def _frozen(self, frame: Frame, thumb: Grey, *, still: bool) -> bool:
        """Still for `frozen_s`. The thumbnail compared with stays that of the first still frame: no drift."""
        if not still or self._still_since_s is None:
            self._thumb, self._still_since_s = thumb, frame.captured_s
            return False
        return frame.captured_s - self._still_since_s >= self._gates.frozen_s
