"""The consumer loop over a bus: tokens asked again, old ones, shared ones, poison, and a bus that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime import lockstep as locksteps
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.lockstep import Lockstep
from nexus_common.runtime.recall import recall
from nexus_common.runtime.relay import Relay, message_of
from nexus_common.runtime.ring import Token
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.trace import Trace
from nexus_common.testing.bus_contract import reading, take
from nexus_common.testing.small_service import Echo, Readings, token_of

SHIELD = topology.turn_subject(Service.SHIELD)
NEXT = topology.turn_subject(Service.CORTEX)


class Table:
    """A ring of which only shield's seat is taken; the test plays everybody else."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.bus = MemoryBus()
        self.readings = Readings(self.store)
        self.parts: Callable[[], Sequence[int]] = tuple
        self.parts_total = 0

    @asynccontextmanager
    async def shield(self) -> AsyncIterator[Echo]:
        """A process that lives as long as the block."""
        echo = Echo()
        head = await recall(echo, self.store)
        newest = await self.store.latest("macro", 1)
        desk = WorkDesk(self.store, "shield", echo.observe, await self.store.inbox("shield"))
        own = topology.owned_by(Service.SHIELD)
        loop = Lockstep(
            echo,
            Seat(echo, desk, self.store, own, head),
            desk,
            self.bus,
            Relay(self.store, self.bus, own),
            1,
            Trace(None),
            self.parts,
            self.parts_total,
            newest[0].global_position if newest else 0,
        )
        running = asyncio.ensure_future(loop.run())
        try:
            yield echo
        finally:
            died = running.done()
            running.cancel()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            if died and isinstance(outcome, BaseException):
                raise outcome

    async def step(self, *numbers: int) -> Token:
        """Put numbers on record and on the bus; the token of the step."""
        recorded = await self.readings.add(*numbers)
        await self.bus.publish_all([message_of(each) for each in recorded])
        return token_of(recorded)

    async def pass_to_shield(self, *tokens: Token) -> None:
        await self.bus.publish_all([(SHIELD, token.to_bytes(), {}, "") for token in tokens])

    async def said(self) -> list[Recorded[Event]]:
        return list(await self.store.read_stream("guard-crypto"))

    @asynccontextmanager
    async def answers(self) -> AsyncIterator[Callable[[int], Awaitable[list[Token]]]]:
        async with reading(self.bus, "cortex-1", NEXT) as deliveries:

            async def next_tokens(number: int) -> list[Token]:
                return [Token.from_bytes(delivery.data) for delivery in await take(deliveries, number)]

            yield next_tokens


@pytest.fixture
def table() -> Table:
    return Table()


async def test_a_token_is_passed_on_behind_the_events_of_the_turn(table: Table) -> None:
    token = await table.step(1)
    await table.pass_to_shield(token)
    async with table.shield() as echo, reading(table.bus, "x", "nexus.guard.>", NEXT) as deliveries:
        event, answer = await take(deliveries, 2)
    assert event.subject.startswith("nexus.guard.released")
    passed = Token.from_bytes(answer.data)
    assert (passed.slot, passed.round, passed.position) == (2, token.round, token.position)
    assert passed.produced == (*token.produced, (2, "guard"))
    assert echo.handed == [[1]]
    assert echo.resumed == 1


async def test_a_token_that_comes_twice_is_answered_again_without_working_again(table: Table) -> None:
    token = await table.step(1)
    async with table.answers() as answers, table.shield() as echo:
        await table.pass_to_shield(token, token, token)
        first, second, third = await answers(3)
    assert first == second == third
    assert len(echo.turns) == 1
    assert len(await table.said()) == 1


async def test_each_round_and_slot_is_a_turn_of_its_own(table: Table) -> None:
    token = await table.step(1)
    async with table.answers() as answers, table.shield() as echo:
        await table.pass_to_shield(token)
        (first,) = await answers(1)
        await table.pass_to_shield(replace(token, round=2, produced=first.produced))
        (second,) = await answers(1)
    assert [turn.round for turn in echo.turns] == [1, 2]
    assert second.round == 2
    assert second.produced == first.produced


async def test_what_the_bus_lost_is_read_from_the_store(table: Table) -> None:
    recorded = await table.readings.add(1, 2, 3)
    await table.bus.publish_all([message_of(recorded[1])])
    await table.pass_to_shield(token_of(recorded))
    async with table.answers() as answers, table.shield() as echo:
        await answers(1)
    assert echo.handed == [[1, 2, 3]]


async def test_tokens_of_an_older_epoch_or_an_older_step_are_ignored(table: Table) -> None:
    old = await table.step(1)
    async with table.answers() as answers, table.shield() as echo:
        await table.pass_to_shield(replace(old, epoch=2))
        await answers(1)
        new = replace(await table.step(2), epoch=2)
        await table.pass_to_shield(
            replace(old, round=2), replace(new, epoch=1), new, replace(old, epoch=2), new
        )
        assert [(token.position, token.epoch) for token in await answers(2)] == [(new.position, 2)] * 2
    assert echo.handed == [[1], [2]]


async def test_a_newer_epoch_takes_the_turn_anew_and_records_nothing_twice(table: Table) -> None:
    token = await table.step(1)
    async with table.answers() as answers, table.shield() as echo:
        await table.pass_to_shield(token, replace(token, epoch=2))
        first, second = await answers(2)
    assert second == replace(first, epoch=2)
    assert echo.handed == [[1], []]
    assert len(await table.said()) == 1


