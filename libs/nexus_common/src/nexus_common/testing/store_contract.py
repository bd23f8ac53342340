"""What every event store promises. A test module subclasses `StoreContract` and provides `open_store`.

    class TestMemoryStore(StoreContract):
        @pytest.fixture
        def open_store(self) -> OpenStore: ...

`open_store()` gives a handle on one and the same store, empty at the start of a test; each call may give another
handle, as another process would have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from uuid import UUID

import pytest

from nexus_common.contracts.envelope import (
    GENESIS,
    Envelope,
    Recorded,
    SealedCommand,
    chain_hash,
    open_command,
    seal_command,
)
from nexus_common.contracts.ids import NEXUS, command_id, derived, event_id
from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.contracts.message import Event
from nexus_common.contracts.run import Head, HeadsRecorded
from nexus_common.contracts.values import AccountId, ModelId, format_instant
from nexus_common.runtime.errors import LeaseLost, WrongExpectedVersion
from nexus_common.runtime.ports import AlreadyHandled, Batch, Lease, StreamAppend
from nexus_common.runtime.store import Store
from nexus_common.runtime.store.export import verify

OpenStore = Callable[[], Awaitable[Store]]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONSUMER = "cortex"
FEW_AND_MANY = (1, 100)  # many are written in another way than few


class FixedClock:
    """Stands still until it is told to go on."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def reading(number: int) -> MacroRead:
    return MacroRead(known_at=NOON + timedelta(minutes=number), fear_greed=number % 100)


def an_append(
    stream: str,
    events: Sequence[Event],
    *,
    after: Recorded[Event] | None = None,
    cause: UUID | None = None,
    correlation: UUID | None = None,
    command: object | None = None,
) -> StreamAppend:
    """Events behind `after` (None: a new stream); ids come from the cause, by default the place."""
    version = after.envelope.position if after else 0
    cause = cause or derived(NEXUS, f"{stream}/{version}")
    ids = [event_id(cause, CONSUMER, stream, index) for index in range(len(events))]
    envelopes = tuple(
        Envelope(event, ids[i], stream, version + 1 + i, correlation or ids[0], cause, AccountId("ada"), NOON)
        for i, event in enumerate(events)
    )
    sealed = _sealed(command, stream, cause) if command else None
    return StreamAppend(stream, version, after.chain_hash if after else GENESIS, envelopes, sealed)


def _sealed(command: object, stream: str, cause: UUID) -> SealedCommand:
    return seal_command(command, command_id(cause, CONSUMER, stream), stream, cause, consumer=CONSUMER)


def a_batch(
    *appends: StreamAppend, inbox: Mapping[str, int] | None = None, lease: Lease | None = None
) -> Batch:
    return Batch(CONSUMER, appends, inbox or {}, lease)


async def appended(store: Store, *appends: StreamAppend) -> Sequence[Recorded[Event]]:
    """Append and insist on it."""
    answer = await store.append(a_batch(*appends))
    assert not isinstance(answer, AlreadyHandled)
    return answer


def places(recorded: Sequence[Recorded[Event]]) -> list[tuple[str, int]]:
    return [(one.envelope.stream, one.envelope.position) for one in recorded]


