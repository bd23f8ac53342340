"""What others ask of ingest over the bus: a step right now, and what a venue's prices are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from nexus_common.contracts.tick import PriceAnswer
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.bus import topology
from nexus_ingest.venues.feed import FeedDown, PriceSource

SYMBOL_LENGTH_MAX: Final = 40


class Asked(Protocol):
    """What is needed of a bus."""

    def listen(self, subjects: Sequence[str]) -> Listening: ...

    async def answer(self, subject: str, reply: Callable[[bytes], Awaitable[bytes]]) -> None: ...


class Listening(Protocol):
    def __aiter__(self) -> AsyncIterator[bytes]: ...


async def take_nudges(bus: Asked, nudge: Callable[[], None]) -> None:
    """Call `nudge` whenever somebody wants a step, until cancelled."""
    async for _ in bus.listen([topology.NUDGE]):
        nudge()


async def tell_prices(bus: Asked, venue: Venue, feeds: Mapping[Venue, object]) -> None:
    """Answer what is asked about a venue's prices, until cancelled; `feeds` has those that are followed now."""
    encoder = msgspec.msgpack.Encoder()

    async def reply(question: bytes) -> bytes:
        return encoder.encode(await _answer(question, venue, feeds))

    await bus.answer(topology.price_question(venue), reply)


async def _answer(question: bytes, venue: Venue, feeds: Mapping[Venue, object]) -> PriceAnswer:
    symbol = Symbol(question[:SYMBOL_LENGTH_MAX].decode(errors="replace"))
    feed = feeds.get(venue)
    if not isinstance(feed, PriceSource):
        return PriceAnswer(problem=f"{venue} is not followed")
    try:
        latest = await feed.latest(symbol)
    except FeedDown as down:
        return PriceAnswer(problem=str(down))
    return PriceAnswer(latest.price, latest.mark_price, latest.at)
