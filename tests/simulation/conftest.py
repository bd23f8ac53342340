"""Whole days in one process: all services, the exchange, and somebody who kills at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.bus.transport import Message
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.health import Health
from nexus_common.runtime.local_ring import LocalRing, Place
from nexus_common.runtime.lockstep import Lockstep
from nexus_common.runtime.ports import AlreadyHandled, Batch, Reactor
from nexus_common.runtime.recall import recall
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import Token
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.trace import Trace
from nexus_cortex import bootstrap as cortex
from nexus_data.market_feed import Market, Step
from nexus_executor import bootstrap as executor
from nexus_executor.venues.paper import LocalGateway
from nexus_ingest import bootstrap as ingest
from nexus_ingest.player import Player
from nexus_ingest.rounds import Rounds
from nexus_market.exchange import Exchange
from nexus_ops.composition import LocalHouse, settings_for
from nexus_scheduler import bootstrap as scheduler
from nexus_shield import bootstrap as shield
from nexus_telegram import bootstrap as telegram

STRATEGY = ("NEXUS__CORTEX__STRATEGY", "NEXUS__TELEGRAM__STRATEGY")
SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT,DOGEUSDT,XRPUSDT,ADAUSDT"


class Killed(BaseException):
    """The process is gone; like a signal it is no Exception that anybody could swallow."""


class Fate:
    """Decides by a seed who dies where: now and then between turns, often where something is written or sent."""

    def __init__(self, seed: int, between_turns: float, at_writes: float) -> None:
        self._random = Random(seed)
        self._between_turns = between_turns
        self._at_writes = at_writes
        self._armed = False
        self.kills: list[str] = []

    def strikes(self, where: str) -> bool:
        """Whether somebody dies between turns."""
        return self._struck(where, self._between_turns)

    def strike(self, where: str) -> None:
        """Perhaps die at a write."""
        if self._struck(where, self._at_writes):
            raise Killed(where)

    def _struck(self, where: str, chance: float) -> bool:
        struck = self._armed and self._random.random() < chance
        if struck:
            self.kills.append(where)
        return struck

    def toss(self) -> bool:
        return self._random.random() < 0.5

    def some(self, things: Sequence[Any]) -> list[Any]:
        return self._random.sample(list(things), self._random.randint(0, len(things)))

    def arm(self) -> None:
        """From now on, at any time."""
        self._armed = True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._armed = True
        try:
            yield
        finally:
            self._armed = False


class FragileStore(MemoryStore):
    """Its user may die right before or right after a commit."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate
        self.ended = asyncio.Event()

    async def append(self, batch: Batch) -> Sequence[Recorded[Event]] | AlreadyHandled:
        self._fate.strike(f"{batch.consumer} before commit")
        answer = await super().append(batch)
        if any(e.event.type == "feed.ended" for append in batch.appends for e in append.envelopes):
            self.ended.set()
        self._fate.strike(f"{batch.consumer} after commit")
        return answer


class FragileGateway:
    """The way to the exchange: whoever changes something there may die before or after it has."""

    def __init__(self, gateway: LocalGateway, fate: Fate) -> None:
        self._gateway = gateway
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._gateway, name)
        if name not in ("submit", "cancel", "amend"):
            return call

        async def fragile(*arguments: Any) -> Any:
            self._fate.strike(f"executor before {name}")
            answer = await call(*arguments)
            self._fate.strike(f"executor after {name}")
            return answer

        return fragile


class FragileBus:
    """The bus as one service has it, who may die before or after publishing; sometimes all is lost for all."""

    def __init__(self, bus: MemoryBus, fate: Fate, service: Service) -> None:
        self._bus = bus
        self._fate = fate
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish_all(self, messages: Sequence[Message]) -> None:
        self._fate.strike(f"{self._service} before publishing")
        await self._bus.publish_all(messages)
        if self._fate.strikes(f"{self._service} sees the bus lose everything"):
            self._bus.wipe()
        self._fate.strike(f"{self._service} after publishing")


