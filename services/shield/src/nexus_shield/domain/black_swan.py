"""A fall of the reference market, read from its bars: a pure fold with a memory of one candle and five minutes.

A bar that came without ticks becomes four: open, the nearer extreme, the other extreme, close. A tick beyond
a threshold counts only when its bar's close stands beyond that threshold too, and a high far above both ends of
its bar counts only up to there: so that a bad print exits nobody, whichever way it went.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nexus_common.contracts.guard import FallEvidence, FallMeasure
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.values import Timeframe, format_instant

HUNDRED = Decimal(100)
PERCENT_STEP = Decimal("0.0001")
SLOT = Timeframe.M15.duration

Tick = tuple[datetime, Decimal]
Floats = NDArray[np.float64]


class FallBar(NamedTuple):
    """A closed bar of the reference market."""

    opened: datetime
    closed: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def believed(self, before: Decimal | None, percent: Decimal) -> FallBar:
        """The bar without what stands more than `percent` above both its ends.

        Its beginning is the close `before` it, where that is known: an open can be a bad print too.
        """
        top = max(self.close, self.open if before is None else before) * (HUNDRED + percent) / HUNDRED
        return self if self.high <= top else self._replace(open=min(self.open, top), high=top)

    def ticks(self) -> tuple[Tick, Tick, Tick, Tick]:
        """The bar's four ticks, evenly spread over its time."""
        third = (self.closed - self.opened) / 3
        near, far = self.high, self.low
        if self.open - self.low < self.high - self.open:
            near, far = far, near
        return (
            (self.opened, self.open),
            (self.opened + third, near),
            (self.closed - third, far),
            (self.closed, self.close),
        )


@dataclass(frozen=True, slots=True)
class FallReading:
    """What one bar showed: the first confirmed tick beyond each limit."""

    black_swan: FallEvidence | None
    amber: FallEvidence | None


class FallWatch(NamedTuple):
    """What is remembered of the reference market. `slot` is the start of its current 15m candle."""

    slot: datetime | None = None
    slot_open: Decimal = Decimal(0)
    recent: tuple[FallBar, ...] = ()

    def after(self, bar: FallBar, settings: GuardSettings) -> FallWatch:
        """With one bar more. A bar from before the last one changes nothing."""
        if self.recent and bar.opened < self.recent[-1].closed:
            return self
        is_next = bool(self.recent) and self.recent[-1].closed == bar.opened
        bar = bar.believed(self.recent[-1].close if is_next else None, settings.amber_percent)
        since = bar.closed - timedelta(seconds=settings.window_seconds)
        recent = (*[old for old in self.recent if old.closed >= since], bar)
        slot = slot_of(bar.opened)
        return FallWatch(slot, self.slot_open if slot == self.slot else bar.open, recent)


def slot_of(moment: datetime) -> datetime:
    """The start of the 15m candle that a moment lies in."""
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def read_fall(
    before: FallWatch, bar: FallBar, settings: GuardSettings
) -> tuple[FallWatch, FallReading | None]:
    """Fold one bar; a reading comes with it when it fell beyond a limit."""
    window = timedelta(seconds=settings.window_seconds)
    watch = before.after(bar, settings)
    if watch is before:
        return before, None
    bar = watch.recent[-1]
    highest = max([watch.slot_open, bar.high, *[old.high for old in before.recent]])
    if bar.low > threshold(highest, settings.amber_percent):
        return watch, None
    amber = _first_beyond(before, watch, bar, settings.amber_percent, window)
    if amber is None:
        return watch, None
    return watch, FallReading(_first_beyond(before, watch, bar, settings.black_swan_percent, window), amber)


def possible_falls(
    highs: Floats, lows: Floats, timeframe: Timeframe, settings: GuardSettings
) -> NDArray[np.bool_]:
    """For each bar of a whole series whether it must be folded, for `read_fall` to find every fall and no other.

    A bar that stands not so far below the highest of its 15m candle and window is no fall, whatever is
    remembered. One that does is judged rightly if all bars back to there have been folded too. Bars are
    counted where `read_fall` looks at times: rather too many than one too few.
    """
    reach = (int(SLOT.total_seconds()) + settings.window_seconds) // timeframe.seconds + 2
    padded = np.concatenate([np.zeros(reach), highs])
    highest = sliding_window_view(padded, reach + 1).max(axis=1)
    deep = lows <= highest * (1.0 - float(settings.amber_percent) / 100.0) * (1.0 + 1e-9)
    needed: NDArray[np.bool_] = deep.copy()
    for back in range(1, reach + 1):
        needed[:-back] |= deep[back:]
    return needed


def threshold(reference: Decimal, percent: Decimal) -> Decimal:
    """The highest price that is a fall of so many percent."""
    return reference * (HUNDRED - percent) / HUNDRED


def fallen(reference: Decimal, price: Decimal) -> Decimal:
    """How far a price is below another, in percent."""
    return ((reference - price) / reference * HUNDRED).quantize(PERCENT_STEP)


def _first_beyond(
    before: FallWatch, watch: FallWatch, bar: FallBar, percent: Decimal, window: timedelta
) -> FallEvidence | None:
    """The first tick of the bar that fell so far by either measure, if the bar's close confirms it."""
    earlier = [tick for old in before.recent for tick in old.ticks()]
    seen: list[Tick] = []
    for tick in bar.ticks():
        seen.append(tick)
        for measure, reference in _references(watch, earlier, seen, tick[0] - window):
            limit = threshold(reference[1], percent)
            if tick[1] <= limit and bar.close <= limit:
                return _evidence(measure, reference, tick, bar)
    return None


def _references(
    watch: FallWatch, earlier: list[Tick], seen: list[Tick], since: datetime
) -> Iterator[tuple[FallMeasure, Tick]]:
    assert watch.slot is not None, "a bar has been folded"
    yield FallMeasure.CANDLE_OPEN, (watch.slot, watch.slot_open)
    recent = [tick for tick in (*earlier, *seen) if tick[0] >= since]
    yield FallMeasure.FIVE_MINUTE_HIGH, max(recent, key=lambda tick: tick[1])


def _evidence(measure: FallMeasure, reference: Tick, tick: Tick, bar: FallBar) -> FallEvidence:
    return FallEvidence(
        measure=measure,
        reference_price=reference[1],
        reference_at=reference[0],
        price=tick[1],
        price_at=tick[0],
        fall_percent=fallen(reference[1], tick[1]),
        confirmed_by=f"the close {bar.close:f} of the bar ending {format_instant(bar.closed)}",
    )
