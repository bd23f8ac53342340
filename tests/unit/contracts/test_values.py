"""Money, prices and time are what they say, or are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nexus_common.contracts.values import (
    Direction,
    Fraction,
    Instant,
    Number,
    Price,
    Quantity,
    Shared,
    Side,
    Symbol,
    Timeframe,
    Value,
    Venue,
    format_decimal,
    format_instant,
    instrument_key,
)
from nexus_common.testing.generators import decimals, instants


class Quote(Value):
    price: Price
    at: Instant


class Terms(Shared):
    side: Side
    price: Price


AT = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        Quote(price=Decimal(1), at=AT.replace(tzinfo=None))


def test_times_are_kept_in_utc() -> None:
    elsewhere = datetime(2026, 3, 2, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    quote = Quote(price=Decimal(1), at=elsewhere)
    assert quote.at == AT
    assert quote.at.tzinfo is UTC
    assert quote.model_dump(mode="json")["at"] == "2026-03-02T12:30:00.000000Z"


@pytest.mark.parametrize("kind", [Number, Price, Quantity, Fraction])
@pytest.mark.parametrize("word", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_finite_number_is_refused(kind: object, word: str) -> None:
    adapter: TypeAdapter[Decimal] = TypeAdapter(kind)
    for given_as in (word, Decimal(word)):
        with pytest.raises(ValidationError):
            adapter.validate_python(given_as)


@pytest.mark.parametrize("kind", [Price, Quantity])
@pytest.mark.parametrize("number", ["0", "-1", "-0.00000001", "0E-8"])
def test_prices_and_quantities_are_above_zero(kind: object, number: str) -> None:
    adapter: TypeAdapter[Decimal] = TypeAdapter(kind)
    with pytest.raises(ValidationError):
        adapter.validate_python(Decimal(number))
    assert adapter.validate_python(Decimal("0.00000001"))


def test_a_fraction_lies_between_0_and_1() -> None:
    adapter: TypeAdapter[Decimal] = TypeAdapter(Fraction)
    assert adapter.validate_python(Decimal(0)) == 0
    assert adapter.validate_python(Decimal(1)) == 1
    for number in ("-0.01", "1.01"):
        with pytest.raises(ValidationError):
            adapter.validate_python(Decimal(number))


def test_a_value_takes_no_unknown_field_and_does_not_change() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Quote.model_validate({"price": "1", "at": AT, "volume": "1"})
    with pytest.raises(ValidationError, match="frozen"):
        Quote(price=Decimal(1), at=AT).__setattr__("price", Decimal(2))


def test_a_shared_value_is_spelled_the_same_every_time() -> None:
    terms = Terms(side=Side.BUY, price=Decimal("1E+2"))
    spelled = [terms.model_dump(mode="json") for _ in range(2)]
    assert spelled == [{"side": "buy", "price": "100"}] * 2
    spelled[0]["price"] = "9"
    assert terms.model_dump(mode="json")["price"] == "100"


def test_what_a_shared_value_remembers_is_no_part_of_it() -> None:
    known, other = (Terms(side=Side.BUY, price=Decimal(1)) for _ in range(2))
    known.model_dump(mode="json")
    assert known == other
    assert known.model_copy(update={"price": Decimal(3)}).model_dump(mode="json")["price"] == "3"
    assert known.model_dump()["side"] is Side.BUY
    assert known.model_dump(mode="json", include={"price"}) == {"price": "1"}


@given(decimals)
def test_numbers_are_written_without_exponent_and_read_back_exactly(number: Decimal) -> None:
    text = format_decimal(number)
    assert "e" not in text.lower()
    assert Decimal(text) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E+5", "100000"), ("1E-8", "0.00000001"), ("1.50", "1.50"), ("-0.0", "-0.0"), ("12E3", "12000")],
)
def test_numbers_are_plain_digits(number: str, text: str) -> None:
    assert format_decimal(Decimal(number)) == text


@given(instants, instants)
def test_instants_are_of_one_length_and_sort_like_their_text(one: datetime, other: datetime) -> None:
    assert len(format_instant(one)) == len("2026-03-02T12:30:00.000000Z")
    assert (one < other) == (format_instant(one) < format_instant(other))
    assert datetime.fromisoformat(format_instant(one)) == one


@given(instants, st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_written_the_same_in_whatever_zone_it_is_given(at: datetime, minutes: int) -> None:
    assert format_instant(at.astimezone(timezone(timedelta(minutes=minutes)))) == format_instant(at)


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        format_instant(AT.replace(tzinfo=None))


@given(st.sampled_from(Direction))
def test_a_direction_is_left_on_the_other_side_than_it_is_entered(direction: Direction) -> None:
    assert direction.exit_side is direction.entry_side.opposite
    assert direction.opposite.opposite is direction
    assert direction.opposite.sign == -direction.sign
    assert (direction.entry_side is Side.BUY) == (direction.sign == 1)


def test_timeframes_know_their_length() -> None:
    assert [frame.seconds for frame in Timeframe] == [60, 300, 900, 3_600, 14_400]
    assert Timeframe.M15.duration == timedelta(minutes=15)


def test_venues_know_their_kind_and_instruments_their_key() -> None:
    assert [venue for venue in Venue if not venue.is_crypto] == [Venue.ALPACA]
    assert instrument_key(Venue.BINANCE, Symbol("BTCUSDT")) == "binance.BTCUSDT"
