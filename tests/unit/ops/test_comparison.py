"""Two runs side by side: a step of quantity and a tick of price are the same, more is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.trade import ExitReason, TradeClosed
from nexus_common.contracts.values import AccountId, Symbol, Venue
from nexus_common.runtime.settings import NexusSettings
from nexus_data.market_feed import Market
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_ops.comparison import FillKey, Run, Sum, TradeKey, compare, run_of
from nexus_ops.composition import LocalHouse

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACCOUNT, BTC = AccountId("anna.binance.paper"), Symbol("BTCUSDT")
LISTED = {(Venue.BINANCE, each.symbol): each for each in DEFAULT_INSTRUMENTS[Venue.BINANCE]}
STEP, TICK = LISTED[Venue.BINANCE, BTC].step_size, LISTED[Venue.BINANCE, BTC].tick_size
MakeTrade = Callable[..., TradeClosed]


def run(trade: TradeClosed | None = None, fill: Sum | None = None, at: datetime = NOON) -> Run:
    made = Run(instruments=dict(LISTED), venues={ACCOUNT: Venue.BINANCE})
    if trade is not None:
        key = TradeKey(trade.opened_at, ACCOUNT, trade.symbol, str(trade.direction), trade.strategy)
        made.trades[key] = trade
    if fill is not None:
        made.fills[FillKey(at, ACCOUNT, BTC, "buy", "entry")] = fill
    return made


def test_one_step_and_one_tick_are_the_same_trade(a_trade: MakeTrade) -> None:
    one = run(a_trade())
    near = run(a_trade(quantity=Decimal(1) + STEP, entry_price=Decimal(100) - TICK, exit_price=110 + TICK))
    assert compare(one, near).differences == ()
    assert compare(one, near).trades == (1, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"quantity": 1 + 2 * STEP}, "has quantity 1 and 1.002"),
        ({"exit_price": 110 + 2 * TICK}, "has exit price 110 and 110.2"),
        ({"reason": ExitReason.STOP}, "is left by target and by stop"),
        ({"closed_at": NOON}, "closes at 01-01 01:00:00 and at 01-01 12:00:00"),
    ],
)
def test_what_differs_by_more_is_told(a_trade: MakeTrade, changes: dict[str, object], sentence: str) -> None:
    (told,) = compare(run(a_trade()), run(a_trade(**changes))).differences
    assert told.endswith(sentence)
    assert told.startswith("the trend long on BTCUSDT of ")


def test_what_only_one_run_has_is_told(a_trade: MakeTrade) -> None:
    (told,) = compare(run(a_trade()), run()).differences
    assert told.endswith("is in the first run only")
    fill = Sum(Decimal(1), Decimal(100))
    late = compare(run(fill=fill), run(fill=fill, at=NOON + timedelta(minutes=1))).differences
    assert [told.rpartition(" is ")[2] for told in late] == [
        "in the first run only",
        "in the second run only",
    ]


def test_a_fill_at_another_price_is_told() -> None:
    one, other = Sum(Decimal(2), Decimal(200)), Sum(Decimal(2), Decimal("200.6"))
    (told,) = compare(run(fill=one), run(fill=other)).differences
    assert told.endswith("has price 100 and 100.3")


async def test_a_run_is_the_same_as_itself(settings: NexusSettings, market: Market) -> None:
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    made = await run_of(house.store)
    assert made.trades
    assert len(made.fills) >= 2 * len(made.trades)
    assert compare(made, made).differences == ()
