"""Which candles, backfills and settlements are recorded: each once, in order of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.market import (
    CandlesBackfilled,
    CandlesClosed,
    FundingSettled,
    MarketCommand,
    MarketEvent,
    RecordBackfill,
    RecordCandles,
    RecordFunding,
)
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_market.candles import slot_millis, to_millis


@dataclass(frozen=True, slots=True)
class MarketState:
    """How far a stream of one venue and partition, or of one backfilled series, has come."""

    closed_until: datetime | None = None
    funded_until: Mapping[Symbol, datetime] = field(default_factory=dict)
    backfilled_until: int | None = None


def partition_key(venue: Venue, partition: int) -> str:
    """`market-{venue}.{partition}` carries closed candles and funding."""
    return f"{venue}.{partition}"


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
        case _:
            assert_never(command)


def evolve(state: MarketState, event: MarketEvent) -> MarketState:
    match event:
        case CandlesClosed():
            return replace(state, closed_until=event.at)
        case FundingSettled():
            return replace(state, funded_until={**state.funded_until, event.symbol: event.at})
        case CandlesBackfilled():
            return replace(state, backfilled_until=event.bars[-1].open_time)
        case _:
            assert_never(event)


def _record_candles(closed: CandlesClosed, state: MarketState) -> list[MarketEvent]:
    if not closed.candles or (state.closed_until is not None and closed.at <= state.closed_until):
        return []
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
    return [closed]


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
