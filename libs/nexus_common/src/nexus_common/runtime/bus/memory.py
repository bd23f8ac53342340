"""The bus in one process: what JetStream does for us, without a server. For tests and single-process runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.transport import Message, Parked, parked_from, parked_headers
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.ports import Delivery

IDS_REMEMBERED = 100_000


@dataclass
class _Durable:
    """How far a consumer has come: all up to `floor` is done with, and `acked` above it."""

    floor: int = 0
    acked: set[int] = field(default_factory=set)

    def done(self, sequence: int) -> None:
        if sequence > self.floor:
            self.acked.add(sequence)
        while self.floor + 1 in self.acked:
            self.floor += 1
            self.acked.remove(self.floor)


@dataclass(frozen=True, slots=True)
class _Receipt:
    durable: str
    incarnation: int


class _Listening:
    """What is published while somebody iterates."""

    missed = 0

    def __init__(self, listeners: list[_Listening], patterns: list[list[str]]) -> None:
        self._listeners = listeners
        self._patterns = patterns
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._listeners.append(self)
        try:
            while True:
                yield await self._heard.get()
        finally:
            self._listeners.remove(self)

    def hear(self, subject: str, data: bytes) -> None:
        if _matches(subject.split("."), self._patterns):
            self._heard.put_nowait(data)


class MemoryBus:
    """All services of a process share one. Messages live until `wipe`."""

    def __init__(self) -> None:
        self._log: list[tuple[str, bytes, dict[str, str]]] = []
        self._ids: dict[str, None] = {}
        self._durables: dict[str, _Durable] = {}
        self._parked: dict[int, Parked] = {}
        self._parked_count = 0
        self._incarnation = 0
        self._available = True
        self._more = asyncio.Event()
        self._listeners: list[_Listening] = []
        self._answering: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str], message_id: str) -> None:
        self._require()
        if message_id:
            if message_id in self._ids:
                return
            self._ids[message_id] = None
            if len(self._ids) > IDS_REMEMBERED:
                del self._ids[next(iter(self._ids))]
        self._log.append((subject, data, dict(headers)))
        self._more.set()
        for listener in self._listeners:
            listener.hear(subject, data)

    async def publish_all(self, messages: Sequence[Message]) -> None:
        for subject, data, headers, message_id in messages:
            await self.publish(subject, data, headers, message_id)

    async def deliveries(self, durable: str, subjects: Sequence[str]) -> AsyncIterator[Delivery]:
        patterns = [subject.split(".") for subject in subjects]
        while True:
            incarnation = self._incarnation
            state = self._durables.setdefault(durable, _Durable())
            sequence = state.floor
            while incarnation == self._incarnation:
                if sequence >= len(self._log):
                    self._more.clear()
                    await self._more.wait()
                    continue
                sequence += 1
                subject, data, headers = self._log[sequence - 1]
                if not _matches(subject.split("."), patterns):
                    state.done(sequence)
                elif sequence > state.floor and sequence not in state.acked:
                    yield Delivery(subject, data, headers, sequence, _Receipt(durable, incarnation))

    def listen(self, subjects: Sequence[str]) -> _Listening:
        return _Listening(self._listeners, [subject.split(".") for subject in subjects])

    async def say(self, subject: str, data: bytes) -> None:
        self._require()
        for listener in self._listeners:
            listener.hear(subject, data)

    async def ask(self, subject: str, data: bytes, timeout: float) -> bytes:
        self._require()
        reply = self._answering.get(subject)
        if reply is None:
            raise BusUnavailable(f"nobody answers {subject}")
        try:
            async with asyncio.timeout(timeout):
                return await reply(data)
        except TimeoutError as error:
            raise BusUnavailable(f"nobody answers {subject} within {timeout:g} s") from error

    async def answer(self, subject: str, reply: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._answering[subject] = reply
        try:
            await asyncio.Future()
        finally:
            del self._answering[subject]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            receipt: _Receipt = delivery.handle
            if receipt.incarnation == self._incarnation:
                self._durables[receipt.durable].done(delivery.sequence)

    async def park(self, delivery: Delivery, reason: str) -> None:
        self._require()
        self._parked_count += 1
        durable: str = delivery.handle.durable
        headers = parked_headers(durable, delivery.subject, reason, delivery.headers)
        self._parked[self._parked_count] = parked_from(self._parked_count, delivery.data, headers)
        await self.ack([delivery])

    async def parked(self) -> Sequence[Parked]:
        return list(self._parked.values())

    async def release(self, sequence: int) -> None:
        if sequence not in self._parked:
            raise LookupError(f"no message is parked under {sequence}")
        parked = self._parked[sequence]
        await self.publish(parked.subject, parked.data, parked.headers, "")
        del self._parked[sequence]

    async def incarnation(self) -> int:
        self._require()
        return self._incarnation

    async def last_position(self, categories: Sequence[str]) -> int:
        self._require()
        patterns = [topology.category_subject(category).split(".") for category in categories]
        last = 0
        for category in patterns:
            for subject, _, headers in reversed(self._log):
                if _matches(subject.split("."), [category]):
                    last = max(last, int(headers.get(topology.POSITION_HEADER, 0)))
                    break
        return last

    async def close(self) -> None:
        """Nothing to close."""

    def wipe(self) -> None:
        """Lose every message and consumer, as a server does that lost its disk."""
        self._log.clear()
        self._ids.clear()
        self._durables.clear()
        self._incarnation += 1
        self._more.set()

    def set_available(self, available: bool) -> None:
        """While not available every publish fails."""
        self._available = available

    def _require(self) -> None:
        if not self._available:
            raise BusUnavailable("the bus in memory is switched off")


def _matches(subject: list[str], patterns: list[list[str]]) -> bool:
    return any(_matches_one(subject, pattern) for pattern in patterns)


def _matches_one(subject: list[str], pattern: list[str]) -> bool:
    for index, part in enumerate(pattern):
        if part == ">":
            return len(subject) > index
        if index >= len(subject) or part not in ("*", subject[index]):
            return False
    return len(subject) == len(pattern)
