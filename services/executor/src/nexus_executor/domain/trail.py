"""When a held trade is to be changed because a bar closed or time passed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.market import Candle
from nexus_common.contracts.values import Direction
from nexus_executor.domain.figures import break_even_price
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TradeState


def time_stop_due(trade: TradeState) -> datetime | None:
    """The plan's number of bars of the trade's timeframe after its first fill."""
    if trade.opened_at is None:
        return None
    return trade.opened_at + trade.terms.plan.time_stop_bars * trade.terms.timeframe.duration


def break_even_level(trade: TradeState, rules: ExecutionRules) -> Decimal | None:
    """The price at which the gain reaches 1 R; None when the stop does not wait for it, or not any more."""
    protection = trade.protection
    if protection is None or not trade.entry_complete:
        return None
    sign = trade.terms.direction.sign
    # The stop is past the entry: it has been moved already.
    if (protection.stop - trade.average_price) * sign >= 0:
        return None
    return trade.average_price + sign * trade.terms.plan.stop_distance * rules.break_even_after_r


def break_even_due(
    trade: TradeState, bar: Candle, instrument: Instrument, rules: ExecutionRules
) -> Decimal | None:
    """Where the stop goes once the gain reached 1 R; None when it did not, or the stop is there already.

    The bar must also have closed beyond that place: a stop cannot be put where the market already is.
    """
    level = break_even_level(trade, rules)
    if level is None:
        return None
    direction = trade.terms.direction
    best = bar.high if direction is Direction.LONG else bar.low
    if (best - level) * direction.sign < 0:
        return None
    stop = break_even_price(trade.average_price, direction, instrument)
    return stop if (bar.close - stop) * direction.sign > 0 else None
