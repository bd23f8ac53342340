"""Who listens to a feed in conformance tests, and the judge over the candles they took."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.readings import KlineRead, Reading
from nexus_ingest.venues.feed import RawFrame, ReadBy
from nexus_market.candles import Series

Figures = tuple[float, ...]
Key = tuple[Symbol, Timeframe]


class Recipient:
    """Takes candles that are closed, as often as they are told; keeps all else that happens."""

    def __init__(self) -> None:
        self.candles: dict[Key, list[Figures]] = defaultdict(list)
        self.readings: Counter[type] = Counter()
        self.refusals: Counter[str] = Counter()
        self.happened: list[tuple[str, str]] = []
        self._stirred = asyncio.Event()

    def opened(self, venue: Venue, connection: str, received_ns: int) -> None:
        self._happens("opened", connection)

    def closed(self, venue: Venue, connection: str, reason: str, received_ns: int) -> None:
        self._happens(f"closed: {reason}", connection)

    def heard(
        self,
        venue: Venue,
        connection: str,
        frame: RawFrame,
        readings: Sequence[Reading],
        received_ns: int,
        read_by: ReadBy | None = None,
    ) -> None:
        for reading in readings:
            self.readings[type(reading)] += 1
            if isinstance(reading, KlineRead):
                self.take(reading)
        self._stirred.set()

    def refused(self, venue: Venue, connection: str, frame: RawFrame, reason: str, received_ns: int) -> None:
        self.refusals[reason] += 1
        self._stirred.set()

    def take(self, kline: KlineRead) -> None:
        if kline.closed:
            self.candles[kline.symbol, kline.timeframe].append(figures(kline))

    async def until(self, is_so: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for something to be so after something happened; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not is_so():
                self._stirred.clear()
                await self._stirred.wait()

    def times(self, what: str) -> int:
        """How often something happened whose words begin so."""
        return sum(happened.startswith(what) for happened, _ in self.happened)

    def _happens(self, what: str, connection: str) -> None:
        self.happened.append((what, connection))
        self._stirred.set()


class HastyRecipient(Recipient):
    """The mistake: takes the first that is told of a candle for the candle."""

    def take(self, kline: KlineRead) -> None:
        taken = self.candles[kline.symbol, kline.timeframe]
        if not taken or taken[-1][0] != kline.open_time:
            taken.append(figures(kline))


def figures(bar: KlineRead | Bar) -> Figures:
    return (bar.open_time, *(float(f) for f in (bar.open, bar.high, bar.low, bar.close, bar.volume)))


def bars_of(series: Series) -> list[Figures]:
    columns = (series.open_time, series.open, series.high, series.low, series.close, series.volume)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def judged(served: Mapping[Key, Series], taken: Mapping[Key, Iterable[Figures]]) -> list[str]:
    """What is wrong with the candles taken: each has to be there once, in order, equal to the last digit."""
    wrong = [f"{key} was never served" for key in taken if key not in served]
    for key, series in served.items():
        expected, got = bars_of(series), list(taken.get(key, ()))
        differing = sum(mine != theirs for mine, theirs in zip(got, expected, strict=False))
        if len(got) != len(expected) or differing:
            wrong.append(f"{' '.join(key)}: {len(got)} of {len(expected)} candles, {differing} differ")
    return wrong
