"""Markets for conformance tests that are made up: series of odd figures, and scores that tell what one lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_market.candles import Series, from_millis, slot_millis, to_millis
from nexus_simvenue.market.happenings import Happening
from nexus_simvenue.market.player import Moment

BEGIN = to_millis(datetime(2025, 10, 29, 14, tzinfo=UTC))


def odd_series(timeframe: Timeframe, count: int, *, seed: int = 7, shares: bool = False) -> Series:
    """Bars with as many digits as a float has, a gap of three of them in the middle, some without volume."""
    dice = np.random.default_rng(seed)
    corners = 100 + dice.normal(0, 1, (count, 4)).cumsum(axis=0) * 0.01
    volumes = dice.integers(0, 5, count) * (100.0 if shares else 0.1234567)
    numbers = np.arange(count, dtype=np.int64)
    numbers[count // 2 :] += 3
    return Series(
        timeframe,
        BEGIN + numbers * slot_millis(timeframe),
        corners[:, 0],
        corners.max(axis=1),
        corners.min(axis=1),
        corners[:, 3],
        volumes,
    )


class Script:
    """A score (see `player.Score`) that tells these happenings of one instrument, each at its own time."""

    def __init__(self, venue: Venue, symbol: Symbol, happenings: Sequence[Happening]) -> None:
        self._venue = venue
        self._symbol = symbol
        self._happenings = happenings
        self.start = from_millis(happenings[0].at - 1_000)
        self.end = from_millis(happenings[-1].at)

    def series(self) -> Mapping[Venue, Mapping[tuple[Symbol, Timeframe], Series]]:
        return {self._venue: {(self._symbol, Timeframe.M1): odd_series(Timeframe.M1, 3)}}

    def funding(self, venue: Venue) -> Mapping[Symbol, Sequence[tuple[int, Decimal]]]:
        return {}

    def readings(self) -> Sequence[MacroRead]:
        return ()

    def moments(self) -> Iterator[Moment]:
        for happening in self._happenings:
            yield Moment(happening.at, ((self._venue, self._symbol, happening),))
