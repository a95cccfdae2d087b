"""The delivery law: which alerts to send, and when again. Pure: the clock and chance are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sono_edge.outbox import Stored


class BackOff:
    """Waits that double from the first to the longest, each with a quarter of jitter either way."""

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float]) -> None:
        self._first_s, self._longest_s, self._chance = first_s, longest_s, chance
        self._next_s = first_s

    def next_s(self) -> float:
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return wait_s * (0.75 + 0.5 * self._chance())

    def reset(self) -> None:
        self._next_s = self._first_s


class Delivery:
    """What to send now: pure judgement over what waits, what was sent on this link and what was answered.

    Only the oldest `window` alerts are ever in flight. When the fleet stays silent, the oldest alone is sent
    again, ever more rarely: a fleet that is away is not buried under copies. Its answer sends the rest again.
    """

    def __init__(self, window: int, back_off: BackOff) -> None:
        self._window, self._back_off = window, back_off
        self._epoch, self._sent, self._silent_at = 0, 0, 0.0
        self.probing = False

    def begin(self) -> None:
        """A new link: what was sent on the one before may be lost."""
        self._sent, self.probing = 0, False
        self._back_off.reset()

    def due(self, waiting: Sequence[Stored], room: int, now: float) -> list[Stored]:
        """Of what waits (oldest first), what to send; at most `room`. `now` in seconds, monotonic."""
        if not waiting or room <= 0:
            return []
        oldest = waiting[0]
        if oldest.epoch != self._epoch:
            self._epoch = oldest.epoch
            self.begin()
        in_flight = self._sent >= oldest.sequence
        if in_flight and now >= self._silent_at:
            self.probing = True
            self._silent_at = now + self._back_off.next_s()
            return [oldest]
        fresh = [row for row in waiting[: self._window] if row.sequence > self._sent][:room]
        if fresh:
            self._sent = fresh[-1].sequence
            if not in_flight:
                self._silent_at = now + self._back_off.next_s()
        return fresh

    def progressed(self, now: float) -> None:
        """The fleet committed more."""
        if self.probing:
            self.begin()
        self._back_off.reset()
        self._silent_at = now + self._back_off.next_s()
