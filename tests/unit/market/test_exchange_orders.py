"""Every kind of order, on bars small enough to follow by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side, Venue
from nexus_market.exchange import (
    Accepted,
    Exchange,
    ExchangeSettings,
    FloatBar,
    Ohlcv,
    Refused,
    StepRefused,
    Ticket,
    Update,
)
from nexus_market.instruments import DEFAULT_INSTRUMENTS

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOL = "SOLUSDT"  # tick 0.01, step 0.01, taker 0.0005, maker 0.0002
NO_SLIPPAGE = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)


def bar(open_: str, high: str, low: str, close: str, volume: str = "100000") -> Ohlcv:
    return Ohlcv(*map(Decimal, (open_, high, low, close, volume)))


def flat(price: str, volume: str = "100000") -> Ohlcv:
    return bar(price, price, price, price, volume)


class Market:
    """An exchange with one account and one instrument, minute by minute."""

    def __init__(self, settings: ExchangeSettings = NO_SLIPPAGE) -> None:
        self.exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE], settings)
        self.exchange.open_account("a", 1, "USDT", Decimal(10_000))
        self.at = NOON
        self.orders = 0

    def close(self, closed: Ohlcv, opening: Ohlcv | None = None) -> list[Update]:
        before = len(self.exchange.updates("a", 0))
        self.at += MINUTE
        self.exchange.step(self.at, {SOL: closed}, {} if opening is None else {SOL: opening})
        return self.exchange.updates("a", before)

    def send(self, side: Side, kind: OrderKind, quantity: str = "1", **fields: Any) -> str:
        reply = self.try_send(side, kind, quantity, **fields)
        assert isinstance(reply, Accepted), reply
        return f"o{self.orders}"

    def try_send(self, side: Side, kind: OrderKind, quantity: str = "1", **fields: Any) -> Accepted | Refused:
        self.orders += 1
        for name in ("limit_price", "trigger_price", "trail_distance"):
            if name in fields:
                fields[name] = Decimal(fields[name])
        ticket = Ticket(f"o{self.orders}", SOL, side, kind, Decimal(quantity), **fields)
        return self.exchange.submit("a", 1, ticket)

    def long(self, price: str = "100", quantity: str = "1") -> None:
        """Hold a long position, at the open of the next bar."""
        self.close(flat(price), flat(price))
        self.send(Side.BUY, OrderKind.MARKET, quantity, leverage=10)

    def stop(self, trigger: str, quantity: str = "1", **fields: Any) -> str:
        return self.send(
            Side.SELL, OrderKind.STOP, quantity, trigger_price=trigger, reduce_only=True, **fields
        )

    @property
    def held(self) -> Decimal:
        return self.exchange.account("a").held(SOL)

    @property
    def updates(self) -> list[Update]:
        return self.exchange.updates("a", 0)


def fills(updates: list[Update]) -> list[tuple[Decimal | None, Decimal | None]]:
    return [(update.quantity, update.price) for update in updates if update.kind == "fill"]


def kinds(updates: list[Update]) -> list[str]:
    return [update.kind for update in updates]


def test_a_market_order_fills_at_once_at_the_open_of_the_bar_that_opens_now() -> None:
    market = Market()
    market.close(flat("100"), bar("101", "105", "95", "102"))
    market.send(Side.BUY, OrderKind.MARKET)
    [update] = market.updates
    assert (update.price, update.complete, update.liquidity) == (Decimal(101), True, Liquidity.TAKER)
    assert update.fee == Decimal("0.0505")
    assert update.wallet == Decimal("9999.9495")
    assert update.at == market.at
    assert market.close(bar("101", "105", "95", "102")) == []


def test_slippage_is_paid_by_the_taker_and_rounded_against_him() -> None:
    market = Market(ExchangeSettings(slippage_bps=Decimal(3), slippage_ticks=2))
    market.close(flat("100"), flat("101.01"))
    market.send(Side.BUY, OrderKind.MARKET)
    market.send(Side.SELL, OrderKind.MARKET)
    # 101.01 x 0.0003 = 0.030303, and two ticks
    assert fills(market.updates) == [(Decimal(1), Decimal("101.07")), (Decimal(1), Decimal("100.95"))]


def test_a_market_order_waits_when_no_bar_opens() -> None:
    market = Market()
    market.close(flat("100"))
    market.send(Side.BUY, OrderKind.MARKET)
    assert market.updates == []
    assert fills(market.close(bar("103", "110", "90", "100"))) == [(Decimal(1), Decimal(103))]


def test_a_large_order_fills_over_several_opens_and_takes_each_bar_once() -> None:
    market = Market()
    market.close(flat("100"), flat("100", "30"))
    market.send(Side.BUY, OrderKind.MARKET, "7")
    assert fills(market.updates) == [(Decimal(3), Decimal(100))]
    assert fills(market.close(flat("100", "30"), flat("102", "20"))) == [(Decimal(2), Decimal(102))]
    # A bar that nobody saw open is used when it closes, at its open.
    assert market.close(flat("102", "20")) == []
    assert fills(market.close(bar("104", "106", "103", "105", "1000"))) == [(Decimal(2), Decimal(104))]
    assert [update.complete for update in market.updates] == [False, False, True]
    assert market.held == 7


def test_an_order_takes_one_step_where_its_share_is_less_and_nothing_where_nothing_traded() -> None:
    market = Market()
    market.close(flat("100"), flat("100", "0.05"))
    market.send(Side.BUY, OrderKind.MARKET, "0.06")
    assert fills(market.updates) == [(Decimal("0.01"), Decimal(100))]
    assert market.close(flat("100", "0.05"), flat("100", "0")) == []


def test_a_stop_fills_at_its_trigger_with_slippage() -> None:
    market = Market(ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=5))
    market.long()
    market.stop("95")
    triggered, fill = market.close(bar("100", "101", "94", "96"))
    assert (triggered.kind, triggered.price) == ("triggered", Decimal(95))
    assert (fill.kind, fill.price, fill.complete) == ("fill", Decimal("94.95"), True)
    assert market.held == 0


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    market = Market()
    market.long()
    market.stop("95")
    assert fills(market.close(bar("91", "93", "90", "92"))) == [(Decimal(1), Decimal(91))]


def test_a_stop_that_finds_little_volume_keeps_selling_at_the_following_opens() -> None:
    market = Market()
    market.long(quantity="5")
    market.stop("95", "5")
    assert fills(market.close(bar("100", "100", "94", "94", "20"), flat("93", "10"))) == [
        (Decimal(2), Decimal(95)),
        (Decimal(1), Decimal(93)),
    ]
    assert fills(market.close(flat("93", "10"), flat("92", "100"))) == [(Decimal(2), Decimal(92))]
    assert kinds(market.updates).count("triggered") == 1
    assert market.held == 0


def test_the_stop_comes_before_the_target_within_a_bar_and_ends_it() -> None:
    market = Market()
    market.long()
    target = market.send(Side.SELL, OrderKind.LIMIT, limit_price="105", reduce_only=True)
    market.stop("95")
    updates = market.close(bar("100", "106", "94", "104"))
    assert fills(updates) == [(Decimal(1), Decimal(95))]
    assert updates[-1].kind == "canceled"
    assert (updates[-1].client_order_id, updates[-1].reason) == (target, "position closed")


def test_a_target_beyond_which_the_bar_opens_fills_at_the_better_open() -> None:
    market = Market()
    market.long()
    market.send(Side.SELL, OrderKind.TAKE_PROFIT, trigger_price="105", reduce_only=True)
    market.stop("95")
    updates = market.close(bar("107", "108", "94", "100"))
    assert fills(updates) == [(Decimal(1), Decimal(107))]
    assert kinds(updates) == ["triggered", "fill", "canceled"]


def test_limits_and_take_profits_fill_at_their_price() -> None:
    market = Market()
    market.long(quantity="2")
    market.send(Side.SELL, OrderKind.LIMIT, limit_price="105", reduce_only=True)
    market.send(Side.SELL, OrderKind.TAKE_PROFIT, trigger_price="105.5", reduce_only=True)
    maker, taker = [u for u in market.close(bar("100", "106", "99", "104")) if u.kind == "fill"]
    assert {maker.price, taker.price} == {Decimal("105"), Decimal("105.5")}
    by_price = {u.price: u for u in (maker, taker)}
    assert by_price[Decimal(105)].liquidity is Liquidity.MAKER
    assert by_price[Decimal(105)].fee == Decimal("0.021")
    assert by_price[Decimal("105.5")].liquidity is Liquidity.TAKER


def test_a_marketable_limit_fills_at_once_as_taker_and_never_beyond_its_price() -> None:
    market = Market(ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=50))
    market.close(flat("100"), flat("99.90", "20"))
    market.send(Side.BUY, OrderKind.LIMIT, "3", limit_price="100")
    [update] = market.updates
    assert (update.price, update.quantity, update.liquidity) == (Decimal(100), Decimal(2), Liquidity.TAKER)
    assert market.close(bar("99.90", "100", "98", "99"), flat("101")) == []  # that bar's share is taken
    assert fills(market.close(bar("101", "102", "99.5", "100"))) == [(Decimal(1), Decimal(100))]


def test_a_trailing_stop_follows_the_best_price_and_sells_when_it_gives_back_the_distance() -> None:
    market = Market()
    market.long()
    market.send(Side.SELL, OrderKind.TRAILING_STOP, trail_distance="4", reduce_only=True)
    # open 100, low 99 is nearer, then high 108, close 106: the stop stands at 104
    assert market.close(bar("100", "108", "99", "106")) == []
    updates = market.close(bar("106", "107", "103", "105"))
    assert fills(updates) == [(Decimal(1), Decimal(104))]


def test_a_trailing_stop_is_hit_at_its_old_level_before_the_same_bar_raises_it() -> None:
    market = Market()
    market.long()
    market.send(Side.SELL, OrderKind.TRAILING_STOP, trail_distance="4", reduce_only=True)
    assert fills(market.close(bar("100", "120", "95", "119"))) == [(Decimal(1), Decimal(96))]


def test_a_trailing_stop_can_be_raised_and_hit_within_one_bar() -> None:
    market = Market()
    market.long()
    market.send(Side.SELL, OrderKind.TRAILING_STOP, trail_distance="4", reduce_only=True)
    # 100, 103 is nearer, then 98: 98 is above 96, and below 103 - 4
    assert fills(market.close(bar("100", "103", "96.5", "98"))) == [(Decimal(1), Decimal(99))]


def test_a_trailing_stop_with_an_activation_price_sleeps_until_then() -> None:
    market = Market()
    market.long()
    market.send(Side.SELL, OrderKind.TRAILING_STOP, trail_distance="2", trigger_price="110", reduce_only=True)
    assert market.close(bar("100", "109", "95", "100")) == []
    assert market.close(bar("100", "111", "99.5", "110")) == []
    assert fills(market.close(bar("110", "110.5", "108", "108"))) == [(Decimal(1), Decimal(109))]


def test_a_short_trailing_stop_mirrors_a_long_one() -> None:
    market = Market()
    market.close(flat("100"), flat("100"))
    market.send(Side.SELL, OrderKind.MARKET)
    market.send(Side.BUY, OrderKind.TRAILING_STOP, trail_distance="4", reduce_only=True)
    assert market.close(bar("100", "101", "92", "94")) == []
    assert fills(market.close(bar("94", "97", "93", "95"))) == [(Decimal(1), Decimal(96))]


def test_a_stop_that_closes_the_position_follows_its_size_and_goes_with_it() -> None:
    market = Market()
    market.long(quantity="2")
    stop = market.send(Side.SELL, OrderKind.STOP, "1", trigger_price="95", close_position=True)
    market.send(Side.BUY, OrderKind.MARKET, "3")
    assert fills(market.close(bar("100", "100", "94", "96"))) == [(Decimal(5), Decimal(95))]
    assert market.held == 0

    market.long()
    stop = market.send(Side.SELL, OrderKind.STOP, "1", trigger_price="95", close_position=True)
    market.send(Side.SELL, OrderKind.MARKET, reduce_only=True)
    assert (market.updates[-1].client_order_id, market.updates[-1].reason) == (stop, "position closed")


def test_a_reduce_only_order_is_trimmed_to_the_position_and_done() -> None:
    market = Market()
    market.long(quantity="2")
    market.send(Side.SELL, OrderKind.MARKET, "5", reduce_only=True)
    assert market.updates[-1].quantity == 2
    assert market.updates[-1].complete is True
    assert market.held == 0


def test_partial_targets_leave_the_stop_and_it_sells_what_is_left() -> None:
    market = Market()
    market.long(quantity="4")
    market.stop("95", "4")
    market.send(Side.SELL, OrderKind.LIMIT, "2", limit_price="105", reduce_only=True)
    market.close(bar("100", "106", "99", "105"))
    assert market.held == 2
    assert fills(market.close(bar("100", "100", "94", "94"))) == [(Decimal(2), Decimal(95))]


def test_a_market_order_does_not_turn_a_position_round() -> None:
    market = Market()
    market.long()
    assert market.try_send(Side.SELL, OrderKind.MARKET, "2") == Refused(
        "flip", "2 would turn the position of 1; close it first"
    )
    assert market.held == 1


def test_resting_limits_may_pass_through_zero_as_a_ladder_does() -> None:
    market = Market()
    market.long()
    stop = market.stop("90")
    market.send(Side.SELL, OrderKind.LIMIT, "3", limit_price="102")
    updates = market.close(bar("100", "103", "99", "102"))
    assert fills(updates) == [(Decimal(3), Decimal(102))]
    assert market.held == -2
    assert updates[-1].client_order_id == stop
    assert market.exchange.positions("a")[0].entry_price == 102


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        (OrderKind.MARKET, {"quantity": "0.001"}, "-1111"),
        (OrderKind.MARKET, {"quantity": "0.01"}, "-4164"),
        (OrderKind.LIMIT, {"limit_price": "99.999"}, "-1111"),
        (OrderKind.LIMIT, {}, "-1102"),
        (OrderKind.STOP, {"trigger_price": "95", "reduce_only": True}, "-2022"),
        (OrderKind.STOP, {"trigger_price": "95", "close_position": True}, "-2022"),
        (OrderKind.MARKET, {"quantity": "101"}, "-2019"),
        (OrderKind.MARKET, {"leverage": 76}, "-4028"),
        (OrderKind.TAKE_PROFIT, {"trigger_price": "100"}, "-2021"),
        (OrderKind.STOP, {"trigger_price": "100"}, "-2021"),
        (OrderKind.TRAILING_STOP, {}, "-1102"),
    ],
)
def test_what_does_not_fit_is_refused_with_binances_code(
    kind: OrderKind, fields: dict[str, Any], code: str
) -> None:
    market = Market()
    market.close(flat("100"), flat("100"))
    reply = market.try_send(Side.BUY if kind is not OrderKind.STOP else Side.SELL, kind, **fields)
    assert isinstance(reply, Refused)
    assert reply.code == code
    assert market.exchange.open_orders("a") == []


def test_instruments_that_are_not_listed_or_have_no_price_are_refused() -> None:
    market = Market()
    market.close(flat("100"))
    unknown = Ticket("u", "NOPEUSDT", Side.BUY, OrderKind.MARKET, Decimal(1))
    assert getattr(market.exchange.submit("a", 1, unknown), "code", "") == "-1121"
    unpriced = Ticket("p", "BTCUSDT", Side.BUY, OrderKind.MARKET, Decimal(1))
    assert getattr(market.exchange.submit("a", 1, unpriced), "code", "") == "-4108"
    assert getattr(market.exchange.submit("b", 1, unpriced), "code", "") == "no-account"


def test_margin_reserved_by_resting_orders_is_not_there_for_others() -> None:
    market = Market()
    market.close(flat("100"), flat("100"))
    market.send(Side.BUY, OrderKind.LIMIT, "600", limit_price="90", leverage=10)
    assert isinstance(market.try_send(Side.BUY, OrderKind.MARKET, "500", leverage=10), Refused)
    market.send(Side.BUY, OrderKind.MARKET, "400", leverage=10)


def test_the_same_order_sent_again_is_one_order_even_after_it_filled() -> None:
    market = Market()
    market.close(flat("100"), flat("100"))
    ticket = Ticket("same", SOL, Side.BUY, OrderKind.MARKET, Decimal(1))
    first = market.exchange.submit("a", 1, ticket)
    assert market.exchange.submit("a", 1, ticket) == first
    market.close(flat("100"), flat("100"))
    assert market.exchange.submit("a", 1, ticket) == first
    assert market.held == 1
    other = ticket._replace(quantity=Decimal(2))
    assert getattr(market.exchange.submit("a", 1, other), "code", "") == "-4116"


def test_an_older_epoch_is_fenced_off_by_any_call_of_a_newer_one() -> None:
    market = Market()
    market.close(flat("100"), flat("100"))
    ticket = Ticket("late", SOL, Side.BUY, OrderKind.MARKET, Decimal(1))
    assert market.exchange.lookup("a", 2, "late") is None
    assert getattr(market.exchange.submit("a", 1, ticket), "code", "") == "fenced"
    assert isinstance(market.exchange.submit("a", 2, ticket), Accepted)


def test_cancel_is_final_and_may_be_repeated() -> None:
    market = Market()
    market.long()
    stop = market.stop("95")
    assert market.exchange.cancel("a", 1, stop) == market.exchange.cancel("a", 1, stop)
    assert kinds(market.updates) == ["fill", "canceled"]
    assert market.close(bar("100", "100", "93", "93")) == []
    assert getattr(market.exchange.cancel("a", 1, "o1"), "code", "") == "-2011"  # filled
    assert getattr(market.exchange.cancel("a", 1, "none"), "code", "") == "-2011"


def test_a_stop_can_be_moved_and_a_refused_move_leaves_it() -> None:
    market = Market()
    market.long()
    stop = market.stop("95")
    assert isinstance(market.exchange.amend("a", 1, stop, Decimal(97)), Accepted)
    assert isinstance(market.exchange.amend("a", 1, stop, Decimal(97)), Accepted)
    assert getattr(market.exchange.amend("a", 1, stop, Decimal(101)), "code", "") == "-2021"
    assert getattr(market.exchange.amend("a", 1, stop, Decimal("97.001")), "code", "") == "-1111"
    assert fills(market.close(bar("100", "100", "96", "98"))) == [(Decimal(1), Decimal(97))]
    assert getattr(market.exchange.amend("a", 1, stop, Decimal(90)), "code", "") == "-2013"


def test_a_step_asked_again_changes_nothing_and_an_older_one_is_refused() -> None:
    market = Market()
    market.long()
    market.stop("95")
    closed = bar("100", "100", "94", "94")
    market.close(closed)
    records = list(market.exchange.records)
    reply = market.exchange.step(market.at, {SOL: closed})
    assert market.exchange.step(market.at, {}) == reply
    assert reply.fills == 1
    assert market.exchange.records == records
    with pytest.raises(StepRefused, match="is before the last one"):
        market.exchange.step(market.at - MINUTE, {SOL: closed})


def test_bars_of_floats_are_taken_at_their_shortest_spelling() -> None:
    market = Market()
    market.long()
    market.stop("95.13")
    market.at += MINUTE
    market.exchange.step(market.at, {SOL: FloatBar(100.0, 100.0, 95.13, 96.0, 1e6)})
    assert fills(market.updates)[-1] == (Decimal(1), Decimal("95.13"))


def test_updates_are_numbered_without_a_hole_and_read_from_any_number() -> None:
    market = Market()
    market.long()
    market.stop("95")
    market.close(bar("100", "100", "94", "94"))
    assert [update.sequence for update in market.updates] == [1, 2, 3]
    assert [update.sequence for update in market.exchange.updates("a", 2)] == [3]
    assert market.exchange.updates("a", 3) == []
