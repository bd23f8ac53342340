"""The replicas of a service that are present, each under a number that nobody had to give it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from nexus_common.contracts.values import Service
from nexus_common.runtime.errors import LeaseLost
from nexus_common.runtime.ports import EventStore, Lease


class Roll:
    """Numbers are leases like those of partitions: `cortex/replica/2` is free again when its holder is gone.

    `holder` is a name that no other replica has and that stays over a restart, such as the host's.
    """

    def __init__(self, store: EventStore, service: Service, holder: str, ttl_seconds: float) -> None:
        self._store = store
        self._prefix = f"{service}/replica/"
        self._holder = holder
        self._ttl = ttl_seconds
        self._lease: Lease | None = None

    @property
    def number(self) -> int:
        """Ours; raises ValueError before `enter`."""
        if self._lease is None:
            raise ValueError(f"{self._holder} has no number yet: enter first")
        return self._number_of(self._lease.partition)

    async def enter(self) -> int:
        """Take the lowest free number; a restarted replica takes its own again."""
        while self._lease is None:
            taken = await self._present()
            own = (number for number, holder in taken.items() if holder == self._holder)
            free = (number for number in count(1) if number not in taken)
            number = next(own, None) or next(free)
            # Another replica may have been quicker; then the next look finds the number taken.
            self._lease = await self._store.claim(f"{self._prefix}{number}", self._holder, self._ttl)
        return self.number

    async def renew(self) -> None:
        """Raises LeaseLost when another replica has taken the number over."""
        if self._lease is not None and not await self._store.renew(self._lease, self._ttl):
            raise LeaseLost(f"{self._lease.partition} is held by another replica now")

    async def leave(self) -> None:
        if self._lease is not None:
            await self._store.release(self._lease)

    async def share(self, partitions: int) -> frozenset[int]:
        """The partitions that are ours as long as the replicas present stay the same."""
        present = sorted({self.number, *await self._present()})
        rank = present.index(self.number)
        return frozenset(p for p in range(partitions) if p % len(present) == rank)

    async def _present(self) -> Mapping[int, str]:
        holders = await self._store.holders(self._prefix)
        return {self._number_of(partition): holder for partition, holder in holders.items()}

    def _number_of(self, partition: str) -> int:
        return int(partition.removeprefix(self._prefix))
