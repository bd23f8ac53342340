"""All services in one process: rounds until it is quiet, never without end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.guard import GuardReleased, ReleaseGuard
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.local_ring import LocalRing, place
from nexus_common.runtime.ports import Desk, Turn
from nexus_common.runtime.ring import ROUNDS_MAX, SLOTS
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.small_service import ECHO, Echo, Readings

BRIEF: Decider[ReleaseGuard, int, GuardReleased] = Decider(
    "brief", 0, lambda command, count: [GuardReleased(reason=command.reason)], lambda count, event: count + 1
)


class Watcher:
    """Says nothing; writes down whose turn it was."""

    def __init__(self, service: Service, diary: list[Service]) -> None:
        self.service = service
        self.listens: Mapping[str, int | None] = {"macro": None}
        self._diary = diary

    def observe(self, envelope: Envelope[Event]) -> None:
        """Nothing to remember."""

    async def resume(self, desk: Desk) -> None:
        """Nothing is left open."""

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        self._diary.append(self.service)


class Answerer(Watcher):
    """Answers each word it hears with one of its own, `rounds` times."""

    def __init__(self, rounds: int, hears: str = "guard") -> None:
        super().__init__(Service.SCHEDULER, [])
        self.listens = {hears: None}
        self._left = rounds

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        for envelope in batch:
            if self._left > 0:
                self._left -= 1
                cause = envelope.event_id
                await desk.handle(BRIEF, "all", ReleaseGuard("and", turn.at), cause=cause)


class Babbler(Watcher):
    """Answers whatever is said, for ever."""

    def __init__(self) -> None:
        super().__init__(Service.SHIELD, [])
        self.listens = {"macro": None, "brief": None}

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        for envelope in batch:
            command = ReleaseGuard(str(envelope.event_id), turn.at)
            await desk.handle(ECHO, "crypto", command, cause=envelope.event_id)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_quiet_instant_takes_one_round(store: MemoryStore) -> None:
    diary: list[Service] = []
    ring = LocalRing({service: place(Watcher(service, diary), store) for service in dict.fromkeys(SLOTS)})
    step = await Readings(store).add(1)
    marks = await ring.step(step[0].envelope.occurred_at, step)
    assert marks == ((1, "macro"),)
    assert diary == [s for slot, s in enumerate(SLOTS) if slot != 4]


async def test_rounds_go_on_until_nobody_records_anything(store: MemoryStore) -> None:
    echo = Echo()
    ring = LocalRing({Service.SHIELD: place(echo, store)})
    step = await Readings(store).add(1, 2)
    marks = await ring.step(step[0].envelope.occurred_at, step)
    assert marks == ((1, "macro"), (2, "macro"), (3, "guard"), (4, "guard"))
    assert [turn.round for turn in echo.turns] == [1, 1, 2, 2]
    assert echo.handed == [[1, 2], [], [], []]


async def test_what_one_says_another_hears_in_the_same_instant(store: MemoryStore) -> None:
    echo = Echo()
    ring = LocalRing({Service.SHIELD: place(echo, store), Service.SCHEDULER: place(Answerer(1), store)})
    step = await Readings(store).add(1)
    marks = await ring.step(step[0].envelope.occurred_at, step)
    assert [category for _, category in marks] == ["macro", "guard", "brief"]


async def test_what_the_last_of_a_round_says_brings_another_round(store: MemoryStore) -> None:
    diary: list[Service] = []
    ring = LocalRing(
        {
            Service.SCHEDULER: place(Answerer(1, hears="macro"), store),
            Service.CORTEX: place(Watcher(Service.CORTEX, diary), store),
        }
    )
    step = await Readings(store).add(1)
    marks = await ring.step(step[0].envelope.occurred_at, step)
    assert marks == ((1, "macro"), (2, "brief"))
    assert len(diary) == 2


async def test_each_instant_hands_out_its_own_events(store: MemoryStore) -> None:
    echo = Echo()
    ring = LocalRing({Service.SHIELD: place(echo, store)})
    readings = Readings(store)
    for number in (1, 2, 3):
        step = await readings.add(number)
        await ring.step(step[0].envelope.occurred_at, step)
    assert [batch for batch in echo.handed if batch] == [[1], [2], [3]]
    assert echo.heard == [1, 2, 3]
    assert all(turn.at == echo.turns[0].at for turn in echo.turns[:4])


async def test_services_that_never_come_to_rest_are_stopped(store: MemoryStore) -> None:
    ring = LocalRing(
        {Service.SHIELD: place(Babbler(), store), Service.SCHEDULER: place(Answerer(10**6), store)}
    )
    step = await Readings(store).add(1)
    with pytest.raises(InvariantBroken, match="do not come to rest"):
        await ring.step(step[0].envelope.occurred_at, step)
    assert await store.head() <= 2 * ROUNDS_MAX + 2


async def test_as_many_rounds_as_are_needed_are_allowed(store: MemoryStore) -> None:
    ring = LocalRing({Service.SHIELD: place(Babbler(), store), Service.SCHEDULER: place(Answerer(40), store)})
    step = await Readings(store).add(1)
    marks = await ring.step(step[0].envelope.occurred_at, step)
    assert len(marks) == 1 + 1 + 2 * 40


async def test_the_same_market_gives_the_same_record() -> None:
    async def bodies() -> list[str]:
        here = MemoryStore()
        ring = LocalRing({Service.SHIELD: place(Echo(), here), Service.SCHEDULER: place(Answerer(3), here)})
        readings = Readings(here)
        for number in (1, 2, 3):
            step = await readings.add(number)
            await ring.step(step[0].envelope.occurred_at, step)
        return [recorded.body for recorded in await here.read_categories([])]

    assert await bodies() == await bodies()
