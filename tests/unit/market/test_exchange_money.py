"""Wallet, margin, funding and liquidation add up, on examples and in general."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side, Venue
from nexus_market.exchange import Accepted, Exchange, ExchangeSettings, FloatBar, Ohlcv, Ticket, Update
from nexus_market.instruments import DEFAULT_INSTRUMENTS, by_symbol, on_step, on_tick

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOL = "SOLUSDT"
LISTED = DEFAULT_INSTRUMENTS[Venue.BINANCE]
INSTRUMENT = {str(symbol): i for symbol, i in by_symbol(LISTED).items()}[SOL]
CALM = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)


def bar(open_: str, high: str, low: str, close: str, volume: str = "100000") -> Ohlcv:
    return Ohlcv(*map(Decimal, (open_, high, low, close, volume)))


def an_exchange(quantity: str, side: Side, leverage: int) -> Exchange:
    """One account of 10,000 with a position entered at 100."""
    exchange = Exchange(LISTED, CALM)
    exchange.open_account("a", 1, "USDT", Decimal(10_000))
    flat = bar("100", "100", "100", "100", "1000000")
    exchange.step(NOON, {SOL: flat}, {SOL: flat})
    entry = Ticket("in", SOL, side, OrderKind.MARKET, Decimal(quantity), leverage=leverage)
    assert isinstance(exchange.submit("a", 1, entry), Accepted)
    return exchange


def last(exchange: Exchange) -> Update:
    return exchange.updates("a", 0)[-1]


def test_longs_pay_funding_and_shorts_receive_it() -> None:
    rate = {SOL: Decimal("0.0001")}
    for side, change in ((Side.BUY, Decimal("-0.101")), (Side.SELL, Decimal("0.101"))):
        exchange = an_exchange("10", side, 5)
        wallet = exchange.account("a").wallet
        exchange.step(NOON + MINUTE, {SOL: bar("100", "102", "99", "101")}, funding=rate)
        update = last(exchange)
        assert (update.kind, update.change, update.rate) == ("funding", change, Decimal("0.0001"))
        assert update.wallet == wallet + change


def test_a_position_stopped_out_in_the_bar_pays_no_funding() -> None:
    exchange = an_exchange("10", Side.BUY, 5)
    stop = Ticket(
        "s", SOL, Side.SELL, OrderKind.STOP, Decimal(10), trigger_price=Decimal(95), reduce_only=True
    )
    exchange.submit("a", 1, stop)
    exchange.step(NOON + MINUTE, {SOL: bar("100", "100", "94", "95")}, funding={SOL: Decimal("0.01")})
    assert last(exchange).kind == "fill"


def test_a_long_is_liquidated_where_its_margin_meets_the_maintenance_margin() -> None:
    exchange = an_exchange("100", Side.BUY, 10)
    [held] = exchange.positions("a")
    assert held.margin == 1_000
    assert held.liquidation_price is not None
    # (10,000 - 1,000) / (100 x 0.995)
    assert held.liquidation_price.quantize(Decimal("0.0001")) == Decimal("90.4523")
    exchange.step(NOON + MINUTE, {SOL: bar("100", "100", "90.46", "91")})
    assert exchange.positions("a")
    exchange.step(NOON + 2 * MINUTE, {SOL: bar("91", "92", "90.4", "91")})
    update = last(exchange)
    assert (update.kind, update.price, update.side) == ("liquidation", Decimal("90.45"), Side.SELL)
    assert exchange.positions("a") == []
    # The fee of 113.06 is more than what is left of the margin: exactly the margin is lost.
    assert exchange.account("a").wallet == Decimal(10_000) - 5 - 1_000


def test_a_gap_beyond_bankruptcy_costs_no_more_than_the_margin() -> None:
    exchange = an_exchange("100", Side.SELL, 20)
    exchange.step(NOON + MINUTE, {SOL: bar("150", "160", "150", "155")})
    assert last(exchange).kind == "liquidation"
    assert exchange.account("a").wallet == Decimal(10_000) - 5 - 500


def test_the_stop_saves_a_position_from_liquidation_in_the_same_bar() -> None:
    exchange = an_exchange("100", Side.BUY, 10)
    stop = Ticket(
        "s", SOL, Side.SELL, OrderKind.STOP, Decimal(1), trigger_price=Decimal(95), close_position=True
    )
    exchange.submit("a", 1, stop)
    exchange.step(NOON + MINUTE, {SOL: bar("100", "100", "80", "85")})
    assert last(exchange).kind == "fill"
    assert exchange.account("a").wallet == Decimal(10_000) - 5 - 500 - Decimal("4.75")


def test_an_unleveraged_long_is_never_liquidated() -> None:
    exchange = an_exchange("50", Side.BUY, 1)
    exchange.step(NOON + MINUTE, {SOL: bar("100", "100", "0.01", "50")})
    assert exchange.positions("a")[0].quantity == 50


def test_liquidation_ends_the_orders_that_only_reduce() -> None:
    exchange = an_exchange("100", Side.BUY, 10)
    target = Ticket(
        "t", SOL, Side.SELL, OrderKind.LIMIT, Decimal(100), limit_price=Decimal(110), reduce_only=True
    )
    exchange.submit("a", 1, target)
    exchange.step(NOON + MINUTE, {SOL: bar("100", "100", "85", "85")})
    assert (last(exchange).kind, last(exchange).client_order_id) == ("canceled", "t")
    assert exchange.open_orders("a") == []


cents = st.integers(8_000, 12_000)


@st.composite
def bars(draw: st.DrawFn) -> Ohlcv:
    open_, one, two, close = (draw(cents) for _ in range(4))
    high, low = max(open_, one, two, close), min(open_, one, two, close)
    prices = (Decimal(number) / 100 for number in (open_, high, low, close))
    return Ohlcv._make((*prices, Decimal(draw(st.integers(0, 400)))))


@st.composite
def tickets(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(OrderKind))
    price = Decimal(draw(cents)) / 100
    fields: dict[str, Any] = {
        "side": draw(st.sampled_from(Side)),
        "kind": kind,
        "quantity": Decimal(draw(st.integers(1, 3_000))) / 100,
        "reduce_only": draw(st.booleans()),
        "leverage": draw(st.integers(1, 20)),
    }
    if kind is OrderKind.LIMIT:
        fields["limit_price"] = price
    if kind in (OrderKind.STOP, OrderKind.TAKE_PROFIT):
        fields["trigger_price"] = price
        fields["close_position"] = draw(st.booleans())
    if kind is OrderKind.TRAILING_STOP:
        fields["trail_distance"] = Decimal(draw(st.integers(1, 500))) / 100
        fields["trigger_price"] = draw(st.none() | st.just(price))
    return fields


steps = st.lists(
    st.tuples(bars(), st.lists(tickets(), max_size=4), st.integers(-50, 50), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


def play(script: list[Any], *, twice: bool = False, floats: bool = False, seed: int = 7) -> Exchange:
    """Go through bars, orders, funding and now and then a cancel."""
    exchange = Exchange(LISTED, ExchangeSettings(seed=seed, jitter_ticks=3))
    exchange.open_account("a", 1, "USDT", Decimal(10_000))
    number = 0
    for index, (closed, wanted, basis, whim) in enumerate(script):
        at = NOON + index * MINUTE
        follows = script[index + 1][0] if index + 1 < len(script) and whim != 0 else None
        shown = FloatBar(*map(float, closed)) if floats else closed
        opening = {} if follows is None else {SOL: follows}
        for _ in range(2 if twice else 1):
            exchange.step(at, {SOL: shown}, opening, {SOL: Decimal(basis) / 10_000} if whim == 1 else {})
        for fields in wanted:
            number += 1
            ticket = Ticket(client_order_id=f"o{number}", symbol=SOL, **fields)
            for _ in range(2 if twice else 1):
                exchange.submit("a", 1, ticket)
        if whim == 2 and exchange.open_orders("a"):
            exchange.cancel("a", 1, exchange.open_orders("a")[0].ticket.client_order_id)
    return exchange


@settings(max_examples=150, deadline=None)
@given(steps)
def test_every_cent_of_the_wallet_is_accounted_for(script: list[Any]) -> None:
    exchange = play(script)
    account = exchange.account("a")
    records = exchange.records
    assert account.wallet == account.initial + account.realised - account.fees - account.funding
    traded = sum(
        (
            r["quantity"] * r["price"] * (1 if r["side"] is Side.SELL else -1)
            for r in records
            if r["kind"] == "fill"
        ),
        Decimal(0),
    )
    if not any(r["kind"] == "liquidation" for r in records):
        price = exchange.price(SOL) or Decimal(0)
        held = account.held(SOL)
        unrealised = sum((p.unrealised(price) for p in account.positions.values()), Decimal(0))
        cash = account.initial + traded - account.fees - account.funding
        assert account.wallet + unrealised == cash + held * price


@settings(max_examples=150, deadline=None)
@given(steps)
def test_fills_never_exceed_their_order_and_every_figure_is_legal(script: list[Any]) -> None:
    exchange = play(script)
    for order in exchange.account("a").orders.values():
        if not order.ticket.close_position:
            assert order.filled <= order.ticket.quantity
    for record in exchange.records:
        if record["kind"] == "fill":
            assert on_step(record["quantity"], INSTRUMENT)
            assert on_tick(record["price"], INSTRUMENT)
            assert record["quantity"] > 0


@settings(max_examples=150, deadline=None)
@given(steps)
def test_what_only_reduces_never_opens_and_never_outlives_its_position(script: list[Any]) -> None:
    exchange = play(script)
    reducing = {
        r["client"]
        for r in exchange.records
        if r["kind"] == "order" and (r["reduce_only"] or r["close_position"])
    }
    held = Decimal(0)
    for record in exchange.records:
        if record["kind"] == "fill":
            signed = record["quantity"] if record["side"] is Side.BUY else -record["quantity"]
            if record["client"] in reducing:
                assert held * signed < 0
                assert abs(signed) <= abs(held)
            held += signed
        if record["kind"] == "position":
            held = record["quantity"]
    for order in exchange.open_orders("a"):
        assert not order.reduces or (held > 0) == (order.side is Side.SELL)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_same_calls_give_the_same_ledger_once_twice_or_as_floats(script: list[Any]) -> None:
    once = play(script)
    assert play(script).records == once.records
    assert play(script, floats=True).records == once.records
    repeated = [r for r in play(script, twice=True).records if r["kind"] != "resubmission"]
    assert [{**r, "n": 0} for r in repeated] == [{**r, "n": 0} for r in once.records]


@settings(max_examples=100, deadline=None)
@given(steps, bars())
def test_a_bar_inside_the_quiet_band_moves_nothing(script: list[Any], extra: Ohlcv) -> None:
    exchange = play(script)
    lower, upper = exchange.quiet_band(SOL)
    before, waiting = len(exchange.records), exchange.open_orders("a")
    extremes = [order.extreme for order in waiting]
    exchange.step(NOON + timedelta(days=1), {SOL: extra})
    if float(extra.low) > lower and float(extra.high) < upper:
        assert len(exchange.records) == before
        assert [order.extreme for order in waiting] == extremes
