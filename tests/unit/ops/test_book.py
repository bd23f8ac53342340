"""Books from our fills: profit against average cost, by strategy, and against the venue's statement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, Side, Symbol, Venue, format_instant
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.settings import NexusSettings
from nexus_data.market_feed import Market
from nexus_executor.venues.facts import StatementKind, StatementRow
from nexus_market.exchange import Accepted, Exchange, Ohlcv, Ticket
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_ops.book import AccountBook, Grouping, books_of, books_on_record, grouped
from nexus_ops.composition import LocalHouse
from nexus_ops.statement import compare, statement_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACCOUNT, BTC = AccountId("anna.binance.paper"), Symbol("BTCUSDT")
D = Decimal


def opened(wallet: str = "1000") -> dict[str, Any]:
    facts = {"kind": "opened", "venue": "binance", "currency": "USDT", "wallet": wallet}
    return {**facts, "account": ACCOUNT, "at": format_instant(NOON)}


def fill(
    side: str, quantity: str, price: str, trade: str = "t1", fee: str = "0", day: int = 0
) -> dict[str, Any]:
    return {
        "kind": "fill",
        "account": ACCOUNT,
        "at": format_instant(NOON + timedelta(days=day)),
        "symbol": BTC,
        "side": side,
        "quantity": quantity,
        "price": price,
        "fee": fee,
        "trade": trade,
    }


def balance(change: str, wallet: str, reason: str) -> dict[str, Any]:
    facts = {"kind": "balance", "wallet": wallet, "change": change, "reason": reason}
    return {**facts, "account": ACCOUNT, "at": format_instant(NOON)}


def strategy(trade: str, name: str) -> dict[str, Any]:
    return {"kind": "trade", "trade": trade, "strategy": name}


def book(*rows: dict[str, Any]) -> AccountBook:
    return books_of([opened(), *rows])[ACCOUNT]


def figures(made: AccountBook, by: Grouping | None = None) -> dict[str, tuple[int, Decimal, Decimal]]:
    return {name: (f.fills, f.realised, f.net) for name, f in grouped(made, by).items()}


@pytest.mark.parametrize(
    ("fills", "realised"),
    [
        ([("buy", "2", "100"), ("sell", "2", "110")], "20"),
        ([("sell", "2", "100"), ("buy", "2", "110")], "-20"),
        ([("buy", "1", "100"), ("buy", "1", "110"), ("sell", "1", "120")], "15"),
        ([("buy", "1", "100"), ("sell", "3", "110"), ("buy", "2", "100")], "30"),
        ([("buy", "3", "100"), ("sell", "1", "101"), ("sell", "2", "102")], "5"),
        ([("buy", "1", "100")], "0"),
    ],
)
def test_profit_is_realised_against_the_average_cost(
    fills: list[tuple[str, str, str]], realised: str
) -> None:
    made = book(*(fill(*each) for each in fills))
    assert figures(made)[""] == (len(fills), D(realised), D(realised))


def test_figures_add_up_by_strategy_instrument_and_day() -> None:
    made = book(
        fill("buy", "1", "100", "t1", "0.5"),
        strategy("t1", "trend"),
        {"kind": "funding", "symbol": BTC, "amount": "2", "account": ACCOUNT, "at": format_instant(NOON)},
        fill("sell", "1", "130", "t1", "0.5", day=1),
        fill("sell", "1", "130", "t2", "1", day=1),
        strategy("t2", "shark"),
    )
    assert figures(made, Grouping.STRATEGY) == {"trend": (2, D(30), D(27)), "shark": (1, D(0), D(-1))}
    assert figures(made, Grouping.INSTRUMENT) == {"BTCUSDT": (3, D(30), D(26))}
    assert figures(made, Grouping.DAY) == {
        "2026-01-01": (1, D(0), D("-2.5")),
        "2026-01-02": (2, D(30), D("28.5")),
    }
    total = grouped(made, None)[""]
    assert (total.fees, total.funding, total.volume) == (D(2), D(2), D(360))


def test_transfers_are_no_profit_and_what_nobody_entered_shows() -> None:
    made = book(balance("500", "1500", "transfer"))
    assert figures(made)[""] == (0, D(0), D(0))
    assert grouped(made, None)[""].transfers == D(500)
    assert made.unexplained == 0
    by_hand = book(balance("-7", "993", "fill"))
    assert by_hand.unexplained == D(-7)
    assert compare(by_hand, []) == [f"{ACCOUNT}: -7 of its wallet has no entry in our ledger"]


def test_a_liquidation_costs_what_left_the_wallet_beside_its_loss() -> None:
    gone = {"kind": "liquidation", "symbol": BTC, "quantity": "2", "price": "90", "account": ACCOUNT}
    made = book(
        fill("sell", "2", "80"),
        {**gone, "at": format_instant(NOON)},
        balance("-21.5", "978.5", "liquidation"),
    )
    total = grouped(made, None)[""]
    assert (total.realised, total.liquidation, total.net) == (D(-20), D("1.5"), D("-21.5"))
    assert made.unexplained == 0


def test_what_was_traded_by_hand_is_on_the_books_under_its_own_name() -> None:
    made = book({**fill("buy", "1", "100", fee="0.1"), "trade": None}, fill("sell", "1", "90", "t1"))
    assert figures(made, Grouping.STRATEGY) == {"by hand": (1, D(0), D("-0.1")), "-": (1, D(-10), D(-10))}


def test_a_difference_of_one_unit_is_told() -> None:
    made = book(fill("buy", "1", "100", fee="0.04"), balance("-0.04", "999.96", "fill"))
    stated = StatementRow(NOON, StatementKind.FEE, D("-0.04"), "1", BTC)
    assert compare(made, [stated]) == []
    other = StatementRow(NOON, StatementKind.FEE, D("-0.04000001"), "1", BTC)
    assert compare(made, [other]) == [
        f"{ACCOUNT}: BTCUSDT fee is -0.04 in our ledger and -0.04000001 in the venue's statement, "
        "-0.00000001 apart"
    ]
    assert len(compare(made, [])) == 1


def test_partial_closes_are_rounded_as_the_venue_rounds_them() -> None:
    exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE])
    bar = Ohlcv(*[D("60123.4")] * 4, volume=D(1_000))
    exchange.step(NOON, {BTC: bar}, {BTC: bar})
    exchange.open_account(ACCOUNT, 1, "USDT", D(100_000))
    for number, (side, quantity) in enumerate(
        [("buy", "0.007"), ("buy", "0.003"), ("sell", "0.003"), ("sell", "0.007")]
    ):
        price = D("60123.4") + number * D("7.7")
        moved = Ohlcv(price, price, price, price, D(1_000))
        exchange.step(NOON + timedelta(minutes=number + 1), {BTC: moved}, {BTC: moved})
        ticket = Ticket(f"nx{number}", BTC, Side(side), OrderKind.MARKET, D(quantity), leverage=3)
        assert isinstance(exchange.submit(ACCOUNT, 1, ticket), Accepted)
    made = book(
        *(
            fill(str(update.side), str(update.quantity), str(update.price), fee=str(update.fee))
            for update in exchange.updates(ACCOUNT, 0)
        )
    )
    made.opening, made.wallet = D(100_000), exchange.account(ACCOUNT).wallet
    records = [{**record, "at": format_instant(record["at"])} for record in exchange.records if record["at"]]
    assert len(made.entries) == 8
    assert compare(made, statement_of(records)[ACCOUNT]) == []


async def test_books_are_made_from_a_whole_run(settings: NexusSettings, market: Market) -> None:
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    store: EventStore = house.store
    books = await books_on_record(store)
    assert [made.unexplained for made in books.values()] == [0]
    (made,) = books.values()
    assert made.entries
    assert set(grouped(made, Grouping.STRATEGY)) & {"trend", "shark"}
