"""The bus over JetStream, as services, relay and operator see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress

import nats.errors

from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream.link import NOT_FOUND, ApiError, Link
from nexus_common.runtime.bus.jetstream.listener import Listener
from nexus_common.runtime.bus.jetstream.publisher import Publisher
from nexus_common.runtime.bus.jetstream.puller import Floor, Puller, Receipt
from nexus_common.runtime.bus.transport import Message, Parked, parked_from, parked_headers
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.ports import Delivery

PARKED = topology.PARKED.name


class JetStreamBus:
    """At least once, in stream order; whatever the server loses, the relay publishes again."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._publisher = Publisher(link)
        self._floors: dict[str, Floor] = {}

    @classmethod
    async def connect(
        cls, url: str, *, name: str = "nexus", timeout: float = 10.0, replicas: int = 1
    ) -> JetStreamBus:
        """Connect to NATS (several addresses by comma) and make the streams.

        Raises DependencyMissing when nobody answers in time, ConfigurationError when we are refused.
        """
        link = Link([server.strip() for server in url.split(",")], name, replicas)
        await link.open(timeout)
        return cls(link)

    async def close(self) -> None:
        await self._link.close()

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str], message_id: str) -> None:
        """Publish and wait for the acknowledgement; raises BusUnavailable."""
        await self._publisher.publish_all([(subject, data, headers, message_id)])

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Publish in this order, one round trip for all; raises BusUnavailable."""
        await self._publisher.publish_all(messages)

    async def deliveries(self, durable: str, subjects: Sequence[str]) -> AsyncIterator[Delivery]:
        """Messages behind the last acknowledged one of this durable name, for ever."""
        puller = Puller(self._link, durable, subjects, self._floors.get(durable))
        try:
            while True:
                yield await puller.next()
        finally:
            # The server may still be busy with our last acknowledgements when we ask it where we stand.
            self._floors[durable] = puller.floor
            await puller.close()

    def listen(self, subjects: Sequence[str]) -> Listener:
        """What is published from now on, without a memory of how far we are."""
        return Listener(self._link, subjects)

    async def say(self, subject: str, data: bytes) -> None:
        """To whoever listens right now, without an acknowledgement; raises BusUnavailable."""
        try:
            await self._link.client.publish(subject, data)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"{subject} cannot be said: {error!r}") from error

    async def ask(self, subject: str, data: bytes, timeout: float) -> bytes:
        """A question to whoever answers this subject; raises BusUnavailable when nobody does within `timeout`."""
        return await self._link.ask(subject, data, timeout)

    async def answer(self, subject: str, reply: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer questions one after the other, until cancelled. A loss of the connection loses those under way."""
        async with aclosing(Listener(self._link, [subject]).messages()) as questions:
            async for question in questions:
                data = await reply(question.data)
                with suppress(nats.errors.Error, OSError):
                    await question.respond(data)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Never fails: what is not acknowledged comes again."""
        for delivery in deliveries:
            receipt: Receipt = delivery.handle
            await receipt.puller.ack(delivery)

    async def park(self, delivery: Delivery, reason: str) -> None:
        """Put a message aside with its reason, and acknowledge it; raises BusUnavailable."""
        durable = delivery.handle.puller.durable
        headers = parked_headers(durable, delivery.subject, reason, _own(delivery.headers))
        # The id keeps a message that is delivered again before its acknowledgement from being parked twice.
        await self.publish(
            topology.parked_subject(durable),
            delivery.data,
            headers,
            f"{self._link.created}/{durable}/{delivery.sequence}",
        )
        await self.ack([delivery])

    async def parked(self) -> Sequence[Parked]:
        await self._link.ready()
        state = (await self._link.api(f"STREAM.INFO.{PARKED}"))["state"]
        found = []
        sequence = state["first_seq"]
        while sequence <= state["last_seq"]:
            message = await self._link.message(PARKED, {"seq": sequence, "next_by_subj": ">"})
            if message is None:
                break
            at, headers, data = message
            found.append(parked_from(at, data, headers))
            sequence = at + 1
        return found

    async def release(self, sequence: int) -> None:
        await self._link.ready()
        message = await self._link.message(PARKED, {"seq": sequence})
        if message is None:
            raise LookupError(f"no message is parked under {sequence}")
        _, headers, data = message
        parked = parked_from(sequence, data, headers)
        await self.publish(parked.subject, parked.data, parked.headers, "")
        try:
            await self._link.api(f"STREAM.MSG.DELETE.{PARKED}", {"seq": sequence})
        except ApiError as error:
            if error.err_code not in NOT_FOUND:
                raise

    async def incarnation(self) -> int:
        await self._link.ready()
        return self._link.incarnation

    async def last_position(self, categories: Sequence[str]) -> int:
        await self._link.ready()
        last = 0
        for category in categories:
            query = {"last_by_subj": topology.category_subject(category)}
            message = await self._link.message(topology.EVENTS.name, query)
            if message is not None:
                last = max(last, int(message[1].get(topology.POSITION_HEADER, 0)))
        return last


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Nats-")}
