"""What anybody may ask: the time, the instruments, their prices and risk limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import format_decimal
from nexus_market.exchange import Exchange
from nexus_market.instruments import venue_spelling
from nexus_simvenue.bybit.params import Fields
from nexus_simvenue.bybit.queries import listed

_LARGEST: Final = 1_000_000


def server_time(now: datetime) -> dict[str, Any]:
    nanoseconds = int(now.timestamp()) * 1_000_000_000 + now.microsecond * 1000
    return {"timeSecond": str(int(now.timestamp())), "timeNano": str(nanoseconds)}


def instruments_info(
    instruments: Iterable[Instrument],
    fields: Fields,
    status_of: Callable[[Instrument], str] = lambda _: "Trading",
) -> dict[str, Any]:
    """Those of the status asked for, trading ones without; one that is named is shown whatever its status."""
    asked = fields.get("status", None if "symbol" in fields else "Trading")
    rows = [_instrument_row(i, status_of(i)) for i in instruments if asked in (None, status_of(i))]
    return listed(rows, fields, 500)


def _instrument_row(instrument: Instrument, status: str) -> dict[str, Any]:
    tick, step = instrument.tick_size, instrument.step_size
    return {
        "symbol": venue_spelling(instrument),
        "contractType": "LinearPerpetual",
        "status": status,
        "baseCoin": venue_spelling(instrument).removesuffix(instrument.quote),
        "quoteCoin": instrument.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(-int(tick.normalize().as_tuple().exponent), 0)),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{instrument.max_leverage}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": format_decimal(tick),
            "maxPrice": format_decimal(tick * (2 * _LARGEST - 2)),
            "tickSize": format_decimal(tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": format_decimal(step * _LARGEST),
            "minOrderQty": format_decimal(instrument.min_quantity),
            "qtyStep": format_decimal(step),
            "postOnlyMaxOrderQty": format_decimal(step * _LARGEST),
            "maxMktOrderQty": format_decimal(step * _LARGEST),
            "minNotionalValue": format_decimal(instrument.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.quote,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        "displayName": "",
        "symbolType": "",
    }


class Quoted(NamedTuple):
    """What a ticker says of an instrument; prices are equal where the market stands at one."""

    last_price: str
    mark_price: str
    index_price: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    funding_rate: str = "0.0001"
    next_funding: int = 0


def tickers(exchange: Exchange, instruments: Iterable[Instrument], _now: datetime) -> dict[str, Any]:
    """Last, mark and index price are the same here: where the market stands."""
    rows = []
    for instrument in instruments:
        price = exchange.price(instrument.symbol)
        if price is None:
            continue
        text, ask = format_decimal(price), format_decimal(price + instrument.tick_size)
        rows.append(ticker_row(venue_spelling(instrument), Quoted(text, text, text, text, "1", ask, "1")))
    return {"category": "linear", "list": rows}


def ticker_row(symbol: str, quoted: Quoted) -> dict[str, str]:
    """A linear perpetual's ticker by REST. Nothing is known of the last 24 hours: they stand where it is now."""
    return {
        "symbol": symbol,
        "lastPrice": quoted.last_price,
        "indexPrice": quoted.index_price,
        "markPrice": quoted.mark_price,
        "prevPrice24h": quoted.last_price,
        "price24hPcnt": "0",
        "highPrice24h": quoted.last_price,
        "lowPrice24h": quoted.last_price,
        "prevPrice1h": quoted.last_price,
        "openInterest": "0",
        "openInterestValue": "0",
        "turnover24h": "0",
        "volume24h": "0",
        "fundingRate": quoted.funding_rate,
        "nextFundingTime": str(quoted.next_funding),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "ask1Size": quoted.ask_size,
        "bid1Price": quoted.bid,
        "ask1Price": quoted.ask,
        "bid1Size": quoted.bid_size,
        "basis": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        "fundingIntervalHour": "8",
        "basisRateYear": "",
        "fundingCap": "0.005",
    }


def risk_limit(instruments: Iterable[Instrument]) -> dict[str, Any]:
    """One tier an instrument."""
    rows = [
        {
            "id": 1,
            "symbol": venue_spelling(instrument),
            "riskLimitValue": "2000000",
            "maintenanceMargin": format_decimal(instrument.maintenance_margin),
            "initialMargin": format_decimal(1 / Decimal(instrument.max_leverage)),
            "isLowestRisk": 1,
            "maxLeverage": f"{instrument.max_leverage}.00",
            "mmDeduction": "",
        }
        for instrument in instruments
    ]
    return {"category": "linear", "list": rows, "nextPageCursor": ""}
