"""The live market as one piece of work: opens the venues, follows their feeds, keeps the steps going."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from nexus_common.contracts.feed import TapeDropped, TapeSealed
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.health import Health
from nexus_common.runtime.ports import EventStore
from nexus_ingest.adapters.macro_poller import MacroPoller
from nexus_ingest.adapters.macro_source import MacroSource
from nexus_ingest.adapters.tape_watch import Conditions
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Noted, Ticks
from nexus_ingest.live.asking import Asker
from nexus_ingest.live.intake import Intake
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.opening import Opened, Opening, insist
from nexus_ingest.live.routines import Routines
from nexus_ingest.live.steps import Steps
from nexus_ingest.venues.feed import Feed
from nexus_market.candles import to_millis

LOOK_SECONDS: Final = 1.0
FACTS_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Follows:
    """What is followed: the instruments chosen at each venue, and how a feed of them is made.

    `readers` names whose frames a venue's are.
    """

    symbols: Mapping[Venue, Sequence[Symbol]]
    make_feed: Callable[[Venue, Sequence[Symbol]], Feed]
    readers: Mapping[Venue, str]
    rules: WatchRules
    registry_hours: float
    macro: Sequence[MacroSource] = ()
    macro_seconds: float = 600.0


class Conductor:
    """Ingest's work at live venues."""

    def __init__(
        self,
        follows: Follows,
        time: MarketTime,
        steps: Steps,
        store: EventStore,
        ticks: TickPublisher,
        health: Health,
        tape: TapeWriter | None = None,
        hear: Callable[[Ticks], None] | None = None,
    ) -> None:
        """`hear` is told prices beside the bus."""
        self._follows = follows
        self._time = time
        self._steps = steps
        self._store = store
        self._ticks = ticks
        self._health = health
        self._tape = tape
        self._hear = hear
        self._feeds = {venue: follows.make_feed(venue, symbols) for venue, symbols in follows.symbols.items()}

    async def run(self) -> None:
        """Follow the markets until cancelled."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._close_feeds)
            await self._begin_time()
            async with asyncio.TaskGroup() as works:
                works.create_task(self._steps.run())
                works.create_task(self._follow(closing))

    async def _close_feeds(self) -> None:
        for feed in self._feeds.values():
            await feed.close()

    async def _begin_time(self) -> None:
        """Where simulated venues are in their market, one of them tells."""
        feed = next(iter(self._feeds.values()))
        server_time, round_trip_ms = await insist(feed.server_time, f"{feed.venue} time", self._health)
        halfway = self._time.market_milliseconds(round_trip_ms) / 2
        self._time.begin(server_time + timedelta(milliseconds=halfway))

    async def _follow(self, closing: AsyncExitStack) -> None:
        opened = await self._open()
        await self._leave_out_unlisted(opened)
        watched = [
            WatchedVenue(venue, opened[venue].symbols, feed.timeframes) for venue, feed in self._feeds.items()
        ]
        known = {series: at for each in opened.values() for series, at in each.newest.items()}
        watch = MarketWatch(self._follows.rules, watched, known)
        if self._tape is not None:
            await self._begin_tape(self._tape, watched, known, closing)
        asker = Asker(self._feeds, self._time)
        known_to = self._steps.agenda.put
        intake = Intake(watch, self._time, self._feeds, asker.ask, known_to, self._takers(), self._tape)
        closing.callback(intake.close)
        await self._together(intake, asker)

    async def _open(self) -> dict[Venue, Opened]:
        async with asyncio.TaskGroup() as opening:
            tasks = {
                venue: opening.create_task(
                    Opening(feed, self._follows.symbols[venue], self._steps, self._time, self._health).open()
                )
                for venue, feed in self._feeds.items()
            }
        self._health.note(waiting_for=None)
        return {venue: task.result() for venue, task in tasks.items()}

    async def _leave_out_unlisted(self, opened: Mapping[Venue, Opened]) -> None:
        """Nobody subscribes to what a venue does not list: it would turn the whole connection away."""
        for venue, each in opened.items():
            if each.symbols != tuple(self._follows.symbols[venue]):
                await self._feeds[venue].close()
                self._feeds[venue] = self._follows.make_feed(venue, each.symbols)

    def _takers(self) -> list[Callable[[Ticks], None]]:
        takers: list[Callable[[Ticks], None]] = [self._publish]
        takers += [] if self._hear is None else [self._hear]
        return takers if self._tape is None else [*takers, self._tape.take_ticks]

    def _publish(self, ticks: Ticks) -> None:
        self._ticks.put(ticks.venue, ticks.readings, to_millis(ticks.at))

    async def _together(self, intake: Intake, asker: Asker) -> None:
        follows = self._follows
        routines = Routines(
            self._feeds, self._time, intake.give, self._steps.agenda.put, follows.registry_hours
        )
        async with asyncio.TaskGroup() as works:
            works.create_task(asker.run(intake.give))
            works.create_task(self._ticks.run())
            works.create_task(routines.run())
            works.create_task(self._look())
            if follows.macro:
                poller = MacroPoller(follows.macro, self._time.now, self._take_macro)
                works.create_task(poller.run(self._time.wall_seconds(follows.macro_seconds)))
            for feed in self._feeds.values():
                works.create_task(feed.run(intake))

    def _take_macro(self, reading: MacroRead, age: timedelta) -> None:
        self._health.note(macro_age_seconds=round(age.total_seconds()))
        self._steps.agenda.put(reading)

    # -- the tape and the health page -----------------------------------------------------------------

    async def _begin_tape(
        self,
        tape: TapeWriter,
        watched: Sequence[WatchedVenue],
        known: Mapping[Series, int],
        closing: AsyncExitStack,
    ) -> None:
        latest = await self._store.latest("feed", FACTS_REMEMBERED)
        facts = (recorded.event for recorded in latest)
        tape.open([fact.name for fact in facts if isinstance(fact, TapeSealed | TapeDropped)])
        closing.callback(tape.close)
        conditions = Conditions(
            head=await self._store.head(),
            rules=self._follows.rules,
            venues=tuple(watched),
            known=tuple(known.items()),
            readers=dict(self._follows.readers),
        )
        tape.started(self._time.received(), conditions)

    async def _look(self) -> None:
        """Show how it goes, and record what the tape has sealed."""
        while True:
            self._health.note(ticks=dict(self._ticks.health))
            if self._tape is not None:
                self._health.note(tape=dict(self._tape.health))
                for fact in self._tape.facts():
                    self._steps.agenda.put(Noted(fact.venue, fact, self._time.now()))
            await asyncio.sleep(LOOK_SECONDS)
