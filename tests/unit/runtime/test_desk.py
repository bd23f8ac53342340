"""The desk decides, remembers and commits; what it commits is whole, in order, and counted once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nexus_common.contracts.envelope import Envelope, Recorded, open_command
from nexus_common.contracts.guard import GuardReleased, ReleaseGuard
from nexus_common.contracts.ids import command_id, derived, event_id
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import LeaseLost, StoreUnavailable, WrongExpectedVersion
from nexus_common.runtime.ports import AlreadyHandled, Batch, Lease
from nexus_common.runtime.store.export import verify
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.small_service import CAUSE, ECHO, NOON, Readings, ignore

STREAM = "guard-crypto"


class CountingStore(MemoryStore):
    """Counts what it is asked, and may be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.reads: list[str] = []
        self.down = False

    async def append(self, batch: Batch) -> Sequence[Recorded[Event]] | AlreadyHandled:
        if self.down:
            raise StoreUnavailable("switched off")
        self.batches.append(batch)
        return await super().append(batch)

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded[Event]]:
        self.reads.append(stream)
        return await super().read_stream(stream, after)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def desk(store: CountingStore) -> WorkDesk:
    return WorkDesk(store, "shield", ignore)


async def say(desk: WorkDesk, *words: str) -> list[Envelope[Event]]:
    said: list[Envelope[Event]] = []
    for word in words:
        said += await desk.handle(ECHO, "crypto", ReleaseGuard(word, NOON), cause=derived(CAUSE, word))
    return said


async def test_nothing_is_written_before_the_commit(store: CountingStore, desk: WorkDesk) -> None:
    await say(desk, "one")
    assert await store.head() == 0
    await desk.commit()
    assert await store.head() == 1


async def test_what_was_decided_is_committed_once_with_the_inbox(
    store: CountingStore, desk: WorkDesk
) -> None:
    heard = [recorded.envelope for recorded in await Readings(store).add(1, 2)]
    store.batches.clear()
    desk.begin(heard)
    await say(desk, "one", "two")
    desk.note_handled("venue-anna", 7)
    await desk.commit()
    await desk.commit()
    assert len(store.batches) == 1
    assert await store.inbox("shield") == {"macro-global": 2, "venue-anna": 7}
    assert len(await store.read_stream(STREAM)) == 2


async def test_nothing_decided_makes_no_transaction(store: CountingStore, desk: WorkDesk) -> None:
    heard = [recorded.envelope for recorded in await Readings(store).add(1)]
    store.batches.clear()
    desk.begin(heard)
    await desk.commit()
    await say(desk, "one")
    await desk.commit()
    desk.begin(())
    assert await say(desk, "one") == []
    await desk.commit()
    assert len(store.batches) == 1


async def test_what_led_to_nothing_is_noted_with_the_next_decision(
    store: CountingStore, desk: WorkDesk
) -> None:
    readings = Readings(store)
    desk.begin([r.envelope for r in await readings.add(1, key="quiet")])
    await desk.commit()
    desk.begin([r.envelope for r in await readings.add(2)])
    await say(desk, "two")
    await desk.commit()
    assert await store.inbox("shield") == {"macro-quiet": 1, "macro-global": 1}


async def test_repeats_are_dropped_at_the_beginning_of_a_turn(store: CountingStore, desk: WorkDesk) -> None:
    heard = [recorded.envelope for recorded in await Readings(store).add(1, 2, 3)]
    assert desk.begin(heard[:2]) == heard[:2]
    await say(desk, "one")
    await desk.commit()
    assert desk.begin(heard) == heard[2:]
    again = WorkDesk(store, "shield", ignore, await store.inbox("shield"))
    assert again.begin(heard) == heard[2:]
    assert WorkDesk(store, "cortex", ignore, await store.inbox("cortex")).begin(heard) == heard


async def test_what_was_not_committed_is_handed_out_again(store: CountingStore, desk: WorkDesk) -> None:
    heard = [recorded.envelope for recorded in await Readings(store).add(1)]
    desk.begin(heard)
    await say(desk, "one")
    again = WorkDesk(store, "shield", ignore, await store.inbox("shield"))
    assert again.begin(heard) == heard


