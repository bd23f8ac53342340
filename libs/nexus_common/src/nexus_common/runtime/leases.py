"""Which partitions this process works, and the keeping of its right to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nexus_common.contracts.values import Service
from nexus_common.runtime.errors import LeaseLost, StoreUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import EventStore, Lease

TTL_SECONDS = 6.0
RENEW_SECONDS = 1.5
log = get_logger(__name__)


class Leases:
    """Claims partitions and renews them. A replica prefers its share and takes over what lies idle.

    With `replicas` = 2, replica 0 prefers the even partitions and replica 1 the odd ones; a partition that
    nobody holds any more goes to whoever asks first.
    """

    def __init__(
        self, store: EventStore, service: Service, instance: int, replicas: int, partitions: int
    ) -> None:
        self._store = store
        self._service = service
        self._holder = f"{service}-{instance}"
        self._preferred = [p for p in range(partitions) if p % replicas == instance % replicas]
        self._others = [p for p in range(partitions) if p not in self._preferred]
        self._held: dict[int, Lease] = {}
        self._grace = RENEW_SECONDS * 4 if self._others else 0.0

    @property
    def held(self) -> tuple[int, ...]:
        return tuple(sorted(self._held))

    def owns(self, partition: int) -> bool:
        return partition in self._held

    @property
    def guard(self) -> Lease | None:
        """The lease that our appends are checked against."""
        return min(self._held.items())[1] if self._held else None

    async def take(self) -> None:
        """Wait until our own share is ours."""
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
            await asyncio.sleep(RENEW_SECONDS)
            waited += RENEW_SECONDS
            before = self.held
            try:
                await self._renew()
                if waited >= self._grace:
                    await self._claim([p for p in self._others if p not in self._held])
            except StoreUnavailable as error:
                log.warning("leases not renewed", reason=str(error))
            if self.held != before:
                log.info("partitions changed", holder=self._holder, partitions=list(self.held))
                changed()

    async def give_back(self) -> None:
        for lease in self._held.values():
            await self._store.release(lease)
        self._held.clear()

    async def _claim(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            if partition not in self._held:
                lease = await self._store.claim(f"{self._service}/{partition}", self._holder, TTL_SECONDS)
                if lease is not None:
                    self._held[partition] = lease

    async def _renew(self) -> None:
        for partition, lease in self._held.items():
            if not await self._store.renew(lease, TTL_SECONDS):
                raise LeaseLost(f"{self._service}/{partition} is held by another instance now")
