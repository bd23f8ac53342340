"""Plays a market to whoever listens: keeps its time, tells what happens in order, and has orders matched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from heapq import merge
from itertools import chain
from operator import itemgetter
from typing import NamedTuple, Protocol

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_market.candles import EPOCH, Series, from_millis, to_millis
from nexus_simvenue.market.happenings import Happening
from nexus_simvenue.market.inside import klines_of

# Due times (ms) and rates by symbol, oldest first.
Settlements = Mapping[Symbol, Sequence[tuple[int, Decimal]]]
_BREATH = 256


class Moment(NamedTuple):
    """What happens at one instant (ms): things that are told, then whatever else is to be done."""

    at: int
    told: Sequence[tuple[Venue, Symbol, Happening]]
    work: Callable[[], None] | None = None


class Score(Protocol):
    """What is played."""

    start: datetime
    end: datetime

    def series(self) -> Mapping[Venue, Mapping[tuple[Symbol, Timeframe], Series]]:
        """All bars that may be asked for: those before the start, and those that will be played."""

    def funding(self, venue: Venue) -> Settlements:
        """What is settled there."""

    def readings(self) -> Sequence[MacroRead]:
        """What the macro services say, in order of time; empty for a market without any."""

    def moments(self) -> Iterator[Moment]:
        """In order of time."""


class Listener(Protocol):
    """An address that tells what happens at `venue`; see MarketSide."""

    def tell(self, symbol: Symbol, happening: Happening) -> None: ...

    async def room(self) -> None: ...

    def drop_left_behind(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """One series, told as the venue's own candle stream of that timeframe."""

    venue: Venue
    symbol: Symbol
    series: Series


class SeriesScore:
    """Series files as they are: candles alone, each file's bars in its own timeframe.

    Raises:
        ValueError: no series, one without bars, or two of the same instrument and timeframe.
    """

    def __init__(self, served: Sequence[Served]) -> None:
        if not served or not all(len(each.series) for each in served):
            raise ValueError("every series that is served has to have bars")
        self._served = tuple(served)
        self._series: dict[Venue, dict[tuple[Symbol, Timeframe], Series]] = {}
        for each in served:
            of_venue = self._series.setdefault(each.venue, {})
            key = each.symbol, each.series.timeframe
            if key in of_venue:
                raise ValueError(f"{each.venue} {' '.join(key)} is served twice: serve one after the other")
            of_venue[key] = each.series
        self.start = from_millis(min(int(each.series.open_time[0]) for each in served))
        self.end = from_millis(max(int(each.series.close_time[-1]) for each in served))

    def series(self) -> Mapping[Venue, Mapping[tuple[Symbol, Timeframe], Series]]:
        return self._series

    def funding(self, venue: Venue) -> Settlements:
        return {}

    def readings(self) -> Sequence[MacroRead]:
        return ()

    def moments(self) -> Iterator[Moment]:
        return merge(*map(self._of, self._served), key=itemgetter(0))

    @staticmethod
    def _of(served: Served) -> Iterator[Moment]:
        venue, symbol = served.venue, served.symbol
        for kline in klines_of(served.series):
            yield Moment(kline.at, ((venue, symbol, kline),))


@dataclass(slots=True)
class Player:
    """Plays a score at `speed` market seconds a second, or without one as fast as whoever listens can take it.

    Its clock is the market's: between two moments it runs, but never past what has not been told yet. A market
    that was played up to `played_until` before goes on from there.
    """

    score: Score
    speed: float | None
    played_until: datetime | None = None
    listeners: Mapping[Venue, Sequence[Listener]] = field(default_factory=dict)
    told: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _at: int = 0
    _next: int = 0
    _begun: float | None = None
    _origin: int = 0

    def __post_init__(self) -> None:
        self._origin = self._at = self._next = to_millis(max(self.score.start, self.played_until or EPOCH))

    def now_millis(self) -> int:
        """The market's time."""
        if self.speed is None or self._begun is None:
            return self._at
        passed = (time.monotonic() - self._begun) * 1_000 * self.speed
        return max(self._at, min(self._origin + int(passed), self._next - 1))

    def now(self) -> datetime:
        return from_millis(self.now_millis())

    async def run(self) -> None:
        """Play to the end."""
        self._begun = time.monotonic()
        for number, moment in enumerate(self.score.moments()):
            if number % _BREATH == 0:
                await self._breathe()
            if moment.at < self._origin:
                continue  # The last step itself is matched again: one of its venues may not have had it.
            self._next = max(self._at, moment.at)
            if self.speed is not None:
                await self._until(self._next, self.speed)
            self._at = self._next
            self._perform(moment)
        await self._breathe()
        self.ended.set()

    def _perform(self, moment: Moment) -> None:
        for venue, symbol, happening in moment.told:
            for listener in self.listeners.get(venue, ()):
                listener.tell(symbol, happening)
            self.told += 1
        if moment.work is not None:
            moment.work()

    async def _until(self, at: int, speed: float) -> None:
        assert self._begun is not None
        due = self._begun + (at - self._origin) / 1_000 / speed
        left = due - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)

    async def _breathe(self) -> None:
        """Let others do their part; wait for who is behind, or where the market's time does not wait, drop them."""
        await asyncio.sleep(0)
        for listener in chain.from_iterable(self.listeners.values()):
            if self.speed is None:
                await listener.room()
            else:
                listener.drop_left_behind()
