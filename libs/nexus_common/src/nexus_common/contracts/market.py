"""Closed candles. Owner: ingest, streams `market-{venue}.{partition}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Instant, Number, Price, Symbol, Timeframe, Venue


class Candle(NamedTuple):
    """A closed bar. Its open time is the event's `at` less the timeframe; volume is in base units."""

    symbol: Symbol
    timeframe: Timeframe
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Number

    def open_time(self, closed_at: datetime) -> datetime:
        return closed_at - self.timeframe.duration


class Bar(NamedTuple):
    """One bar of a backfilled series; `open_time` is in milliseconds since the Unix epoch."""

    open_time: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Number


class CandlesClosed(Event):
    """All candles of one venue and market partition that closed at one instant, all timeframes."""

    type = "market.candles_closed"

    venue: Venue
    partition: int
    at: Instant
    candles: tuple[Candle, ...]


class CandlesBackfilled(Event):
    """Bars of one series from before trading began, in order of time, for warming up."""

    type = "market.candles_backfilled"

    venue: Venue
    symbol: Symbol
    timeframe: Timeframe
    source: str
    bars: tuple[Bar, ...]


class FundingSettled(Event):
    """A perpetual's funding was due: `rate` is the fraction of notional that longs pay to shorts."""

    type = "market.funding_settled"

    venue: Venue
    symbol: Symbol
    rate: Number
    mark_price: Price
    at: Instant


MarketEvent = CandlesClosed | CandlesBackfilled | FundingSettled


@command("market.record_candles")
@dataclass(frozen=True, slots=True)
class RecordCandles:
    """Candles of one venue and partition closed; `at` is `closed.at`."""

    at: Instant
    closed: CandlesClosed


@command("market.record_backfill")
@dataclass(frozen=True, slots=True)
class RecordBackfill:
    """A chunk of a series from before trading began, on stream `market-{venue}.{symbol}.{timeframe}`."""

    at: Instant
    backfill: CandlesBackfilled


@command("market.record_funding")
@dataclass(frozen=True, slots=True)
class RecordFunding:
    at: Instant
    funding: FundingSettled


MarketCommand = RecordCandles | RecordBackfill | RecordFunding
