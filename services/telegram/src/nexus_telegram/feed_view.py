"""How the feeds stand, as far as users are told: lost, silent, halted, corrected, with how much of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from nexus_common.contracts.feed import (
    FeedLost,
    FeedRestored,
    FeedStarted,
    PriceDoubted,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.market import CandleCorrected, TradingHalted, TradingResumed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Venue

CANDLES = "candles"


@dataclass(slots=True)
class FeedView:
    """Corrections and halts are counted since this process was started."""

    followed: set[Venue] = field(default_factory=set)
    lost: dict[Venue, str] = field(default_factory=dict)
    silent: dict[Venue, set[Symbol]] = field(default_factory=dict)
    halted: dict[Venue, set[Symbol]] = field(default_factory=dict)
    corrections: Counter[Venue] = field(default_factory=Counter)
    doubted: Counter[Venue] = field(default_factory=Counter)

    def observe(self, event: Event) -> None:
        match event:
            case FeedStarted(venue=venue):
                self.followed.add(venue)
                self.lost.pop(venue, None)
            case FeedLost(venue=venue, reason=reason):
                self.lost[venue] = reason
            case FeedRestored(venue=venue):
                self.lost.pop(venue, None)
            case StreamSilent(venue=venue, symbol=symbol) if event.stream == CANDLES:
                self.silent.setdefault(venue, set()).add(symbol)
            case StreamHeard(venue=venue, symbol=symbol) if event.stream == CANDLES:
                self.silent.get(venue, set()).discard(symbol)
            case TradingHalted(venue=venue, symbol=symbol):
                self.halted.setdefault(venue, set()).add(symbol)
            case TradingResumed(venue=venue, symbol=symbol):
                self.halted.get(venue, set()).discard(symbol)
            case CandleCorrected(venue=venue):
                self.corrections[venue] += 1
            case PriceDoubted(venue=venue):
                self.doubted[venue] += 1
            case _:
                pass

    def lines(self) -> list[tuple[Venue, str]]:
        """A line for each venue that is followed."""
        return [(venue, self._line(venue)) for venue in sorted(self.followed | set(self.lost))]

    def _line(self, venue: Venue) -> str:
        parts = [f"lost: {self.lost[venue]}" if venue in self.lost else "up"]
        parts += [f"no candles of {', '.join(sorted(self.silent[venue]))}"] if self.silent.get(venue) else []
        parts += [f"halted: {', '.join(sorted(self.halted[venue]))}"] if self.halted.get(venue) else []
        parts += [f"{self.corrections[venue]} candles corrected"] if self.corrections[venue] else []
        parts += [f"{self.doubted[venue]} prices doubted"] if self.doubted[venue] else []
        return ", ".join(parts)
