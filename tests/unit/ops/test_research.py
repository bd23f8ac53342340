"""Signals and backtests on a generated market: one code path with the running system."""

from __future__ import annotations

from decimal import Decimal

import pytest

from nexus_common.contracts.signal import SignalRaised, SignalWithheld
from nexus_common.contracts.values import Timeframe
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import NexusSettings
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_data.market_feed import Market
from nexus_ingest import bootstrap as ingest
from nexus_ops.backtest import run_backtest
from nexus_ops.composition import LocalHouse, settings_for
from nexus_ops.decisions import events_of
from nexus_ops.market_options import MarketOptions
from nexus_ops.signals import SignalScan, moved_to, row_of, rows_of
from nexus_ops.strategy_table import strategy_rows


async def test_signals_are_those_that_the_whole_house_gives(settings: NexusSettings, market: Market) -> None:
    given = await SignalScan(settings.cortex, market).run()
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    recorded = [each.event async for each in events_of(house.store, ("signal",))]
    assert given == recorded
    assert any(isinstance(event, SignalRaised) for event in given)


async def test_rows_hold_what_a_signal_says_and_withheld_ones_only_if_asked(
    settings: NexusSettings, market: Market
) -> None:
    events = await SignalScan(settings.cortex, market).run()
    raised = [event for event in events if isinstance(event, SignalRaised)]
    assert rows_of(events, withheld=False) == [row_of(event) for event in raised]
    entry = next(event for event in raised if event.action.is_entry)
    assert entry.plan is not None
    row = row_of(entry)
    sign = entry.action.direction.sign
    assert row["stop"] == float(entry.price - sign * entry.plan.stop_distance)
    assert [(target - row["price"]) * sign > 0 for target in row["targets"]] == [True, True]
    both = rows_of(events, withheld=True)
    held = [row for row in both if row["withheld"]]
    assert len(held) == sum(isinstance(event, SignalWithheld) for event in events) > 0
    assert all(row["regime"] and row["reasons"] for row in held)


async def test_one_strategy_alone_gives_only_its_own_signals() -> None:
    options = MarketOptions(seed=2, minutes=600, symbols="DOGEUSDT,BTCUSDT", strategy="trend")
    settings = settings_for(options.environment())
    events = await SignalScan(settings.cortex, ingest.market(settings.ingest)).run()
    assert {row["strategy"] for row in rows_of(events, withheld=True)} == {"trend"}


async def test_a_backtest_repeats_itself_and_its_trades_add_up(
    settings: NexusSettings, market: Market
) -> None:
    once, again = [(await run_backtest(settings, market)).to_json() for _ in range(2)]
    assert {**once, "seconds": 0} == {**again, "seconds": 0}
    assert once["events_hash"] == once["decisions_hash"]
    assert once["bars"] == 1_800
    assert once["trades"] == len(once["trade_list"]) > 0
    assert abs(sum(trade["net_profit"] for trade in once["trade_list"]) - once["net_profit"]) < 1e-9
    assert once["open_trades"] == 0
    assert once["equity_end"] == pytest.approx(once["equity_start"] + once["net_profit"])
    assert once["sharpe"] is None  # ten hours are less than two days


async def test_a_backtest_says_where_the_breaker_cut_it_short(
    settings: NexusSettings, market: Market
) -> None:
    tight = settings.shield.risk.changed("losing_streak", Decimal(1))
    shield = settings.shield.model_copy(update={"risk": tight})
    done = await run_backtest(settings.model_copy(update={"shield": shield}), market)
    assert any("circuit breaker tripped at" in note for note in done.notes)
    assert not any("circuit breaker" in note for note in (await run_backtest(settings, market)).notes)


def test_a_timeframe_that_a_strategy_cannot_run_on_is_refused_with_those_it_can() -> None:
    with pytest.raises(ConfigurationError, match="shark cannot run on 1h; it runs on 15m"):
        moved_to(Timeframe.H1, "shark")


def test_every_strategy_is_listed_with_its_defaults() -> None:
    rows = {row["name"]: row for row in strategy_rows()}
    assert set(rows) == set(STRATEGIES)
    assert rows["trend"]["parameters"]["stop_atr"] == 1.5
    assert rows["shark"]["description"].startswith("Short only")
