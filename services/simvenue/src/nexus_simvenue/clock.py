"""What time it is at the venues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from nexus_common.runtime.ports import Clock


class TimeSource(StrEnum):
    MARKET = "market"  # the last step's time: a market that is played in lock step
    WALL = "wall"  # the clock on the wall: for whoever signs with it


class VenueClock:
    """The time by which requests are late and orders are stamped; `offset` puts it wrong on purpose."""

    def __init__(self, source: TimeSource, wall: Clock, market: Callable[[], datetime | None]) -> None:
        self._source = source
        self._wall = wall
        self._market = market
        self.offset = timedelta()

    def follow(self, market: Callable[[], datetime]) -> None:
        """Take the market's time from a market that keeps its own."""
        self._market = market

    def now(self) -> datetime:
        market = self._market() if self._source is TimeSource.MARKET else None
        return (market or self._wall.now()) + self.offset
