"""How often one address may ask. Pure: the clock is an argument."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

ADDRESSES_MOST = 4096


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Pace:
    """A bucket of `burst` tokens an address, refilled at `per_minute`, and one for all of `together` times that.

    Many addresses behind one another do not fill the memory: those heard of longest ago are forgotten.
    """

    def __init__(self, *, burst: int = 10, per_minute: float = 10.0, together: int = 20) -> None:
        self._burst, self._per_s, self._together = burst, per_minute / 60, together
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """0: it may, and that counts. Else so long until it may."""
        mine = self._bucket(address, now, 1)
        everyone = self._bucket("", now, self._together)
        short = max((1 - mine.left) / self._per_s, (1 - everyone.left) / (self._per_s * self._together))
        if short > 0:
            return short
        mine.left -= 1
        everyone.left -= 1
        return 0.0

    def _bucket(self, address: str, now: float, times: int) -> _Bucket:
        bucket = self._buckets.setdefault(address, _Bucket(self._burst * times, now))
        bucket.left = min(self._burst * times, bucket.left + (now - bucket.at) * self._per_s * times)
        bucket.at = now
        self._buckets.move_to_end(address)
        while len(self._buckets) > ADDRESSES_MOST:
            self._buckets.popitem(last=False)
        return bucket
