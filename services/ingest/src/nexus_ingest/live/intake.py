"""Where everything that happens to the feeds comes together: one order, for the watch and for the tape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nexus_common.contracts.values import Venue
from nexus_common.runtime.errors import NexusError
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.readings import Reading
from nexus_ingest.domain.watching import (
    Ask,
    Closed,
    Heard,
    Input,
    Opened,
    Output,
    Refused,
    Reopen,
    Ticks,
    TimePassed,
)
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.ports import Tape
from nexus_ingest.live.recording import Known
from nexus_ingest.venues.feed import Feed, RawFrame, ReadBy

SAMPLE_LENGTH = 200
# Frames of several connections are a moment out of order, and clocks are set right by seconds.
BACK_MAX = timedelta(seconds=60)
BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


class ClockWentBack(NexusError):
    """Our clock is behind what was received before."""


class Intake:
    """The feeds' sink. Gives the watch its inputs in order of time, and hands on what it wants done.

    The watch's deadline is kept before any later input is given, so that the inputs on a tape, given again,
    lead to the same outputs in the same groups.
    """

    def __init__(
        self,
        watch: MarketWatch,
        time: MarketTime,
        feeds: Mapping[Venue, Feed],
        ask: Callable[[Ask], None],
        known: Callable[[Known], None],
        ticks: Sequence[Callable[[Ticks], None]],
        tape: Tape | None = None,
    ) -> None:
        self._watch = watch
        self._time = time
        self._feeds = feeds
        self._ask = ask
        self._known = known
        self._ticks = tuple(ticks)
        self._tape = tape
        self._newest = self._timer_due = BEFORE_ALL
        self._timer: asyncio.TimerHandle | None = None

    # -- the feeds' sink ------------------------------------------------------------------------------

    def opened(self, venue: Venue, connection: str, received_ns: int) -> None:
        self.give(Opened(venue, connection, self._time.at(received_ns)))

    def closed(self, venue: Venue, connection: str, reason: str, received_ns: int) -> None:
        self.give(Closed(venue, connection, reason, self._time.at(received_ns)))

    def heard(
        self,
        venue: Venue,
        connection: str,
        frame: RawFrame,
        readings: Sequence[Reading],
        received_ns: int,
        read_by: ReadBy | None = None,
    ) -> None:
        self.give(Heard(venue, connection, readings, self._time.at(received_ns)), frame, read_by)

    def refused(self, venue: Venue, connection: str, frame: RawFrame, reason: str, received_ns: int) -> None:
        self.give(Refused(venue, connection, reason, _sample(frame), self._time.at(received_ns)), frame)

    # -- the watch ------------------------------------------------------------------------------------

    def give(self, given: Input, frame: RawFrame | None = None, read_by: ReadBy | None = None) -> None:
        """Take an input. What was received at about the same time may come in any order; time does not go back."""
        if given.at < self._newest:
            self._check_clock(given.at)
            given = replace(given, at=self._newest)
        self._keep_deadlines(given.at)
        self._take(given, frame, read_by)
        self._set_timer()

    def _check_clock(self, at: datetime) -> None:
        """The watch would stand still until the clock is again where it was."""
        if self._newest - at > BACK_MAX:
            raise ClockWentBack(
                f"the clock went back from {self._newest} to {at}: ingest has to start afresh"
            )

    def _keep_deadlines(self, until: datetime) -> None:
        deadline = self._watch.deadline()
        while deadline is not None and deadline < until:
            self._take(TimePassed(max(deadline, self._newest)))
            following = self._watch.deadline()
            if following is not None and following <= deadline:
                return
            deadline = following

    def _take(self, given: Input, frame: RawFrame | None = None, read_by: ReadBy | None = None) -> None:
        self._newest = given.at
        if self._tape is not None:
            self._tape.take(given, frame, read_by)
        for output in self._watch.take(given):
            self._hand_on(output)

    def _hand_on(self, output: Output) -> None:
        match output:
            case Ticks():
                for take in self._ticks:
                    take(output)
            case Ask():
                self._ask(output)
            case Reopen(venue=venue, connection=connection, reason=reason):
                self._feeds[venue].reopen(connection, reason)
            case _:
                self._known(output)

    # -- time -----------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """A deadline moves with nearly every frame: a timer that rings too early is set again then."""
        due = self._watch.deadline()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        self.close()
        wait = self._time.wall_seconds_until(due)
        self._timer, self._timer_due = asyncio.get_running_loop().call_later(wait, self._ring), due

    def _ring(self) -> None:
        self._timer = None
        now = self._time.received()
        deadline = self._watch.deadline()
        if deadline is not None and deadline <= now:
            self.give(TimePassed(max(deadline, self._newest)))
        self._set_timer()

    def close(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _sample(frame: RawFrame) -> str:
    beginning = frame[:SAMPLE_LENGTH]
    return beginning.decode(errors="replace") if isinstance(beginning, bytes) else beginning
