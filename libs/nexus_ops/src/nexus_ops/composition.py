"""The services put together without processes: for backtests, replays and checks of settings."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.local_ring import LocalRing, place
from nexus_common.runtime.ports import Reactor
from nexus_common.runtime.settings import NexusSettings, load
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex import bootstrap as cortex
from nexus_cortex.handlers import CortexReactor
from nexus_data.market_feed import Market, Step
from nexus_data.playback import PlayedMarket
from nexus_executor import bootstrap as executor
from nexus_executor.venues.paper import LocalGateway
from nexus_ingest import bootstrap as ingest
from nexus_ingest.handlers import Recorder
from nexus_market.exchange import Exchange
from nexus_scheduler import bootstrap as scheduler
from nexus_shield import bootstrap as shield
from nexus_telegram import bootstrap as telegram
from nexus_telegram.handlers import TelegramReactor


def settings_for(environment: Mapping[str, str]) -> NexusSettings:
    """The settings that services started with these variables will see.

    Raises:
        ConfigurationError: a key or value is wrong, or no such strategy or parameter exists.
    """
    settings = load(environment={**os.environ, **environment})
    cortex.reactor(settings)
    return settings


def rehearsed(environment: Mapping[str, str]) -> tuple[dict[str, str], NexusSettings, PlayedMarket]:
    """Everything a run is made of, tried out before anything is started.

    Returns the variables, with a paper account at each venue of the market, and what they lead to.

    Raises:
        ConfigurationError: a setting, the data, a symbol, a strategy or the script cannot be used.
    """
    market = ingest.market(settings_for(environment).ingest)
    ingest.instruments_of(market)
    venues = sorted({market.venue_of(symbol) for symbol in market.symbols})
    everywhere = {
        "NEXUS__TELEGRAM__VENUES": ",".join(venues),
        # What was recorded at two venues is two markets, and both are to be seen traded.
        "NEXUS__TELEGRAM__SECOND_VENUE": "true",
    }
    unsaid = {variable: value for variable, value in everywhere.items() if variable not in os.environ}
    complete = {**unsaid, **environment}
    settings = settings_for(complete)
    if settings.telegram.live_venues:
        raise ConfigurationError(
            f"accounts at {', '.join(settings.telegram.live_venues)} are live, and this market is played, not live: "
            "leave NEXUS__TELEGRAM__LIVE_VENUES empty to trade it on paper"
        )
    for put_together in (cortex.reactor, shield.reactor, telegram.reactor, scheduler.reactor):
        put_together(settings)
    return complete, settings, market


def settings_of_home(home: Path) -> NexusSettings:
    """The settings that the run in a home folder was started with; without one, those of this environment."""
    word = home / "market.json"
    return settings_for(json.loads(word.read_text()) if word.exists() else {})


def cortex_reactor(settings: NexusSettings) -> CortexReactor:
    return cortex.reactor(settings)


Match = Callable[[Step], Awaitable[None]]


class LocalHouse:
    """All six services and the exchange in this process: same deciders, same ring, memory in place of servers."""

    def __init__(
        self,
        settings: NexusSettings,
        market: Market,
        judge: CortexReactor | None = None,
        store: MemoryStore | None = None,
        keep_commands: bool = True,
        trader: Reactor | None = None,
        match: Match | None = None,
        people: TelegramReactor | None = None,
    ) -> None:
        """`judge` may stand in for the cortex of the settings when it is known to decide the same.

        Without commands the store cannot be replayed, but takes less time to fill. `trader` and `match` stand in
        for the executor and its exchange, when that is not in this process; `people` for the owner's session of
        the settings, with the sessions of as many users as wanted.
        """
        self.store = store or MemoryStore(lazy=True)
        instruments = ingest.instruments_of(market)
        self._exchanges = {
            venue: Exchange([each for each in instruments if each.venue is venue])
            for venue in sorted({each.venue for each in instruments})
        }
        reactors: list[Reactor] = [
            trader or executor.reactor(settings, lambda venue: LocalGateway(self._exchanges[venue]), epoch=1),
            shield.reactor(settings),
            judge or cortex.reactor(settings),
            people or telegram.reactor(settings),
            scheduler.reactor(settings),
        ]
        self._places = {
            reactor.service: place(reactor, self.store, keep_commands=keep_commands) for reactor in reactors
        }
        self._ring = LocalRing(self._places)
        self._market = market
        self._match = match or self._match_here
        self._recorder: Recorder = ingest.recorder(market)
        self._desk: WorkDesk = ingest.desk(self.store)

    async def open(self) -> None:
        await self._recorder.open(self._desk)
        await self._desk.commit()
        self._ring.hear(self._desk.take_recorded())

    async def step(self, step: Step) -> None:
        """Record the step, match it, and let everybody take their turns."""
        self._desk.begin(())
        await self._recorder.step(step, self._desk)
        await self._desk.commit()
        await self._match(step)
        await self._ring.step(step.at, self._desk.take_recorded())

    async def _match_here(self, step: Step) -> None:
        for venue, exchange in self._exchanges.items():
            exchange.step(*ingest.of_venue(self._market, step, venue))
