"""The watch over one venue: its connections, candles, quotes and silences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from nexus_common.contracts.feed import FeedFact
from nexus_common.contracts.market import Bar, SessionScheduled
from nexus_common.contracts.values import Symbol
from nexus_ingest.domain.candle_truth import SeriesTruth
from nexus_ingest.domain.liveness import (
    STREAMS,
    Connections,
    Refusals,
    Sessions,
    StreamSilence,
    VenueClock,
)
from nexus_ingest.domain.prices import Level, Witness
from nexus_ingest.domain.quotes import Quotes
from nexus_ingest.domain.readings import BookRead, HaltRead, KlineRead, MarkRead, TradeRead
from nexus_ingest.domain.venue_candles import VenueCandles
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watch_state import RefusalsState, StandingState, VenueState, kept, recall
from nexus_ingest.domain.watching import (
    Answered,
    Closed,
    FeedDown,
    FeedUp,
    Halted,
    Heard,
    Noted,
    Opened,
    Output,
    Refused,
    Reopen,
    ServerTime,
    Ticks,
    Unanswered,
)
from nexus_market.candles import from_millis, spell, to_millis

_CANDLES = STREAMS.index("candles")
# A candle that closes this far ahead of our clock is none.
_AHEAD_MS = 60_000
_INFINITY = float("inf")


class VenueWatch:
    """What is to be done is appended to the list `out`; `now` is when it was received, in milliseconds."""

    def __init__(
        self,
        watched: WatchedVenue,
        rules: WatchRules,
        known: Mapping[Series, int],
        trades: Mapping[Symbol, Level],
        witnesses: Mapping[Symbol, Sequence[Witness]],
    ) -> None:
        self._venue = watched.venue
        self._rules = rules
        self._refusals = Refusals(watched.venue)
        self._sessions = Sessions(has_sessions=watched.has_sessions)
        self._connections = Connections(rules)
        self._silence = StreamSilence(watched.venue, watched.symbols, watched.streams, rules)
        self._clock = VenueClock(watched.venue, rules)
        self._candles = VenueCandles(watched, rules, known, self._refusals)
        self._prices = Quotes(watched.venue, rules, self._refusals, self._silence.last, trades, witnesses)
        self._quotes: dict[type, Callable[[Any, datetime, list[Output]], bool]] = {
            TradeRead: self._prices.trade,
            BookRead: self._prices.book,
            MarkRead: self._prices.mark,
        }
        self._is_down = True
        self._told_down = False
        self._was_answered = False
        self._since: int | None = None

    def state(self) -> VenueState:
        return VenueState(
            standing=kept(self, StandingState),
            refusals=kept(self._refusals, RefusalsState),
            hours=self._sessions.hours,
            connections=self._connections.by_name,
            heard=self._silence.last,
            silent=self._silence.silent,
            clock_off=self._clock.is_off,
            quotes=self._prices.state(),
            candles=self._candles.state(),
        )

    def recall(self, state: VenueState) -> None:
        recall(self, state.standing)
        recall(self._refusals, state.refusals)
        self._sessions.hours = state.hours
        self._connections.by_name = state.connections
        for symbol, times in state.heard.items():
            self._silence.last[symbol][:] = times
        self._silence.silent = state.silent
        self._clock.is_off = state.clock_off
        self._prices.recall(state.quotes)
        self._candles.recall(state.candles)

    @property
    def due_at(self) -> int:
        """When candles have to leave (ms); far away when none wait."""
        return self._candles.due_at

    # -- connections ----------------------------------------------------------------------------------

    def opened(self, happened: Opened, now: int, out: list[Output]) -> None:
        self._stand(happened.connection, happened.at, now, out)

    def _stand(self, name: str, at: datetime, now: int, out: list[Output]) -> None:
        """A connection stands, or speaks again: whatever it carries is checked for what it has missed."""
        self._connections.opened(name, at)
        self._candles.reconnected(self._carried(name), now, out)
        self._settle(now, out)

    def _carried(self, name: str) -> Iterator[SeriesTruth]:
        """The series last heard on this connection, and those whose connection is gone."""
        standing = self._connections.by_name.keys() - {name}
        return (truth for truth in self._candles.truths.values() if truth.carrier not in standing)

    def closed(self, happened: Closed, now: int, out: list[Output]) -> None:
        self._connections.closed(happened.connection)
        if not self._connections.speak:
            self._lose(f"no connection: {happened.reason}", now, out)

    def _lose(self, reason: str, now: int, out: list[Output]) -> None:
        self._was_answered = False
        self._is_down = True
        if not self._told_down:
            self._told_down = True
            out.append(FeedDown(self._venue, reason, from_millis(now)))

    # -- frames ---------------------------------------------------------------------------------------

    def heard(self, happened: Heard, out: list[Output]) -> bool:
        """Whether anything but ticks was heard, so that other times may be due."""
        at = happened.at
        connection = self._connections.by_name.get(happened.connection)
        is_news = False
        if connection is None or connection.stalled:
            self._stand(happened.connection, at, to_millis(at), out)
            is_news = True
        else:
            connection.last = at
        ticks = []
        quotes = self._quotes
        for reading in happened.readings:
            quote = quotes.get(type(reading))
            if quote is None:
                is_news = self._heard_rare(reading, happened, out) or is_news
            elif quote(reading, at, out):
                ticks.append(reading)
        if ticks:
            out.append(Ticks(self._venue, ticks, at))
        return is_news

    def _heard_rare(self, reading: Any, happened: Heard, out: list[Output]) -> bool:
        if type(reading) is KlineRead:
            return self._heard_kline(reading, happened, out)
        if type(reading) is HaltRead:
            out.append(Halted(self._venue, reading))
            return False
        raise TypeError(f"{self._venue} feed says {reading!r}, which is no reading")

    def _heard_kline(self, kline: KlineRead, happened: Heard, out: list[Output]) -> bool:
        """An unclosed one is no candle: it says no more than that the stream speaks."""
        truth = self._candles.truths.get((kline.symbol, kline.timeframe))
        if truth is None:
            self._refusals.count("candle that is not watched", str(kline), to_millis(happened.at))
            return False
        truth.carrier = happened.connection
        self._silence.last[kline.symbol][_CANDLES] = happened.at
        if not kline.closed:
            return False
        now = to_millis(happened.at)
        reason = _fault(kline, truth.slot, now)
        if reason:
            self._refusals.count(reason, str(kline), now)
            return False
        self._candles.closed(truth, _bar(kline), now, out)
        return True

    def refused(self, happened: Refused, now: int) -> None:
        connection = self._connections.by_name.get(happened.connection)
        if connection is not None:
            connection.last = happened.at
        self._refusals.count(happened.reason, happened.sample, now)

    # -- answers --------------------------------------------------------------------------------------

    def answered(self, happened: Answered, now: int, out: list[Output]) -> None:
        self._was_answered = True
        self._candles.answered(happened, now, out)
        self._settle(now, out)

    def unanswered(self, happened: Unanswered, now: int, out: list[Output]) -> None:
        self._candles.unanswered(happened, now, out)
        self._settle(now, out)

    def server_time(self, happened: ServerTime, out: list[Output]) -> None:
        self._note(self._clock.read(happened.ahead_ms, happened.round_trip_ms, happened.at), out, happened.at)

    def schedule(self, session: SessionScheduled) -> None:
        self._sessions.schedule(session)

    # -- time -----------------------------------------------------------------------------------------

    def flush(self, now: int, out: list[Output]) -> None:
        """Candles whose time to leave has come."""
        out.extend(self._candles.flush(now))

    def scan(self, now: int, out: list[Output]) -> None:
        """Twice a second: candles that are overdue, connections and streams that are silent."""
        if self._since is None:
            self._since = now
        open_since = self._sessions.open_since(now)
        silence_ms = self._rules.candle_silence_ms
        if open_since is None:
            silence_ms = self._rules.closed_candle_silence_ms
        self._candles.due(now, silence_ms, out)
        self._settle(now, out)
        if open_since is not None:
            self._scan_silence(now, open_since, out)
        self._note(self._refusals.told(now), out, from_millis(now))

    def _scan_silence(self, now: int, open_since: int, out: list[Output]) -> None:
        assert self._since is not None
        silence_ms = self._rules.connection_silence_ms
        words = f"silent for {silence_ms / 1_000:g} s"
        for name in self._connections.silent(now, open_since):
            out.append(Reopen(self._venue, name, words))
        if not self._connections.speak and now - max(self._since, open_since) >= silence_ms:
            self._lose(f"no connection speaks: {words}", now, out)
        if not self._is_down:
            for news in self._silence.changes(now, max(self._since, open_since)):
                self._note(news, out, from_millis(now))

    def _settle(self, now: int, out: list[Output]) -> None:
        """Let candles leave; the feed is up between those of the past and the newest, once gaps are filled."""
        candles = self._candles.flush(now)
        past = sum(1 for closed in candles if closed.late)
        out.extend(candles[:past])
        if self._is_down and self._connections.speak and self._is_whole():
            self._is_down = self._told_down = False
            self._since = now
            out.append(FeedUp(self._venue, from_millis(now)))
        out.extend(candles[past:])

    def _is_whole(self) -> bool:
        """Whether what breaks may have cost is asked and answered; single series without an answer wait alone."""
        return not self._candles.blocks and (self._was_answered or not self._candles.unchecked)

    def _note(self, fact: FeedFact | None, out: list[Output], at: datetime) -> None:
        if fact is not None:
            out.append(Noted(self._venue, fact, at))


def _bar(kline: KlineRead) -> Bar:
    return Bar(
        kline.open_time,
        spell(float(kline.open)),
        spell(float(kline.high)),
        spell(float(kline.low)),
        spell(float(kline.close)),
        spell(float(kline.volume)),
    )


def _fault(kline: KlineRead, slot: int, now: int) -> str:
    """Why a closed kline cannot be a candle, whatever the market did; empty when it can."""
    if kline.open_time % slot:
        return "candle off its grid"
    if kline.open_time + slot > now + _AHEAD_MS:
        return "candle of the future"
    low, high = float(kline.low), float(kline.high)
    if not 0.0 < low <= high < _INFINITY:
        return "candle with an impossible price"
    # NaN is on no side of anything.
    if not (low <= float(kline.open) <= high and low <= float(kline.close) <= high):
        return "candle that leaves its own range"
    return "" if 0.0 <= float(kline.volume) < _INFINITY else "candle with an impossible volume"
