"""Where Binance's dialect and broker are tried: requests signed by hand, and recorded messages."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nexus_common.contracts.values import Symbol, Venue
from nexus_market.exchange import Exchange, ExchangeSettings, Ohlcv
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_simvenue.binance import BinanceDialect
from nexus_simvenue.wire.dialect import Visibility, simulated_secret
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
SOL = Symbol("SOLUSDT")
ACCOUNT = "u1.binance.paper"
CALM = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "messages" / "binance"


def flat(price: str, volume: str = "100000") -> Ohlcv:
    level = Decimal(price)
    return Ohlcv(level, level, level, level, Decimal(volume))


def millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


class Desk:
    """A dialect over an exchange of its own, and a client that signs for one account."""

    def __init__(self, price: str = "100") -> None:
        self.exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE], CALM)
        self.visibility = Visibility()
        self.dialect = BinanceDialect(self.exchange, self.visibility)
        self.now = NOON
        self.exchange.open_account(ACCOUNT, 1, "USDT", Decimal(10_000))
        self.step(price)

    def step(self, price: str = "100", after: timedelta = timedelta(), opening: str | None = None) -> None:
        self.now += after
        self.exchange.step(self.now, {SOL: flat(price)}, {SOL: flat(opening or price)})

    def send(
        self,
        method: str,
        path: str,
        *,
        key: str | None = ACCOUNT,
        secret: str | None = None,
        at: datetime | None = None,
        signed: bool = True,
        window: int | None = None,
        **params: Any,
    ) -> HttpResponse:
        """A request as ccxt would send it: the query for GET and DELETE, a form otherwise."""
        fields = {name: str(value) for name, value in params.items()}
        if signed:
            fields["timestamp"] = str(millis(at or self.now))
            if window is not None:
                fields["recvWindow"] = str(window)
        text = urlencode(fields)
        if signed:
            own = simulated_secret(key or "") if secret is None else secret
            text += "&signature=" + hmac.new(own.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = {} if key is None else {"x-mbx-apikey": key}
        inline = method in ("GET", "DELETE")
        request = HttpRequest(method, path, text if inline else "", headers, "" if inline else text)
        return self.dialect.handle(request, self.now)

    def ask(self, method: str, path: str, **params: Any) -> Any:
        """The document of an answer that must be 200."""
        response = self.send(method, path, **params)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def refused(self, method: str, path: str, **params: Any) -> tuple[int, dict[str, Any]]:
        response = self.send(method, path, **params)
        assert response.status >= 400, response.body
        return response.status, json.loads(response.body)

    def code(self, method: str, path: str, **params: Any) -> int:
        code: int = self.refused(method, path, **params)[1]["code"]
        return code

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(outgoing.frame) for outgoing in self.dialect.outbox()]

    def buy(self, quantity: str = "2", client: str = "in", **params: Any) -> Any:
        order = {"symbol": SOL, "side": "BUY", "type": "MARKET", "quantity": quantity}
        return self.ask(
            "POST",
            "/fapi/v1/order",
            **{**order, "newClientOrderId": client, "newOrderRespType": "RESULT", **params},
        )


def algo(**params: Any) -> dict[str, Any]:
    """Parameters of a stop for all that is held."""
    stop = {
        "algoType": "CONDITIONAL",
        "symbol": SOL,
        "side": "SELL",
        "type": "STOP_MARKET",
        "triggerPrice": "95",
        "workingType": "MARK_PRICE",
        "clientAlgoId": "stop",
    }
    return {**stop, **params}


def recorded(folder: str) -> Iterator[tuple[str, Any]]:
    """Recorded messages, where they are at hand."""
    for path in sorted((RECORDED / folder).glob("*.json")):
        yield path.name, json.loads(path.read_text())


def unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    data = document.get("data")
    return data if isinstance(data, dict) else document
