"""Which candles come in one event: those of a venue that close at one instant and arrive together."""

from __future__ import annotations

from collections.abc import Mapping

from nexus_common.contracts.market import Bar, Candle, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.watch_rules import WatchRules
from nexus_market.candles import from_millis, slot_millis

PARTITION = 0
_NEVER = 1 << 62


class CandleBundles:
    """Collects a venue's candles by the instant they close at.

    An instant is told `flush_ms` after its first candle arrived; what is slower comes in another event of the
    same instant. Repaired candles wait a little longer, for those of the other series. Instants leave in order
    of time: whatever is due takes all older ones along, so every series goes forward.
    """

    def __init__(self, venue: Venue, symbols: tuple[Symbol, ...], rules: WatchRules) -> None:
        self._venue = venue
        self._rank: Mapping[Symbol, int] = {symbol: rank for rank, symbol in enumerate(symbols)}
        self._rules = rules
        self._open: dict[int, list[Candle]] = {}
        self._due: dict[int, int] = {}
        self.due_at = _NEVER

    def add(self, symbol: Symbol, timeframe: Timeframe, bar: Bar, now: int, *, repaired: bool) -> None:
        instant = bar.open_time + slot_millis(timeframe)
        candles = self._open.setdefault(instant, [])
        candles.append(Candle(symbol, timeframe, bar.open, bar.high, bar.low, bar.close, bar.volume))
        due = now + (self._rules.repair_ms if repaired else self._rules.flush_ms)
        self._due[instant] = min(self._due.get(instant, _NEVER), due)
        self.due_at = min(self.due_at, due)

    def replace(self, symbol: Symbol, timeframe: Timeframe, bar: Bar) -> bool:
        """Put a bar in the place of one that has not left yet; whether there is one."""
        candles = self._open.get(bar.open_time + slot_millis(timeframe), [])
        for place, candle in enumerate(candles):
            if (candle.symbol, candle.timeframe) == (symbol, timeframe):
                candles[place] = Candle(symbol, timeframe, *bar[1:])
                return True
        return False

    def hurry(self, now: int) -> None:
        """Nothing more is awaited: repaired candles leave now; live ones when they would."""
        repaired = [instant for instant, due in self._due.items() if due > now + self._rules.flush_ms]
        for instant in repaired:
            self._due[instant] = now
        if repaired:
            self.due_at = now

    def flush(self, now: int) -> list[CandlesClosed]:
        """The instants that are due, with all older ones, in order of time."""
        if now < self.due_at:
            return []
        newest = max(instant for instant, due in self._due.items() if due <= now)
        leaving = sorted(instant for instant in self._open if instant <= newest)
        events = [self._event(instant, self._open.pop(instant), now) for instant in leaving]
        for instant in leaving:
            del self._due[instant]
        self.due_at = min(self._due.values(), default=_NEVER)
        return events

    def _event(self, instant: int, candles: list[Candle], now: int) -> CandlesClosed:
        candles.sort(key=lambda candle: (self._rank[candle.symbol], candle.timeframe.seconds))
        return CandlesClosed(
            venue=self._venue,
            partition=PARTITION,
            at=from_millis(instant),
            candles=tuple(candles),
            late=now - instant > self._rules.fresh_ms,
        )
