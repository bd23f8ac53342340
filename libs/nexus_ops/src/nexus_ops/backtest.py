"""A market through all services in one process: the same decisions as in the running system, and their worth."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from nexus_common.contracts.risk import BreakerTripped
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.settings import NexusSettings
from nexus_data.playback import PlayedMarket
from nexus_market.candles import from_millis, spell, to_millis
from nexus_ops.decisions import decisions_hash, events_of
from nexus_ops.equity import EquityCurve
from nexus_ops.report import CRYPTO_DAYS, STOCK_DAYS, figures, trade_row
from nexus_ops.skipping import SkippingHouse

PAGE = 1_000
GARBAGE_THRESHOLD = 200_000
HOUR = 3_600_000
TELL_EVERY = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)
Advance = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class Backtest:
    """`bars` counts base bars of all instruments, `seconds` is the wall time of the run, hashing included."""

    bars: int
    seconds: float
    curve: EquityCurve
    decisions: str
    days_a_year: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        curve = self.curve
        return {
            "bars": self.bars,
            "seconds": round(self.seconds, 3),
            **figures(curve.trades, curve.readings, self.days_a_year),
            "equity_start": float(curve.readings[0].equity) if curve.readings else None,
            "equity_end": float(curve.readings[-1].equity) if curve.readings else None,
            "open_trades": len(curve.held),
            "events_hash": self.decisions,
            "decisions_hash": self.decisions,
            "notes": list(self.notes),
            "trade_list": [trade_row(trade) for trade in curve.trades],
        }


async def run_backtest(
    settings: NexusSettings, market: PlayedMarket, advance: Advance = lambda at: None
) -> Backtest:
    """Play `market` from start to end. Trades that are open at the end stay open and are not in the list."""
    begun = time.perf_counter()
    curve = EquityCurve()
    with _garbage_seldom_looked_for():
        store = await _play(settings, market, curve, advance)
        total = await decisions_hash(store)
        trips = await _trips(store)
    curve.close(market.end)
    crypto = any(market.venue_of(symbol).is_crypto for symbol in market.symbols)
    return Backtest(
        sum(len(market.series(symbol)) for symbol in market.symbols),
        time.perf_counter() - begun,
        curve,
        total,
        CRYPTO_DAYS if crypto else STOCK_DAYS,
        (*market.notes, *trips),
    )


async def _trips(store: EventStore) -> list[str]:
    """From a trip of the breaker on, no figure says anything about the signals."""
    trips = [
        each.envelope async for each in events_of(store, ("risk",)) if isinstance(each.event, BreakerTripped)
    ]
    return [
        f"{trip.account}: the circuit breaker tripped at {trip.occurred_at:%Y-%m-%d %H:%M} UTC, so no signal "
        "was entered from then on; wider limits (NEXUS__SHIELD__RISK__LOSING_STREAK) or a scripted /resetpilot play on"
        for trip in trips
    ]


@contextmanager
def _garbage_seldom_looked_for() -> Iterator[None]:
    """Nearly all that a backtest makes is kept to its end; looking through it again and again is a sixth of it."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_THRESHOLD, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _play(
    settings: NexusSettings, market: PlayedMarket, curve: EquityCurve, advance: Advance
) -> EventStore:
    """Only the steps that matter are taken; the curve hears of the hours between them all the same."""
    house = SkippingHouse(settings, market)
    await house.open()
    heard, last, told = await house.store.head(), market.start, market.start
    async for step in house.play():
        _mark_between(market, curve, last, step.at)
        heard, last = await _take_new(house, curve, heard), step.at
        curve.end_of_step(step.at)
        if step.at - told >= TELL_EVERY:
            told = step.at
            advance(told)
    _mark_between(market, curve, last, market.end + MOMENT)
    return house.store


def _mark_between(market: PlayedMarket, curve: EquityCurve, after: datetime, before: datetime) -> None:
    """Readings at the full hours between two steps, and the closes known right before the later one."""
    instants = market.instants
    first, last = to_millis(after) // HOUR + 1, (to_millis(before) - 1) // HOUR
    for hour in range(first, last + 1):
        row = int(np.searchsorted(instants, hour * HOUR))
        if row < len(instants) and instants[row] == hour * HOUR:
            curve.mark(_closes(market, hour * HOUR))
            curve.end_of_step(from_millis(hour * HOUR))
    curve.mark(_closes(market, to_millis(before) - 1))


def _closes(market: PlayedMarket, at: int) -> dict[tuple[Venue, Symbol], Decimal]:
    """The last close of each instrument at an instant, if it has had one."""
    closes = {}
    for symbol in market.symbols:
        series = market.series(symbol)
        row = series.count_closed_by(at) - 1
        if row >= 0:
            closes[market.venue_of(symbol), symbol] = spell(series.close.item(row))
    return closes


async def _take_new(house: SkippingHouse, curve: EquityCurve, after: int) -> int:
    while page := await house.store.read_categories((), after, limit=PAGE):
        for recorded in page:
            curve.take(recorded.event)
        after = page[-1].global_position
    return after
