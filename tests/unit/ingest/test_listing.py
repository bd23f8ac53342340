"""Venues' metadata become instruments: each row by itself, under names that are the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.instrument import Bracket, Group, InstrumentStatus
from nexus_common.contracts.values import Symbol, Venue
from nexus_ingest.venues.alpaca import listing as alpaca
from nexus_ingest.venues.binance import listing as binance
from nexus_ingest.venues.bybit import listing as bybit
from nexus_ingest.venues.feed import Listing
from nexus_ingest.venues.listing import UnreadableRow
from nexus_market.instruments import DEFAULT_INSTRUMENTS, resolve, venue_spelling

MESSAGES = Path(__file__).parents[4] / "shared" / "data" / "messages"
needs_messages = pytest.mark.skipif(not MESSAGES.is_dir(), reason="the shared messages are not here")


def binance_row(symbol: str, base: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "1", "maxPrice": "100000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ],
    }
    return row | changes


def bybit_row(symbol: str, base: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "12.50", "leverageStep": "0.01"},
        "priceFilter": {"tickSize": "0.0001"},
        "lotSizeFilter": {
            "minOrderQty": "10",
            "qtyStep": "10",
            "maxMktOrderQty": "5000",
            "minNotionalValue": "5",
        },
    }
    return row | changes


def asset(symbol: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "class": "us_equity",
        "symbol": symbol,
        "status": "active",
        "tradable": True,
        "shortable": True,
        "fractionable": True,
    }
    return row | changes


def of_binance(*rows: Any, brackets: list[dict[str, Any]] | None = None) -> Listing:
    return binance.read_listing({"symbols": list(rows)}, brackets)


def of_bybit(*rows: Any, limits: list[dict[str, Any]] | None = None) -> Listing:
    return bybit.read_listing([{"category": "linear", "list": list(rows)}], [{"list": limits or []}])


def test_a_binance_perpetual_is_read_with_the_grid_that_fits_both_kinds_of_orders() -> None:
    row = binance_row("BTCUSDT", "BTC")
    row["filters"][2] |= {"stepSize": "0.01", "minQty": "0.010"}
    listing = of_binance(row)
    (btc,) = listing.instruments
    assert (btc.symbol, btc.base, btc.quote, btc.group) == ("BTCUSDT", "BTC", "USDT", Group.MAJOR)
    assert (str(btc.tick_size), str(btc.step_size), str(btc.min_quantity)) == ("0.1", "0.01", "0.01")
    assert btc.min_notional == 100
    terms = listing.terms[btc.symbol]
    assert (terms.status, terms.ends_at) == (InstrumentStatus.TRADING, None)
    assert terms.max_market_quantity == 120
    assert listing.not_trading == ()


def test_binance_brackets_say_leverage_and_maintenance_where_a_key_could_ask() -> None:
    steps = [
        {"initialLeverage": 75, "notionalFloor": 10000, "notionalCap": 60000, "maintMarginRatio": 0.01},
        {"initialLeverage": 90, "notionalFloor": 0, "notionalCap": 10000, "maintMarginRatio": 0.0065},
    ]
    listing = of_binance(binance_row("BTCUSDT", "BTC"), brackets=[{"symbol": "BTCUSDT", "brackets": steps}])
    (btc,) = listing.instruments
    assert (btc.max_leverage, str(btc.maintenance_margin)) == (90, "0.0065")
    assert listing.terms[btc.symbol].brackets == (
        Bracket(Decimal(0), Decimal(10000), Decimal(90), Decimal("0.0065")),
        Bracket(Decimal(10000), Decimal(60000), Decimal(75), Decimal("0.01")),
    )


def test_brackets_with_a_hole_leave_the_instrument_out() -> None:
    steps = [
        {"initialLeverage": 90, "notionalFloor": 0, "notionalCap": 10000, "maintMarginRatio": 0.0065},
        {"initialLeverage": 75, "notionalFloor": 20000, "notionalCap": 60000, "maintMarginRatio": 0.01},
    ]
    listing = of_binance(binance_row("BTCUSDT", "BTC"), brackets=[{"symbol": "BTCUSDT", "brackets": steps}])
    assert listing.instruments == ()
    assert "do not follow" in listing.unreadable["BTCUSDT"]


def test_without_a_key_unknown_coins_get_a_cautious_leverage_and_the_group_of_the_unplaced() -> None:
    btc, unknown = of_binance(binance_row("BTCUSDT", "BTC"), binance_row("QQQQUSDT", "QQQQ")).instruments
    assert (btc.max_leverage, str(btc.maintenance_margin)) == (125, "0.004")
    assert (unknown.max_leverage, str(unknown.maintenance_margin)) == (20, "0.025")
    assert unknown.group is Group.OTHER


def test_a_perpetual_with_a_day_of_delivery_is_to_stop() -> None:
    at = datetime(2026, 11, 20, 9, tzinfo=UTC)
    row = binance_row("BTCUSDT", "BTC", deliveryDate=int(at.timestamp()) * 1000)
    listing = of_binance(row, binance_row("ETHUSDT", "ETH"))
    assert listing.terms[Symbol("BTCUSDT")].ends_at == at
    assert listing.not_trading == ("BTCUSDT",)
    assert len(listing.instruments) == 2


@pytest.mark.parametrize(
    ("spelled", "status"),
    [
        ("PENDING_TRADING", InstrumentStatus.ANNOUNCED),
        ("SETTLING", InstrumentStatus.STOPPED),
        ("A_WORD_OF_TOMORROW", InstrumentStatus.PAUSED),
    ],
)
def test_a_status_that_is_not_trading_is_kept_apart(spelled: str, status: InstrumentStatus) -> None:
    listing = of_binance(binance_row("BTCUSDT", "BTC", status=spelled))
    assert listing.terms[Symbol("BTCUSDT")].status is status
    assert listing.not_trading == ("BTCUSDT",)


def test_a_bybit_perpetual_is_read_with_its_risk_limits() -> None:
    limits = [
        {"symbol": "XRPUSDT", "riskLimitValue": "90000", "maintenanceMargin": "0.05", "maxLeverage": "10.00"},
        {"symbol": "XRPUSDT", "riskLimitValue": "20000", "maintenanceMargin": "0.04", "maxLeverage": "12.50"},
    ]
    listing = of_bybit(bybit_row("XRPUSDT", "XRP"), limits=limits)
    (xrp,) = listing.instruments
    assert (xrp.step_size, xrp.max_leverage, str(xrp.maintenance_margin)) == (10, 12, "0.04")
    assert [(step.floor, step.cap) for step in listing.terms[xrp.symbol].brackets] == [
        (0, 20000),
        (20000, 90000),
    ]


def test_older_risk_limits_give_the_maintenance_margin_in_percent() -> None:
    old = {"symbol": "XRPUSDT", "riskLimitValue": "20000", "maintenanceMargin": "4", "maxLeverage": "12.50"}
    (xrp,) = of_bybit(bybit_row("XRPUSDT", "XRP"), limits=[old]).instruments
    assert str(xrp.maintenance_margin) == "0.04"


def test_bybit_pages_are_one_listing() -> None:
    pages = [{"list": [bybit_row("XRPUSDT", "XRP")]}, {"list": [bybit_row("ADAUSDT", "ADA")]}]
    assert [each.symbol for each in bybit.read_listing(pages).instruments] == ["XRPUSDT", "ADAUSDT"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, InstrumentStatus.TRADING),
        ({"tradable": False}, InstrumentStatus.PAUSED),
        ({"status": "inactive", "tradable": False}, InstrumentStatus.STOPPED),
    ],
)
def test_a_stock_says_whether_it_trades(changes: Mapping[str, Any], status: InstrumentStatus) -> None:
    listing = alpaca.read_listing([asset("SPY", **changes), asset("ZZZZ")])
    (spy,) = listing.instruments
    assert spy.group is Group.ETFS
    assert listing.terms[spy.symbol].status is status
    assert listing.outside == {"not among the stocks asked for": 1}


def test_a_stock_outside_the_list_is_kept_when_it_is_asked_for() -> None:
    listing = alpaca.read_listing([asset("ZZZZ", shortable=False)], {"ZZZZ"})
    (stock,) = listing.instruments
    assert stock.group is Group.STOCKS
    assert listing.terms[stock.symbol].shortable is False


@pytest.mark.parametrize(
    ("of", "spelled", "base", "ours", "coin", "times"),
    [
        ("binance", "1000PEPEUSDT", "1000PEPE", "1000PEPEUSDT", "PEPE", 1_000),
        ("bybit", "SHIB1000USDT", "SHIB1000", "1000SHIBUSDT", "SHIB", 1_000),
        ("binance", "1000SHIBUSDT", "1000SHIB", "1000SHIBUSDT", "SHIB", 1_000),
        ("binance", "1000000MOGUSDT", "1000000MOG", "1000000MOGUSDT", "MOG", 1_000_000),
        ("binance", "1MBABYDOGEUSDT", "1MBABYDOGE", "1000000BABYDOGEUSDT", "BABYDOGE", 1_000_000),
        ("bybit", "1000000BABYDOGEUSDT", "1000000BABYDOGE", "1000000BABYDOGEUSDT", "BABYDOGE", 1_000_000),
        ("bybit", "10000SATSUSDT", "10000SATS", "10000SATSUSDT", "SATS", 10_000),
        ("binance", "1000XUSDT", "1000X", "1000XUSDT", "X", 1_000),
        ("binance", "1INCHUSDT", "1INCH", "1INCHUSDT", "1INCH", 1),
    ],
)
def test_multiples_are_resolved_and_named_alike_everywhere(
    of: str, spelled: str, base: str, ours: str, coin: str, times: int
) -> None:
    listing = (
        of_binance(binance_row(spelled, base)) if of == "binance" else of_bybit(bybit_row(spelled, base))
    )
    (instrument,) = listing.instruments
    assert (instrument.symbol, instrument.base, instrument.multiplier) == (ours, coin, times)
    assert venue_spelling(instrument) == spelled


def test_a_spelling_that_we_could_not_ask_for_again_is_left_out() -> None:
    listing = of_bybit(bybit_row("PEPEPERPUSDT", "1000PEPE"), bybit_row("XRPUSDT", "XRP"))
    assert [each.symbol for each in listing.instruments] == ["XRPUSDT"]
    assert "ask for as 1000PEPEUSDT" in listing.unreadable["PEPEPERPUSDT"]


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("tickSize", "0", "tickSize is 0"),
        ("tickSize", "-1", "could be meant"),
        ("tickSize", "NaN", "could be meant"),
        ("tickSize", "1e999999999", "could be meant"),
        ("tickSize", "a tenth", "no number"),
        ("tickSize", True, "no number"),
        ("tickSize", None, "no number"),
    ],
)
def test_figures_that_cannot_be_leave_their_row_out_and_no_other(
    place: str, value: object, complaint: str
) -> None:
    bad = binance_row("BTCUSDT", "BTC")
    bad["filters"][0][place] = value
    listing = of_binance(bad, binance_row("ETHUSDT", "ETH"), "no row", binance_row("ETHUSDT", "ETH"))
    assert [each.symbol for each in listing.instruments] == ["ETHUSDT"]
    assert complaint in listing.unreadable["BTCUSDT"]
    assert listing.unreadable["row 2"] == "is no object"
    assert listing.unreadable["ETHUSDT"] == "is listed twice: the first stands"


_broken = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_no_field_however_broken_raises(data: st.DataObject) -> None:
    binance_bad, bybit_bad, alpaca_bad = (
        deepcopy(row) for row in (binance_row("BTCUSDT", "BTC"), bybit_row("XRPUSDT", "XRP"), asset("SPY"))
    )
    for row in (binance_bad, bybit_bad, alpaca_bad):
        row[data.draw(st.sampled_from(sorted(row)))] = data.draw(_broken)
    field = data.draw(st.sampled_from(["tickSize", "stepSize", "minQty", "maxQty", "notional"]))
    for each in binance_bad["filters"] if isinstance(binance_bad["filters"], list) else []:
        if isinstance(each, dict):
            each[field] = data.draw(_broken)
    limit = {"symbol": "XRPUSDT", "riskLimitValue": data.draw(_broken), "maxLeverage": "5"}
    for listing in (
        of_binance(binance_bad),
        of_bybit(bybit_bad, limits=[limit]),
        alpaca.read_listing([alpaca_bad]),
    ):
        assert len(listing.instruments) + len(listing.unreadable) + sum(listing.outside.values()) == 1


def test_an_answer_without_its_list_is_refused() -> None:
    with pytest.raises(UnreadableRow, match="no list of symbols"):
        binance.read_listing({"code": -1121})
    with pytest.raises(UnreadableRow, match="no list"):
        bybit.read_listing([{"category": "linear"}])


coins = st.from_regex(r"[A-Z]{2,6}", fullmatch=True)
bases = st.tuples(st.sampled_from(["", "1000", "10000", "1000000"]), coins).map("".join)


@given(st.lists(bases, unique=True, min_size=1, max_size=12))
def test_every_name_of_every_listed_contract_means_exactly_it(bases: list[str]) -> None:
    for listing in (
        of_binance(*(binance_row(f"{base}USDT", base) for base in bases)),
        of_bybit(*(bybit_row(f"{base}USDT", base) for base in bases)),
    ):
        _check_names(listing)


def _check_names(listing: Listing) -> None:
    for instrument in listing.instruments:
        contract = instrument.symbol.removesuffix(instrument.quote)
        names = [instrument.symbol, venue_spelling(instrument), contract, contract.lower()]
        names += [f"{contract}/{instrument.quote}", f"{contract}/{instrument.quote}:{instrument.quote}"]
        for name in names:
            found = resolve(name, listing.instruments)
            assert found is not None
            assert (found.instrument, found.contracts_per_unit) == (instrument, 1), name
    for coin in {instrument.base for instrument in listing.instruments}:
        found = resolve(coin, listing.instruments)
        assert found is not None
        same = [each.multiplier for each in listing.instruments if each.base == coin]
        assert (found.instrument.base, found.instrument.multiplier) == (coin, min(same))
        assert found.contracts_per_unit == 1 / Decimal(min(same))


# -- recorded and documented answers -------------------------------------------------------------

# Every sample of the three questions: how many instruments it gives, and what is left out for which reason.
SAMPLES: dict[str, list[tuple[int, dict[str, int]]]] = {
    "binance/cryptofeed/um_rest_exchangeInfo_20210722.json": [
        # A contract that is only prepared has no type yet.
        (117, {"quoted in BUSD": 2, "contract type CURRENT_QUARTER": 2, "no contract": 1})
    ],
    "binance/nautilus/p_http_responses__http_futures_market_exchange_info.json": [
        (2, {"contract type CURRENT_QUARTER": 1})
    ],
    "binance/nautilus/p_http_responses__http_spot_market_exchange_info.json": [(0, {"no contract": 2})],
    "binance/nautilus/r_spot__http_json__exchange_info_response.json": [(0, {"no contract": 1})],
    "bybit/docs_v5/account__instrument.json": [(0, {"category spot": 1})],
    "bybit/docs_v5/market__instrument.json": [(0, {"category option": 1}), (0, {"category spot": 1})],
    "bybit/nautilus/r_http_get_instruments_inverse.json": [(0, {"contract type InversePerpetual": 1})],
    "bybit/nautilus/r_http_get_instruments_inverse_symbol_type.json": [(0, {"category inverse": 1})],
    "bybit/nautilus/r_http_get_instruments_linear.json": [(2, {})],
    "bybit/nautilus/r_http_get_instruments_option.json": [(0, {"no contract": 1})],
    "bybit/nautilus/r_http_get_instruments_option_symbol_id.json": [(0, {"category option": 1})],
    "bybit/nautilus/r_http_get_instruments_spot_xstocks.json": [(0, {"no contract": 1})],
    "alpaca/alpaca_py/trading__trading_client__test_asset_routes.json": [(1, {}), (1, {})],
}


def _listings(name: str) -> list[Listing]:
    document = json.loads((MESSAGES / name).read_text())
    bodies = document if isinstance(document, list) else [document]
    venue = name.partition("/")[0]
    if venue == "binance":
        return [binance.read_listing(body.get("body", body)) for body in bodies]
    if venue == "bybit":
        return [bybit.read_listing([body["result"]]) for body in bodies]
    return [alpaca.read_listing(body["body"]) for body in bodies]


@needs_messages
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_parses_and_its_names_resolve(name: str) -> None:
    listings = _listings(name)
    assert [(len(each.instruments), each.outside) for each in listings] == SAMPLES[name]
    for listing in listings:
        assert listing.unreadable == {}
        _check_names(listing)


@needs_messages
def test_no_sample_of_the_three_questions_is_forgotten() -> None:
    patterns = (
        "binance/**/*xchange*nfo*.json",
        "bybit/**/*instrument*.json",
        "alpaca/**/*asset_routes*.json",
    )
    found = [path for pattern in patterns for path in MESSAGES.glob(pattern)]
    assert {path.relative_to(MESSAGES).as_posix() for path in found} == set(SAMPLES)


@needs_messages
def test_a_recorded_answer_says_steps_and_multiples_as_they_were() -> None:
    (listing,) = _listings("binance/cryptofeed/um_rest_exchangeInfo_20210722.json")
    shib = next(each for each in listing.instruments if each.base == "SHIB")
    assert (shib.symbol, shib.multiplier, str(shib.step_size), str(shib.tick_size)) == (
        "1000SHIBUSDT",
        1_000,
        "1",
        "0.000001",
    )


@pytest.mark.parametrize("venue", Venue)
def test_every_name_of_the_built_in_list_means_exactly_its_instrument(venue: Venue) -> None:
    instruments = DEFAULT_INSTRUMENTS[venue]
    _check_names(Listing(instruments))
