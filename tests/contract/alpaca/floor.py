"""The stock exchange's floor in this process: Alpaca's protocol on loopback, one account, a market moved by hand."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient

from contract.settings import Connection, VenueHouse, flat
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, Venue
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.alpaca import AlpacaBroker
from nexus_executor.venues.broker import OrderRequest
from nexus_market.exchange import Ohlcv
from nexus_simvenue.wire.dialect import simulated_secret

NVDA, SPY = Symbol("NVDA"), Symbol("SPY")
# 11:00 in New York, a Monday.
MONDAY = datetime(2025, 6, 2, 15, tzinfo=UTC)
_numbers = count(1)


class Floor:
    """`client` is the unmodified vendor's client; `broker()` is ours."""

    def __init__(self, folder: Path, at: datetime = MONDAY) -> None:
        self.house = VenueHouse(folder)
        self.house.at = at
        self.clock = TurnClock()
        self.account = AccountId(f"owner{next(_numbers)}.alpaca.paper")
        self._brokers: list[AlpacaBroker] = []

    async def start(self) -> None:
        await self.house.start()
        self.house.ask(
            "open_account", venue="alpaca", account=self.account, epoch=0, currency="USD", balance="10000"
        )
        self.step()
        self.client = TradingClient(
            self.account, simulated_secret(self.account), url_override=self.house.server.addresses["alpaca"]
        )

    async def stop(self) -> None:
        for broker in self._brokers:
            await broker.close()
        self.client._session.close()
        await self.house.stop()

    # -- the market ---------------------------------------------------------------------------------

    def step(
        self,
        closed: Ohlcv | str = "100",
        opening: Ohlcv | str | None = "100",
        seconds: float = 60,
        symbol: Symbol = NVDA,
    ) -> None:
        """A bar has closed, and one has opened unless `opening` is None."""
        first = flat(closed) if isinstance(closed, str) else closed
        bars = {symbol: first}
        opens = {} if opening is None else {symbol: flat(opening) if isinstance(opening, str) else opening}
        self.house.step(Venue.ALPACA, bars, opens, seconds)
        self.clock.told(self.house.at)

    def step_to(self, at: datetime, closed: Ohlcv | str = "100", opening: Ohlcv | str | None = "100") -> None:
        self.step(closed, opening, (at - self.house.at).total_seconds())

    # -- the vendor's client ------------------------------------------------------------------------

    async def ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The answer to a call of the vendor's client, whose types allow for two kinds of answers each."""
        return await asyncio.to_thread(call, *arguments)

    async def refused(self, call: Callable[..., Any], *arguments: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of the refusal that a call meets."""
        try:
            answer = await asyncio.to_thread(call, *arguments)
        except APIError as error:
            return error.status_code, json.loads(str(error))
        raise AssertionError(f"was not refused: {answer}")

    async def post(self, **fields: Any) -> dict[str, Any]:
        """POST /v2/orders with exactly these fields."""
        order = {"symbol": "NVDA", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
        wanted = {name: value for name, value in {**order, **fields}.items() if value is not None}
        return await self.ask(self.client.post, "/orders", wanted)

    async def post_refused(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        order = {"symbol": "NVDA", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
        wanted = {name: value for name, value in {**order, **fields}.items() if value is not None}
        return await self.refused(self.client.post, "/orders", wanted)

    async def order(self, order_id: str) -> dict[str, Any]:
        return await self.ask(self.client.get, f"/orders/{order_id}")

    async def orders(self, status: str = "open") -> list[dict[str, Any]]:
        return await self.ask(self.client.get, "/orders", {"status": status, "direction": "asc"})

    # -- our broker ---------------------------------------------------------------------------------

    def new_broker(self, timeout: float = 5.0, **access: Any) -> AlpacaBroker:
        connection = Connection(self.house, self.account, self.clock, timeout=timeout)
        broker = AlpacaBroker(replace(connection.access(Venue.ALPACA), **access), self.clock)
        self._brokers.append(broker)
        return broker

    async def broker(self, timeout: float = 5.0) -> AlpacaBroker:
        broker = self.new_broker(timeout)
        await broker.open("USD", None)
        return broker

    def fault(self, method: str, fault: str, **fields: Any) -> None:
        self.house.faults({"method": method, "fault": fault, "account": self.account, **fields})


def request(name: str, side: Side, kind: OrderKind, quantity: str = "2", **fields: Any) -> OrderRequest:
    return OrderRequest(ClientOrderId(f"nx1{name}"), NVDA, side, kind, Decimal(quantity), **fields)


def buy(name: str = "in", quantity: str = "2") -> OrderRequest:
    return request(name, Side.BUY, OrderKind.MARKET, quantity)


def stop(trigger: str = "95", quantity: str = "2", name: str = "stop") -> OrderRequest:
    return request(
        name, Side.SELL, OrderKind.STOP, quantity, trigger_price=Decimal(trigger), reduce_only=True
    )


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)
