"""Closed candles. Owner: ingest, streams `market-{venue}.{partition}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, NamedTuple

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
    """Candles of one venue and market partition that closed at one instant, all timeframes.

    A played market gives one event an instant. A live one gives another for symbols that were slow. `late`
    candles came by repair, after newer ones or behind a break: they are history, nothing is decided on them.
    """

    type = "market.candles_closed"

    venue: Venue
    partition: int
    at: Instant
    candles: tuple[Candle, ...]
    late: bool = False

    later: ClassVar[tuple[str, ...]] = ("late",)


class CandleCorrected(Event):
    """The venue later said something else about a candle that had been recorded; `now` holds from here on."""

    type = "market.candle_corrected"

    venue: Venue
    partition: int
    symbol: Symbol
    timeframe: Timeframe
    was: Bar
    now: Bar
    source: str
    at: Instant


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


class SessionScheduled(Event):
    """Trading hours of one day at a venue with sessions; no `opens` and `closes`: the venue is shut all day.

    `disagreement` says what the second source says otherwise; the venue's own calendar holds.
    """

    type = "market.session_scheduled"

    venue: Venue
    day: date
    opens: Instant | None
    closes: Instant | None
    is_early_close: bool
    sources: tuple[str, ...]
    disagreement: str = ""


class TradingHalted(Event):
    """The venue stopped trading in one instrument; `code` is the venue's own."""

    type = "market.trading_halted"

    venue: Venue
    symbol: Symbol
    code: str
    reason: str
    at: Instant


class TradingResumed(Event):
    type = "market.trading_resumed"

    venue: Venue
    symbol: Symbol
    at: Instant


MarketEvent = (
    CandlesClosed
    | CandleCorrected
    | CandlesBackfilled
    | FundingSettled
    | SessionScheduled
    | TradingHalted
    | TradingResumed
)


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


@command("market.correct_candle")
@dataclass(frozen=True, slots=True)
class CorrectCandle:
    """A venue's REST answer, or a corrected bar on its stream, differs from what was recorded."""

    at: Instant
    correction: CandleCorrected


@command("market.schedule_session")
@dataclass(frozen=True, slots=True)
class ScheduleSession:
    """On stream `market-{venue}.sessions`."""

    at: Instant
    session: SessionScheduled


@command("market.note_halt")
@dataclass(frozen=True, slots=True)
class NoteHalt:
    """On stream `market-{venue}.halts`."""

    at: Instant
    halt: TradingHalted | TradingResumed


MarketCommand = RecordCandles | CorrectCandle | RecordBackfill | RecordFunding | ScheduleSession | NoteHalt
