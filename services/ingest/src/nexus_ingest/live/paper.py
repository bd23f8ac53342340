"""Paper accounts on live prices: the exchange matches on the bars that closed, and on the newest price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.market import CandlesClosed, FundingSettled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_ingest.domain.readings import TradeRead
from nexus_ingest.domain.watching import Ticks
from nexus_ingest.exchange import tell_listing, tell_step
from nexus_ingest.live.recording import Known
from nexus_market.candles import Ohlcv

Bars = dict[Symbol, Ohlcv]


class PaperMarket:
    """Tells the exchange each step that brought it bars or funding.

    What trades at once trades at the newest price, and as much as the last minute's volume allows. Bars of a
    break come as one: a stop inside its range is filled, as it would have been.
    """

    def __init__(self, exchange: ExchangeClient) -> None:
        self._exchange = exchange
        self._newest: dict[tuple[Venue, Symbol], str] = {}
        self._last: dict[Venue, Bars] = {}

    def hear(self, ticks: Ticks) -> None:
        for reading in ticks.readings:
            if type(reading) is TradeRead:
                self._newest[ticks.venue, reading.symbol] = reading.price

    async def tell(self, at: datetime, items: Sequence[Known]) -> None:
        """Have the exchange match the step of `at`; what it lists changes first."""
        for item in items:
            if isinstance(item, InstrumentsListed):
                await tell_listing(self._exchange, item.venue, item.instruments)
        funding = funding_of(items)
        for venue, bars in bars_of(items).items():
            self._last.setdefault(venue, {}).update(bars)
            await tell_step(self._exchange, venue, at, bars, self._opening(venue), funding.pop(venue, {}))
        for venue, rates in funding.items():
            await tell_step(self._exchange, venue, at, {}, self._opening(venue), rates)

    def _opening(self, venue: Venue) -> Bars:
        """The bars that open now, as far as can be known: a price, and the volume of the last minute."""
        opening = {}
        for symbol, last in self._last.get(venue, {}).items():
            heard = self._newest.get((venue, symbol))
            price = last.close if heard is None else Decimal(heard)
            opening[symbol] = Ohlcv(price, price, price, price, last.volume)
        return opening


def bars_of(items: Iterable[Known]) -> dict[Venue, Bars]:
    """The 1m bars of a step by venue and symbol; several of one instrument joined to one."""
    found: dict[Venue, Bars] = {}
    for item in items:
        if not isinstance(item, CandlesClosed):
            continue
        bars = found.setdefault(item.venue, {})
        for candle in item.candles:
            if candle.timeframe is Timeframe.M1:
                bar = Ohlcv(candle.open, candle.high, candle.low, candle.close, candle.volume)
                known = bars.get(candle.symbol)
                bars[candle.symbol] = bar if known is None else joined(known, bar)
    return {venue: bars for venue, bars in found.items() if bars}


def joined(earlier: Ohlcv, later: Ohlcv) -> Ohlcv:
    """One bar over the time of both."""
    return Ohlcv(
        earlier.open,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        later.close,
        earlier.volume + later.volume,
    )


def funding_of(items: Iterable[Known]) -> dict[Venue, dict[Symbol, Decimal]]:
    found: dict[Venue, dict[Symbol, Decimal]] = {}
    for item in items:
        if isinstance(item, FundingSettled):
            rates = found.setdefault(item.venue, {})
            rates[item.symbol] = rates.get(item.symbol, Decimal(0)) + item.rate
    return found