async def test_one_cause_leads_to_one_command_on_a_stream(desk: WorkDesk) -> None:
    await desk.handle(ECHO, "crypto", ReleaseGuard("one", NOON), cause=CAUSE)
    with pytest.raises(ValueError, match="derive its cause"):
        await desk.handle(ECHO, "crypto", ReleaseGuard("two", NOON), cause=CAUSE)
    await desk.handle(ECHO, "stocks", ReleaseGuard("two", NOON), cause=CAUSE)
    await desk.handle(ECHO, "crypto", ReleaseGuard("two", NOON), cause=derived(CAUSE, "again"))
    desk.begin(())
    await desk.handle(ECHO, "crypto", ReleaseGuard("three", NOON), cause=derived(CAUSE, "later"))


async def test_a_cause_that_led_to_nothing_may_be_used_again(desk: WorkDesk) -> None:
    await say(desk, "one")
    assert await desk.handle(ECHO, "crypto", ReleaseGuard("one", NOON), cause=CAUSE) == ()
    assert await desk.handle(ECHO, "crypto", ReleaseGuard("two", NOON), cause=CAUSE)


async def test_several_commands_on_one_stream_are_chained_in_one_commit(
    store: CountingStore, desk: WorkDesk
) -> None:
    await say(desk, "one")
    await desk.commit()
    await say(desk, "two", "three")
    await say(desk, "four")
    await desk.commit()
    await say(desk, "five")
    await desk.commit()
    recorded = await store.read_stream(STREAM)
    assert [r.envelope.position for r in recorded] == [1, 2, 3, 4, 5]
    report = await verify(store)
    assert not report.findings


async def test_ids_and_stories_follow_from_the_cause(store: CountingStore, desk: WorkDesk) -> None:
    story = derived(CAUSE, "story")
    account = AccountId("anna.binance.paper")
    (first,) = await desk.handle(ECHO, "crypto", ReleaseGuard("one", NOON), cause=CAUSE)
    (second,) = await desk.handle(
        ECHO, "stocks", ReleaseGuard("two", NOON), cause=CAUSE, correlation=story, account=account
    )
    await desk.commit()
    assert first.event_id == event_id(CAUSE, "shield", STREAM, 0)
    assert (first.correlation_id, first.causation_id, first.account) == (first.event_id, CAUSE, None)
    assert (second.correlation_id, second.account, second.occurred_at) == (story, account, NOON)
    sealed = [command for _, command in await store.commands()]
    assert [command.command_id for command in sealed] == [
        command_id(CAUSE, "shield", STREAM),
        command_id(CAUSE, "shield", "guard-stocks"),
    ]
    opened = open_command(sealed[1])
    assert opened.command == ReleaseGuard("two", NOON)
    assert (opened.consumer, opened.correlation_id, opened.account) == ("shield", story, account)


async def test_inputs_can_be_recorded_without_their_commands(store: CountingStore) -> None:
    desk = WorkDesk(store, "ingest", ignore, keep_commands=False)
    await say(desk, "one")
    await desk.commit()
    assert await store.commands() == []
    assert await store.head() == 1


async def test_decided_events_are_observed_at_once_and_handed_out_after_the_commit(
    store: CountingStore,
) -> None:
    observed: list[Envelope[Event]] = []
    desk = WorkDesk(store, "shield", observed.append)
    said = await say(desk, "one", "two")
    assert observed == said
    assert desk.take_recorded() == []
    await desk.commit()
    assert [recorded.envelope for recorded in desk.take_recorded()] == said
    assert desk.take_recorded() == []


async def test_another_writer_on_a_stream_is_found_out(store: CountingStore, desk: WorkDesk) -> None:
    other = WorkDesk(store, "shield", ignore)
    await say(desk, "one")
    await say(other, "two")
    await other.commit()
    with pytest.raises(WrongExpectedVersion, match=STREAM):
        await desk.commit()
    assert [r.event for r in await store.read_stream(STREAM)] == [GuardReleased(reason="two")]


