"""The stream `run-{service}`: what ran with which settings, and the heads of the streams it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.ids import NEXUS, timer_id
from nexus_common.contracts.run import Head, HeadsRecorded, RunEvent, RunStarted, RunStopped
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import NexusError, WrongExpectedVersion
from nexus_common.runtime.fingerprint import code_fingerprint
from nexus_common.runtime.leases import Leases, instance_name
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Clock
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.store.postgres import PostgresStore

HEADS_SECONDS = 60.0
HEADS_MAX = 5_000
WRITERS_MAX = 16
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """An event of the run, as it is; there is nothing to decide about it."""

    at: datetime
    event: RunEvent


def _record(note: Note, up_to: int) -> Sequence[RunEvent]:
    return [note.event]


def _last_heads(up_to: int, event: RunEvent) -> int:
    return event.up_to if isinstance(event, HeadsRecorded) else up_to


RUN: Decider[Note, int, RunEvent] = Decider("run", 0, _record, _last_heads)


class RunLog:
    """Writes a service's own run stream; outside the turns, so with a desk of its own."""

    def __init__(
        self,
        store: PostgresStore,
        relay: Relay,
        clock: Clock,
        service: Service,
        settings: NexusSettings,
        leases: Leases,
    ) -> None:
        self._store = store
        self._relay = relay
        self._clock = clock
        self._service = service
        self._settings = settings
        self._leases = leases
        self._instance = f"{service}-{instance_name(settings.runtime.instance)}"

    async def started(self) -> None:
        guard = self._leases.guard
        await self._note(
            RunStarted(
                service=self._service,
                instance=self._instance,
                code=code_fingerprint(),
                settings_hash=self._settings.settings_hash(),
                settings=self._settings.public_dump(),
                epoch=guard.epoch if guard else 0,
            )
        )

    async def stopped(self, reason: str) -> None:
        try:
            await self.record_heads()
            await self._note(RunStopped(service=self._service, instance=self._instance, reason=reason))
        except NexusError as error:
            log.warning("the end of the run was not recorded", reason=str(error))

    async def keep(self) -> None:
        """Record the heads each minute until cancelled."""
        while True:
            await asyncio.sleep(HEADS_SECONDS)
            await self.record_heads()

    async def record_heads(self) -> None:
        """The heads of our streams that moved since they were last recorded."""
        desk = self._desk()
        last = await desk.state(RUN, self._service.value)
        heads, up_to = await self._store.heads(topology.owned_by(self._service), last)
        for start in range(0, len(heads), HEADS_MAX):
            chunk = tuple(
                Head(stream, position, chain.hex())
                for stream, position, chain in heads[start : start + HEADS_MAX]
            )
            await self._note(HeadsRecorded(up_to=up_to, heads=chunk), part=start // HEADS_MAX)

    def _desk(self) -> WorkDesk:
        return WorkDesk(
            self._store,
            f"run-{self._service}",
            lambda envelope: None,
            lease=lambda: self._leases.guard,
            keep_commands=False,
        )

    async def _note(self, event: RunEvent, part: int = 0) -> None:
        now = self._clock.now()
        # Two replicas may write at the same instant; their names keep the causes apart.
        cause = timer_id(f"run/{self._instance}/{event.type}/{part}", now)
        for left in reversed(range(WRITERS_MAX)):
            desk = self._desk()
            await desk.handle(RUN, self._service.value, Note(now, event), cause=cause, correlation=NEXUS)
            try:
                await desk.commit()
            except WrongExpectedVersion:
                if not left:
                    raise
                continue  # another replica was quicker: behind it, then
            await self._relay.try_publish(desk.take_recorded())
            return
