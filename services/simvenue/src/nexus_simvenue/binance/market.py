"""What everybody may ask: time, instruments, prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import Symbol
from nexus_simvenue.binance.endpoints import Asked, Endpoint, Floor, Security
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.limits import ORDERS_MINUTE_MAX, ORDERS_TEN_SECONDS_MAX, WEIGHT_MAX
from nexus_simvenue.binance.parameters import millis
from nexus_simvenue.binance.sheets import digits

MAX_QUANTITY = Decimal(10_000_000)
ALGO_ORDERS_MAX = 200
_FUNDING = ("symbol", "startTime", "endTime", "limit")
ORDERS_MAX = 200
# PERCENT_PRICE: how far from the mark price a limit may stand.
PRICE_UP, PRICE_DOWN = Decimal("1.15"), Decimal("0.85")


class Market:
    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        free = Security.NONE
        return {
            ("GET", "/fapi/v1/ping"): Endpoint(lambda _: {}, free, 1),
            ("GET", "/fapi/v1/time"): Endpoint(lambda a: {"serverTime": millis(a.now)}, free, 1),
            ("GET", "/fapi/v1/exchangeInfo"): Endpoint(self._exchange_info, free, 1),
            ("GET", "/fapi/v1/ticker/price"): Endpoint(self._prices, free, 1, ("symbol",), 2),
            ("GET", "/fapi/v2/ticker/price"): Endpoint(self._prices, free, 1, ("symbol",), 2),
            ("GET", "/fapi/v1/premiumIndex"): Endpoint(self._premium_index, free, 1, ("symbol",), 10),
            ("GET", "/fapi/v1/fundingRate"): Endpoint(self._funding_rates, free, 1, _FUNDING),
        }

    def _exchange_info(self, asked: Asked) -> dict[str, Any]:
        return exchange_info(self._floor.exchange.instruments, millis(asked.now))

    def _each(self, asked: Asked) -> list[tuple[str, Decimal]]:
        symbol = asked.params.symbol_if_given()
        symbols = [symbol] if symbol else [i.symbol for i in self._floor.exchange.instruments]
        found = [(each, self._floor.exchange.price(each)) for each in symbols]
        if symbol and found[0][1] is None:
            raise Wrong(-4108)
        return [(each, price) for each, price in found if price is not None]

    def _prices(self, asked: Asked) -> Any:
        rows = [
            {"symbol": symbol, "price": digits(price), "time": millis(asked.now)}
            for symbol, price in self._each(asked)
        ]
        return rows[0] if "symbol" in asked.params else rows

    def _funding_rates(self, asked: Asked) -> list[dict[str, Any]]:
        """What was settled, as far as somebody held the instrument."""
        params, symbol = asked.params, asked.params.symbol_if_given()
        start, end = params.integer("startTime") or 0, params.integer("endTime") or millis(asked.now)
        if start > end:
            raise Wrong(-1023)
        rows = [
            {
                "symbol": each,
                "fundingRate": digits(rate),
                "fundingTime": millis(at),
                "markPrice": digits(price),
            }
            for (each, at), (rate, price) in self._floor.books.funding.items()
            if symbol in (None, each) and start <= millis(at) <= end
        ]
        return rows[: params.integer("limit", 1, 1000) or 100]

    def _premium_index(self, asked: Asked) -> Any:
        now = millis(asked.now)
        due = (now // 28_800_000 + 1) * 28_800_000
        rows = [
            premium_row(symbol, digits(price), "0.00010000", due, now) for symbol, price in self._each(asked)
        ]
        return rows[0] if "symbol" in asked.params else rows


def premium_row(symbol: str, price: str, funding_rate: str, next_funding: int, at: int) -> dict[str, Any]:
    """A row of premiumIndex; one price stands for mark, index and settlement."""
    return {
        "symbol": symbol,
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": funding_rate,
        "interestRate": "0.00010000",
        "nextFundingTime": next_funding,
        "time": at,
    }


def exchange_info(
    instruments: Iterable[Instrument],
    now: int,
    statuses: Mapping[Symbol, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The answer of exchangeInfo; an instrument without a status trades."""
    return {
        "timezone": "UTC",
        "serverTime": now,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_MAX),
            _rate_limit("ORDERS", "MINUTE", 1, ORDERS_MINUTE_MAX),
            _rate_limit("ORDERS", "SECOND", 10, ORDERS_TEN_SECONDS_MAX),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [_symbol(each, statuses.get(each.symbol, "TRADING")) for each in instruments],
    }


def _rate_limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def places(step: Decimal) -> int:
    """Decimals of a grid."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _symbol(instrument: Instrument, status: str) -> dict[str, Any]:
    tick, step = digits(instrument.tick_size), digits(instrument.step_size)
    lot = {"minQty": digits(instrument.min_quantity), "maxQty": digits(MAX_QUANTITY), "stepSize": step}
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.symbol.removesuffix(instrument.quote),
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": places(instrument.tick_size),
        "quantityPrecision": places(instrument.step_size),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": ORDERS_MAX},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": ALGO_ORDERS_MAX},
            {"filterType": "MIN_NOTIONAL", "notional": digits(instrument.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": digits(PRICE_UP),
                "multiplierDown": digits(PRICE_DOWN),
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": [
            *("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"),
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }
