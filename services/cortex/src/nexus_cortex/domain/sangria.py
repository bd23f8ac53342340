"""Sangria: a market in which bitcoin falls hard, or gains weight while everything loses value."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
from typing import Final

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_cortex.domain.figures import candles_ago
from nexus_market.candles import to_millis

BTC: Final = Symbol("BTCUSDT")
FALL_MIN: Final = 0.015
FALL_CANDLES: Final = 4
POLL_AGE_MAX_MS: Final = 30 * 60 * 1_000
DAY_MS: Final = 24 * 60 * 60 * 1_000
CANDLE_MS: Final = Timeframe.M15.seconds * 1_000

_known_at = itemgetter(0)


@dataclass(slots=True)
class Figure:
    """One market-wide figure over time: what was known from when on."""

    readings: list[tuple[int, Decimal]] = field(default_factory=list)

    def add(self, known_at: int, value: Decimal) -> None:
        insort(self.readings, (known_at, value), key=_known_at)

    def day_before_and_now(self, at: int) -> tuple[Decimal, Decimal] | None:
        """The figure 24 h before and now; None when either is not known.

        Two readings at successive UTC midnights are a daily series: the later one holds for its day, and the
        day between them counts as 24 h. Anything else was polled: it may be 30 minutes old, and the reading
        it is compared with as much older than 24 h.
        """
        index = bisect_right(self.readings, at, key=_known_at) - 1
        if index < 1:
            return None
        known_at, now = self.readings[index]
        before_at, before = self.readings[index - 1]
        if known_at % DAY_MS == 0 and known_at - before_at == DAY_MS:
            return (before, now) if at - known_at < DAY_MS else None
        if at - known_at > POLL_AGE_MAX_MS:
            return None
        index = bisect_right(self.readings, known_at - DAY_MS, key=_known_at) - 1
        if index < 0 or self.readings[index][0] < known_at - DAY_MS - POLL_AGE_MAX_MS:
            return None
        return self.readings[index][1], now

    def at(self, at: int) -> Decimal | None:
        """The figure of a daily series (milliseconds); None when the last one known is over a day old."""
        index = bisect_right(self.readings, at, key=_known_at) - 1
        if index < 0 or at - self.readings[index][0] >= DAY_MS:
            return None
        return self.readings[index][1]


class Mood:
    """What bitcoin and the market as a whole did, as far as Sangria asks."""

    def __init__(self) -> None:
        self._dominance = Figure()
        self._cap = Figure()
        self._fear_greed = Figure()
        self._btc: dict[Venue, dict[int, float]] = {}

    def hear_macro(self, read: MacroRead) -> None:
        known_at = to_millis(read.known_at)
        if read.btc_dominance is not None:
            self._dominance.add(known_at, read.btc_dominance)
        if read.total_market_cap is not None:
            self._cap.add(known_at, read.total_market_cap)
        if read.fear_greed is not None:
            self._fear_greed.add(known_at, Decimal(read.fear_greed))

    def dominance(self, at: int) -> tuple[Decimal, Decimal] | None:
        """Bitcoin's share of the market in percent, 24 h before and now; None: not known."""
        return self._dominance.day_before_and_now(at)

    def market_cap(self, at: int) -> tuple[Decimal, Decimal] | None:
        """The market's value in USD, 24 h before and now; None: not known."""
        return self._cap.day_before_and_now(at)

    def dominance_change(self, at: int) -> float | None:
        """By what fraction bitcoin's share of the market changed in 24 h; None: not known."""
        return _change(self.dominance(at))

    def cap_change(self, at: int) -> float | None:
        """By what fraction the market's value changed in 24 h; None: not known."""
        return _change(self.market_cap(at))

    def fear_greed(self, at: int) -> float | None:
        """The index, 0 (fear) to 100; None: not known."""
        value = self._fear_greed.at(at)
        return None if value is None else float(value)

    def hear_btc(self, venue: Venue, open_time: int, opened: float, closed: float) -> None:
        """Take a closed 15m candle of bitcoin; only deep falls are kept."""
        fall = (opened - closed) / opened
        if fall >= FALL_MIN:
            self._btc.setdefault(venue, {}).setdefault(open_time, fall)

    def sangria(self, venue: Venue, at: int) -> str | None:
        """Why the market is Sangria at this 15m close (milliseconds); None when it is not."""
        return self._btc_fell(self._btc.get(venue, {}), at) or self._flight(at)

    def _btc_fell(self, falls: Mapping[int, float], at: int) -> str | None:
        for back in range(1, FALL_CANDLES + 1):
            fall = falls.get(at - back * CANDLE_MS)
            if fall is not None:
                return f"BTC fell {fall * 100:.2f} % in a 15m candle, {candles_ago(back - 1)}"
        return None

    def _flight(self, at: int) -> str | None:
        dominance, cap = self.dominance(at), self.market_cap(at)
        if dominance is None or cap is None or dominance[1] <= dominance[0] or cap[1] >= cap[0]:
            return None
        fall = (cap[0] - cap[1]) / cap[0] * 100
        return (
            f"BTC dominance rose from {dominance[0]:.2f} to {dominance[1]:.2f} % "
            f"while the market lost {fall:.2f} % in 24 h"
        )


def _change(figures: tuple[Decimal, Decimal] | None) -> float | None:
    if figures is None or figures[0] == 0:
        return None
    return float((figures[1] - figures[0]) / figures[0])
