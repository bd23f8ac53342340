"""The stack in containers: it trades, survives kills and scaling in mid-market, and its record is as it should be.

The tests follow one market from its start to the end of the stack, in this order.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

MINUTES = 720
SERVICES = ("ingest", "cortex", "shield", "executor", "telegram", "scheduler")


def played(stack: Any) -> int:
    """Minutes of the market so far."""
    return stack.count("market.candles_closed")


def goes_on(stack: Any) -> None:
    before = played(stack)
    assert before < MINUTES - 10, "the market has ended too early to show anything: give it more minutes"
    stack.eventually("the market goes on", lambda: played(stack) > before + 5, seconds=60)


def shares(stack: Any) -> list[int]:
    """How many of cortex's partitions each holder works."""
    held = "partition ~ '^cortex/[0-9]+$' AND expires_at > now()"
    rows = stack.ask(f"SELECT count(*) FROM leases WHERE {held} GROUP BY holder ORDER BY 1")
    return [int(row[0]) for row in rows]


def test_every_service_gets_well_and_the_market_moves(stack: Any) -> None:
    for service in SERVICES:
        (container,) = stack.containers(service)
        stack.eventually(
            f"{service} is healthy",
            lambda container=container: stack.inspect(container, "State.Health.Status") == "healthy",
            seconds=90,
        )
    stack.eventually("the market moves", lambda: played(stack) > 10, seconds=60)


def test_a_second_cortex_takes_half_of_the_work(stack: Any) -> None:
    stack.compose("up", "-d", "--no-recreate", "--scale", "cortex=2")
    stack.eventually("two share the partitions", lambda: shares(stack) == [8, 8], seconds=60)
    goes_on(stack)


@pytest.mark.parametrize("service", ["executor", "cortex", "simvenue", "nats", "postgres"])
def test_what_is_killed_comes_back_and_the_market_goes_on(stack: Any, service: str) -> None:
    stack.kill(service)
    goes_on(stack)


def test_a_cortex_that_leaves_hands_its_work_over(stack: Any) -> None:
    stack.compose("up", "-d", "--no-recreate", "--scale", "cortex=1")
    stack.eventually("one works all partitions", lambda: shares(stack) == [16], seconds=60)
    goes_on(stack)


def test_the_market_is_traded_to_its_end(stack: Any) -> None:
    stack.eventually("the market ends", lambda: stack.count("feed.ended") == 1, seconds=300)
    assert played(stack) == MINUTES
    assert stack.count("signal.raised") > 0
    assert stack.count("order.filled") > 0
    assert stack.count("trade.closed") > 0


def test_the_record_is_whole_and_decides_the_same_again(stack: Any) -> None:
    assert stack.nexus("verify")["findings"] == []
    assert stack.nexus("replay", "--verify")["replay_equal"] is True


def test_kills_and_scaling_have_changed_no_decision(stack: Any) -> None:
    record = stack.nexus("replay")["decisions_hash"]
    assert stack.nexus("backtest")["decisions_hash"] == record


def test_nothing_is_left_behind(stack: Any) -> None:
    stack.compose("down")
    assert len(stack.leftovers()) == 4  # the volumes of store, bus, exchange and tape
    stack.compose("down", "-v")
    assert stack.leftovers() == []