class FragileRing(LocalRing):
    """Takes the turns like the one it stands for, with services that die and come back.

    Before a turn, within it or after it a service may lose all it had in memory. What comes back knows the
    store only; the bus brings it again what it had not acknowledged, or nothing at all, or old things too.
    """

    def __init__(
        self, makers: Mapping[Service, Callable[[], Reactor]], store: MemoryStore, fate: Fate
    ) -> None:
        self.makers = makers
        self._store = store
        self._fate = fate
        self._alive: dict[Service, Place] = {}
        self._on_bus: list[Recorded[Event]] = []
        super().__init__(self._alive)

    async def open(self) -> None:
        for service in self.makers:
            await self._start(service)

    def hear(self, recorded: Any) -> None:
        events = list(recorded)
        self._on_bus.extend(events)
        super().hear(events)

    async def _turn(self, there: Place, token: Token) -> Token:
        service = there.reactor.service
        with self._fate.at_work():
            if self._fate.strikes(f"{service} before its turn"):
                await self._start(service)
            if self._fate.strikes(f"{service} hears old news"):
                for recorded in self._fate.some(self._on_bus):
                    self._alive[service].seat.hear(recorded)
            taken = await self._take(service, token)
            if self._fate.strikes(f"{service} after its turn"):
                # Its answer was lost with it: the token comes again.
                await self._start(service)
                again = await self._take(service, token)
                assert set(taken.produced) <= set(again.produced)
                taken = again
        return taken

    async def _take(self, service: Service, token: Token) -> Token:
        while True:
            try:
                return await super()._turn(self._alive[service], token)
            except Killed:
                await self._start(service)

    async def _start(self, service: Service) -> None:
        while True:
            try:
                self._alive[service] = await self.started(service)
            except Killed:
                continue
            break
        if self._fate.toss():
            for recorded in self._fate.some(self._on_bus[-20:]):
                self._alive[service].seat.hear(recorded)

    async def started(self, service: Service) -> Place:
        reactor = self.makers[service]()
        head = await recall(reactor, self._store)
        inbox = await self._store.inbox(service.value)
        desk = WorkDesk(self._store, service.value, reactor.observe, inbox)
        seat = Seat(reactor, desk, self._store, topology.owned_by(service), head)
        await reactor.resume(desk)
        await desk.commit()
        recorded = desk.take_recorded()
        seat.committed(recorded)
        self.hear(recorded)
        return Place(reactor, desk, seat)


class FragileHouse(LocalHouse):
    """A house whose services die by a seed; with chances of zero, the plain one."""

    def __init__(
        self, settings: NexusSettings, market: Market, seed: int, between_turns: float, at_writes: float
    ) -> None:
        super().__init__(settings, market)
        self.fate = Fate(seed, between_turns, at_writes)
        self.store = self.fragile_store = FragileStore(self.fate)
        self._desk = ingest.desk(self.store)
        self._epoch = 0
        self._settings = settings
        self._fragile = FragileRing(
            {
                Service.EXECUTOR: self._executor,
                Service.SHIELD: lambda: shield.reactor(settings),
                Service.CORTEX: lambda: cortex.reactor(settings),
                Service.TELEGRAM: lambda: telegram.reactor(settings),
                Service.SCHEDULER: lambda: scheduler.reactor(settings),
            },
            self.store,
            self.fate,
        )
        self._ring = self._fragile

    def _executor(self) -> Reactor:
        self._epoch += 1
        return executor.reactor(
            self._settings,
            lambda venue: FragileGateway(LocalGateway(self.exchanges[venue]), self.fate),
            epoch=self._epoch,
        )

    @property
    def exchanges(self) -> Mapping[Any, Exchange]:
        return self._exchanges

    async def open(self) -> None:
        await self._fragile.open()
        await super().open()