async def test_another_instance_that_handled_the_batch_is_found_out(
    store: CountingStore, desk: WorkDesk
) -> None:
    heard = [recorded.envelope for recorded in await Readings(store).add(1)]
    other = WorkDesk(store, "shield", ignore)
    for each, key in ((other, "a"), (desk, "b")):
        each.begin(heard)
        await each.handle(ECHO, key, ReleaseGuard("one", NOON), cause=heard[0].event_id)
    await other.commit()
    with pytest.raises(WrongExpectedVersion, match="start afresh"):
        await desk.commit()
    assert await store.read_stream("guard-b") == []


async def test_replicas_that_share_the_work_keep_inboxes_of_their_own(store: CountingStore) -> None:
    heard = [recorded.envelope for recorded in await Readings(store).add(1)]
    for number, key in ((1, "a"), (2, "b")):
        desk = WorkDesk(store, "cortex", ignore, reader=f"cortex-{number}")
        desk.begin(heard)
        (said,) = await desk.handle(ECHO, key, ReleaseGuard("one", NOON), cause=heard[0].event_id)
        await desk.commit()
        assert said.event_id == event_id(heard[0].event_id, "cortex", f"guard-{key}", 0)
        assert await store.inbox(f"cortex-{number}") == {"macro-global": 1}


async def test_states_survive_a_new_desk_over_the_same_store(store: CountingStore, desk: WorkDesk) -> None:
    await say(desk, "one", "two")
    assert await desk.state(ECHO, "crypto") == ("one", "two")
    await desk.commit()
    again = WorkDesk(store, "shield", ignore, await store.inbox("shield"))
    assert await again.state(ECHO, "crypto") == ("one", "two")
    await say(again, "two", "three")
    await again.commit()
    assert [r.envelope.position for r in await store.read_stream(STREAM)] == [1, 2, 3]
    assert not (await verify(store)).findings


async def test_a_stream_is_read_once_and_a_fresh_one_never(store: CountingStore, desk: WorkDesk) -> None:
    await say(desk, "one", "two")
    await desk.state(ECHO, "crypto")
    await desk.handle(ECHO, "new", ReleaseGuard("one", NOON), cause=CAUSE, fresh=True)
    await desk.commit()
    assert store.reads == [STREAM]


async def test_a_fresh_stream_that_was_not_is_refused(store: CountingStore, desk: WorkDesk) -> None:
    await say(desk, "one")
    await desk.commit()
    again = WorkDesk(store, "shield", ignore)
    await again.handle(ECHO, "crypto", ReleaseGuard("two", NOON), cause=CAUSE, fresh=True)
    with pytest.raises(WrongExpectedVersion):
        await again.commit()


async def test_forgotten_streams_are_folded_anew(store: CountingStore, desk: WorkDesk) -> None:
    await say(desk, "one")
    await desk.commit()
    other = WorkDesk(store, "shield", ignore)
    await say(other, "two")
    await other.commit()
    assert await desk.state(ECHO, "crypto") == ("one",)
    desk.forget_all()
    assert await desk.state(ECHO, "crypto") == ("one", "two")


async def test_positions_of_a_source_only_grow(store: CountingStore, desk: WorkDesk) -> None:
    desk.note_handled("venue-anna", 5)
    desk.note_handled("venue-anna", 3)
    assert desk.handled("venue-anna") == 5
    assert desk.handled("venue-bert") == 0
    await desk.commit()
    desk.note_handled("venue-anna", 5)
    await desk.commit()
    assert len(store.batches) == 1
    assert WorkDesk(store, "shield", ignore, await store.inbox("shield")).handled("venue-anna") == 5


async def test_without_the_lease_nothing_is_written(store: CountingStore) -> None:
    lease = await store.claim("shield/0", "shield-1", 60)
    assert lease is not None
    held: list[Lease | None] = [lease]
    desk = WorkDesk(store, "shield", ignore, lease=lambda: held[0])
    await say(desk, "one")
    await desk.commit()
    await store.claim("shield/0", "shield-1", 60)
    await say(desk, "two")
    with pytest.raises(LeaseLost):
        await desk.commit()
    assert await store.head() == 1


async def test_a_store_that_is_away_says_so_and_nothing_is_handed_out(
    store: CountingStore, desk: WorkDesk
) -> None:
    await say(desk, "one")
    store.down = True
    with pytest.raises(StoreUnavailable):
        await desk.commit()
    assert desk.take_recorded() == []
