"""A market through all services in one process: the same decisions as in the running system, and their worth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nexus_common.runtime.settings import NexusSettings
from nexus_ingest.domain.market_feed import Market
from nexus_ops.composition import LocalHouse
from nexus_ops.decisions import decisions_hash
from nexus_ops.equity import EquityCurve
from nexus_ops.report import CRYPTO_DAYS, STOCK_DAYS, figures, trade_row

PAGE = 1_000
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
    settings: NexusSettings, market: Market, advance: Advance = lambda at: None
) -> Backtest:
    """Play `market` from start to end. Trades that are open at the end stay open and are not in the list."""
    begun = time.perf_counter()
    house, curve = LocalHouse(settings, market), EquityCurve()
    await house.open()
    bars, heard = 0, await house.store.head()
    for number, step in enumerate(market.steps()):
        await house.step(step)
        bars += len(step.bars)
        heard = await _take_new(house, curve, heard)
        curve.end_of_step(step.at)
        if number % 60 == 0:
            advance(step.at)
    curve.close(market.end)
    total = await decisions_hash(house.store)
    crypto = any(market.venue_of(symbol).is_crypto for symbol in market.symbols)
    return Backtest(
        bars,
        time.perf_counter() - begun,
        curve,
        total,
        CRYPTO_DAYS if crypto else STOCK_DAYS,
        tuple(market.notes),
    )


async def _take_new(house: LocalHouse, curve: EquityCurve, after: int) -> int:
    while page := await house.store.read_categories((), after, limit=PAGE):
        for recorded in page:
            curve.take(recorded.event)
        after = page[-1].global_position
    return after
