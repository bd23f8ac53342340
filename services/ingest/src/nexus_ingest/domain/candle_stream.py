"""Which candles, backfills and settlements are recorded: each once, in order of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.market import (
    CandleCorrected,
    CandlesBackfilled,
    CandlesClosed,
    CorrectCandle,
    FundingSettled,
    MarketCommand,
    MarketEvent,
    NoteHalt,
    RecordBackfill,
    RecordCandles,
    RecordFunding,
    ScheduleSession,
    SessionScheduled,
    TradingHalted,
    TradingResumed,
)
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_market.candles import slot_millis, to_millis

_SESSIONS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class MarketState:
    """How far a stream of one venue and partition, or of one backfilled series, has come."""

    closed_until: Mapping[tuple[Symbol, Timeframe], datetime] = field(default_factory=dict)
    funded_until: Mapping[Symbol, datetime] = field(default_factory=dict)
    backfilled_until: int | None = None
    sessions: Mapping[date, SessionScheduled] = field(default_factory=dict)
    halted: frozenset[Symbol] = frozenset()


def partition_key(venue: Venue, partition: int) -> str:
    """`market-{venue}.{partition}` carries closed candles and funding."""
    return f"{venue}.{partition}"


def funding_key(venue: Venue, symbol: Symbol) -> str:
    """`market-{venue}.{symbol}.funding` carries the settlements of one instrument."""
    return f"{venue}.{symbol}.funding"


def series_key(venue: Venue, symbol: Symbol, timeframe: Timeframe) -> str:
    """`market-{venue}.{symbol}.{timeframe}` carries the backfill of one series."""
    return f"{venue}.{symbol}.{timeframe}"


def decide(command: MarketCommand, state: MarketState) -> list[MarketEvent]:
    match command:
        case RecordCandles(closed=closed):
            return _record_candles(closed, state)
        case RecordBackfill(backfill=backfill):
            return _record_backfill(backfill, state)
        case RecordFunding(funding=funding):
            until = state.funded_until.get(funding.symbol)
            return [funding] if until is None or funding.at > until else []
        case CorrectCandle(correction=correction):
            news = correction.was != correction.now and _is_recorded(correction, state)
            return [correction] if news else []
        case ScheduleSession(session=session):
            return [] if state.sessions.get(session.day) == session else [session]
        case NoteHalt(halt=halt):
            news = isinstance(halt, TradingHalted) != (halt.symbol in state.halted)
            return [halt] if news else []
        case _:
            assert_never(command)


def evolve(state: MarketState, event: MarketEvent) -> MarketState:
    match event:
        case CandlesClosed():
            news = {(candle.symbol, candle.timeframe): event.at for candle in event.candles}
            return replace(state, closed_until={**state.closed_until, **news})
        case CandleCorrected():
            return state
        case FundingSettled():
            return replace(state, funded_until={**state.funded_until, event.symbol: event.at})
        case CandlesBackfilled():
            return replace(state, backfilled_until=event.bars[-1].open_time)
        case SessionScheduled():
            # Yesterday's hours are not asked for again.
            kept = {day: each for day, each in state.sessions.items() if day >= event.day - _SESSIONS_KEPT}
            return replace(state, sessions={**kept, event.day: event})
        case TradingHalted():
            return replace(state, halted=state.halted | {event.symbol})
        case TradingResumed():
            return replace(state, halted=state.halted - {event.symbol})
        case _:
            assert_never(event)


def _record_candles(closed: CandlesClosed, state: MarketState) -> list[MarketEvent]:
    """Those that are new: each series goes forward only."""
    now = to_millis(closed.at)
    seen: set[tuple[Symbol, Timeframe]] = set()
    for candle in closed.candles:
        if now % slot_millis(candle.timeframe):
            raise InvariantBroken(
                f"no {candle.timeframe} candle of {candle.symbol} can close at {closed.at.isoformat()}"
            )
        if (candle.symbol, candle.timeframe) in seen:
            raise InvariantBroken(
                f"two {candle.timeframe} candles of {candle.symbol} close at {closed.at.isoformat()}"
            )
        seen.add((candle.symbol, candle.timeframe))
    known = state.closed_until
    fresh = tuple(c for c in closed.candles if _is_new(known.get((c.symbol, c.timeframe)), closed.at))
    if not fresh:
        return []
    return [closed if len(fresh) == len(closed.candles) else closed.model_copy(update={"candles": fresh})]


def _is_new(until: datetime | None, at: datetime) -> bool:
    return until is None or at > until


def _is_recorded(correction: CandleCorrected, state: MarketState) -> bool:
    """Nothing is corrected that did not close on this stream before."""
    until = state.closed_until.get((correction.symbol, correction.timeframe))
    closed = correction.now.open_time + slot_millis(correction.timeframe)
    return until is not None and closed <= to_millis(until)


def _record_backfill(backfill: CandlesBackfilled, state: MarketState) -> list[MarketEvent]:
    until = state.backfilled_until
    fresh = tuple(bar for bar in backfill.bars if until is None or bar.open_time > until)
    if any(later.open_time <= bar.open_time for bar, later in pairwise(fresh)):
        raise InvariantBroken(
            f"the {backfill.timeframe} backfill of {backfill.symbol} from {backfill.source} "
            "is not in order of time"
        )
    if not fresh:
        return []
    return [backfill if len(fresh) == len(backfill.bars) else backfill.model_copy(update={"bars": fresh})]


MARKET: Decider[MarketCommand, MarketState, MarketEvent] = Decider("market", MarketState(), decide, evolve)
