"""What a run was worth: pure functions over closed trades and an equity curve.

A figure that is not defined (no trades, no losses, too short a span) is None, never 0. Returns are simple
returns between readings of one per day; the risk-free rate is taken as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from math import expm1, isfinite, log, sqrt
from statistics import fmean, stdev
from typing import Any, NamedTuple

from nexus_common.contracts.trade import TradeClosed
from nexus_common.contracts.values import format_instant

CRYPTO_DAYS = 365
STOCK_DAYS = 252
YEAR_SECONDS = 365 * 86_400


class Reading(NamedTuple):
    """Equity at an instant: wallets plus open profit at the last known closes."""

    at: datetime
    equity: Decimal


def profit_factor(trades: Sequence[TradeClosed]) -> float | None:
    """What the winners won over what the losers lost, both net; None without a loser."""
    won = sum((trade.net_profit for trade in trades if trade.net_profit > 0), Decimal(0))
    lost = sum((-trade.net_profit for trade in trades if trade.net_profit < 0), Decimal(0))
    return float(won / lost) if lost else None


def win_rate(trades: Sequence[TradeClosed]) -> float | None:
    """The share of trades with a net profit above 0; None without trades."""
    return sum(trade.net_profit > 0 for trade in trades) / len(trades) if trades else None


def expectancy_r(trades: Sequence[TradeClosed]) -> float | None:
    """The mean of net profit over the money at risk at entry; None without trades."""
    return float(sum(trade.r_multiple for trade in trades) / len(trades)) if trades else None


def max_drawdown(curve: Sequence[Reading]) -> float | None:
    """The largest fall from a peak so far, as a fraction of that peak; None without a reading."""
    if not curve:
        return None
    deepest, peak = Decimal(0), curve[0].equity
    for reading in curve:
        peak = max(peak, reading.equity)
        if peak > 0:
            deepest = max(deepest, (peak - reading.equity) / peak)
    return float(deepest)


def daily_returns(curve: Sequence[Reading]) -> list[float]:
    """Simple returns from the first reading to the last of its UTC day, and from each day's last to the next's."""
    if not curve:
        return []
    closes: dict[str, Decimal] = {}
    for reading in curve:
        # A reading at midnight is the end of the day before it.
        closes[f"{_day_that_ends(reading.at):%Y-%m-%d}"] = reading.equity
    equities = [curve[0].equity, *closes.values()]
    if curve[0].at == _midnight(curve[0].at):
        equities = equities[1:]
    if min(equities) <= 0:
        return []
    return [float(now / before - 1) for before, now in pairwise(equities)]


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _day_that_ends(at: datetime) -> datetime:
    midnight = _midnight(at)
    return datetime.fromtimestamp(at.timestamp() - 1, at.tzinfo) if at == midnight else at


def sharpe(returns: Sequence[float], days_a_year: int) -> float | None:
    """Mean over sample standard deviation, times the root of days a year; None below two returns, or if none differ."""
    if len(returns) < 2:
        return None
    deviation = stdev(returns)
    return fmean(returns) / deviation * sqrt(days_a_year) if deviation > 0 else None


def sortino(returns: Sequence[float], days_a_year: int) -> float | None:
    """Mean over downside deviation (root of the mean square of what lies below 0, all returns counted), times the
    root of days a year; None below two returns, or if none is negative.
    """
    if len(returns) < 2:
        return None
    downside = sqrt(fmean(min(each, 0.0) ** 2 for each in returns))
    return fmean(returns) / downside * sqrt(days_a_year) if downside > 0 else None


def annual_return(curve: Sequence[Reading]) -> float | None:
    """Compound return a year of 365 days; None below a day, or when nothing was left."""
    if len(curve) < 2:
        return None
    seconds = (curve[-1].at - curve[0].at).total_seconds()
    if seconds < 86_400 or curve[0].equity <= 0 or curve[-1].equity <= 0:
        return None
    power = log(curve[-1].equity / curve[0].equity) * YEAR_SECONDS / seconds
    try:
        grown = expm1(power)
    except OverflowError:
        return None
    return grown if isfinite(grown) else None


def calmar(curve: Sequence[Reading]) -> float | None:
    """Compound annual return over maximal drawdown; None when there is no drawdown, or no annual return."""
    fall, grown = max_drawdown(curve), annual_return(curve)
    return grown / fall if fall and grown is not None else None


def figures(trades: Sequence[TradeClosed], curve: Sequence[Reading], days_a_year: int) -> dict[str, Any]:
    """All figures of a run by name. Money in the account's currency."""
    returns = daily_returns(curve)
    return {
        "trades": len(trades),
        "net_profit": float(sum((trade.net_profit for trade in trades), Decimal(0))),
        "max_drawdown": max_drawdown(curve),
        "sharpe": sharpe(returns, days_a_year),
        "sortino": sortino(returns, days_a_year),
        "calmar": calmar(curve),
        "profit_factor": profit_factor(trades),
        "win_rate": win_rate(trades),
        "expectancy_r": expectancy_r(trades),
        "fees": float(sum((trade.fees for trade in trades), Decimal(0))),
        "funding": float(sum((trade.funding for trade in trades), Decimal(0))),
    }


def trade_row(trade: TradeClosed) -> dict[str, Any]:
    """A closed trade as a row; `funding` negative: received."""
    return {
        "trade_id": str(trade.trade_id),
        "venue": str(trade.venue),
        "symbol": str(trade.symbol),
        "direction": str(trade.direction),
        "strategy": trade.strategy,
        "timeframe": str(trade.timeframe),
        "opened_at": format_instant(trade.opened_at),
        "closed_at": format_instant(trade.closed_at),
        "reason": str(trade.reason),
        **{
            name: float(getattr(trade, name))
            for name in (
                *("quantity", "entry_price", "exit_price", "gross_profit", "fees", "funding"),
                *("net_profit", "r_multiple", "return_on_margin", "return_on_equity"),
            )
        },
    }
