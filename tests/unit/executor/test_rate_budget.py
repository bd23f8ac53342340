"""What of a venue's limit may be used, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nexus_executor.venues.rate_budget import RateBudget

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)


def test_the_last_fifth_is_for_ways_out() -> None:
    budget = RateBudget(100, 60)
    assert all(budget.admit(10, False, NOON) for _ in range(8))
    assert not budget.admit(1, False, NOON)
    assert budget.admit(20, True, NOON)
    assert not budget.admit(1, True, NOON)


def test_what_the_venue_counts_is_believed_when_it_is_more() -> None:
    budget = RateBudget(100, 60)
    budget.learned(80, NOON)
    assert not budget.admit(1, False, NOON)
    budget.learned(3, NOON)
    assert not budget.admit(1, False, NOON)


def test_a_new_span_begins_with_its_first_request() -> None:
    budget = RateBudget(100, 60)
    assert budget.admit(80, False, NOON)
    assert not budget.admit(1, False, NOON + timedelta(seconds=59))
    assert budget.admit(80, False, NOON + timedelta(seconds=60))


def test_nothing_is_sent_during_a_ban() -> None:
    budget = RateBudget(100, 60)
    budget.ban(120, NOON)
    budget.ban(5, NOON)
    assert not budget.admit(1, True, NOON + timedelta(seconds=119))
    assert budget.admit(1, True, NOON + timedelta(seconds=120))
