"""Reads ticks from the bus, from now on: for services that act on prices, and for people who look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from nexus_common.contracts.tick import TickBatch
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.log import get_logger

log = get_logger(__name__)


class Heard(Protocol):
    """What is published from now on; `missed` counts what came faster than it was taken."""

    missed: int

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Broadcaster(Protocol):
    """What is needed of a bus."""

    def listen(self, subjects: Sequence[str]) -> Heard: ...


Instrument = tuple[Venue, Symbol]


class TickReader:
    """Batches of chosen instruments, or of all, as they are published.

    There is no inbox: what was said before, or while the bus was away, is not heard. What cannot be read is
    counted in `unreadable` and left out.
    """

    def __init__(self, bus: Broadcaster, instruments: Sequence[Instrument] | None = None) -> None:
        self.unreadable = 0
        self._heard = bus.listen(_subjects(instruments))
        self._decoder = msgspec.msgpack.Decoder(TickBatch)

    @property
    def missed(self) -> int:
        """Messages that came faster than they were taken."""
        return self._heard.missed

    async def __aiter__(self) -> AsyncIterator[TickBatch]:
        async for data in self._heard:
            try:
                batch = self._decoder.decode(data)
            except msgspec.MsgspecError as error:
                self.unreadable += 1
                log.warning("ticks that cannot be read", reason=str(error))
                continue
            yield batch


def _subjects(instruments: Sequence[Instrument] | None) -> list[str]:
    if instruments is None:
        return list(topology.TICKS.subjects)
    return [topology.tick_subject(venue, symbol) for venue, symbol in instruments]
