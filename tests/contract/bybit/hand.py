"""Bybit's protocol spoken by hand: signed requests straight to the dialect, and a stage for the broker."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from contract.settings import Connection, VenueHouse, flat
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, Venue
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.broker import OrderRequest
from nexus_executor.venues.bybit import BybitBroker
from nexus_market.exchange import Ohlcv
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.wire.http import HttpRequest, decode_response

SOL = Symbol("SOLUSDT")
FLAT = flat("100")
ACCOUNT = AccountId("owner.bybit.paper")
SAMPLES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "messages" / "bybit"


class Stage:
    """The exchange with one Bybit account of 10,000 USDT."""

    def __init__(self, house: VenueHouse, account: AccountId = ACCOUNT) -> None:
        self.house = house
        self.account = account
        self.clock = TurnClock()
        self._brokers: list[BybitBroker] = []
        house.ask(
            "open_account",
            venue="bybit",
            account=account,
            epoch=0,
            currency="USDT",
            balance="10000",
        )
        self.step()

    @property
    def at(self) -> datetime:
        return self.house.at

    def step(
        self,
        closed: Ohlcv = FLAT,
        opening: Ohlcv = FLAT,
        seconds: float = 60,
        funding: Mapping[Symbol, Decimal] | None = None,
        symbol: Symbol = SOL,
    ) -> None:
        self.house.step(Venue.BYBIT, {symbol: closed}, {symbol: opening}, seconds, funding or {})
        self.clock.told(self.house.at)

    def flag(self, name: str, value: Any) -> None:
        self.house.ask("flag", account=self.account, name=name, value=value)

    def fault(self, method: str, fault: str, **fields: Any) -> None:
        self.house.faults({"method": method, "fault": fault, "account": self.account, **fields})

    def broker(self, timeout: float = 0.5) -> BybitBroker:
        connection = Connection(self.house, self.account, self.clock, timeout=timeout)
        broker = BybitBroker(connection.access(Venue.BYBIT), self.clock)
        self._brokers.append(broker)
        return broker

    async def opened(self, timeout: float = 0.5) -> BybitBroker:
        broker = self.broker(timeout)
        await broker.open("USDT", None)
        return broker

    async def clear(self) -> None:
        for broker in self._brokers:
            await broker.close()

    # -- by hand --------------------------------------------------------------------------------------

    def post(self, path: str, document: Any, **how: Any) -> dict[str, Any]:
        return self.answer(self.signed("POST", path, json.dumps(document), **how))

    def get(self, path: str, query: str = "", **how: Any) -> dict[str, Any]:
        return self.answer(self.signed("GET", path, query, **how))

    def answer(self, request: HttpRequest) -> dict[str, Any]:
        status, document = self.sent(request)
        return document if status == 200 else {"status": status, **document}

    def sent(self, request: HttpRequest) -> tuple[int, dict[str, Any]]:
        params = self.house.venues.answer(Venue.BYBIT, request, self.house.server.time.now())
        response = decode_response(self.house.ask("http", **params))
        self.headers = response.headers
        is_json = response.headers.get("Content-Type") == "application/json"
        return response.status, json.loads(response.body) if is_json else {"text": response.body}

    def signed(
        self,
        method: str,
        path: str,
        payload: str,
        *,
        key: str | None = None,
        ahead_ms: int = 0,
        window: str = "5000",
        sign: str | None = None,
    ) -> HttpRequest:
        key = self.account if key is None else key
        stamp = str(int(self.at.timestamp() * 1000) + ahead_ms)
        text = f"{stamp}{key}{window}{payload}"
        right = hmac.new(simulated_secret(key).encode(), text.encode(), sha256).hexdigest()
        headers = {
            "x-bapi-api-key": key,
            "x-bapi-timestamp": stamp,
            "x-bapi-recv-window": window,
            "x-bapi-sign": right if sign is None else sign,
        }
        query, body = (payload, "") if method == "GET" else ("", payload)
        return HttpRequest(method, path, query, headers, body)

    def create(self, **fields: Any) -> dict[str, Any]:
        order = {"category": "linear", "symbol": "SOLUSDT", "side": "Buy", "orderType": "Market", "qty": "2"}
        return self.post("/v5/order/create", {**order, **fields})

    def stop(self, **fields: Any) -> dict[str, Any]:
        where = {"category": "linear", "symbol": "SOLUSDT", "tpslMode": "Full", "positionIdx": 0}
        return self.post("/v5/position/trading-stop", {**where, **fields})


def order(name: str, side: Side, kind: OrderKind, quantity: str = "2", **fields: Any) -> OrderRequest:
    return OrderRequest(ClientOrderId(f"nx1{name}"), SOL, side, kind, Decimal(quantity), **fields)


ENTRY = order("in", Side.BUY, OrderKind.MARKET, leverage=5)
STOP = order("stop", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), close_position=True)
TRAIL = order("trail", Side.SELL, OrderKind.TRAILING_STOP, trail_distance=Decimal(3), close_position=True)
TARGET = order("target", Side.SELL, OrderKind.TAKE_PROFIT, "1", trigger_price=Decimal(105), reduce_only=True)


def sample(name: str) -> Any:
    """A recorded document; the test is skipped where the samples are not at hand."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"{path} is not at hand")
    return json.loads(path.read_text())