class StoreContract:
    """The promises, one test each."""

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> Store:
        return await open_store()

    async def test_what_was_appended_is_read_back_as_it_was(self, store: Store) -> None:
        written = await appended(store, an_append("macro-a", [reading(1), reading(2)]))
        assert await store.read_stream("macro-a") == written
        assert await store.read_stream("macro-a", after=1) == written[1:]
        assert await store.read_stream("macro-b") == []
        assert await store.head() == written[-1].global_position
        assert await store.read_positions([one.global_position for one in reversed(written)]) == written
        assert written[0].recorded_at == NOON

    async def test_an_empty_store_has_nothing(self, store: Store) -> None:
        assert await store.head() == 0
        assert await store.read_categories([]) == []
        assert await store.latest("macro", 5) == []
        assert await store.commands() == []
        assert await store.inbox(CONSUMER) == {}

    async def test_a_stale_writer_is_told_which_stream_moved_on(self, store: Store) -> None:
        (first,) = await appended(store, an_append("macro-a", [reading(1)]))
        await appended(store, an_append("macro-a", [reading(2)], after=first))
        late = an_append("macro-a", [reading(3)], after=first, cause=derived(NEXUS, "late"))
        with pytest.raises(WrongExpectedVersion, match="macro-a has an event at position 2"):
            await store.append(a_batch(late))
        assert len(await store.read_stream("macro-a")) == 2

    async def test_a_stream_has_no_gaps(self, store: Store) -> None:
        (first,) = await appended(store, an_append("macro-a", [reading(1)]))
        ahead = an_append("macro-a", [reading(3)], after=first)
        envelope = ahead.envelopes[0]
        moved = Envelope(
            envelope.event,
            envelope.event_id,
            "macro-a",
            3,
            envelope.correlation_id,
            envelope.causation_id,
            None,
            NOON,
        )
        with pytest.raises(WrongExpectedVersion, match="macro-a position 2"):
            await store.append(a_batch(StreamAppend("macro-a", 2, first.chain_hash, (moved,))))

    async def test_nothing_is_chained_to_a_hash_that_is_not_there(self, store: Store) -> None:
        (first,) = await appended(store, an_append("macro-a", [reading(1)]))
        good = an_append("macro-a", [reading(2)], after=first)
        with pytest.raises(WrongExpectedVersion, match="macro-a position 1"):
            await store.append(a_batch(StreamAppend("macro-a", 1, bytes(32), good.envelopes)))

    async def test_a_repeated_event_id_is_told(self, store: Store) -> None:
        cause = derived(NEXUS, "once")
        (first,) = await appended(store, an_append("macro-a", [reading(1)], cause=cause))
        again = an_append("macro-a", [reading(1)], after=first, cause=cause)
        with pytest.raises(WrongExpectedVersion, match=str(first.envelope.event_id)):
            await store.append(a_batch(again))

    async def test_a_repeated_command_is_told(self, store: Store) -> None:
        cause = derived(NEXUS, "once")
        command = RecordMacro(NOON, reading(1))
        (first,) = await appended(store, an_append("macro-a", [reading(1)], cause=cause, command=command))
        again = an_append("macro-a", [reading(2)], after=first)
        sealed = _sealed(command, "macro-a", cause)
        repeated = StreamAppend("macro-a", 1, first.chain_hash, again.envelopes, sealed)
        with pytest.raises(WrongExpectedVersion, match="command id"):
            await store.append(a_batch(repeated))
        assert await store.head() == first.global_position

    @pytest.mark.parametrize("count", FEW_AND_MANY)
    async def test_a_refused_batch_leaves_nothing_behind(self, store: Store, count: int) -> None:
        (first,) = await appended(store, an_append("macro-a", [reading(1)]))
        stale = an_append("macro-a", [reading(9)], cause=derived(NEXUS, "stale"))
        fresh = an_append("news-a", _readings(count), command=RecordMacro(NOON, reading(1)))
        with pytest.raises(WrongExpectedVersion):
            await store.append(a_batch(fresh, stale, inbox={"feed-x": 7}))
        assert await store.read_stream("news-a") == []
        assert await store.commands() == []
        assert await store.inbox(CONSUMER) == {}
        assert await store.head() == first.global_position

    async def test_one_batch_may_append_twice_to_a_stream(self, store: Store) -> None:
        start = an_append("macro-a", [reading(1)])
        more = an_append("macro-a", [reading(2)], after=_pending(start))
        await appended(store, start, more)
        assert [one.envelope.position for one in await store.read_stream("macro-a")] == [1, 2]
        assert not (await verify(store)).findings

    @pytest.mark.parametrize("count", FEW_AND_MANY)
    async def test_a_repeat_is_already_handled_and_writes_nothing(self, store: Store, count: int) -> None:
        await store.append(a_batch(an_append("macro-a", _readings(count)), inbox={"feed-x": 3}))
        for inbox in ({"feed-x": 3}, {"feed-x": 2}, {"feed-x": 3, "feed-y": 1}):
            answer = await store.append(a_batch(an_append("macro-b", _readings(count)), inbox=inbox))
            assert isinstance(answer, AlreadyHandled)
        assert await store.read_stream("macro-b") == []
        assert await store.inbox(CONSUMER) == {"feed-x": 3}

    @pytest.mark.parametrize("count", FEW_AND_MANY)
    async def test_the_inbox_moves_with_the_events(self, store: Store, count: int) -> None:
        (first,) = await appended(store, an_append("macro-a", [reading(1)]))
        await store.append(
            a_batch(an_append("macro-a", _readings(count), after=first), inbox={"feed-x": 4, "feed-y": 1})
        )
        assert len(await store.read_stream("macro-a")) == 1 + count
        await store.append(a_batch(inbox={"feed-x": 5}))
        assert await store.inbox(CONSUMER) == {"feed-x": 5, "feed-y": 1}
        assert await store.inbox("another") == {}

    @pytest.mark.parametrize("count", FEW_AND_MANY)
    async def test_of_two_handlers_of_one_message_one_wins(self, open_store: OpenStore, count: int) -> None:
        stores = [await open_store() for _ in range(4)]
        answers = await asyncio.gather(
            *(
                store.append(
                    a_batch(an_append(f"macro-{n}", _readings(count)), inbox={"feed-x": 1, "feed-y": n + 1})
                )
                for n, store in enumerate(stores)
            )
        )
        written = [answer for answer in answers if not isinstance(answer, AlreadyHandled)]
        assert len(written) == 1
        assert await stores[0].read_categories([]) == written[0]

    async def test_of_two_writers_on_one_stream_one_wins(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(3)]
        last: Recorded[Event] | None = None
        for turn in range(20):
            answers = await asyncio.gather(
                *(
                    store.append(
                        a_batch(
                            an_append(
                                "macro-a", [reading(n)], after=last, cause=derived(NEXUS, f"{turn}/{n}")
                            )
                        )
                    )
                    for n, store in enumerate(stores)
                ),
                return_exceptions=True,
            )
            lost = [answer for answer in answers if isinstance(answer, WrongExpectedVersion)]
            assert len(lost) == len(stores) - 1, answers
            last = (await stores[0].read_stream("macro-a"))[-1]
        assert not (await verify(stores[0])).findings

    async def test_readers_never_skip_and_never_see_half_a_batch(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(4)]
        reader = await open_store()
        writing = [asyncio.ensure_future(_write(store, f"w{n}", 400)) for n, store in enumerate(stores)]
        seen: list[Recorded[Event]] = []
        while True:
            done = all(task.done() for task in writing)
            page = await reader.read_categories([], seen[-1].global_position if seen else 0, limit=10_000)
            whole = {one.envelope.causation_id for one in page if one.envelope.category == "news"}
            assert whole == {one.envelope.causation_id for one in page if one.envelope.category == "macro"}
            seen.extend(page)
            if done:
                break
            await asyncio.sleep(0)
        await asyncio.gather(*writing)
        assert len(seen) == 4 * 400 * 3
        assert seen == await reader.read_categories([], limit=10_000)
        assert all(a.global_position < b.global_position for a, b in pairwise(seen))

    async def test_categories_are_read_page_by_page(self, store: Store) -> None:
        for n in range(6):
            await appended(store, an_append(f"macro-{n}", [reading(n)]), an_append(f"news-{n}", [reading(n)]))
            await appended(store, an_append(f"feed-{n}", [reading(n)]))
        everything = await store.read_categories([])
        wanted = [one for one in everything if one.envelope.category != "feed"]
        paged: list[Recorded[Event]] = []
        while page := await store.read_categories(
            ["news", "macro", "macro"], paged[-1].global_position if paged else 0, limit=5
        ):
            assert len(page) == min(5, len(wanted) - len(paged))
            paged.extend(page)
        assert paged == wanted
        up_to = everything[4].global_position
        assert await store.read_categories(["feed"], 0, up_to) == [
            one for one in everything[:5] if one.envelope.category == "feed"
        ]
        assert await store.read_categories([], everything[1].global_position, up_to) == everything[2:5]

    async def test_the_latest_of_a_category_come_oldest_first(self, store: Store) -> None:
        for n in range(5):
            await appended(store, an_append(f"macro-{n}", [reading(n)]), an_append(f"news-{n}", [reading(n)]))
        assert places(await store.latest("macro", 2)) == [("macro-3", 1), ("macro-4", 1)]
        assert len(await store.latest("macro", 50)) == 5
        assert await store.latest("macro", 0) == []

    async def test_an_event_its_story_and_its_command_are_found(self, store: Store) -> None:
        story = derived(NEXUS, "story")
        command = RecordMacro(NOON, reading(1))
        (told,) = await appended(
            store, an_append("macro-a", [reading(1)], correlation=story, command=command)
        )
        (other,) = await appended(store, an_append("macro-b", [reading(2)]))
        (more,) = await appended(store, an_append("news-a", [reading(3)], correlation=story))
        assert await store.find(told.envelope.event_id) == told
        assert await store.find(story) is None
        assert await store.correlated(story) == [told, more]
        behind = await store.command_behind(told.envelope.event_id)
        assert behind is not None
        assert open_command(behind).command == command
        assert await store.command_behind(other.envelope.event_id) is None

    async def test_commands_are_kept_in_order_with_their_events(self, store: Store) -> None:
        wishes = [RecordMacro(NOON, reading(n)) for n in range(5)]
        await appended(
            store, *(an_append(f"macro-{n}", [w.reading], command=w) for n, w in enumerate(wishes[:3]))
        )
        for n, wish in enumerate(wishes[3:], start=3):
            await appended(store, an_append(f"macro-{n}", [wish.reading], command=wish))
        stored = await store.commands()
        assert [open_command(sealed).command for _, sealed in stored] == wishes
        assert [sealed.stream for _, sealed in stored] == [f"macro-{n}" for n in range(5)]
        assert await store.commands(after=stored[1][0], limit=2) == stored[2:4]

    async def test_hashes_are_what_the_book_says(self, store: Store) -> None:
        written = await appended(store, an_append("macro-a", [reading(1), reading(2)]))
        previous = GENESIS
        for raw, recorded in zip(await store.read_raw(), written, strict=True):
            assert raw.content_hash == sha256(raw.body.encode()).digest() == recorded.content_hash
            link = previous + raw.body.encode() + format_instant(NOON).encode() + raw.fingerprint.encode()
            assert raw.chain_hash == sha256(link).digest() == recorded.chain_hash
            assert raw.chain_hash == chain_hash(previous, raw.body, NOON, raw.fingerprint)
            previous = raw.chain_hash

    async def test_the_heads_of_moved_streams_are_known_and_verify(self, store: Store) -> None:
        (first,) = await appended(store, an_append("macro-a", [reading(1)]))
        written = await appended(
            store, an_append("macro-b", [reading(1), reading(2)]), an_append("news-a", [reading(1)])
        )
        heads, up_to = await store.heads(["macro"], first.global_position)
        assert heads == [("macro-b", 2, written[1].chain_hash)]
        assert up_to == written[-1].global_position
        everything, _ = await store.heads(["macro", "news"], 0)
        note = HeadsRecorded(up_to=up_to, heads=tuple(Head(s, p, chain.hex()) for s, p, chain in everything))
        await appended(store, an_append("run-cortex", [note]))
        verifier = await verify(store)
        assert verifier.findings == []
        assert (verifier.events, verifier.heads_checked) == (5, 3)

    async def test_many_events_at_once_are_one_batch_like_any_other(self, store: Store) -> None:
        (first,) = await appended(store, an_append("macro-b", [reading(0)]))
        events = [reading(n) for n in range(450)]
        written = await appended(
            store,
            an_append("macro-a", events, command=RecordMacro(NOON, reading(0))),
            an_append("macro-b", events[:5], after=first),
        )
        assert await store.read_categories([], after=first.global_position) == written
        assert len(await store.commands()) == 1
        await appended(store, an_append("macro-c", [reading(1)]))
        assert not (await verify(store)).findings
        with pytest.raises(WrongExpectedVersion, match="macro-a has an event at position 1"):
            await store.append(a_batch(an_append("macro-a", events, cause=derived(NEXUS, "again"))))
        gap = tuple(
            Envelope(reading(n), derived(NEXUS, f"gap/{n}"), "macro-b", 10 + n, NEXUS, NEXUS, None, NOON)
            for n in range(60)
        )
        with pytest.raises(WrongExpectedVersion, match="macro-b position 9"):
            await store.append(a_batch(StreamAppend("macro-b", 9, first.chain_hash, gap)))
        assert len(await store.read_categories([])) == 1 + 450 + 5 + 1

    async def test_a_partition_has_one_holder(self, store: Store) -> None:
        first = await store.claim("shield/3", "shield-0", ttl_seconds=60)
        assert first == Lease("shield/3", "shield-0", 1)
        assert await store.claim("shield/3", "shield-1", ttl_seconds=60) is None
        assert await store.renew(first, ttl_seconds=0)
        second = await store.claim("shield/3", "shield-1", ttl_seconds=60)
        assert second == Lease("shield/3", "shield-1", 2)
        assert not await store.renew(first, ttl_seconds=60)
        await store.release(first)
        assert await store.claim("shield/3", "shield-0", ttl_seconds=60) is None

    async def test_a_restarted_holder_takes_its_partition_back_at_once(self, store: Store) -> None:
        first = await store.claim("shield/3", "shield-0", ttl_seconds=60)
        again = await store.claim("shield/3", "shield-0", ttl_seconds=60)
        assert first is not None
        assert again == Lease("shield/3", "shield-0", first.epoch + 1)
        assert not await store.renew(first, ttl_seconds=60)
        assert await store.renew(again, ttl_seconds=60)

    async def test_a_released_partition_is_free_and_writes_nothing_more(self, store: Store) -> None:
        lease = await store.claim("shield/3", "shield-0", ttl_seconds=60)
        assert lease is not None
        await store.release(lease)
        with pytest.raises(LeaseLost, match="shield/3"):
            await store.append(a_batch(an_append("macro-a", [reading(1)]), lease=lease))
        assert await store.claim("shield/3", "shield-1", ttl_seconds=60) == Lease("shield/3", "shield-1", 2)

    async def test_who_holds_what_leaves_out_what_ran_out_or_was_given_back(self, store: Store) -> None:
        given_back = await store.claim("cortex/replica/1", "cortex-a", ttl_seconds=60)
        assert given_back is not None
        await store.claim("cortex/replica/2", "cortex-b", ttl_seconds=60)
        await store.claim("cortex/replica/3", "cortex-c", ttl_seconds=0)
        await store.claim("cortex/1", "cortex-a", ttl_seconds=60)
        assert await store.holders("cortex/replica/") == {
            "cortex/replica/1": "cortex-a",
            "cortex/replica/2": "cortex-b",
        }
        await store.release(given_back)
        assert await store.holders("cortex/replica/") == {"cortex/replica/2": "cortex-b"}

    @pytest.mark.parametrize("count", [1, 100])
    async def test_an_old_epoch_appends_nothing(self, store: Store, count: int) -> None:
        old = await store.claim("shield/3", "shield-0", ttl_seconds=60)
        events = [reading(n) for n in range(count)]
        await store.append(a_batch(an_append("macro-a", events), lease=old))
        new = await store.claim("shield/3", "shield-0", ttl_seconds=60)
        with pytest.raises(LeaseLost, match="shield-0 held shield/3 under epoch 1"):
            await store.append(a_batch(an_append("macro-b", events), lease=old))
        with pytest.raises(LeaseLost):
            await store.append(a_batch(an_append("macro-b", events), inbox={"feed-x": 1}, lease=old))
        assert await store.read_stream("macro-b") == []
        assert await store.inbox(CONSUMER) == {}
        await store.append(a_batch(an_append("macro-b", events), inbox={"feed-x": 1}, lease=new))
        assert len(await store.read_stream("macro-b")) == count

    async def test_snapshots_are_caches(self, store: Store) -> None:
        await appended(store, an_append("macro-a", [reading(1), reading(2)]))
        await store.save_snapshot("macro-a", 2, '{"n":2}')
        await store.save_snapshot("macro-a", 1, '{"n":1}')
        assert await store.load_snapshot("macro-a") == (2, '{"n":2}')
        await store.drop_snapshots()
        assert await store.load_snapshot("macro-a") is None
        assert len(await store.read_stream("macro-a")) == 2

    async def test_a_models_files_are_kept_as_they_were_first_said(self, store: Store) -> None:
        model = ModelId("abc")
        assert await store.artefact(model) == {}
        await store.keep_artefact(model, {"model.ubj": b"\x00\x01", "manifest.json": b"{}"})
        await store.keep_artefact(model, {"model.ubj": b"another", "schema.json": b"[]"})
        assert await store.artefact(model) == {
            "model.ubj": b"\x00\x01",
            "manifest.json": b"{}",
            "schema.json": b"[]",
        }

    async def test_an_event_filed_under_a_wrong_place_is_our_own_error(self, store: Store) -> None:
        right = an_append("macro-a", [reading(1)])
        with pytest.raises(ValueError, match="says macro-a 1, but is appended as macro-b 1"):
            await store.append(a_batch(StreamAppend("macro-b", 0, GENESIS, right.envelopes)))


def _readings(count: int) -> list[Event]:
    return [reading(number) for number in range(count)]


def _pending(append: StreamAppend) -> Recorded[Event]:
    """The last event of an append that is not committed yet, as a desk knows it: without its hash."""
    return Recorded(append.envelopes[-1], "", 0, NOON, "", append.previous_hash)


async def _write(store: Store, name: str, batches: int) -> None:
    """Batches of three events on two streams, so that half a batch would show."""
    macro: Recorded[Event] | None = None
    news: Recorded[Event] | None = None
    for turn in range(batches):
        cause = derived(NEXUS, f"{name}/{turn}")
        one = an_append(f"macro-{name}", [reading(turn), reading(turn + 1)], after=macro, cause=cause)
        other = an_append(f"news-{name}", [reading(turn)], after=news, cause=cause)
        _, macro, news = await appended(store, one, other)
