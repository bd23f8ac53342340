"""When the market counts as Sangria, by bitcoin's candles and by market-wide figures of either cadence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Venue
from nexus_cortex.domain.sangria import Mood
from nexus_market.candles import to_millis

DAY = timedelta(days=1)
MIDNIGHT = datetime(2024, 5, 2, tzinfo=UTC)
NOON = datetime(2024, 5, 1, 12, 3, tzinfo=UTC)


def read(at: datetime, dominance: str | None, cap: str | None) -> MacroRead:
    return MacroRead(
        known_at=at,
        btc_dominance=None if dominance is None else Decimal(dominance),
        total_market_cap=None if cap is None else Decimal(cap),
    )


def mood(*reads: MacroRead) -> Mood:
    heard = Mood()
    for each in reads:
        heard.hear_macro(each)
    return heard


def is_sangria(heard: Mood, at: datetime) -> bool:
    return heard.sangria(Venue.BINANCE, to_millis(at)) is not None


@pytest.mark.parametrize(
    ("closed", "minutes_ago", "expected"),
    [("98.5", 0, True), ("98.5", 45, True), ("98.5", 60, False), ("98.51", 0, False)],
)
def test_a_bitcoin_candle_that_fell_one_and_a_half_percent_counts_for_four_candles(
    closed: str, minutes_ago: int, expected: bool
) -> None:
    heard = Mood()
    heard.hear_btc(Venue.BINANCE, to_millis(MIDNIGHT), 100.0, float(closed))

    assert is_sangria(heard, MIDNIGHT + timedelta(minutes=15 + minutes_ago)) is expected


def test_a_candle_that_has_not_closed_yet_says_nothing() -> None:
    heard = Mood()
    heard.hear_btc(Venue.BINANCE, to_millis(MIDNIGHT), 100.0, 90.0)

    assert not is_sangria(heard, MIDNIGHT)


def test_bitcoin_of_another_venue_does_not_count() -> None:
    heard = Mood()
    heard.hear_btc(Venue.BYBIT, to_millis(MIDNIGHT), 100.0, 90.0)

    assert not is_sangria(heard, MIDNIGHT + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("dominance", "cap", "expected"),
    [
        ("51", "90", True),
        ("50", "90", False),
        ("49", "90", False),
        ("51", "100", False),
        ("51", "110", False),
    ],
)
def test_polled_figures_mean_sangria_when_dominance_rose_and_the_market_fell(
    dominance: str, cap: str, expected: bool
) -> None:
    heard = mood(read(NOON - DAY, "50", "100"), read(NOON, dominance, cap))

    assert is_sangria(heard, NOON) is expected


@pytest.mark.parametrize(("minutes", "expected"), [(0, True), (30, True), (31, False)])
def test_a_poll_is_believed_for_thirty_minutes(minutes: int, expected: bool) -> None:
    heard = mood(read(NOON - DAY, "50", "100"), read(NOON, "51", "90"))

    assert is_sangria(heard, NOON + timedelta(minutes=minutes)) is expected


@pytest.mark.parametrize(("minutes", "expected"), [(0, True), (-30, True), (-31, False), (1, False)])
def test_a_poll_is_compared_with_one_of_a_day_before(minutes: int, expected: bool) -> None:
    heard = mood(read(NOON - DAY + timedelta(minutes=minutes), "50", "100"), read(NOON, "51", "90"))

    assert is_sangria(heard, NOON) is expected


def test_one_figure_alone_is_not_enough() -> None:
    assert not is_sangria(mood(read(NOON - DAY, "50", None), read(NOON, "51", None)), NOON)
    assert not is_sangria(mood(read(NOON, "51", "90")), NOON)
    assert not is_sangria(mood(), NOON)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(0), True),
        (timedelta(hours=23, minutes=45), True),
        (DAY, False),
        (-timedelta(minutes=1), False),
    ],
)
def test_a_daily_series_holds_from_midnight_for_its_day(after: timedelta, expected: bool) -> None:
    heard = mood(read(MIDNIGHT - DAY, "50", "100"), read(MIDNIGHT, "51", "90"))

    assert is_sangria(heard, MIDNIGHT + after) is expected


def test_the_next_day_of_a_series_takes_over() -> None:
    heard = mood(
        read(MIDNIGHT - DAY, "50", "100"), read(MIDNIGHT, "51", "90"), read(MIDNIGHT + DAY, "51", "95")
    )

    assert is_sangria(heard, MIDNIGHT + timedelta(hours=23, minutes=45))
    assert not is_sangria(heard, MIDNIGHT + DAY)


def test_a_hole_in_a_daily_series_is_not_taken_for_a_day() -> None:
    heard = mood(read(MIDNIGHT - 2 * DAY, "50", "100"), read(MIDNIGHT, "51", "90"))

    assert not is_sangria(heard, MIDNIGHT)


def test_a_poll_at_midnight_is_a_poll() -> None:
    earlier = MIDNIGHT - timedelta(minutes=10)
    heard = mood(read(MIDNIGHT - DAY, "50", "100"), read(earlier, "50", "100"), read(MIDNIGHT, "51", "90"))

    assert is_sangria(heard, MIDNIGHT + timedelta(minutes=30))
    assert not is_sangria(heard, MIDNIGHT + timedelta(minutes=31))
