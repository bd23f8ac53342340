"""US sessions: ten years against a table of holidays and early closes, days on which clocks change, two sources."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from nexus_common.contracts.values import Venue
from nexus_data.sessions import Session, compare, is_live, session_end, us_sessions

FIRST, LAST = date(2016, 1, 1), date(2025, 12, 31)

# Weekdays on which NYSE was shut (nyse.com, holidays and trading hours, and the notices of single days):
# New Year, Martin Luther King Day, Washington's Birthday, Good Friday, Memorial Day, Juneteenth (from 2022),
# Independence Day, Labor Day, Thanksgiving, Christmas. Shut besides: 2018-12-05 and 2025-01-09, the days of
# mourning for the presidents Bush and Carter. 2022 had no New Year's holiday: January 1st was a Saturday.
SHUT = {
    2016: "01-01 01-18 02-15 03-25 05-30 07-04 09-05 11-24 12-26",
    2017: "01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25",
    2018: "01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25",
    2019: "01-01 01-21 02-18 04-19 05-27 07-04 09-02 11-28 12-25",
    2020: "01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25",
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2023: "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
}
# Closed at 13:00: the day before Independence Day, the day after Thanksgiving, Christmas Eve, where they
# were trading days and the holiday itself was not moved onto them.
EARLY = {
    2016: "11-25",
    2017: "07-03 11-24",
    2018: "07-03 11-23 12-24",
    2019: "07-03 11-29 12-24",
    2020: "11-27 12-24",
    2021: "11-26",
    2022: "11-25",
    2023: "07-03 11-24",
    2024: "07-03 11-29 12-24",
    2025: "07-03 11-28 12-24",
}
# The Sundays on which New York's clocks go forward (March) and back (November).
CLOCK_CHANGES = {
    2016: ("03-13", "11-06"),
    2017: ("03-12", "11-05"),
    2018: ("03-11", "11-04"),
    2019: ("03-10", "11-03"),
    2020: ("03-08", "11-01"),
    2021: ("03-14", "11-07"),
    2022: ("03-13", "11-06"),
    2023: ("03-12", "11-05"),
    2024: ("03-10", "11-03"),
    2025: ("03-09", "11-02"),
}


def days_of(table: dict[int, str]) -> set[date]:
    return {date.fromisoformat(f"{year}-{day}") for year, days in table.items() for day in days.split()}


def utc(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def in_summer_time(day: date) -> bool:
    forward, back = (date.fromisoformat(f"{day.year}-{sunday}") for sunday in CLOCK_CHANGES[day.year])
    return forward <= day < back


def known_session(day: date) -> Session:
    """9:30 to 16:00, or 13:00, in New York: four hours behind UTC in summer, five in winter."""
    offset = 4 if in_summer_time(day) else 5
    closes = 13 if day in days_of(EARLY) else 16
    return Session(day, utc(day, 9 + offset, 30), utc(day, closes + offset))


def weekdays() -> list[date]:
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    return [day for day in days if day.weekday() < 5]


def test_ten_years_are_as_the_table_says_to_the_minute() -> None:
    known = [known_session(day) for day in weekdays() if day not in days_of(SHUT)]
    assert list(us_sessions().between(FIRST, LAST)) == known
    per_year = [sum(session.day.year == year for session in known) for year in SHUT]
    assert per_year == [252, 251, 251, 252, 253, 252, 251, 250, 252, 250]
    assert [session.day for session in known if session.is_early_close] == sorted(days_of(EARLY))


@pytest.mark.parametrize(
    ("sunday", "before", "after"),
    [
        (date.fromisoformat(f"{year}-{sunday}"), *hours)
        for year, sundays in CLOCK_CHANGES.items()
        for sunday, hours in zip(sundays, (((14, 21), (13, 20)), ((13, 20), (14, 21))), strict=True)
    ],
    ids=str,
)
def test_hours_in_utc_move_over_the_weekend_on_which_clocks_change(
    sunday: date, before: tuple[int, int], after: tuple[int, int]
) -> None:
    friday, monday = us_sessions().between(sunday - timedelta(days=2), sunday + timedelta(days=1))
    assert (friday.day.weekday(), monday.day.weekday()) == (4, 0)
    assert (friday.opens, friday.closes) == (utc(friday.day, before[0], 30), utc(friday.day, before[1]))
    assert (monday.opens, monday.closes) == (utc(monday.day, after[0], 30), utc(monday.day, after[1]))
    assert us_sessions().current_or_next(utc(sunday, 12)) == monday
    assert not us_sessions().is_open(utc(sunday, 15))
    assert (is_live(utc(monday.day, after[0], 29), False), is_live(utc(monday.day, after[0], 30), False)) == (
        False,
        True,
    )


def test_sessions_never_overlap_and_last_six_and_a_half_hours_or_half_a_day() -> None:
    sessions = us_sessions().between(FIRST, LAST)
    assert all(older.closes < newer.opens for older, newer in pairwise(sessions))
    lengths = {session.is_early_close: session.closes - session.opens for session in sessions}
    assert lengths == {False: timedelta(hours=6, minutes=30), True: timedelta(hours=3, minutes=30)}


@pytest.mark.parametrize(
    ("day", "pre_market", "end"),
    [(date(2024, 7, 2), 8, 24), (date(2024, 7, 3), 8, 21), (date(2024, 1, 16), 9, 25)],
    ids=["summer", "early close", "winter"],
)
def test_extended_hours_begin_at_four_and_end_four_hours_after_the_close(
    day: date, pre_market: int, end: int
) -> None:
    (session,) = us_sessions().between(day, day)
    midnight = utc(day, 0)
    assert session.extended == Session(
        day, midnight + timedelta(hours=pre_market), midnight + timedelta(hours=end)
    )
    assert is_live(session.extended.opens, True)
    assert not is_live(session.extended.opens - timedelta(seconds=1), True)
    assert session_end(session.closes, True) == session.extended.closes


class TestTwoSources:
    def test_agreeing_ones_schedule_every_weekday_without_a_word(self) -> None:
        sessions = us_sessions().between(FIRST, LAST)
        scheduled = compare(Venue.ALPACA, sessions, sessions, FIRST, LAST)
        assert [session.day for session in scheduled] == weekdays()
        assert {session.day for session in scheduled if session.opens is None} == days_of(SHUT)
        assert {session.day for session in scheduled if session.is_early_close} == days_of(EARLY)
        assert all(session.disagreement == "" for session in scheduled)

    def test_the_venues_hours_hold_and_the_second_ones_are_told(self) -> None:
        day = date(2024, 7, 3)
        (early,) = us_sessions().between(day, day)
        told = Session(day, early.opens, utc(day, 20))
        (scheduled,) = compare(Venue.ALPACA, [told], [early], day, day)
        assert (scheduled.opens, scheduled.closes) == (told.opens, told.closes)
        assert not scheduled.is_early_close
        assert scheduled.sources == ("alpaca", "exchange-calendars XNYS")
        assert scheduled.disagreement == (
            "exchange-calendars XNYS says 09:30 to 13:00 New York, alpaca 09:30 to 16:00 New York"
        )

    def test_a_day_of_mourning_that_the_library_does_not_know_yet_is_told(self) -> None:
        day = date(2025, 1, 10)
        (session,) = us_sessions().between(day, day)
        (scheduled,) = compare(Venue.ALPACA, [], [session], day, day)
        assert (scheduled.opens, scheduled.closes) == (None, None)
        assert scheduled.disagreement == "exchange-calendars XNYS says 09:30 to 16:00 New York, alpaca shut"

    def test_a_session_on_a_saturday_is_no_matter_of_course(self) -> None:
        saturday = date(2025, 1, 11)
        told = Session(saturday, utc(saturday, 14, 30), utc(saturday, 21))
        (scheduled,) = compare(Venue.ALPACA, [told], [], saturday, saturday + timedelta(days=1))
        assert (scheduled.day, scheduled.opens) == (saturday, told.opens)
        assert scheduled.disagreement.startswith("exchange-calendars XNYS says shut")
