"""The last closed bars and the prices they give; a price that is too old is no price."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue

_QUARTERS_KEPT = 15


class Bars:
    """The newest bars of each venue and market partition, and those of the last quarter hours."""

    def __init__(self) -> None:
        self._newest: dict[tuple[Venue, int], CandlesClosed] = {}
        self._quarters: dict[tuple[Venue, int], deque[CandlesClosed]] = {}
        # Looked up by symbol only when somebody asks: most minutes nobody does.
        self._indexed: dict[Venue, tuple[datetime, dict[Symbol, Candle]]] = {}

    def take(self, closed: CandlesClosed) -> None:
        key = (closed.venue, closed.partition)
        self._newest[key] = closed
        if closed.at.minute % 15 == 0 and closed.at.second == 0:
            self._quarters.setdefault(key, deque(maxlen=_QUARTERS_KEPT)).append(closed)
        self._indexed.pop(closed.venue, None)

    def closed_at(self, venue: Venue, symbol: Symbol, at: datetime) -> Candle | None:
        """The finest bar of an instrument that closed at this very instant."""
        known = self._indexed.get(venue)
        if known is None or known[0] != at:
            known = (at, self._index(venue, at))
            self._indexed[venue] = known
        return known[1].get(symbol)

    def _index(self, venue: Venue, at: datetime) -> dict[Symbol, Candle]:
        finest: dict[Symbol, Candle] = {}
        for (where, _), closed in self._newest.items():
            if where is venue and closed.at == at:
                for candle in closed.candles:
                    other = finest.get(candle.symbol)
                    if other is None or candle.timeframe.seconds < other.timeframe.seconds:
                        finest[candle.symbol] = candle
        return finest

    def price(self, venue: Venue, symbol: Symbol, at: datetime, age: timedelta) -> Decimal | None:
        """The newest close; None when even that is older than `age`."""
        newest: tuple[datetime, Decimal] | None = None
        for (where, _), closed in self._newest.items():
            if where is not venue or at - closed.at > age or (newest is not None and newest[0] >= closed.at):
                continue
            bar = next((candle for candle in closed.candles if candle.symbol == symbol), None)
            newest = newest if bar is None else (closed.at, bar.close)
        return None if newest is None else newest[1]

    def mean_true_range(self, venue: Venue, symbol: Symbol, count: int) -> Decimal | None:
        """Of the last closed 15m bars, up to `count` of them; None when none was seen."""
        bars = [
            candle
            for (where, _), quarters in self._quarters.items()
            if where is venue
            for closed in quarters
            for candle in closed.candles
            if candle.symbol == symbol and candle.timeframe is Timeframe.M15
        ]
        ranges = [_true_range(bar, before) for before, bar in zip([None, *bars], bars, strict=False)]
        latest = ranges[-count:]
        return sum(latest, Decimal(0)) / len(latest) if latest else None


def _true_range(bar: Candle, before: Candle | None) -> Decimal:
    if before is None:
        return bar.high - bar.low
    return max(bar.high, before.close) - min(bar.low, before.close)
