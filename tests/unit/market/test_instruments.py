"""What goes to a venue fits its grid, and names mean what people mean."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.instrument import Group, Instrument
from nexus_common.contracts.values import Direction, Symbol, Venue
from nexus_market.instruments import (
    DEFAULT_INSTRUMENTS,
    Toward,
    by_symbol,
    floor_quantity,
    on_step,
    on_tick,
    refusal,
    resolve,
    round_price,
    round_stop,
    round_target,
    venue_spelling,
)

BINANCE = DEFAULT_INSTRUMENTS[Venue.BINANCE]
EVERY = [instrument for listed in DEFAULT_INSTRUMENTS.values() for instrument in listed]
instruments = st.sampled_from(EVERY)
prices = st.decimals("0.00000001", "200000", places=8)
quantities = st.decimals("0", "5000000", places=6)


@given(instruments, quantities)
def test_a_floored_quantity_is_legal_and_within_one_step(instrument: Instrument, quantity: Decimal) -> None:
    floored = floor_quantity(quantity, instrument)
    assert on_step(floored, instrument)
    assert 0 <= quantity - floored < instrument.step_size


@given(instruments, prices, st.sampled_from(Toward))
def test_a_rounded_price_is_legal_and_within_one_tick(
    instrument: Instrument, price: Decimal, toward: Toward
) -> None:
    rounded = round_price(price, instrument, toward)
    assert rounded > 0
    assert on_tick(rounded, instrument)
    if price >= instrument.tick_size:
        assert abs(rounded - price) < instrument.tick_size
        assert toward is not Toward.UP or rounded >= price
        assert toward is not Toward.DOWN or rounded <= price


@given(instruments, prices, st.sampled_from(Direction))
def test_a_stop_is_never_rounded_away_from_the_entry(
    instrument: Instrument, price: Decimal, direction: Direction
) -> None:
    if price >= instrument.tick_size:
        assert (round_stop(price, instrument, direction) - price) * direction.sign >= 0
        assert (round_target(price, instrument, direction) - price) * direction.sign <= 0


def test_a_refusal_says_which_filter_and_which_figure() -> None:
    btc = by_symbol(BINANCE)[Symbol("BTCUSDT")]
    assert refusal(btc, Decimal("0.002"), Decimal(100_000)) is None
    assert "multiple of 0.001" in str(refusal(btc, Decimal("0.0015"), Decimal(100_000)))
    assert "below the minimum of 0.001" in str(refusal(btc, Decimal(0), Decimal(100_000)))
    assert "below the minimum of 100 USDT" in str(refusal(btc, Decimal("0.001"), Decimal(50_000)))
    assert refusal(btc, Decimal("0.001"), Decimal(50_000), reduce_only=True) is None


@pytest.mark.parametrize("name", ["PEPE", "pepe", "PEPE/USDT", "PEPEUSDT"])
def test_a_coin_of_a_thousandfold_contract_is_counted_in_coins(name: str) -> None:
    found = resolve(name, BINANCE)
    assert found is not None
    assert found.instrument.symbol == "1000PEPEUSDT"
    assert found.quantity(Decimal(2_500_999)) == 2_500


@pytest.mark.parametrize("name", ["1000SHIB", "1000SHIBUSDT", "SHIB1000USDT", "shib1000"])
def test_a_contracts_own_name_is_counted_in_contracts(name: str) -> None:
    found = resolve(name, DEFAULT_INSTRUMENTS[Venue.BYBIT])
    assert found is not None
    assert found.instrument.symbol == "1000SHIBUSDT"
    assert venue_spelling(found.instrument) == "SHIB1000USDT"
    assert found.quantity(Decimal("12.7")) == 12


def test_plain_names_resolve_and_unknown_ones_do_not() -> None:
    assert getattr(resolve("btc", BINANCE), "instrument", None) == by_symbol(BINANCE)[Symbol("BTCUSDT")]
    assert getattr(resolve("aapl", DEFAULT_INSTRUMENTS[Venue.ALPACA]), "contracts_per_unit", 0) == 1
    assert resolve("AAPL", BINANCE) is None
    assert resolve("", BINANCE) is None


def test_the_registry_is_complete_and_sound() -> None:
    for listed in DEFAULT_INSTRUMENTS.values():
        assert len(by_symbol(listed)) == len(listed)
    assert {i.group for i in BINANCE} == {Group.MAJOR, Group.MEME, Group.DEFI, Group.AI, Group.LAYER1}
    assert [i.symbol for i in BINANCE if i.multiplier == 1000] == [
        "1000SHIBUSDT",
        "1000PEPEUSDT",
        "1000FLOKIUSDT",
        "1000BONKUSDT",
    ]
    for instrument in EVERY:
        assert on_step(instrument.min_quantity, instrument)


@pytest.mark.parametrize(
    ("symbol", "price"),
    [("ADAUSDT", "0.3417"), ("DOGEUSDT", "0.00253"), ("BTCUSDT", "3782.1"), ("1000PEPEUSDT", "0.0036437")],
)
def test_prices_of_other_years_fit_the_ticks(symbol: str, price: str) -> None:
    assert on_tick(Decimal(price), by_symbol(BINANCE)[Symbol(symbol)])
