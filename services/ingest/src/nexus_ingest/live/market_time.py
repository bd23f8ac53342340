"""What time it is at the venues, read from our clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import median_low

from nexus_common.contracts.values import Venue
from nexus_common.runtime.ports import Clock

MICROSECOND_NS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(nanoseconds: int) -> datetime:
    """Nanoseconds since the Unix epoch as an instant, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // MICROSECOND_NS)


class MarketTime:
    """Time at real venues is the wall clock's; simulated ones play a market of their own, maybe faster.

    `speed` is how fast, None at real venues.

    `at` stamps what was received: it must not depend on what was measured later, or a tape would be read
    differently. `now` is the time of turns: corrected by how far the venues are ahead of us, since requests are
    signed with it, and never backwards. `is_ours`: the venues are real, and where our clock is.
    """

    def __init__(self, clock: Clock, speed: float | None = None) -> None:
        self._clock = clock
        self._speed = 1.0 if speed is None else speed
        self.is_ours = speed is None
        self._wall = self._market = _EPOCH
        self._ahead: dict[Venue, timedelta] = {}
        self._newest = _EPOCH

    def begin(self, server_time: datetime) -> None:
        """Venues that play say once where they are; real ones are where the wall clock is."""
        if not self.is_ours:
            self._wall, self._market = self._clock.now(), server_time

    def correct(self, venue: Venue, ahead: timedelta) -> None:
        """A venue's clock is this much ahead of `at`, as was just measured; the middle one of all counts."""
        self._ahead[venue] = ahead

    def at(self, received_ns: int) -> datetime:
        """The instant at which something was received."""
        return self._scaled(instant_of(received_ns))

    def received(self) -> datetime:
        """The instant at which something that is received now is received."""
        return self._scaled(self._clock.now())

    def now(self) -> datetime:
        """The venues' time."""
        ahead = median_low(self._ahead.values()) if self._ahead else timedelta()
        self._newest = max(self._newest, self.received() + ahead)
        return self._newest

    def market_milliseconds(self, wall_milliseconds: float) -> float:
        """How much of the market's time passes in so much of ours."""
        return wall_milliseconds * self._speed

    def wall_seconds(self, market_seconds: float) -> float:
        """How long so much of the market's time takes here."""
        return market_seconds / self._speed

    def wall_seconds_until(self, at: datetime) -> float:
        """How long to wait for an instant of `at`; 0 when it has passed."""
        return max(0.0, self.wall_seconds((at - self.received()).total_seconds()))

    def _scaled(self, wall: datetime) -> datetime:
        if self.is_ours:
            return wall
        return self._market + (wall - self._wall) * self._speed
