"""What became known of live markets, as the commands that put it on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from nexus_common.contracts.beat import StrikeBeat
from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.feed import GapFound, LoseFeed, NoteFeed, ReportGap, RestoreFeed
from nexus_common.contracts.ids import timer_id
from nexus_common.contracts.instrument import InstrumentsListed, ListInstruments
from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.contracts.market import (
    CandleCorrected,
    CandlesClosed,
    CorrectCandle,
    FundingSettled,
    NoteHalt,
    RecordCandles,
    RecordFunding,
    ScheduleSession,
    SessionScheduled,
    TradingHalted,
    TradingResumed,
)
from nexus_common.runtime.ports import Desk
from nexus_ingest.domain.beat import BEAT, stream_key
from nexus_ingest.domain.candle_stream import MARKET, funding_key, partition_key
from nexus_ingest.domain.feed import FEED
from nexus_ingest.domain.instrument import INSTRUMENT
from nexus_ingest.domain.macro import GLOBAL, MACRO
from nexus_ingest.domain.watching import FeedDown, FeedUp, Halted, Noted
from nexus_market.candles import from_millis

Known = (
    CandlesClosed
    | CandleCorrected
    | FundingSettled
    | FeedDown
    | FeedUp
    | Halted
    | Noted
    | InstrumentsListed
    | SessionScheduled
    | MacroRead
)


@dataclass(frozen=True, slots=True)
class Request:
    """A command for one stream."""

    decider: AnyDecider
    key: str
    command: object


async def record_step(at: datetime, items: Sequence[Known], desk: Desk) -> None:
    """Decide a step: its beat, then what became known, in that order. No two steps have the same `at`."""
    beat = Request(BEAT, stream_key(at), StrikeBeat(at))
    for number, request in enumerate((beat, *(request_of(item, at) for item in items))):
        # A candle may be told in several steps; the time of the step tells the causes apart.
        cause = timer_id(f"live/{number}", at)
        await desk.handle(request.decider, request.key, request.command, cause=cause)


def request_of(item: Known, at: datetime) -> Request:
    """The command that puts an item on record in the step of `at`. A flat table of items."""
    match item:
        case CandlesClosed():
            return Request(MARKET, partition_key(item.venue, item.partition), RecordCandles(item.at, item))
        case CandleCorrected():
            return Request(MARKET, partition_key(item.venue, item.partition), CorrectCandle(at, item))
        case FundingSettled():
            return Request(MARKET, funding_key(item.venue, item.symbol), RecordFunding(at, item))
        case Halted(venue=venue):
            return Request(MARKET, f"{venue}.halts", NoteHalt(at, _halt(item)))
        case SessionScheduled():
            return Request(MARKET, f"{item.venue}.sessions", ScheduleSession(at, item))
        case FeedDown(venue=venue, reason=reason):
            return Request(FEED, venue, LoseFeed(at, venue, reason))
        case FeedUp(venue=venue):
            return Request(FEED, venue, RestoreFeed(at, venue))
        case Noted(venue=venue, fact=fact):
            noted = ReportGap(at, fact) if isinstance(fact, GapFound) else NoteFeed(at, fact)
            return Request(FEED, venue, noted)
        case InstrumentsListed():
            return Request(INSTRUMENT, item.venue, _listing(item, at))
        case MacroRead():
            return Request(MACRO, GLOBAL, RecordMacro(at, item))
        case _:
            assert_never(item)


def _listing(listed: InstrumentsListed, at: datetime) -> ListInstruments:
    return ListInstruments(
        at, listed.venue, listed.instruments, listed.not_trading, listed.terms, listed.unreadable
    )


def _halt(item: Halted) -> TradingHalted | TradingResumed:
    halt, venue = item.halt, item.venue
    at = from_millis(halt.at)
    if halt.halted:
        return TradingHalted(venue=venue, symbol=halt.symbol, code=halt.code, reason=halt.reason, at=at)
    return TradingResumed(venue=venue, symbol=halt.symbol, at=at)
