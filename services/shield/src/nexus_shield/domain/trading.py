"""Whether an instrument is traded right now, and its price heard: what live venues say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from nexus_common.contracts.feed import StreamHeard, StreamSilent
from nexus_common.contracts.market import SessionScheduled, TradingHalted, TradingResumed
from nexus_common.contracts.values import Symbol, Venue, format_instant

CANDLES = "candles"

Key = tuple[Venue, Symbol]
TradingEvent = StreamSilent | StreamHeard | TradingHalted | TradingResumed | SessionScheduled


@dataclass(slots=True)
class Trading:
    """Fold of silences, halts and trading hours. Of a venue that never told its hours none are expected."""

    _silent: dict[Key, datetime] = field(default_factory=dict)
    _halted: dict[Key, TradingHalted] = field(default_factory=dict)
    _sessions: dict[Venue, dict[date, SessionScheduled]] = field(default_factory=dict)

    def observe(self, event: TradingEvent) -> None:
        match event:
            case StreamSilent():
                if event.stream == CANDLES:
                    self._silent[event.venue, event.symbol] = event.since
            case StreamHeard():
                if event.stream == CANDLES:
                    self._silent.pop((event.venue, event.symbol), None)
            case TradingHalted():
                self._halted[event.venue, event.symbol] = event
            case TradingResumed():
                self._halted.pop((event.venue, event.symbol), None)
            case SessionScheduled():
                self._sessions.setdefault(event.venue, {})[event.day] = event

    def obstacle(self, venue: Venue, symbol: Symbol, at: datetime) -> str | None:
        """Why nothing may be entered in an instrument at this time; None when nothing speaks against it."""
        halted = self._halted.get((venue, symbol))
        if halted is not None:
            return f"{venue} halted {symbol} at {format_instant(halted.at)}: {halted.reason or halted.code}"
        since = self._silent.get((venue, symbol))
        if since is not None:
            return f"the candles of {symbol} are silent since {format_instant(since)}"
        return self._closed(venue, at)

    def _closed(self, venue: Venue, at: datetime) -> str | None:
        sessions = self._sessions.get(venue)
        if not sessions:
            return None
        # Days are the venue's: late in the American day it is tomorrow in UTC.
        open_now = (each for each in sessions.values() if each.opens and each.closes)
        if any(each.opens <= at < each.closes for each in open_now if each.opens and each.closes):
            return None
        coming = [each.opens for each in sessions.values() if each.opens is not None and each.opens > at]
        if not coming:
            return f"{venue} is closed, as far as its trading hours are known"
        return f"{venue} is closed until {format_instant(min(coming))}"