async def test_tokens_of_replicas_are_waited_for_and_joined(table: Table) -> None:
    token = replace(await table.step(1, 2), parts_total=4)
    async with table.answers() as answers, table.shield() as echo:
        one = replace(token, parts=(0, 2)).plus([(901, "signal")])
        other = replace(token, parts=(1, 3)).plus([(902, "signal")])
        await table.pass_to_shield(one, one)
        await _settled()
        assert echo.turns == []
        await table.pass_to_shield(other)
        (answer,) = await answers(1)
        await table.pass_to_shield(one)
        assert await answers(1) == [answer]
    assert {(901, "signal"), (902, "signal")} <= set(answer.produced)
    assert echo.handed == [[1, 2]]


async def test_an_answer_speaks_for_the_partitions_that_are_ours_and_anew_when_they_change(
    table: Table,
) -> None:
    ours: list[tuple[int, ...]] = [(0, 2)]
    table.parts, table.parts_total = lambda: ours[0], 4
    token = await table.step(1)
    async with table.answers() as answers, table.shield() as echo:
        await table.pass_to_shield(token)
        (first,) = await answers(1)
        ours[0] = (0, 1, 2, 3)
        await table.pass_to_shield(token)
        (second,) = await answers(1)
    assert (first.parts, first.parts_total) == ((0, 2), 4)
    assert (second.parts, second.parts_total) == ((0, 1, 2, 3), 4)
    assert second.produced == first.produced
    assert len(echo.turns) == 2


async def test_a_poisoned_event_is_put_aside_and_the_others_go_on(table: Table) -> None:
    recorded = await table.readings.add(1, 2)
    subject, data, headers, _ = message_of(recorded[0])
    await table.bus.publish(subject, b"{broken", headers, "poison")
    await table.bus.publish(subject, data.replace(b"macro.read", b"macro.unheard"), headers, "newer release")
    await table.bus.publish(subject, data, {}, "without its position")
    await table.bus.publish_all([message_of(recorded[1])])
    await table.pass_to_shield(token_of(recorded))
    async with table.answers() as answers, table.shield() as echo:
        await answers(1)
    assert echo.handed == [[1, 2]]
    parked = await table.bus.parked()
    assert parked[0].data == b"{broken"
    assert len(parked) == 3
    assert "macro.unheard" in parked[1].reason
    assert "position" in parked[2].reason


async def test_a_poisoned_token_is_put_aside(table: Table) -> None:
    token = await table.step(1)
    await table.bus.publish(SHIELD, b"not a token", {}, "")
    await table.pass_to_shield(token)
    async with table.answers() as answers, table.shield():
        await answers(1)
    assert [parked.subject for parked in await table.bus.parked()] == [SHIELD]


async def test_a_bus_that_is_away_when_the_token_is_passed_gets_it_when_it_is_back(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locksteps, "RETRY_SECONDS", 0)
    token = await table.step(1)
    async with table.answers() as answers, table.shield() as echo:
        await _settled()
        await table.pass_to_shield(token)
        table.bus.set_available(False)
        await _settled()
        assert len(echo.turns) == 1
        table.bus.set_available(True)
        (answer,) = await answers(1)
        async with reading(table.bus, "x", "nexus.guard.>") as deliveries:
            await take(deliveries, 1)
    assert answer.produced == (*token.produced, (2, "guard"))
    assert len(echo.turns) == 1


async def test_what_was_not_acknowledged_comes_again_after_a_death(table: Table) -> None:
    token = await table.step(1)
    async with table.answers() as answers:
        async with table.shield() as first:
            await _settled()
            assert first.turns == []
        await table.pass_to_shield(token)
        async with table.shield() as second:
            (answer,) = await answers(1)
    assert second.handed == [[1]]
    assert answer.produced == (*token.produced, (2, "guard"))


async def test_a_turn_committed_before_a_death_is_answered_after_it_with_its_events(table: Table) -> None:
    token = await table.step(1)
    async with table.shield():
        await table.pass_to_shield(token)
        await _settled()
    # The answer and the events were lost with the bus; ingest asks again.
    table.bus.wipe()
    await table.pass_to_shield(token)
    async with table.answers() as answers, table.shield() as second:
        (answer,) = await answers(1)
        async with reading(table.bus, "x", "nexus.guard.>") as deliveries:
            (event,) = await take(deliveries, 1)
    assert answer.produced == (*token.produced, (2, "guard"))
    assert event.headers[topology.POSITION_HEADER] == "2"
    assert second.handed == [[]]
    assert len(await table.said()) == 1


async def test_a_new_consumer_lets_tokens_of_steps_long_gone_pass(table: Table) -> None:
    old = await table.step(1)
    new = await table.step(2)
    await table.pass_to_shield(old, new)
    async with table.answers() as answers, table.shield() as echo:
        (answer,) = await answers(1)
    assert answer.position == new.position
    assert echo.handed == [[2]]


async def test_what_was_handled_is_acknowledged(table: Table) -> None:
    token = await table.step(1)
    async with table.answers() as answers, table.shield():
        await table.pass_to_shield(token)
        await answers(1)
        await _settled()
    await table.bus.publish(SHIELD, b"marker", {}, "")
    durable = topology.durable(Service.SHIELD, 1)
    async with reading(table.bus, durable, SHIELD, "nexus.macro.>") as deliveries:
        (left,) = await take(deliveries, 1)
    assert left.data == b"marker"


async def _settled() -> None:
    """Let everybody on this loop go as far as he can."""
    for _ in range(50):
        await asyncio.sleep(0)