class BusHouse(FragileHouse):
    """The same services as they are in processes: each a task over a bus, started again when it has died."""

    def __init__(
        self, settings: NexusSettings, market: Market, seed: int, between_turns: float, at_writes: float
    ) -> None:
        super().__init__(settings, market, seed, between_turns, at_writes)
        self.bus = MemoryBus()
        self._leaders = 0

    async def play(self) -> None:
        self.fate.arm()
        lives = [self._live(partial(self._take_turns, service)) for service in self._fragile.makers]
        living = [asyncio.ensure_future(life) for life in (*lives, self._live(self._lead))]
        over = asyncio.ensure_future(self.fragile_store.ended.wait())
        done, _ = await asyncio.wait([*living, over], return_when=asyncio.FIRST_COMPLETED)
        for task in (*living, over):
            task.cancel()
        await asyncio.gather(*living, over, return_exceptions=True)
        for task in done:
            task.result()

    async def _live(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Killed:
                continue

    def _relay(self, service: Service) -> tuple[Any, Relay]:
        bus: Any = FragileBus(self.bus, self.fate, service)
        return bus, Relay(self.store, bus, topology.owned_by(service))

    async def _take_turns(self, service: Service) -> None:
        newest = await self.store.latest("market", 1)
        seated = await self._fragile.started(service)
        bus, relay = self._relay(service)
        await Lockstep(
            seated.reactor,
            seated.seat,
            seated.desk,
            bus,
            relay,
            1,
            Trace(None),
            newest=newest[0].global_position if newest else 0,
        ).run()

    async def _lead(self) -> None:
        self._leaders += 1
        bus, relay = self._relay(Service.INGEST)
        trace = Trace(None)
        await Player(
            self._market,
            self._recorder,
            ingest.desk(self.store),
            self.store,
            relay,
            Rounds(bus, relay, self._leaders, 1, trace),
            self._match,
            _at_once,
            trace,
            Health("ingest", "1"),
        ).run()

    async def _match(self, step: Step) -> None:
        for venue, exchange in self._exchanges.items():
            exchange.step(*ingest.of_venue(self._market, step, venue))


async def _at_once(at: datetime) -> None:
    """As fast as can be."""


class Day:
    """A generated market, played once."""

    def __init__(self, house: FragileHouse, settings: NexusSettings) -> None:
        self.store = house.store
        self.kills = house.fate.kills
        self.settings = settings
        self.records = [record for exchange in house.exchanges.values() for record in exchange.records]
        self.exchanges = house.exchanges


async def play(
    seed: int,
    minutes: int,
    mode: str = "pilot",
    script: Path | None = None,
    kills: int = 0,
    between_turns: float = 0.0,
    at_writes: float = 0.0,
    over_bus: bool = False,
    strategy: str | None = None,
) -> Day:
    environment = {
        "NEXUS__INGEST__SEED": str(seed),
        "NEXUS__INGEST__MINUTES": str(minutes),
        "NEXUS__INGEST__SYMBOLS": SYMBOLS,
        "NEXUS__TELEGRAM__MODE": mode,
        **({} if script is None else {"NEXUS__TELEGRAM__SCRIPT": str(script)}),
        **({} if strategy is None else {key: strategy for key in STRATEGY}),
    }
    settings = settings_for(environment)
    market = ingest.market(settings.ingest)
    if over_bus:
        over = BusHouse(settings, market, kills, between_turns, at_writes)
        await over.play()
        return Day(over, settings)
    house = FragileHouse(settings, market, kills, between_turns, at_writes)
    await house.open()
    for step in market.steps():
        await house.step(step)
    return Day(house, settings)


@pytest.fixture(scope="session")
def played() -> Callable[..., Awaitable[Day]]:
    """Plays days; the same one only once."""
    known: dict[Any, Day] = {}

    async def play_once(*arguments: Any, **named: Any) -> Day:
        key = (arguments, tuple(sorted(named.items())))
        if key not in known:
            known[key] = await play(*arguments, **named)
        return known[key]

    return play_once
