"""Which partitions this process works, and the keeping of its right to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Literal

from nexus_common.contracts.values import Service
from nexus_common.runtime.errors import LeaseLost, StoreUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import EventStore, Lease
from nexus_common.runtime.replicas import Roll

TTL_SECONDS = 6.0
RENEW_SECONDS = 1.5
log = get_logger(__name__)


class Leases:
    """Claims partitions and renews them.

    With a given `instance` a replica prefers its share of `replicas` (of two, one has the even partitions and
    the other the odd ones) and takes over what lies idle. With `auto` it takes a number by itself, and the
    replicas present share the partitions anew whenever one comes or goes. Of a service that has a single
    partition, the one who holds it works and the others stand by.

    What is to go to another replica is let go of between two turns only, when the work loop calls `settle`.
    """

    def __init__(
        self,
        store: EventStore,
        service: Service,
        instance: int | Literal["auto"],
        replicas: int,
        partitions: int,
        host: str | None = None,
    ) -> None:
        self._store = store
        self._service = service
        self._partitions = partitions
        self._holder = f"{service}-{instance_name(instance, host)}"
        self._number = 1 if instance == "auto" else instance
        sharing = instance == "auto" and partitions > 1
        self._roll = Roll(store, service, self._holder, TTL_SECONDS) if sharing else None
        share = replicas if instance != "auto" else 1
        self._preferred = [p for p in range(partitions) if p % share == self._number % share]
        self._others = [p for p in range(partitions) if p not in self._preferred]
        self._held: dict[int, Lease] = {}
        self._leaving: frozenset[int] = frozenset()
        self._let_go: list[Lease] = []
        self._woken = asyncio.Event()
        self._grace = RENEW_SECONDS * 4 if self._others else 0.0

    @property
    def number(self) -> int:
        """This replica's number, from 1; with `auto` known after `take`."""
        return self._number

    @property
    def held(self) -> tuple[int, ...]:
        return tuple(sorted(self._held))

    def owns(self, partition: int) -> bool:
        return partition in self._held

    @property
    def guard(self) -> Lease | None:
        """The lease that our appends are checked against."""
        return min(self._held.items())[1] if self._held else None

    def settle(self) -> tuple[int, ...]:
        """The partitions to work from here on: for the work loop, at the start of a turn."""
        if self._leaving:
            self._let_go.extend(self._held.pop(p) for p in sorted(self._leaving) if p in self._held)
            self._leaving = frozenset()
            self._woken.set()
        return self.held

    async def take(self) -> None:
        """Wait until our own share is ours. With `auto`, what others still hold comes when they let go of it."""
        if self._roll is not None:
            self._number = await self._roll.enter()
            await self._claim(await self._roll.share(self._partitions))
            return
        while True:
            await self._claim(self._preferred)
            if all(partition in self._held for partition in self._preferred):
                return
            log.info("waiting for another holder's leases to run out", holder=self._holder)
            await asyncio.sleep(RENEW_SECONDS / 3)

    async def keep(self, changed: Callable[[], None] = lambda: None) -> None:
        """Renew until cancelled; raises LeaseLost when another instance has taken over."""
        waited = 0.0
        while True:
            await self._pause()
            waited += RENEW_SECONDS
            before = self.held
            try:
                await self._renew()
                if self._roll is not None:
                    await self._share_anew(self._roll)
                elif waited >= self._grace:
                    await self._claim(self._others)
            except StoreUnavailable as error:
                log.warning("leases not renewed", reason=str(error))
            if self.held != before:
                log.info("partitions changed", holder=self._holder, partitions=list(self.held))
                changed()

    async def give_back(self) -> None:
        for lease in (*self._held.values(), *self._let_go):
            await self._store.release(lease)
        self._held.clear()
        self._let_go.clear()
        if self._roll is not None:
            await self._roll.leave()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), RENEW_SECONDS)
        self._woken.clear()

    async def _share_anew(self, roll: Roll) -> None:
        while self._let_go:
            await self._store.release(self._let_go[-1])
            self._let_go.pop()
        share = await roll.share(self._partitions)
        self._leaving = frozenset(self._held) - share
        await self._claim(sorted(share))

    async def _claim(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            if partition not in self._held:
                lease = await self._store.claim(f"{self._service}/{partition}", self._holder, TTL_SECONDS)
                if lease is not None:
                    self._held[partition] = lease

    async def _renew(self) -> None:
        if self._roll is not None:
            await self._roll.renew()
        for partition, lease in list(self._held.items()):
            if not await self._store.renew(lease, TTL_SECONDS):
                raise LeaseLost(f"{self._service}/{partition} is held by another instance now")


def instance_name(instance: int | Literal["auto"], host: str | None = None) -> str:
    """What tells a replica from the others before it has a number: its own, or its host's name."""
    return str(instance) if instance != "auto" else (host or socket.gethostname())
