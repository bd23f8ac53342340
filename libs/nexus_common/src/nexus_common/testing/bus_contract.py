"""What every bus must do. A test class inherits from `BusContract` and has a fixture `bus`.

The bus may hold messages of other tests: each test uses names of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import cast

import pytest

from nexus_common.runtime.bus.transport import Message, Transport
from nexus_common.runtime.ports import Delivery

SECONDS_MAX = 15.0
_names = count(1)


@asynccontextmanager
async def reading(bus: Transport, durable: str, *subjects: str) -> AsyncIterator[AsyncIterator[Delivery]]:
    """The deliveries of a consumer that ends with the block, its unacknowledged messages with it."""
    deliveries = bus.deliveries(durable, subjects)
    try:
        yield deliveries
    finally:
        await cast(AsyncGenerator[Delivery, None], deliveries).aclose()


async def take(deliveries: AsyncIterator[Delivery], number: int) -> list[Delivery]:
    """The next deliveries; TimeoutError when they do not come."""
    taken = []
    async with asyncio.timeout(SECONDS_MAX):
        for _ in range(number):
            taken.append(await anext(deliveries))
    return taken


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.data.decode() for delivery in deliveries]


class Names:
    """Subjects and a durable name that no other test uses."""

    def __init__(self) -> None:
        self.number = next(_names)
        self.durable = f"contract-{self.number}"
        self.subject = f"nexus.order.filled.{self.number}"
        self.other = f"nexus.risk.approved.{self.number}"

    def message(self, text: str, subject: str | None = None, message_id: str | None = None) -> Message:
        chosen = f"{self.number}/{text}" if message_id is None else message_id
        return (subject or self.subject, text.encode(), {"Nexus-Position": "7"}, chosen)


class BusContract:
    """Order, redelivery, repeats, parking."""

    @pytest.fixture
    def names(self) -> Names:
        return Names()

    async def test_messages_arrive_in_order_with_their_headers(self, bus: Transport, names: Names) -> None:
        await bus.publish_all([names.message(str(n)) for n in range(300)])
        async with reading(bus, names.durable, names.subject) as deliveries:
            taken = await take(deliveries, 300)
        assert texts(taken) == [str(n) for n in range(300)]
        assert taken[0].subject == names.subject
        assert taken[0].headers["Nexus-Position"] == "7"
        assert [d.sequence for d in taken] == sorted(d.sequence for d in taken)

    async def test_messages_of_several_subjects_arrive_in_the_order_they_were_published(
        self, bus: Transport, names: Names
    ) -> None:
        subjects = [names.subject, names.other]
        await bus.publish_all([names.message(str(n), subjects[n % 2]) for n in range(10)])
        await bus.publish("nexus.trade.closed.0", b"not asked for", {}, "")
        await bus.publish_all([names.message("last")])
        async with reading(bus, names.durable, *subjects) as deliveries:
            assert texts(await take(deliveries, 11)) == [*map(str, range(10)), "last"]

    async def test_wildcards_name_all_events_of_a_category(self, bus: Transport, names: Names) -> None:
        pattern = f"nexus.order.wild{names.number}.>"
        await bus.publish(f"nexus.order.wild{names.number}.1.binance.BTCUSDT", b"heard", {}, "")
        async with reading(bus, names.durable, pattern) as deliveries:
            assert texts(await take(deliveries, 1)) == ["heard"]

    async def test_a_waiting_consumer_gets_a_message_at_once(self, bus: Transport, names: Names) -> None:
        async with reading(bus, names.durable, names.subject) as deliveries:
            waiting = asyncio.ensure_future(take(deliveries, 1))
            await asyncio.sleep(0)
            await bus.publish_all([names.message("now")])
            assert texts(await waiting) == ["now"]

    async def test_unacknowledged_messages_come_again_in_order_after_a_restart(
        self, bus: Transport, names: Names
    ) -> None:
        await bus.publish_all([names.message(str(n)) for n in range(5)])
        async with reading(bus, names.durable, names.subject) as deliveries:
            await bus.ack((await take(deliveries, 4))[:2])
        await bus.publish_all([names.message("5")])
        async with reading(bus, names.durable, names.subject) as deliveries:
            assert texts(await take(deliveries, 4)) == ["2", "3", "4", "5"]

    async def test_a_restart_begins_behind_what_was_acknowledged(self, bus: Transport, names: Names) -> None:
        for round_number in range(3):
            await bus.publish_all([names.message(str(round_number))])
            async with reading(bus, names.durable, names.subject) as deliveries:
                taken = await take(deliveries, 1)
                assert texts(taken) == [str(round_number)]
                await bus.ack(taken)

    async def test_other_consumers_are_not_concerned_by_an_acknowledgement(
        self, bus: Transport, names: Names
    ) -> None:
        await bus.publish_all([names.message("both")])
        for durable in (names.durable, f"{names.durable}-b"):
            async with reading(bus, durable, names.subject) as deliveries:
                taken = await take(deliveries, 1)
                assert texts(taken) == ["both"]
                await bus.ack(taken)

    async def test_a_message_id_published_twice_arrives_once(self, bus: Transport, names: Names) -> None:
        once = names.message("once")
        await bus.publish(*once)
        await bus.publish_all([once, names.message("then"), once])
        async with reading(bus, names.durable, names.subject) as deliveries:
            assert texts(await take(deliveries, 2)) == ["once", "then"]

    async def test_without_a_message_id_repeats_arrive(self, bus: Transport, names: Names) -> None:
        again = names.message("again", message_id="")
        await bus.publish_all([again, again])
        async with reading(bus, names.durable, names.subject) as deliveries:
            assert texts(await take(deliveries, 2)) == ["again", "again"]

    async def test_a_parked_message_lies_aside_until_it_is_released(
        self, bus: Transport, names: Names
    ) -> None:
        await bus.publish_all([names.message("bad"), names.message("good")])
        async with reading(bus, names.durable, names.subject) as deliveries:
            bad, good = await take(deliveries, 2)
            await bus.park(bad, "cannot\nbe read")
            await bus.ack([good])
        (parked,) = [each for each in await bus.parked() if each.durable == names.durable]
        assert (parked.subject, parked.reason, parked.data) == (names.subject, "cannot be read", b"bad")
        assert parked.headers["Nexus-Position"] == "7"

        await bus.release(parked.sequence)
        assert not [each for each in await bus.parked() if each.durable == names.durable]
        async with reading(bus, names.durable, names.subject) as deliveries:
            (released,) = await take(deliveries, 1)
        assert (released.data, released.headers["Nexus-Position"]) == (b"bad", "7")

    async def test_releasing_what_is_not_parked_is_an_error(self, bus: Transport) -> None:
        with pytest.raises(LookupError):
            await bus.release(9_999_999)

    async def test_the_last_position_of_a_category_is_known(self, bus: Transport, names: Names) -> None:
        headers = {"Nexus-Position": str(1_000 + names.number)}
        await bus.publish(f"nexus.schedule.due.{names.number}", b"x", headers, "")
        assert await bus.last_position(["schedule", "brief"]) == 1_000 + names.number
        assert await bus.last_position(["brief"]) == 0
