"""What anybody may ask: the time, the instruments, their prices and risk limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

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


def instruments_info(instruments: Iterable[Instrument], fields: Fields) -> dict[str, Any]:
    rows = [_instrument_row(i) for i in instruments if fields.get("status", "Trading") == "Trading"]
    return listed(rows, fields, 500)


def _instrument_row(instrument: Instrument) -> dict[str, Any]:
    tick, step = instrument.tick_size, instrument.step_size
    return {
        "symbol": venue_spelling(instrument),
        "contractType": "LinearPerpetual",
        "status": "Trading",
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


def tickers(exchange: Exchange, instruments: Iterable[Instrument], _now: datetime) -> dict[str, Any]:
    """Last, mark and index price are the same here: where the market stands."""
    rows = []
    for instrument in instruments:
        price = exchange.price(instrument.symbol)
        if price is None:
            continue
        text, ask = format_decimal(price), format_decimal(price + instrument.tick_size)
        rows.append(
            {
                "symbol": venue_spelling(instrument),
                "lastPrice": text,
                "indexPrice": text,
                "markPrice": text,
                "prevPrice24h": text,
                "price24hPcnt": "0",
                "highPrice24h": text,
                "lowPrice24h": text,
                "prevPrice1h": text,
                "openInterest": "0",
                "openInterestValue": "0",
                "turnover24h": "0",
                "volume24h": "0",
                "fundingRate": "0.0001",
                "nextFundingTime": "0",
                "predictedDeliveryPrice": "",
                "basisRate": "",
                "deliveryFeeRate": "",
                "deliveryTime": "0",
                "ask1Size": "1",
                "bid1Price": text,
                "ask1Price": ask,
                "bid1Size": "1",
                "basis": "",
                "preOpenPrice": "",
                "preQty": "",
                "curPreListingPhase": "",
                "fundingIntervalHour": "8",
                "basisRateYear": "",
                "fundingCap": "0.005",
            }
        )
    return {"category": "linear", "list": rows}


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
