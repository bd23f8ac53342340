"""Whether a venue's feed speaks: its connections, its instruments' streams, its clock, what it sends in vain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from nexus_common.contracts.feed import ClockOff, FramesRefused, StreamHeard, StreamSilent
from nexus_common.contracts.market import SessionScheduled
from nexus_common.contracts.values import Symbol, Venue
from nexus_ingest.domain.watch_rules import WatchRules
from nexus_market.candles import from_millis, to_millis

STREAMS = ("trades", "book", "mark", "candles")
_MINUTE_MS = 60_000
_DAYS_KEPT = 14
_REASONS_KEPT = 20
# The last minute of a session is told after its end.
_AFTER_CLOSE_MS = 120_000


class Sessions:
    """A venue's trading hours. A day between known ones is shut; one beyond them counts as open.

    Calendars leave weekends out. Where nothing is known silence is told, not missed.
    """

    def __init__(self, *, has_sessions: bool) -> None:
        self._has_sessions = has_sessions
        self.hours: dict[date, tuple[int, int] | None] = {}

    def schedule(self, session: SessionScheduled) -> None:
        if session.opens is None or session.closes is None:
            self.hours[session.day] = None
        else:
            self.hours[session.day] = (to_millis(session.opens), to_millis(session.closes))
        if len(self.hours) > _DAYS_KEPT:
            del self.hours[min(self.hours)]

    def open_since(self, now: int) -> int | None:
        """When the session that `now` (ms) lies in began; 0 where there are none; None while the venue is shut."""
        if not self._has_sessions:
            return 0
        day = from_millis(now).astimezone(UTC).date()
        hours = self.hours.get(day, None if self._is_between(day) else (0, now))
        if hours is None or not hours[0] <= now <= hours[1] + _AFTER_CLOSE_MS:
            return None
        return hours[0]

    def _is_between(self, day: date) -> bool:
        return bool(self.hours) and min(self.hours) < day < max(self.hours)


@dataclass(slots=True)
class Connection:
    """One socket of a venue. `stalled` once it was silent for too long, until it speaks or is opened anew."""

    name: str
    last: datetime
    is_open: bool = True
    stalled: bool = False
    reopened_at: int = 0


class Connections:
    def __init__(self, rules: WatchRules) -> None:
        self._silence_ms = rules.connection_silence_ms
        self.by_name: dict[str, Connection] = {}

    def opened(self, name: str, at: datetime) -> None:
        self.by_name[name] = Connection(name, at)

    def closed(self, name: str) -> None:
        """Forgotten: a connection of that name is a new one."""
        self.by_name.pop(name, None)

    @property
    def speak(self) -> bool:
        """Whether any connection stands and says something."""
        return any(not each.stalled for each in self.by_name.values())

    def silent(self, now: int, open_since: int) -> list[str]:
        """Those that have to be opened anew; each is named again after another silence."""
        names = []
        for each in self.by_name.values():
            since = max(to_millis(each.last), open_since, each.reopened_at)
            if now - since >= self._silence_ms:
                each.stalled = True
                each.reopened_at = now
                names.append(each.name)
        return names


class StreamSilence:
    """Which streams of which instruments are silent. `last` holds when each was heard, in order of STREAMS."""

    def __init__(
        self, venue: Venue, symbols: Iterable[Symbol], streams: tuple[str, ...], rules: WatchRules
    ) -> None:
        self._venue = venue
        self._places = tuple(STREAMS.index(stream) for stream in streams)
        self._budget_ms = rules.stream_silence_ms
        self.last: dict[Symbol, list[datetime | None]] = {symbol: [None] * len(STREAMS) for symbol in symbols}
        self.silent: dict[tuple[Symbol, int], int] = {}

    def changes(self, now: int, since: int) -> list[StreamSilent | StreamHeard]:
        """News of silence; nothing is expected before `since`, when the feed came up or the session began."""
        news: list[StreamSilent | StreamHeard] = []
        newest = now - self._budget_ms
        newest_heard = from_millis(newest)
        for symbol, times in self.last.items():
            for place in self._places:
                time = times[place]
                if time is not None and time > newest_heard and not self.silent:
                    continue
                self._change(symbol, place, 0 if time is None else to_millis(time), since, newest, news)
        return news

    def _change(
        self,
        symbol: Symbol,
        place: int,
        heard: int,
        since: int,
        newest: int,
        news: list[StreamSilent | StreamHeard],
    ) -> None:
        silent_since = self.silent.get((symbol, place))
        expected_since = max(heard, since)
        if silent_since is not None and heard > silent_since:
            del self.silent[symbol, place]
            news.append(self._heard(symbol, place, heard))
        elif silent_since is None and expected_since <= newest:
            self.silent[symbol, place] = expected_since
            news.append(self._told_silent(symbol, place, expected_since))

    def _heard(self, symbol: Symbol, place: int, at: int) -> StreamHeard:
        return StreamHeard(venue=self._venue, symbol=symbol, stream=STREAMS[place], at=from_millis(at))

    def _told_silent(self, symbol: Symbol, place: int, since: int) -> StreamSilent:
        return StreamSilent(venue=self._venue, symbol=symbol, stream=STREAMS[place], since=from_millis(since))


class Refusals:
    """Counts what could not be used, and tells it once a minute with one sample."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._counts: dict[str, int] = {}
        self._sample = ""
        self._first_at = 0

    def count(self, reason: str, sample: str, now: int) -> None:
        if not self._counts:
            self._sample = sample
            self._first_at = now
        if len(self._counts) >= _REASONS_KEPT:
            reason = reason if reason in self._counts else "other reasons"
        self._counts[reason] = self._counts.get(reason, 0) + 1

    def told(self, now: int) -> FramesRefused | None:
        if not self._counts or now - self._first_at < _MINUTE_MS:
            return None
        refused = FramesRefused(
            venue=self._venue, counts=self._counts, sample=self._sample, at=from_millis(now)
        )
        self._counts = {}
        return refused


class VenueClock:
    """Tells when a venue's clock goes off ours, and when it is back; half the round trip is in its favour."""

    def __init__(self, venue: Venue, rules: WatchRules) -> None:
        self._venue = venue
        self._bound_ms = rules.clock_off_ms
        self.is_off = False

    def read(self, ahead_ms: int, round_trip_ms: int, at: datetime) -> ClockOff | None:
        is_off = abs(ahead_ms) - round_trip_ms // 2 > self._bound_ms
        if is_off == self.is_off:
            return None
        self.is_off = is_off
        return ClockOff(venue=self._venue, milliseconds=ahead_ms, at=at)
