"""A simulated board that stays connected to a cluster: when its node is lost, it tries the next."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress

from sono_fleet.simulate.device import SimulatedDevice, World
from sono_models.desired import Desired

ANSWER_S, RETRY_S = 10.0, 1.0


class Board(SimulatedDevice):
    __slots__ = ("connects", "orders", "site")

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world)
        self.site, self.connects = world.site, 0
        self.orders: list[Desired] = []

    @property
    def raised(self) -> int:
        """Sequences so far."""
        return self._sequence

    async def stay(self, addresses: list[tuple[str, int]]) -> None:
        """Until it is cancelled."""
        at = zlib.crc32(self.name.encode())
        while True:
            while self.is_up:  # noqa: ASYNC110  (a lost connection sets no event)
                await asyncio.sleep(0.1)
            with suppress(OSError, TimeoutError, ConnectionError):
                await asyncio.wait_for(self.connect(*addresses[at % len(addresses)]), ANSWER_S)
                self.connects += 1
                continue
            at += 1
            await asyncio.sleep(RETRY_S)

    def _go(self, order: Desired, step: int) -> None:
        """A board works on while its line is down; its reports wait in its outbox."""
        if step == 0 and order not in self.orders:
            self.orders.append(order)
        if self._order is order and not self.is_up:
            asyncio.get_running_loop().call_later(0.2, self._go, order, step)
            return
        super()._go(order, step)
