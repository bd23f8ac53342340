"""A budget never gives away the share of exits, and forgets with the venue's minute."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from contract.binance.ground import NOON
from nexus_executor.venues.rate_budget import RateBudget


def test_the_last_share_is_for_what_is_urgent() -> None:
    budget = RateBudget(10, 60)
    assert budget.admit(8, False, NOON)
    assert not budget.admit(1, False, NOON)
    assert budget.admit(2, True, NOON)
    assert not budget.admit(1, True, NOON)
    assert budget.admit(8, False, NOON + timedelta(seconds=60))


def test_what_others_use_counts_too() -> None:
    budget = RateBudget(10, 60, share=Decimal("0.5"))
    assert budget.admit(1, False, NOON)
    budget.learned(5, NOON)
    assert not budget.admit(1, False, NOON)
    budget.learned(2, NOON)
    assert budget.used(NOON) == 5, "an older answer does not give anything back"


def test_a_ban_is_served_to_its_end() -> None:
    budget = RateBudget(10, 60)
    budget.ban(120, NOON)
    budget.ban(30, NOON)
    assert not budget.admit(0, True, NOON + timedelta(seconds=119))
    assert budget.admit(1, True, NOON + timedelta(seconds=120))


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.integers(0, 90)), max_size=60))
def test_no_span_ever_holds_more_than_the_limit(asked: list[tuple[int, bool, int]]) -> None:
    budget, now = RateBudget(100, 60), NOON
    taken: list[tuple[int, bool, datetime]] = []
    for weight, urgent, seconds in asked:
        now += timedelta(seconds=seconds)
        if budget.admit(weight, urgent, now):
            taken.append((weight, urgent, now))
    for _, _, start in taken:
        within = [each for each in taken if start <= each[2] < start + timedelta(seconds=60)]
        assert sum(weight for weight, _, _ in within) <= 100
        assert sum(weight for weight, urgent, _ in within if not urgent) <= 80


def test_a_clock_that_is_set_back_does_not_lock_anybody_out() -> None:
    budget = RateBudget(10, 60)
    assert budget.admit(8, False, NOON)
    assert budget.admit(8, False, NOON - timedelta(hours=1))
