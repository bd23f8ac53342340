"""What a backtest says a run was worth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.trade import TradeClosed
from nexus_ops.report import (
    CRYPTO_DAYS,
    Reading,
    annual_return,
    calmar,
    daily_returns,
    figures,
    max_drawdown,
    sharpe,
    sortino,
    trade_row,
)

MakeTrade = Callable[..., TradeClosed]
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
UNDEFINED = ("sharpe", "sortino", "calmar", "profit_factor", "win_rate", "expectancy_r", "max_drawdown")


def curve(*equities: float, hours: float = 24) -> list[Reading]:
    return [
        Reading(MIDNIGHT + timedelta(hours=hours * n), Decimal(str(equity)))
        for n, equity in enumerate(equities)
    ]


def test_what_is_not_defined_is_null_and_never_zero() -> None:
    report = figures([], [], CRYPTO_DAYS)
    assert {name: report[name] for name in UNDEFINED} == dict.fromkeys(UNDEFINED)
    assert report["trades"] == 0


def test_figures_of_trades_come_from_net_profits(a_trade: MakeTrade) -> None:
    report = figures([a_trade("30", "1.5"), a_trade("-10", "-1"), a_trade("-5", "-0.5")], curve(1, 1), 365)
    assert report["net_profit"] == 15
    assert report["profit_factor"] == 2
    assert report["win_rate"] == pytest.approx(1 / 3)
    assert report["expectancy_r"] == 0
    assert report["fees"] == 3


def test_without_a_loser_there_is_no_profit_factor(a_trade: MakeTrade) -> None:
    assert figures([a_trade("1")], [], 365)["profit_factor"] is None


def test_drawdown_is_measured_from_the_highest_peak_so_far() -> None:
    assert max_drawdown(curve(100, 120, 90, 130, 110)) == pytest.approx(0.25)
    assert max_drawdown(curve(100, 110)) == 0


def test_returns_are_between_the_ends_of_days_and_the_first_day_counts_from_its_start() -> None:
    readings = curve(100, 90, 110, 121, 121, hours=12)  # 0:00, 12:00, 0:00, 12:00, 0:00
    assert daily_returns(readings) == [pytest.approx(0.1), pytest.approx(0.1)]
    late = [Reading(MIDNIGHT + timedelta(hours=6), Decimal(100)), *curve(0, 110, 99)[1:]]
    assert daily_returns(late) == [pytest.approx(0.1), pytest.approx(-0.1)]


def test_ratios_follow_their_formulas() -> None:
    returns = [0.01, -0.02, 0.03]
    assert sharpe(returns, 365) == pytest.approx(fmean(returns) / stdev(returns) * 365**0.5)
    assert sortino(returns, 365) == pytest.approx(fmean(returns) / (0.02**2 / 3) ** 0.5 * 365**0.5)
    readings = curve(100, 90, 110)
    assert annual_return(readings) == pytest.approx(1.1 ** (365 / 2) - 1)
    assert calmar(readings) == pytest.approx((1.1 ** (365 / 2) - 1) / 0.1)


def test_too_little_to_say_is_null() -> None:
    assert sharpe([0.01], 365) is None
    assert sharpe([0.01, 0.01], 365) is None
    assert sortino([0.01, 0.02], 365) is None
    assert calmar(curve(100, 110)) is None
    assert annual_return(curve(100, 110, hours=1)) is None
    assert annual_return(curve(1, 10**9)) is None


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=30))
def test_a_drawdown_lies_between_nothing_and_everything(equities: list[float]) -> None:
    deepest = max_drawdown(curve(*equities))
    assert deepest is not None
    assert 0 <= deepest < 1
    assert (deepest == 0) == (sorted(equities) == equities)


def test_a_trade_is_one_flat_row_of_numbers_and_text(a_trade: MakeTrade) -> None:
    row = trade_row(a_trade("12.5", "1.25"))
    assert row["net_profit"] == 12.5
    assert row["closed_at"] == "2026-01-01T01:00:00.000000Z"
    assert all(isinstance(value, str | float) for value in row.values())
