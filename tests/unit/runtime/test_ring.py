"""The order of work within an instant: fixed slots, tokens that survive the bus, parts that are waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.values import Service
from nexus_common.runtime.lockstep import pass_on, receiver
from nexus_common.runtime.ring import ACTING, JUDGING, ROUNDS_MAX, SLOTS, Token, following
from nexus_common.testing.small_service import NOON

marks = st.lists(st.tuples(st.integers(1, 10**9), st.sampled_from(["market", "order", "risk"]))).map(tuple)
tokens = st.builds(
    Token,
    at=st.datetimes().map(lambda moment: moment.replace(tzinfo=NOON.tzinfo)),
    position=st.integers(1, 10**9),
    epoch=st.integers(0, 1_000),
    round=st.integers(1, 50),
    slot=st.integers(0, len(SLOTS)),
    base=st.integers(0, 100),
    produced=marks,
    parts=st.lists(st.integers(0, 15)).map(tuple),
    parts_total=st.integers(0, 16),
)


def a_token(**changes: object) -> Token:
    token = Token(NOON, 7, 1, 1, 0, 1, ((7, "market"),))
    return replace(token, **changes)  # type: ignore[arg-type]


def test_fills_are_judged_before_signals_and_verdicts_are_acted_on_in_the_same_round() -> None:
    assert SLOTS.index(Service.EXECUTOR) < SLOTS.index(Service.SHIELD) < SLOTS.index(Service.CORTEX)
    assert SLOTS[JUDGING] is Service.SHIELD
    assert SLOTS[ACTING] is Service.EXECUTOR
    assert SLOTS.index(Service.CORTEX) < JUDGING < ACTING < SLOTS.index(Service.TELEGRAM)
    assert {*SLOTS, Service.INGEST} == set(Service)


def test_the_slots_of_an_eventful_round_follow_each_other() -> None:
    token = a_token(produced=((7, "market"), (8, "signal")))
    assert [following(slot, token) for slot in range(len(SLOTS))] == [1, 2, 3, 4, 5, 6, None]


def test_executors_second_turn_is_passed_over_when_nothing_has_happened() -> None:
    assert [following(slot, a_token()) for slot in (2, 3, 5)] == [3, 5, 6]


def test_a_round_more_begins_at_the_first_slot_with_what_was_brought() -> None:
    token = a_token(round=2, slot=5, parts=(1, 3), parts_total=2)
    brought = (*token.produced, (8, "signal"))
    assert token.next_round(brought) == a_token(round=3, produced=brought)


def test_services_that_answer_each_other_without_end_are_stopped() -> None:
    with pytest.raises(InvariantBroken, match="do not come to rest at 20"):
        a_token(round=ROUNDS_MAX).next_round(((7, "market"), (8, "signal")))


@given(tokens)
def test_a_token_comes_over_the_bus_as_it_was(token: Token) -> None:
    assert Token.from_bytes(token.to_bytes()) == token


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'"text"', b'{"at": 1}', b"\xff"])
def test_what_is_no_token_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        Token.from_bytes(data)


def test_marks_are_kept_once_and_in_order() -> None:
    token = a_token().plus([(9, "risk"), (8, "signal")]).plus([(8, "signal")])
    assert token.produced == ((7, "market"), (8, "signal"), (9, "risk"))
    assert not token.is_uneventful


def test_parts_that_replicas_speak_for_complete_each_other() -> None:
    one = a_token(parts=(0, 2), parts_total=4).plus([(8, "signal")])
    other = a_token(parts=(1, 3), parts_total=4).plus([(9, "signal")])
    assert not one.is_complete
    assert not one.joined(one).is_complete
    both = one.joined(other)
    assert both.is_complete
    assert both.parts == (0, 1, 2, 3)
    assert both.produced == ((7, "market"), (8, "signal"), (9, "signal"))
    assert both == other.joined(one)


def test_a_token_that_nobody_shares_is_complete() -> None:
    assert a_token().is_complete


@given(tokens)
def test_a_turn_tells_the_instant_and_the_token_keeps_it(token: Token) -> None:
    turn = token.turn
    assert (turn.at, turn.position, turn.epoch, turn.round, turn.slot) == (
        token.at,
        token.position,
        token.epoch,
        token.round,
        token.slot,
    )
    assert token.key == (token.epoch, token.position, token.round, token.slot)


def test_the_token_goes_round_and_returns_to_ingest() -> None:
    token: Token = a_token()
    visited = []
    while receiver(token) is not Service.INGEST:
        visited.append(receiver(token))
        token = pass_on(token.plus([(8 + token.slot, "risk")]), (), 0)
    assert tuple(visited) == SLOTS
    assert token.round == 1
