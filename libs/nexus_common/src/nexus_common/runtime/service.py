"""How a service lives: connect, claim, recall, work, and leave the house tidy.

Whatever goes wrong for good ends the process with one clear line; the supervisor starts it again and the
store tells it where it stood.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from nexus_common.contracts.values import Service
from nexus_common.runtime import heap
from nexus_common.runtime import log as logs
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError, DependencyMissing, NexusError
from nexus_common.runtime.fingerprint import code_fingerprint
from nexus_common.runtime.following import Follower
from nexus_common.runtime.health import Health
from nexus_common.runtime.leases import Leases, instance_name
from nexus_common.runtime.lockstep import Lockstep
from nexus_common.runtime.ports import Clock, EventStore, Reactor
from nexus_common.runtime.projection import Projection, ReadModels
from nexus_common.runtime.recall import recall
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.run_log import RunLog
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.settings import NexusSettings, load
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.trace import Trace

EXIT_CONFIGURATION = 2
EXIT_DEPENDENCY = 3
STEPS_REPEATED = 20
PARTITIONS = {Service.CORTEX: topology.PARTITIONS}
log = logs.get_logger(__name__)

Work = Callable[[], Awaitable[None]]
Build = Callable[["Context"], Awaitable[Work]]


@dataclass(frozen=True, slots=True)
class Context:
    """What the runtime hands to a service's bootstrap. `beside` is what is to run beside its turns."""

    service: Service
    settings: NexusSettings
    clock: Clock
    store: PostgresStore
    bus: JetStreamBus
    relay: Relay
    leases: Leases
    trace: Trace
    health: Health
    closing: AsyncExitStack
    beside: list[Work] = field(default_factory=list)

    async def lockstep(self, reactor: Reactor) -> Work:
        """The consumer loop for a service that takes turns."""
        head = await recall(reactor, self.store)
        desk = await self.desk(reactor)
        seat = Seat(reactor, desk, self.store, topology.owned_by(self.service), head)
        newest = await self.store.latest("market", 1)
        loop = Lockstep(
            reactor,
            seat,
            desk,
            self.bus,
            self.relay,
            self.leases.number,
            self.trace,
            parts=self.leases.settle if self.partitioned else tuple,
            parts_total=PARTITIONS.get(self.service, 0),
            newest=newest[0].global_position if newest else 0,
        )
        return loop.run

    async def follow(self, projection: Projection) -> None:
        """Keep read models up beside the turns, on connections of their own."""
        url = self.settings.store.url
        store = await PostgresStore.connect(url, fingerprint="read models", clock=self.clock)
        self.closing.push_async_callback(store.close)
        models = ReadModels(url)
        self.closing.push_async_callback(models.close)
        self.beside.append(Follower(projection, store, models).keep)

    async def desk(self, reactor: Reactor) -> WorkDesk:
        name = self.service.value
        # Replicas share the work but not the ear: each one keeps an inbox of its own.
        reader = topology.durable(self.service, self.leases.number) if self.partitioned else name
        return WorkDesk(
            self.store,
            name,
            reactor.observe,
            await self.store.inbox(reader),
            lambda: self.leases.guard,
            note=self.trace.point,
            reader=reader,
        )

    @property
    def partitioned(self) -> bool:
        """Whether replicas share this service's partitions."""
        return self.service in PARTITIONS


def run(service: Service, build: Build) -> None:
    """The entry point of a service's process; never returns."""
    try:
        settings = load()
        logs.configure(
            service.value,
            instance_name(settings.runtime.instance),
            settings.runtime.log_level,
            repeat_seconds=settings.runtime.log_repeat_seconds,
            secrets=settings.secret_values(),
        )
        uvloop.run(_serve(service, settings, build))
    except ConfigurationError as error:
        _leave(service, error, EXIT_CONFIGURATION)
    except DependencyMissing as error:
        _leave(service, error, EXIT_DEPENDENCY)
    except NexusError as error:
        _leave(service, error, 1)
    sys.exit(0)


def _leave(service: Service, error: NexusError, code: int) -> None:
    sys.stderr.write(f"{service}: {error}\n")
    sys.exit(code)


async def _serve(service: Service, settings: NexusSettings, build: Build) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as closing:
        context = await _connect(service, settings, closing)
        run_log = RunLog(context.store, context.relay, context.clock, service, settings, context.leases)
        await run_log.started()
        work = await build(context)
        heap.settle()
        context.health.ready()
        await _until_stopped(
            stopping,
            work,
            context.leases.keep,
            run_log.keep,
            context.relay.keep,
            *context.beside,
        )
        await run_log.stopped("asked to stop")
        with suppress(NexusError):
            await context.leases.give_back()


async def _connect(service: Service, settings: NexusSettings, closing: AsyncExitStack) -> Context:
    clock = WallClock()
    instance = settings.runtime.instance
    trace_dir = settings.runtime.trace_dir
    trace = Trace(Path(trace_dir) / f"{service}-{instance_name(instance)}.trace" if trace_dir else None)
    trace.point("starting")
    health = Health(service.value, instance_name(instance))
    await health.listen(settings.runtime.health_host, settings.runtime.health_port)
    closing.push_async_callback(health.close)
    fingerprint = f"{code_fingerprint()[:16]}/{settings.settings_hash()[:16]}"
    store = await PostgresStore.connect(settings.store.url, fingerprint=fingerprint, clock=clock)
    closing.push_async_callback(store.close)
    leases = Leases(store, service, instance, settings.runtime.replicas, PARTITIONS.get(service, 1))
    await leases.take()
    bus = await JetStreamBus.connect(settings.bus.url, name=f"{service}-{leases.number}")
    closing.push_async_callback(bus.close)
    relay = Relay(store, bus, topology.owned_by(service), lambda: handled_by_all(store))
    return Context(service, settings, clock, store, bus, relay, leases, trace, health, closing)


async def handled_by_all(store: EventStore) -> int:
    """A global position up to which every service has handled everything: some steps before the newest.

    A step is over when all have handled it, so nothing older than the current one can be wanting. At live venues a
    step, however long, begins with a beat.
    """
    latest = await store.latest("market", STEPS_REPEATED)
    opening = any(recorded.event.type == "market.candles_backfilled" for recorded in latest)
    begins = [*latest[:1], *await store.latest("beat", 1)]
    return 0 if opening or not latest else min(each.global_position for each in begins) - 1


async def _until_stopped(stopping: asyncio.Event, *works: Callable[[], Awaitable[None]]) -> None:
    """Run the works side by side until one ends or the process is asked to stop."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    waiter = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*tasks, waiter):
            task.cancel()
        await asyncio.gather(*tasks, waiter, return_exceptions=True)
    for task in done:
        if task is not waiter:
            task.result()
