"""A restart with many positions: everything is compared with the venue again, in time."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contract.settings import VenueHouse, VenueRow, flat, spoken
from faults.deeds import a_verdict
from faults.mortal import Crash
from faults.play import CALM
from faults.trader import Trader
from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import AccountId, Direction
from nexus_market.instruments import floor_quantity

pytestmark = pytest.mark.faults

POSITIONS = 50
ORDERS = 200
LIMIT_SECONDS = 5.0
PRICE = Decimal(100)
ROWS = [row for row in spoken() if row.name != "paper-local" and row.venue.is_crypto]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_200_orders_and_50_positions_are_reconciled_within_5_seconds(
    row: VenueRow, tmp_path: Path
) -> None:
    house = VenueHouse(tmp_path, CALM)
    await house.start()
    accounts = [AccountId(f"owner{n}.{row.venue}.paper") for n in range(2)]
    for account in accounts:
        row.open_account(house, account)
    trader = Trader(row, house, accounts[0], Crash(), 2.0, accounts[1:])
    listed = house.venues.exchange(row.venue).instruments[: POSITIONS // 2]
    try:
        await _fill(house, trader, listed)
        _rest_by_hand(house, trader, listed)
        exchange = house.venues.exchange(row.venue)
        assert sum(len(exchange.positions(account)) for account in accounts) == POSITIONS
        assert sum(len(exchange.open_orders(account)) for account in accounts) >= ORDERS
        before = await trader.store.head()
        begun = time.monotonic()
        await trader.restart()
        await _turn(house, trader, listed)
        took = time.monotonic() - begun
        recorded = [r.event for r in await trader.events() if r.global_position > before]
        assert recorded == [], "nothing has changed meanwhile"
        assert took < LIMIT_SECONDS, f"{took:.2f} s"
    finally:
        await trader.stop()
        await house.stop()


def _rest_by_hand(house: VenueHouse, trader: Trader, listed: tuple[Instrument, ...]) -> None:
    """Where fewer orders stand for a position, its owner has some of his own."""
    exchange = house.venues.exchange(trader.row.venue)
    missing = ORDERS - sum(len(exchange.open_orders(account)) for account in trader.accounts)
    for number in range(max(missing, 0)):
        instrument = listed[number % len(listed)]
        quantity = floor_quantity(Decimal(3), instrument)
        order = {
            "client_order_id": f"web_{number}",
            "symbol": instrument.symbol,
            "side": "buy",
            "kind": "limit",
            "quantity": str(quantity),
            "limit_price": "50",
        }
        account = trader.accounts[number // len(listed) % len(trader.accounts)]
        assert "accepted" in house.ask("by_hand", account=account, order=order)


async def _turn(house: VenueHouse, trader: Trader, listed: Any, requests: Any = ()) -> None:
    bars = {instrument.symbol: flat(PRICE, "10000000") for instrument in listed}
    house.step(trader.row.venue, bars, bars, 20)
    await trader.turn(house.at, bars, requests)


async def _fill(house: VenueHouse, trader: Trader, listed: tuple[Instrument, ...]) -> None:
    """An entry in each instrument on both accounts, a few a minute."""
    bars = {instrument.symbol: flat(PRICE, "10000000") for instrument in listed}
    house.step(trader.row.venue, bars, bars, 60)
    await trader.start(house.at)
    await _turn(house, trader, listed)
    cuts = [*range(0, len(listed), 5), len(listed)]
    for first, last in pairwise(cuts):
        requests = [
            (
                f"risk-{account}",
                a_verdict(
                    instrument,
                    Direction.LONG,
                    PRICE,
                    floor_quantity(Decimal("12.5"), instrument),
                    house.at,
                ),
            )
            for account in trader.accounts
            for instrument in listed[first:last]
        ]
        await _turn(house, trader, listed, requests)
    for _ in range(3):
        await _turn(house, trader, listed)
