"""Our broker over the unmodified alpaca-py, against a venue that bites: what is peculiar to Alpaca.

What all brokers promise is in `contract/test_broker.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from contract.alpaca.floor import MONDAY, NVDA, Floor, buy, minutes, request, stop
from contract.settings import bar
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.venues.alpaca import AlpacaBroker
from nexus_executor.venues.alpaca.orders import next_replacement, our_id
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Refused,
    Unknown,
    UpdateKind,
    VenueDown,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.facts import PositionMode, StatementKind
from nexus_executor.venues.rate_budget import RateBudget

AT = MONDAY


async def fills(broker: AlpacaBroker, after: int = 0) -> list[VenueUpdate]:
    return [update for update in await broker.updates(after) if update.kind is UpdateKind.FILL]


# -- the life of a trade ------------------------------------------------------------------------------


async def test_a_stop_is_moved_and_resized_under_one_name(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(), AT)
    placed = await broker.submit(stop("95"), AT)
    moved = await broker.amend(stop("95"), Decimal(96))
    resized = await broker.amend(stop("95"), Decimal(97), Decimal(1))
    assert [type(reply) for reply in (placed, moved, resized)] == [Accepted] * 3
    assert len({str(reply) for reply in (placed, moved, resized)}) == 3, "each is an order anew"
    assert await broker.amend(stop("95"), Decimal(97), Decimal(1)) == resized, "asked twice is as asked once"
    [standing] = await broker.open_orders()
    assert (standing.client_order_id, standing.quantity, standing.trigger_price) == (
        stop().client_order_id,
        Decimal(1),
        Decimal(97),
    )
    assert isinstance(await broker.lookup(stop()), Accepted)
    names = [order["client_order_id"] for order in await floor.orders("all")]
    assert names == ["nx1in", "nx1stop", "nx1stop.r2", "nx1stop.r3"]
    floor.step(bar("100", "100", "96", "96"), "96")
    told = await broker.updates(0)
    assert [update.kind for update in told] == [UpdateKind.FILL, UpdateKind.FILL, UpdateKind.BALANCE]
    assert (told[1].client_order_id, told[1].price, told[1].quantity) == ("nx1stop", Decimal(97), Decimal(1))
    assert (told[2].wallet, told[2].change) == (Decimal(9997), Decimal(-3))
    assert await broker.positions() == [VenuePosition(NVDA, Decimal(1), Decimal(100))]


async def test_a_replaced_stop_is_found_after_a_restart(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(), AT)
    await broker.submit(stop("95"), AT)
    await broker.amend(stop("95"), Decimal(96))
    await broker.close()
    again = await floor.broker()
    assert isinstance(await again.amend(stop("95"), Decimal(97)), Accepted)
    assert [order.trigger_price for order in await again.open_orders()] == [Decimal(97)]
    assert isinstance(await again.cancel(stop("95")), Accepted)
    assert await again.open_orders() == []
    assert isinstance(await again.cancel(stop("95")), Accepted), "canceled already"


async def test_a_stop_that_is_gone_is_not_amended(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(), AT)
    await broker.submit(stop("95"), AT)
    floor.step(bar("100", "100", "94", "95"), "95")
    assert isinstance(await broker.amend(stop("95"), Decimal(94)), Refused)
    assert isinstance(await broker.cancel(stop("95")), Refused)
    assert isinstance(await broker.amend(stop("95", name="never"), Decimal(94)), Refused)


async def test_kinds_of_orders_and_their_times_in_force(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(quantity="4.5"), AT)
    for order in (
        stop("95", "1"),
        stop("95", "0.5", "fraction"),
        request(
            "target", Side.SELL, OrderKind.TAKE_PROFIT, "1", trigger_price=Decimal(110), reduce_only=True
        ),
        request(
            "trail", Side.SELL, OrderKind.TRAILING_STOP, "1", trail_distance=Decimal(4), reduce_only=True
        ),
        request(
            "rate", Side.SELL, OrderKind.TRAILING_STOP, "1", trail_rate=Decimal("0.05"), reduce_only=True
        ),
    ):
        assert isinstance(await broker.submit(order, AT), Accepted), order
    shown = [
        (o["type"], o["time_in_force"], o["qty"], o["stop_price"] or o["limit_price"])
        for o in await floor.orders()
    ]
    assert shown == [
        ("stop", "gtc", "1", "95"),
        ("stop", "day", "0.5", "95"),
        ("limit", "gtc", "1", "110"),
        ("trailing_stop", "gtc", "1", "96"),
        ("trailing_stop", "gtc", "1", "95"),
    ]


async def test_market_limit_and_bracket(floor: Floor) -> None:
    broker = await floor.broker()
    assert isinstance(await broker.market(ClientOrderId("a"), NVDA, Side.BUY, Decimal("0.25"), AT), Accepted)
    limit = await broker.limit(ClientOrderId("b"), NVDA, Side.BUY, Decimal(1), Decimal(90), AT)
    assert isinstance(limit, Accepted)
    entry = request("entry", Side.BUY, OrderKind.MARKET)
    assert isinstance(await broker.bracket(entry, Decimal(110), Decimal(95), AT), Accepted)
    assert len(await broker.open_orders()) == 3
    floor.step(bar("100", "110", "100", "110"), "110")
    assert [fill.price for fill in await fills(broker)] == [100, 100, 110]
    fractional = replace(entry, quantity=Decimal("0.5"))
    assert isinstance(await broker.bracket(fractional, Decimal(120), Decimal(95), AT), Refused)


async def test_what_alpaca_cannot_do_is_refused_without_a_request(floor: Floor) -> None:
    broker = await floor.broker()
    for order in (
        request("a", Side.SELL, OrderKind.MARKET, "0.5"),
        request("b", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), close_position=True),
        request("c", Side.SELL, OrderKind.TRAILING_STOP, "0.5", trail_distance=Decimal(1), reduce_only=True),
        request("d", Side.BUY, OrderKind.LIMIT),
    ):
        assert isinstance(await broker.submit(order, AT), Refused)
    assert await floor.orders("all") == []


async def test_an_exit_never_opens_a_position_the_other_way(floor: Floor) -> None:
    broker = await floor.broker()
    refused = await broker.submit(stop("95"), AT)
    assert isinstance(refused, Refused)
    assert (refused.code, "position intent mismatch" in refused.reason) == ("42210000", True)
    assert await broker.positions() == []


async def test_a_day_stop_that_expires_is_told(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(quantity="2.5"), AT)
    await broker.submit(stop("95", "0.5"), AT)
    seen = len(await broker.updates(0))
    floor.step_to(datetime(2025, 6, 2, 20, tzinfo=UTC), opening=None)
    [ended] = await broker.updates(seen)
    assert (ended.kind, ended.client_order_id, ended.reason) == (
        UpdateKind.CANCELED,
        "nx1stop",
        "expired at the venue",
    )


def test_names_of_replacements() -> None:
    name = "nx1" + "a" * 26
    for number in range(2, 40):
        name = next_replacement(name)
        assert name.endswith(f".r{number}")
        assert our_id(name) == "nx1" + "a" * 26
        assert len(name) <= 48
    assert our_id("web.rx") == "web.rx"


# -- outcomes that nobody knows -----------------------------------------------------------------------

LOST = [
    ("lose_reply", {}),
    ("hang", {"seconds": 1.2}),
    ("garbage", {}),
    ("truncate", {}),
    ("status", {"status": 504, "body": '{"code": 50410000, "message": "gateway timeout"}'}),
    ("status", {"status": 500, "body": '{"code": 50010000, "message": "internal server error occurred"}'}),
    ("status", {"status": 200, "body": "{}"}),
    ("status", {"status": 200, "body": "[]"}),
    ("status", {"status": 200, "body": ""}),
    ("status", {"status": 302, "body": ""}),
]


def patience(fault: str) -> float:
    """Short only where nothing will come: a busy machine is slow, too."""
    return 1.0 if fault == "hang" else 5.0


@pytest.mark.parametrize(("fault", "fields"), LOST)
async def test_an_order_whose_answer_is_lost_is_sent_once_and_found(
    floor: Floor, fault: str, fields: dict[str, object]
) -> None:
    broker = await floor.broker(patience(fault))
    floor.fault("submit", fault, **fields)
    assert isinstance(await broker.submit(buy(), AT), Unknown)
    assert isinstance(await broker.lookup(buy()), Accepted)
    assert len(await floor.orders("all")) == 1
    assert [fill.quantity for fill in await fills(broker)] == [Decimal(2)]
    again = await broker.submit(buy(), AT)
    assert isinstance(again, Refused)
    assert again.code == "40010001"
    assert len(await floor.orders("all")) == 1


@pytest.mark.parametrize("method", ["cancel", "amend"])
@pytest.mark.parametrize(("fault", "fields"), LOST[:5])
async def test_a_change_whose_answer_is_lost_is_unknown_and_can_be_asked_again(
    floor: Floor, method: str, fault: str, fields: dict[str, object]
) -> None:
    broker = await floor.broker(patience(fault))
    await broker.submit(buy(), AT)
    await broker.submit(stop("95"), AT)
    floor.fault(method, fault, **fields)

    async def change() -> object:
        if method == "amend":
            return await broker.amend(stop("95"), Decimal(96), Decimal(1))
        return await broker.cancel(stop("95"))

    first = await change()
    # DELETE's answer is empty: only its status counts.
    assert isinstance(first, Unknown | Accepted if method == "cancel" else Unknown)
    assert isinstance(await change(), Accepted)
    standing = [(o.trigger_price, o.quantity) for o in await broker.open_orders()]
    assert standing == ([(Decimal(96), Decimal(1))] if method == "amend" else [])


async def test_a_lookup_proves_absence_only_by_the_documented_answer(floor: Floor) -> None:
    broker = await floor.broker(timeout=5)
    absent = await broker.lookup(buy())
    assert isinstance(absent, Absent)
    for body in ("", "<html>", '{"message": "endpoint not found."}'):
        floor.fault("lookup", "status_unworked", status=404, body=body)
        assert isinstance(await broker.lookup(buy()), Unknown), body
    for status in (401, 403, 422, 429, 500, 504):
        floor.fault("lookup", "status_unworked", status=status, body="{}")
        assert isinstance(await broker.lookup(buy()), Unknown), status


async def test_answers_that_are_no_state_are_no_state(floor: Floor) -> None:
    broker = await floor.broker(timeout=5)
    await broker.submit(buy(), AT)
    for body in ("{}", "[1]", "", "null", '[{"symbol": "NVDA"}]', '[{"symbol": "NVDA", "qty": "0"}]'):
        floor.fault("positions", "status", status=200, body=body)
        with pytest.raises(VenueDown):
            await broker.positions()
        floor.fault("open_orders", "status", status=200, body=body)
        with pytest.raises(VenueDown):
            await broker.open_orders()


# -- the stream ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "stall", "drop"])
async def test_a_stream_that_fails_loses_nothing(floor: Floor, fault: str) -> None:
    broker = await floor.broker()
    floor.fault("stream", fault, times=50)
    await broker.submit(buy(), AT)
    floor.house.faults()
    if fault == "stall":
        floor.fault("stream", fault)
        await broker.submit(buy("two", "1"), AT)
    await broker.submit(stop("95"), AT)
    floor.step()
    told = await fills(broker)
    assert [fill.quantity for fill in told][:1] == [Decimal(2)]
    floor.step(bar("100", "100", "94", "95"), "95")
    told = await fills(broker)
    assert sum(fill.quantity if fill.side is Side.BUY else -fill.quantity for fill in told) == (
        Decimal(1) if fault == "stall" else Decimal(0)
    )
    await broker.backfill(MONDAY, [NVDA])
    assert await fills(broker) == told


async def test_a_gap_is_asked_for_until_there_is_an_answer(floor: Floor) -> None:
    broker = await floor.broker(timeout=0.5)
    await broker.submit(buy(), AT)
    await broker.submit(stop("95"), AT)
    assert len(await fills(broker)) == 1
    floor.house.faults(
        {"method": "stream", "fault": "cut", "account": floor.account},
        {"method": "trades", "fault": "lose_reply", "account": floor.account},
    )
    floor.step(bar("100", "100", "94", "95"), "95")
    with pytest.raises(VenueDown):
        await broker.updates(0)
    assert len(await fills(broker)) == 2, "the new socket is whole, what came before it is not"


async def test_a_second_stream_is_refused_and_the_first_goes_on(floor: Floor) -> None:
    first = await floor.broker()
    with pytest.raises(VenueDown):
        await floor.new_broker().open("USD", None)
    await first.submit(buy(), AT)
    assert len(await fills(first)) == 1


async def test_unreadable_frames_are_counted_and_the_others_go_on(floor: Floor) -> None:
    broker = await floor.broker()
    floor.fault("stream", "malformed")
    await broker.submit(buy(), AT)
    floor.fault("stream", "unknown_frame")
    await broker.submit(buy("two"), AT)
    assert len(await fills(broker)) == 2
    assert sum(broker.private.refused.values()) == 2


async def test_orders_by_hand_and_liquidations_are_told(floor: Floor) -> None:
    broker = await floor.broker()
    order = {"client_order_id": "web", "symbol": "NVDA", "side": "sell", "kind": "market", "quantity": "3"}
    floor.house.ask("by_hand", account=floor.account, order=order)
    floor.house.ask("take_over", account=floor.account, symbol="NVDA")
    by_hand, taken = await fills(broker)
    assert (by_hand.side, by_hand.quantity) == (Side.SELL, Decimal(3))
    assert (taken.side, taken.quantity) == (Side.BUY, Decimal(3))
    assert await broker.positions() == []


async def test_money_paid_in_is_told_by_a_backfill(floor: Floor) -> None:
    broker = await floor.broker()
    floor.house.ask("transfer", account=floor.account, amount="500")
    await broker.backfill(MONDAY, [])
    await broker.backfill(MONDAY, [])
    [paid] = await broker.updates(0)
    assert (paid.kind, paid.wallet, paid.change) == (UpdateKind.BALANCE, Decimal(10_500), Decimal(500))


async def test_a_long_gap_is_filled_page_by_page(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.close()
    for number in range(130):
        order = {"client_order_id": f"web{number}", "symbol": "NVDA", "kind": "market", "quantity": "1"}
        side = "buy" if number % 2 == 0 else "sell"
        floor.house.ask("by_hand", account=floor.account, order={**order, "side": side})
    again = await floor.broker()
    await again.backfill(MONDAY, [])
    assert len(await fills(again)) == 130


# -- the account --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "says"),
    [
        ({"live": True}, "opens a paper account"),
        ({"rest_url": "https://api.alpaca.markets"}, "live address"),
        ({"stream_url": "wss://api.alpaca.markets"}, "live address"),
        ({"rest_url": "https://paper-api.alpaca.markets", "live": True}, "paper address"),
        ({"key": "AK" + "X" * 18}, "its key is one of a live account"),
        ({"key": "PK" + "X" * 18, "live": True}, "its key is one of a paper account"),
        ({"secret": "wrong"}, "refuses the key"),
    ],
)
async def test_live_and_paper_are_never_mixed(floor: Floor, access: dict[str, object], says: str) -> None:
    broker = floor.new_broker(**access)
    with pytest.raises(ConfigurationError, match=says):
        await broker.open("USD", None)


async def test_an_account_in_another_currency_is_refused(floor: Floor) -> None:
    with pytest.raises(ConfigurationError, match="kept in USD"):
        await floor.new_broker().open("USDT", None)


async def test_facts(floor: Floor) -> None:
    broker = await floor.broker()
    facts = await broker.facts()
    assert facts.server_time == floor.house.at
    assert (facts.can_trade, facts.can_withdraw, facts.live) == (True, False, False)
    assert facts.position_mode is PositionMode.ONE_WAY
    assert facts.wallet == Decimal(10_000)
    floor.house.ask("flag", account=floor.account, name="trading_blocked", value=True)
    facts = await broker.facts()
    assert facts.can_trade is False
    assert "Alpaca says trading_blocked" in facts.notes


async def test_the_statement_is_the_venues_ledger(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(quantity="4"), AT)
    floor.step("110", "110")
    await broker.submit(buy("more", "2"), AT)
    floor.step("120", "120")
    await broker.submit(request("out", Side.SELL, OrderKind.MARKET, "3", reduce_only=True), AT)
    floor.house.ask("transfer", account=floor.account, amount="-100")
    floor.step("90", "90")
    await broker.submit(request("rest", Side.SELL, OrderKind.MARKET, "3", reduce_only=True), AT)
    await broker.submit(request("short", Side.SELL, OrderKind.MARKET, "2"), AT)
    floor.step("80", "80")
    await broker.submit(request("cover", Side.BUY, OrderKind.MARKET, "2", reduce_only=True), AT)
    rows = await broker.statement(MONDAY)
    assert [row.kind for row in rows] == [
        StatementKind.REALISED,
        StatementKind.TRANSFER,
        StatementKind.REALISED,
        StatementKind.REALISED,
    ]
    total = sum(row.amount for row in rows)
    wallet = Decimal(floor.house.proofs()["wallets"][floor.account])
    assert abs(Decimal(10_000) + total - wallet) < Decimal("0.0000001")
    assert len({row.key for row in rows}) == 4
    assert await broker.statement(floor.house.at + minutes(1)) == []


async def test_the_last_fifth_of_the_limit_is_for_exits(floor: Floor) -> None:
    broker = await floor.broker()
    await broker.submit(buy(), AT)
    budget = broker._rest._budget
    assert isinstance(budget, RateBudget)
    for _ in range(170):
        await floor.ask(floor.client.get, "/clock")
    await broker.positions()
    refused = await broker.submit(buy("two"), AT)
    assert isinstance(refused, Refused)
    assert refused.code == "not-sent"
    assert isinstance(await broker.submit(stop("95"), AT), Accepted)


async def test_a_ban_holds_for_as_long_as_the_venue_says(floor: Floor) -> None:
    broker = await floor.broker()
    floor.fault("submit", "limit", status=429, seconds=30)
    assert isinstance(await broker.submit(buy(), AT), Refused)
    floor.house.faults()
    refused = await broker.submit(buy(), AT)
    assert isinstance(refused, Refused)
    assert refused.code == "not-sent"
    with pytest.raises(VenueDown):
        await broker.positions()
    floor.step(seconds=61)
    assert isinstance(await broker.submit(buy(), AT), Accepted)


async def test_no_secret_in_what_is_shown(floor: Floor) -> None:
    broker = await floor.broker(timeout=5)
    secret = broker._access.secret
    floor.fault("submit", "lose_request")
    shown = [repr(broker._access), repr(await broker.submit(buy(), AT)), repr(vars(broker))]
    assert all(secret not in text for text in shown)


async def test_another_symbols_fills_are_told_too(floor: Floor) -> None:
    broker = await floor.broker()
    floor.step("500", "500", symbol=Symbol("SPY"), seconds=1)
    other = replace(buy("spy", "1"), symbol=Symbol("SPY"))
    assert isinstance(await broker.submit(other, AT + timedelta(seconds=1)), Accepted)
    assert [(fill.symbol, fill.price) for fill in await fills(broker)] == [("SPY", Decimal(500))]
