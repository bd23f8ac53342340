"""What a venue's trades are measured against: the open of the 15m candle, the highest price of some minutes.

A lone print is neither: a price counts as high only as far as its neighbour stood as high, and a candle opens
at the middle one of three trades around its beginning. Prices far above a fresh mark price count for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from nexus_common.contracts.guard import FallMeasure
from nexus_market.candles import to_millis
from nexus_shield.domain.black_swan import SLOT, FallWatch

SLOT_MS = int(SLOT.total_seconds()) * 1_000
ABOUT_AN_OPEN = 3
HEARD_MS = 10_000


class Point(NamedTuple):
    """A price at a time, ms since the Unix epoch."""

    at: int
    price: Decimal


class Reference(NamedTuple):
    measure: FallMeasure
    point: Point


class Highest:
    """The highest of what was told within a window that moves on: prices falling, the highest first."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._falling: deque[Point] = deque()
        for point in points:
            self.add(point)

    def add(self, point: Point) -> None:
        """Points come in the order of their times."""
        while self._falling and self._falling[-1].price <= point.price:
            self._falling.pop()
        self._falling.append(point)

    def since(self, at: int) -> Point | None:
        """The highest told at `at` or later; what is older is forgotten."""
        while self._falling and self._falling[0].at < at:
            self._falling.popleft()
        return self._falling[0] if self._falling else None

    def __len__(self) -> int:
        return len(self._falling)


class TickReferences:
    """One venue's. Bars stand in where trades have not been heard for long enough."""

    def __init__(self, window_ms: int) -> None:
        self._window = window_ms
        self._high = Highest()
        self._heard_since: int | None = None
        self._last: Point | None = None
        self._slot = 0
        self._open: Point | None = None
        self._around: list[Point] = []
        self._bars = FallWatch()
        self._bars_high = Highest()

    def add(self, point: Point, ceiling: Decimal | None) -> None:
        """A trade, not older than the last; above `ceiling` no price is believed."""
        last, self._last = self._last, point
        if last is None:
            self._heard_since = point.at
        else:
            shared = min(last.price, point.price)
            if ceiling is None or shared <= ceiling:
                self._high.add(Point(point.at, shared))
        slot = point.at // SLOT_MS
        if slot != self._slot:
            # Whoever did not hear the candle before it end does not know where this one began.
            is_heard = last is not None and slot * SLOT_MS - last.at <= HEARD_MS
            self._slot, self._open = slot, None
            self._around = [last] if last is not None and is_heard else []
        if self._around:
            self._look_for_open(point, ceiling)

    def learn(self, bars: FallWatch) -> None:
        """What the bars on record say."""
        if bars is not self._bars:
            self._bars = bars
            ticks = (tick for bar in bars.recent for tick in bar.ticks())
            self._bars_high = Highest(Point(to_millis(at), price) for at, price in ticks)

    def at(self, at: int) -> list[Reference]:
        """What a price of this time is measured against, the candle's open first."""
        found = []
        opened = self._open or self._open_by_bars()
        if opened is not None:
            found.append(Reference(FallMeasure.CANDLE_OPEN, opened))
        since = at - self._window
        high = self._high.since(since)
        if self._heard_since is None or self._heard_since > since:
            by_bars = self._bars_high.since(since)
            if by_bars is not None and (high is None or by_bars.price > high.price):
                high = by_bars
        if high is not None:
            found.append(Reference(FallMeasure.FIVE_MINUTE_HIGH, high))
        return found

    def missed(self) -> None:
        """Trades went unheard: until they have been heard for a window again, bars help."""
        self._heard_since = None if self._last is None else self._last.at

    def _look_for_open(self, point: Point, ceiling: Decimal | None) -> None:
        self._around.append(point)
        if len(self._around) < ABOUT_AN_OPEN:
            return
        middle = sorted(self._around, key=lambda each: each.price)[1]
        if ceiling is None or middle.price <= ceiling:
            self._open, self._around = Point(self._slot * SLOT_MS, middle.price), []
        else:
            del self._around[0]

    def _open_by_bars(self) -> Point | None:
        slot = self._bars.slot
        if slot is None or to_millis(slot) // SLOT_MS != self._slot:
            return None
        return Point(to_millis(slot), self._bars.slot_open)
