"""The live market as one piece of work: opens the venues, follows their feeds, keeps the steps going."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from nexus_common.contracts.feed import StreamHeard, TapeDropped, TapeSealed
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.health import Health
from nexus_common.runtime.ports import EventStore
from nexus_ingest.adapters.macro_poller import MacroPoller
from nexus_ingest.adapters.macro_source import MacroSource
from nexus_ingest.adapters.tape_watch import Conditions, Standing
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.candle_stream import MARKET, MarketState, funding_key
from nexus_ingest.domain.feed import FEED, FeedState
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Noted, Ticks
from nexus_ingest.live.asking import Asker
from nexus_ingest.live.intake import Intake
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.missed_funding import MissedFunding
from nexus_ingest.live.opening import Opened, Opening, insist
from nexus_ingest.live.routines import Routines
from nexus_ingest.live.steps import Steps
from nexus_ingest.venues.feed import Feed
from nexus_market.candles import to_millis

LOOK_SECONDS: Final = 1.0
# How long venues that are open wait for the others before they are followed without them.
TOGETHER_SECONDS: Final = 60.0
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
    """Ingest's work at live venues. One that does not answer at the start holds up no other."""

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
        together_seconds: float = TOGETHER_SECONDS,
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
        self._together_seconds = together_seconds
        self._feeds = {venue: follows.make_feed(venue, symbols) for venue, symbols in follows.symbols.items()}

    @property
    def feeds(self) -> Mapping[Venue, Feed]:
        """The feeds as they are now."""
        return self._feeds

    async def run(self) -> None:
        """Follow the markets until cancelled; what ends it is raised alone, without its groups."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._close_feeds)
            await self._begin_time()
            await self._begin_tape(closing)
            try:
                await self._work()
            except BaseExceptionGroup as group:
                raise first_of(group) from group

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as works:
            works.create_task(self._steps.run())
            works.create_task(self._ticks.run())
            works.create_task(self._look())
            self._begin_macro(works)
            works.create_task(self._follow())

    async def _close_feeds(self) -> None:
        for feed in self._feeds.values():
            await feed.close()

    async def _begin_time(self) -> None:
        """Where simulated venues are in their market, one of them tells."""
        if self._time.is_ours:
            return
        feed = next(iter(self._feeds.values()))
        server_time, round_trip_ms = await insist(feed.server_time, f"{feed.venue} time", self._health)
        halfway = self._time.market_milliseconds(round_trip_ms) / 2
        self._time.begin(server_time + timedelta(milliseconds=halfway))

    async def _follow(self) -> None:
        """Follow the venues that are open. When another one has opened, all are watched anew, as after a start."""
        async with asyncio.TaskGroup() as works:
            opening = {venue: works.create_task(self._open(venue)) for venue in self._feeds}
            await asyncio.wait(opening.values(), timeout=self._together_seconds)
            while True:
                opened = {venue: task.result() for venue, task in opening.items() if task.done()}
                watching = works.create_task(self._watch(opened))
                coming = [task for task in opening.values() if not task.done()]
                if not coming:
                    self._health.note(waiting_for=None)
                    return
                await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
                watching.cancel()
                await asyncio.wait([watching])
                # They have gone on since they were opened.
                opening |= {venue: works.create_task(self._open(venue)) for venue in opened}
                await asyncio.wait([opening[venue] for venue in opened])

    async def _open(self, venue: Venue) -> Opened:
        """Nobody subscribes to what a venue does not list: it would turn the whole connection away."""
        chosen = self._follows.symbols[venue]
        opened = await Opening(self._feeds[venue], chosen, self._steps, self._time, self._health).open()
        if opened.symbols != tuple(chosen):
            await self._feeds[venue].close()
            self._feeds[venue] = self._follows.make_feed(venue, opened.symbols)
        return opened

    async def _watch(self, opened: Mapping[Venue, Opened]) -> None:
        feeds = {venue: self._feeds[venue] for venue in opened}
        watched = [
            WatchedVenue(venue, each.symbols, feeds[venue].timeframes) for venue, each in opened.items()
        ]
        known = {series: at for each in opened.values() for series, at in each.newest.items()}
        watch = MarketWatch(self._follows.rules, watched, known)
        await self._forget_silences(opened)
        conditions = await self._tape_conditions(watched, known)
        asker = Asker(feeds, self._time)
        known_to = self._steps.agenda.put
        intake = Intake(watch, self._time, feeds, asker.ask, known_to, self._takers(), self._tape)
        try:
            async with asyncio.TaskGroup() as works:
                works.create_task(self._together(feeds, intake, asker))
                works.create_task(self._tape_states(watch, conditions, feeds))
        finally:
            intake.close()

    async def _forget_silences(self, venues: Iterable[Venue]) -> None:
        """A new watch knows of no silence, so it would not tell when one ends; those that go on it tells anew."""
        at = self._time.now()
        for venue in venues:
            state: FeedState = await self._steps.state(FEED, venue)
            for symbol, stream in sorted(state.silent):
                heard = StreamHeard(venue=venue, symbol=symbol, stream=stream, at=at)
                self._steps.agenda.put(Noted(venue, heard, at))

    def _takers(self) -> list[Callable[[Ticks], None]]:
        takers: list[Callable[[Ticks], None]] = [self._publish]
        takers += [] if self._hear is None else [self._hear]
        return takers if self._tape is None else [*takers, self._tape.take_ticks]

    def _publish(self, ticks: Ticks) -> None:
        self._ticks.put(ticks.venue, ticks.readings, to_millis(ticks.at))

    async def _together(self, feeds: Mapping[Venue, Feed], intake: Intake, asker: Asker) -> None:
        hours = self._follows.registry_hours
        known, chosen = self._steps.agenda.put, self._follows.symbols
        routines = Routines(feeds, self._time, intake.give, known, hours)
        missed = MissedFunding(feeds, chosen, self._funded, self._time, known)
        async with asyncio.TaskGroup() as works:
            works.create_task(asker.run(intake.give))
            works.create_task(routines.run())
            works.create_task(missed.run())
            for feed in feeds.values():
                works.create_task(feed.run(intake))

    async def _funded(self, venue: Venue, symbol: Symbol) -> datetime | None:
        """Up to when funding of an instrument is on record."""
        state: MarketState = await self._steps.state(MARKET, funding_key(venue, symbol))
        return state.funded_until.get(symbol)

    def _begin_macro(self, works: asyncio.TaskGroup) -> None:
        follows = self._follows
        if follows.macro:
            poller = MacroPoller(follows.macro, self._time.now, self._take_macro)
            works.create_task(poller.run(self._time.wall_seconds(follows.macro_seconds)))

    def _take_macro(self, reading: MacroRead, age: timedelta) -> None:
        self._health.note(macro_age_seconds=round(age.total_seconds()))
        self._steps.agenda.put(reading)

    # -- the tape and the health page -----------------------------------------------------------------

    async def _begin_tape(self, closing: AsyncExitStack) -> None:
        if self._tape is None:
            return
        latest = await self._store.latest("feed", FACTS_REMEMBERED)
        facts = (recorded.event for recorded in latest)
        self._tape.open([fact.name for fact in facts if isinstance(fact, TapeSealed | TapeDropped)])
        closing.callback(self._tape.close)

    async def _tape_conditions(
        self, watched: Sequence[WatchedVenue], known: Mapping[Series, int]
    ) -> Conditions:
        conditions = Conditions(
            head=await self._store.head(),
            rules=self._follows.rules,
            venues=tuple(watched),
            known=tuple(known.items()),
            readers=dict(self._follows.readers),
        )
        if self._tape is not None:
            self._tape.started(self._time.received(), conditions)
        return conditions

    async def _tape_states(
        self, watch: MarketWatch, conditions: Conditions, feeds: Mapping[Venue, Feed]
    ) -> None:
        """Put what the watch remembers on the tape where a segment begins, when all that followed is on record."""
        tape = self._tape
        if tape is None:
            return

        def write(head: int) -> None:
            memories = {venue: dict(feed.memories()) for venue, feed in feeds.items()}
            standing = Standing(
                msgspec.structs.replace(conditions, head=head, known=()), watch.state(), memories
            )
            tape.stands(self._time.received(), standing.encoded())

        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if tape.wants_state:
                await self._steps.settled(write)

    async def _look(self) -> None:
        """Show how it goes, and record what the tape has sealed."""
        while True:
            self._health.note(ticks=dict(self._ticks.health))
            if self._tape is not None:
                self._health.note(tape=dict(self._tape.health))
                for fact in self._tape.facts():
                    self._steps.agenda.put(Noted(fact.venue, fact, self._time.now()))
            await asyncio.sleep(LOOK_SECONDS)


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    problem: BaseException = group
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem
