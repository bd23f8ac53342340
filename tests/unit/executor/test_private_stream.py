"""A venue's messages: each once, numbered without a hole, in the order in which they happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_executor.venues.broker import UpdateKind, VenueUpdate
from nexus_executor.venues.private_stream import PrivateStream

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def note(key: str | None, seconds: int = 0) -> VenueUpdate:
    return VenueUpdate(0, NOON + timedelta(seconds=seconds), UpdateKind.NOTICE, reason=key, key=key)


def test_updates_are_numbered_behind_what_was_handled_and_asked_again_the_same() -> None:
    stream = PrivateStream()
    stream.offer([note("a"), note("b")])
    taken = stream.take(41)
    assert [(update.sequence, update.key) for update in taken] == [(42, "a"), (43, "b")]
    assert stream.take(41) == taken
    stream.offer([note("c")])
    assert [(update.sequence, update.key) for update in stream.take(42)] == [(43, "b"), (44, "c")]


def test_what_was_told_before_is_dropped() -> None:
    stream = PrivateStream()
    assert stream.offer([note("a"), note("a")]) == 1
    stream.take(0)
    assert stream.offer([note("a")]) == 0
    assert stream.take(1) == []


def test_what_has_no_identity_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="identity"):
        PrivateStream().offer([note(None)])


def test_refusals_are_counted_by_reason() -> None:
    stream = PrivateStream()
    for reason in ("no price", "no price", "not JSON"):
        stream.refuse(reason)
    assert stream.refused == {"no price": 2, "not JSON": 1}


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60))), max_size=6))
def test_whatever_is_repeated_and_shuffled_each_is_told_once_without_a_hole(
    batches: list[list[tuple[int, int]]],
) -> None:
    stream, told, handled = PrivateStream(), [], 0
    for batch in batches:
        stream.offer([note(f"k{name}", seconds) for name, seconds in batch])
        for update in stream.take(handled):
            assert update.sequence == handled + 1
            handled = update.sequence
            told.append(str(update.key))
    assert sorted(told) == sorted({f"k{name}" for batch in batches for name, _ in batch})
