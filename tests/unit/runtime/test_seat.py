"""A seat hears everything once, hands out what is new in the step, and reports all that its service recorded."""

from __future__ import annotations

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.guard import GuardReleased
from nexus_common.contracts.message import Event
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.recall import recall
from nexus_common.runtime.ring import Token
from nexus_common.runtime.seat import PAGE, Seat
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.small_service import Echo, Readings, token_of


class Shield:
    """A process: what it has in memory goes with it, the store stays."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.echo = Echo()

    async def start(self) -> Shield:
        head = await recall(self.echo, self.store)
        inbox = await self.store.inbox("shield")
        self.desk = WorkDesk(self.store, "shield", self.echo.observe, inbox)
        self.seat = Seat(self.echo, self.desk, self.store, ("risk", "guard"), head)
        return self

    async def take(self, token: Token) -> Token:
        """A whole turn, as a runner takes it."""
        taken = await self.seat.take(token)
        recorded = self.desk.take_recorded()
        self.seat.committed(recorded)
        return taken.plus((r.global_position, r.envelope.category) for r in recorded)

    def hear(self, recorded: list[Recorded[Event]]) -> None:
        for each in recorded:
            self.seat.hear(each)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def readings(store: MemoryStore) -> Readings:
    return Readings(store)


@pytest.fixture
async def shield(store: MemoryStore) -> Shield:
    return await Shield(store).start()


async def said(store: MemoryStore) -> list[str]:
    events = [recorded.event for recorded in await store.read_stream("guard-crypto")]
    return [event.reason for event in events if isinstance(event, GuardReleased)]


async def test_what_was_heard_is_handed_out_in_its_turn(shield: Shield, readings: Readings) -> None:
    step = list(await readings.add(1, 2))
    shield.hear(step)
    assert shield.echo.heard == []
    await shield.take(token_of(step))
    assert shield.echo.heard == [1, 2]
    assert shield.echo.handed == [[1, 2]]
    assert await said(shield.store) == ["1", "2"]


async def test_the_order_is_the_records_not_that_of_arrival(shield: Shield, readings: Readings) -> None:
    step = list(await readings.add(1, 2, 3))
    shield.hear([step[2], step[0], step[1]])
    await shield.take(token_of(step))
    assert shield.echo.handed == [[1, 2, 3]]
    assert shield.echo.heard == [1, 2, 3]


async def test_holes_are_filled_from_the_store(shield: Shield, readings: Readings) -> None:
    step = list(await readings.add(1, 2, 3))
    shield.hear(step[2:])
    await shield.take(token_of(step))
    assert shield.echo.handed == [[1, 2, 3]]


async def test_what_concerns_others_is_not_heard(shield: Shield, readings: Readings) -> None:
    shield.echo.listens = {"guard": None}
    deaf = Seat(shield.echo, shield.desk, shield.store, ("risk", "guard"), 0)
    step = list(await readings.add(1))
    deaf.hear(step[0])
    await deaf.take(token_of(step))
    assert shield.echo.handed == [[]]
    assert shield.echo.observed == []


async def test_events_before_the_step_are_observed_but_not_handed_out(
    shield: Shield, readings: Readings
) -> None:
    opening = list(await readings.add(1))
    step = list(await readings.add(2))
    shield.hear(opening + step)
    await shield.take(token_of(step))
    assert shield.echo.heard == [1, 2]
    assert shield.echo.handed == [[2]]


async def test_repeats_are_observed_once_and_handed_out_once(shield: Shield, readings: Readings) -> None:
    step = list(await readings.add(1, 2))
    shield.hear(step + step)
    token = await shield.take(token_of(step))
    shield.hear(step)
    await shield.take(token)
    assert shield.echo.heard == [1, 2]
    assert shield.echo.handed == [[1, 2], []]
    assert await said(shield.store) == ["1", "2"]


async def test_old_news_from_a_bus_that_repeats_itself_is_not_observed_again(
    shield: Shield, readings: Readings
) -> None:
    steps = [list(await readings.add(number)) for number in range(1, 6)]
    for step in steps:
        shield.hear(
            [event for old in steps for event in old if old[0].global_position < step[0].global_position]
        )
        shield.hear(step)
        await shield.take(token_of(step))
    assert shield.echo.heard == [1, 2, 3, 4, 5]
    assert shield.echo.handed == [[1], [2], [3], [4], [5]]


async def test_what_nobody_decided_on_is_observed_once_too(shield: Shield, readings: Readings) -> None:
    first = list(await readings.add(1))
    second = list(await readings.add(1, key="again"))
    third = list(await readings.add(1, key="once more"))
    for step in (first, second, third):
        shield.hear(first + second)
        await shield.take(token_of(step))
    assert shield.echo.heard == [1, 1, 1]
    assert await said(shield.store) == ["1"]


async def test_our_own_events_are_observed_when_decided_and_not_again_from_the_bus(
    shield: Shield, readings: Readings
) -> None:
    step = list(await readings.add(1))
    token = await shield.take(token_of(step))
    shield.hear(list(await shield.store.read_stream("guard-crypto")))
    await shield.take(token)
    assert [e.event.type for e in shield.echo.observed] == ["macro.read", "guard.released"]


async def test_the_token_tells_what_was_recorded_in_each_round(shield: Shield, readings: Readings) -> None:
    step = list(await readings.add(1))
    token = token_of(step)
    taken = await shield.take(token)
    assert taken.produced == (*token.produced, (2, "guard"))
    again = await shield.take(token)
    assert again.produced == taken.produced


async def test_marks_of_an_older_step_are_left_behind(shield: Shield, readings: Readings) -> None:
    await shield.take(token_of(list(await readings.add(1))))
    step = list(await readings.add(2))
    taken = await shield.take(token_of(step))
    assert taken.produced == ((3, "macro"), (4, "guard"))


async def test_events_recorded_before_a_death_are_reported_after_it(
    store: MemoryStore, readings: Readings
) -> None:
    step = list(await readings.add(1))
    token = token_of(step)
    dying = await Shield(store).start()
    await dying.seat.take(token)  # committed, but nobody was told
    again = await Shield(store).start()
    again.hear(step)
    taken = await again.take(token)
    assert taken.produced == ((1, "macro"), (2, "guard"))
    assert again.echo.handed == [[]]
    assert again.echo.heard == [1]
    assert await said(store) == ["1"]


async def test_a_great_many_events_are_reported_after_a_death(store: MemoryStore, readings: Readings) -> None:
    many = PAGE + 1
    step = list(await readings.add(*range(many)))
    await (await Shield(store).start()).seat.take(token_of(step))
    taken = await (await Shield(store).start()).take(token_of(step))
    assert len(taken.produced) == 2 * many


async def test_what_was_recorded_between_recall_and_the_first_step_is_observed(
    shield: Shield, readings: Readings
) -> None:
    await readings.add(1)
    step = list(await readings.add(2))
    await shield.take(token_of(step))
    assert shield.echo.heard == [1, 2]
    assert shield.echo.handed == [[2]]


async def test_a_turn_cut_off_before_its_commit_is_taken_again(
    store: MemoryStore, readings: Readings
) -> None:
    step = list(await readings.add(1))
    dying = await Shield(store).start()
    batch = dying.desk.begin([recorded.envelope for recorded in step])
    await dying.echo.react(token_of(step).turn, batch, dying.desk)
    again = await Shield(store).start()
    await again.take(token_of(step))
    assert again.echo.handed == [[1]]
    assert await said(store) == ["1"]


async def test_what_recall_has_shown_is_handed_out_but_not_observed_again(
    store: MemoryStore, readings: Readings
) -> None:
    opening = list(await readings.add(1))
    step = list(await readings.add(2))
    shield = await Shield(store).start()
    assert shield.echo.heard == [1, 2]
    shield.hear(opening + step)
    await shield.take(token_of(step))
    assert shield.echo.heard == [1, 2]
    assert shield.echo.handed == [[2]]
