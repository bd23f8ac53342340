"""Puts ticks on the bus, an instrument's of some milliseconds in one message.

Each instrument has at most one message under way: its ticks stay in order, and while the bus is slow they gather
here, where a newer book top or mark takes the older one's place. So what waits is bounded by the number of
instruments and by the trades, which are never left out while the bus lives; if it is away for so long that
`TRADES_MAX` of them wait, the oldest go, and are counted. A message whose acknowledgement was lost is sent again:
trades may come twice, under the same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol

import msgspec

from nexus_common.contracts.tick import BookTick, MarkTick, TickBatch, TradeTick
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.transport import Message
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.log import get_logger
from nexus_ingest.domain.readings import BookRead, MarkRead, Reading, TradeRead

FLUSH_SECONDS: Final = 0.002
ROUNDS_MAX: Final = 8
TRADES_IN_MESSAGE: Final = 2_000
TRADES_MAX: Final = 500_000
RETRY_SECONDS: Final = 0.05
log = get_logger(__name__)


class Carrier(Protocol):
    """What is needed of a bus."""

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Publish in this order and wait for all acknowledgements; raises BusUnavailable."""


@dataclass(slots=True)
class _Waiting:
    """What one instrument said since its last message left; `since` is when the oldest of it was put in."""

    venue: Venue
    symbol: Symbol
    subject: str
    received: int = 0
    since: float = 0.0
    trades: list[TradeTick] = field(default_factory=list)
    book: BookTick | None = None
    mark: MarkTick | None = None

    @property
    def ticks(self) -> int:
        return len(self.trades) + (self.book is not None) + (self.mark is not None)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message under way and what is in it."""

    instrument: _Waiting
    batch: TickBatch
    since: float
    message: Message

    @property
    def ticks(self) -> int:
        return len(self.batch.trades) + (self.batch.book is not None) + (self.batch.mark is not None)


class TickPublisher:
    """`put` from the same event loop in which `run` runs."""

    def __init__(self, bus: Carrier) -> None:
        self.published = 0
        self.messages = 0
        self.replaced = 0
        self.lost = 0
        self._bus = bus
        self._encoder = msgspec.msgpack.Encoder()
        self._instruments: dict[tuple[Venue, Symbol], _Waiting] = {}
        # In the order in which they began to wait, so that none starves.
        self._ready: dict[tuple[Venue, Symbol], _Waiting] = {}
        self._under_way: set[tuple[Venue, Symbol]] = set()
        self._rounds: set[asyncio.Task[None]] = set()
        self._trades = 0
        self._lag = 0.0
        self._more = asyncio.Event()

    def put(self, venue: Venue, readings: Sequence[Reading], received: int) -> None:
        """Ticks in the order in which they came; `received` in ms. Candles and halts are no ticks: left out."""
        for reading in readings:
            waiting = self._waiting_for(venue, reading.symbol)
            match reading:
                case TradeRead():
                    waiting.trades.append(TradeTick._make(reading[1:]))
                    self._trades += 1
                case BookRead():
                    self.replaced += waiting.book is not None
                    waiting.book = BookTick._make(reading[1:])
                case MarkRead():
                    self.replaced += waiting.mark is not None
                    waiting.mark = MarkTick._make(reading[1:])
                case _:
                    continue
            key = (venue, reading.symbol)
            if key not in self._ready:
                waiting.received, waiting.since = received, monotonic()
                self._ready[key] = waiting
        if self._trades > TRADES_MAX:
            self._lose_oldest()
        if self._ready:
            self._more.set()

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        try:
            while True:
                await self._more.wait()
                await asyncio.sleep(FLUSH_SECONDS)
                self._more.clear()
                self._begin_round()
                if len(self._rounds) >= ROUNDS_MAX:
                    await asyncio.wait(self._rounds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in self._rounds:
                each.cancel()

    @property
    def health(self) -> Mapping[str, object]:
        """For the health page; `lag_ms` is how long the oldest tick of the last message had waited."""
        return {
            "published": self.published,
            "messages": self.messages,
            "replaced": self.replaced,
            "lost": self.lost,
            "waiting": sum(each.ticks for each in self._ready.values()),
            "under_way": len(self._under_way),
            "lag_ms": round(max(self._lag, self._oldest()) * 1_000, 1),
        }

    def _oldest(self) -> float:
        """How long the oldest of what still waits has been waiting, seconds."""
        since = min((each.since for each in self._ready.values()), default=None)
        return 0.0 if since is None else monotonic() - since

    def _waiting_for(self, venue: Venue, symbol: Symbol) -> _Waiting:
        waiting = self._instruments.get((venue, symbol))
        if waiting is None:
            waiting = _Waiting(venue, symbol, topology.tick_subject(venue, symbol))
            self._instruments[venue, symbol] = waiting
        return waiting

    def _begin_round(self) -> None:
        free = [key for key in self._ready if key not in self._under_way]
        if not free:
            return
        sent = [self._take(key) for key in free]
        self._under_way.update(free)
        task = asyncio.create_task(self._round(sent))
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    def _take(self, key: tuple[Venue, Symbol]) -> _Sent:
        """An instrument's next message; more trades than fit stay where they are."""
        waiting = self._ready.pop(key)
        trades, rest = waiting.trades[:TRADES_IN_MESSAGE], waiting.trades[TRADES_IN_MESSAGE:]
        book, mark = (None, None) if rest else (waiting.book, waiting.mark)
        batch = TickBatch(waiting.venue, waiting.symbol, waiting.received, tuple(trades), book, mark)
        self._trades -= len(trades)
        waiting.trades = rest
        if rest:
            self._ready[key] = waiting
        else:
            waiting.book = waiting.mark = None
        return _Sent(waiting, batch, waiting.since, (waiting.subject, self._encoder.encode(batch), {}, ""))

    async def _round(self, sent: Sequence[_Sent]) -> None:
        try:
            while True:
                try:
                    await self._bus.publish_all([each.message for each in sent])
                    break
                except BusUnavailable as error:
                    log.warning("ticks wait for the bus", reason=str(error), messages=len(sent))
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._under_way.difference_update((each.batch.venue, each.batch.symbol) for each in sent)
        now = monotonic()
        self._lag = now - min(each.since for each in sent)
        self.messages += len(sent)
        self.published += sum(each.ticks for each in sent)
        if self._ready:
            self._more.set()

    def _lose_oldest(self) -> None:
        """Half of the trades of whichever instrument has most of them."""
        most = max(self._ready.values(), key=lambda each: len(each.trades))
        number = len(most.trades) // 2
        del most.trades[:number]
        self._trades -= number
        self.lost += number
        log.error("the bus is away for too long: the oldest trades go", symbol=most.symbol, trades=number)
