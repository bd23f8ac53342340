"""A decider folds facts into state, from the beginning or from where it stood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.guard import GuardReleased
from nexus_common.testing.small_service import ECHO

words = st.lists(st.text(max_size=3), max_size=8)


def released(said: list[str]) -> list[GuardReleased]:
    return [GuardReleased(reason=word) for word in said]


def test_nothing_folds_to_the_initial_state() -> None:
    assert ECHO.fold([]) == ECHO.initial == ()


@given(words)
def test_events_are_folded_in_their_order(said: list[str]) -> None:
    assert ECHO.fold(released(said)) == tuple(said)


@given(words, words)
def test_a_fold_goes_on_from_any_state(first: list[str], then: list[str]) -> None:
    assert ECHO.fold(released(then), ECHO.fold(released(first))) == ECHO.fold(released(first + then))


def test_a_state_that_is_empty_is_still_a_state() -> None:
    assert ECHO.fold(released(["a"]), ()) == ("a",)


def test_a_stream_is_named_by_category_and_key() -> None:
    assert ECHO.stream("crypto") == "guard-crypto"
