"""When the US stock market is open: sessions with holidays and early closes.

NYSE's calendar as exchange-calendars keeps it. A venue's own calendar holds; this one is its second source.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from nexus_common.contracts.market import SessionScheduled
from nexus_common.contracts.values import Venue

SECOND_SOURCE: Final = "exchange-calendars XNYS"
NEW_YORK: Final = ZoneInfo("America/New_York")
_FIRST, _LAST = "2006-01-01", "2030-12-31"
_USUAL_CLOSE: Final = time(16)
_SATURDAY: Final = 5
# Extended hours: 4:00 to 9:30 and 16:00 to 20:00 in New York; four hours from the close on early days too.
_PRE_MARKET: Final = timedelta(hours=5, minutes=30)
_AFTER_HOURS: Final = timedelta(hours=4)


class Session(NamedTuple):
    """Regular trading hours of one day, in UTC."""

    day: date
    opens: datetime
    closes: datetime

    @property
    def is_early_close(self) -> bool:
        return self.closes.astimezone(NEW_YORK).time() < _USUAL_CLOSE

    @property
    def extended(self) -> Session:
        """The day with its pre-market and after-hours trading."""
        return Session(self.day, self.opens - _PRE_MARKET, self.closes + _AFTER_HOURS)


class Sessions:
    """All sessions, oldest first. A moment is in a session from its open up to, not including, its close."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._sessions = sessions
        self._closes = [session.closes for session in sessions]
        self._days = [session.day for session in sessions]

    def current_or_next(self, at: datetime) -> Session:
        """The session that is on at this moment, else the one that comes; raises LookupError behind the last."""
        index = bisect_right(self._closes, at)
        if index == len(self._sessions):
            raise LookupError(f"no session is known behind {_LAST}; asked for {at.isoformat()}")
        return self._sessions[index]

    def is_open(self, at: datetime) -> bool:
        return self.current_or_next(at).opens <= at

    def next_open(self, at: datetime) -> datetime:
        session = self.current_or_next(at)
        return session.opens if at < session.opens else self.current_or_next(session.closes).opens

    def between(self, first: date, last: date) -> Sequence[Session]:
        """Sessions of the days from `first` to `last`, both included."""
        return self._sessions[bisect_left(self._days, first) : bisect_right(self._days, last)]


@lru_cache(maxsize=1)
def us_sessions() -> Sessions:
    """NYSE's sessions of the years that the calendar covers; made once, in about a second."""
    with warnings.catch_warnings():
        # The calendar's library still uses what pandas has announced to change.
        warnings.simplefilter("ignore")
        import exchange_calendars

        schedule = exchange_calendars.get_calendar("XNYS", start=_FIRST, end=_LAST).schedule
        rows = zip(schedule.index, schedule["open"], schedule["close"], strict=True)
        return Sessions(
            [
                Session(
                    day.date(), opens.to_pydatetime().astimezone(UTC), closes.to_pydatetime().astimezone(UTC)
                )
                for day, opens, closes in rows
            ]
        )


def _session_for(at: datetime, extended: bool) -> Session:
    """The session for which an order of this moment is."""
    return us_sessions().current_or_next(at - _AFTER_HOURS if extended else at)


def is_live(at: datetime, extended: bool) -> bool:
    """Whether an order can trade now; `extended`: before and after the session too."""
    session = _session_for(at, extended)
    return (session.extended if extended else session).opens <= at


def session_end(at: datetime, extended: bool) -> datetime:
    """When a DAY order of this moment expires."""
    session = _session_for(at, extended)
    return (session.extended if extended else session).closes


def compare(
    venue: Venue, told: Sequence[Session], second: Sequence[Session], first: date, last: date
) -> tuple[SessionScheduled, ...]:
    """The days from `first` to `last` as the venue's calendar tells them, with what the second one says otherwise.

    Saturdays and Sundays on which neither has a session are left out.
    """
    by_venue = {session.day: session for session in told}
    by_second = {session.day: session for session in second}
    sources = (str(venue), SECOND_SOURCE)
    return tuple(
        _scheduled(
            venue, day, by_venue.get(day), sources, _differs(venue, by_venue.get(day), by_second.get(day))
        )
        for day in _days(first, last, {*by_venue, *by_second})
    )


def second_source(venue: Venue, first: date, last: date) -> tuple[SessionScheduled, ...]:
    """The days from `first` to `last` as the second source alone has them, while the venue's calendar is silent."""
    hours = {session.day: session for session in us_sessions().between(first, last)}
    silent = f"{venue}'s calendar does not answer"
    return tuple(
        _scheduled(venue, day, hours.get(day), (SECOND_SOURCE,), silent) for day in _days(first, last, hours)
    )


def _days(first: date, last: date, with_session: Container[date]) -> Iterator[date]:
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return (day for day in days if day.weekday() < _SATURDAY or day in with_session)


def _scheduled(
    venue: Venue, day: date, session: Session | None, sources: tuple[str, ...], disagreement: str
) -> SessionScheduled:
    return SessionScheduled(
        venue=venue,
        day=day,
        opens=session.opens if session else None,
        closes=session.closes if session else None,
        is_early_close=session is not None and session.is_early_close,
        sources=sources,
        disagreement=disagreement,
    )


def _differs(venue: Venue, told: Session | None, second: Session | None) -> str:
    if told == second:
        return ""
    return f"{SECOND_SOURCE} says {_hours(second)}, {venue} {_hours(told)}"


def _hours(session: Session | None) -> str:
    if session is None:
        return "shut"
    opens, closes = (moment.astimezone(NEW_YORK) for moment in (session.opens, session.closes))
    return f"{opens:%H:%M} to {closes:%H:%M} New York"
