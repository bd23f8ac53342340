"""What is asked again and again beside the streams: clocks, instruments, trading hours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Final

from nexus_common.contracts.market import SessionScheduled
from nexus_common.contracts.values import Venue
from nexus_common.runtime.log import get_logger
from nexus_data.sessions import second_source
from nexus_ingest.domain.watching import Input, Scheduled, ServerTime
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.opening import listed_by
from nexus_ingest.live.recording import Known
from nexus_ingest.venues.feed import Feed, FeedDown

SERVER_TIME_SECONDS: Final = 60.0
SESSION_HOURS: Final = 24.0
SESSIONS_BACK: Final = timedelta(days=1)
SESSIONS_AHEAD: Final = timedelta(days=14)
# However fast a simulated market plays, nobody is asked more often than this.
LEAST_SECONDS: Final = 0.2
HALF: Final = 0.5
# Who did not answer is asked again after this, or in its rhythm if that is sooner.
RETRY_SECONDS: Final = 60.0
log = get_logger(__name__)


class Routines:
    """Polls the venues, each thing in its own rhythm of market time; who does not answer is asked again soon.

    Until a venue's calendar answers, the second source alone says when it is open.
    """

    def __init__(
        self,
        feeds: Mapping[Venue, Feed],
        time: MarketTime,
        give: Callable[[Input], None],
        known: Callable[[Known], None],
        registry_hours: float,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._feeds = feeds
        self._time = time
        self._give = give
        self._known = known
        self._registry_seconds = registry_hours * 3_600
        self._retry_seconds = retry_seconds
        self._told_days: dict[Venue, set[date]] = {venue: set() for venue in feeds}

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as polling:
            for venue, feed in self._feeds.items():
                polling.create_task(self._every(SERVER_TIME_SECONDS, self._clock, venue, feed))
                polling.create_task(self._every(self._registry_seconds, self._listing, venue, feed))
                polling.create_task(self._every(SESSION_HOURS * 3_600, self._sessions, venue, feed))

    async def _every(
        self, seconds: float, ask: Callable[[Venue, Feed], Awaitable[None]], venue: Venue, feed: Feed
    ) -> None:
        while True:
            wait = self._time.wall_seconds(seconds)
            try:
                await ask(venue, feed)
            except FeedDown as down:
                log.warning("a venue does not answer", venue=venue, reason=str(down))
                wait = min(wait, self._retry_seconds)
            await asyncio.sleep(max(LEAST_SECONDS, wait))

    async def _clock(self, venue: Venue, feed: Feed) -> None:
        """How far the venue's clock is ahead of ours, half a round trip ago."""
        told, round_trip_ms = await feed.server_time()
        at = self._time.received()
        halfway = timedelta(milliseconds=self._time.market_milliseconds(round_trip_ms) * HALF)
        ahead = told + halfway - at
        self._time.correct(venue, ahead)
        self._give(ServerTime(venue, round(ahead.total_seconds() * 1_000), round_trip_ms, at))

    async def _listing(self, venue: Venue, feed: Feed) -> None:
        self._known(listed_by(venue, await feed.listing()))

    async def _sessions(self, venue: Venue, feed: Feed) -> None:
        today = self._time.now()
        first, last = (today - SESSIONS_BACK).date(), (today + SESSIONS_AHEAD).date()
        try:
            sessions = await feed.sessions(first, last)
        except FeedDown:
            if not venue.is_crypto:
                known = self._told_days[venue]
                self._schedule(each for each in second_source(venue, first, last) if each.day not in known)
            raise
        self._schedule(sessions)

    def _schedule(self, sessions: Iterable[SessionScheduled]) -> None:
        for session in sessions:
            self._told_days[session.venue].add(session.day)
            self._known(session)
            self._give(Scheduled(session, self._time.received()))
