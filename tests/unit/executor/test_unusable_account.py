"""An account that is set up in a way it cannot be traded: its owner hears why, and nothing else stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_common.contracts.account import AccountNoted, AccountOpened
from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.trade import ProtectionSet, TradeDeclined, TradeEntered


async def test_its_owner_is_told_once_and_it_is_traded_when_it_is_set_right(
    make_world: Callable[..., Any], verdict: Any, to_risk: Any
) -> None:
    world = make_world()
    world.lose = lambda call: "misused" if call == "open" else None
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    noted = await world.all_of(AccountNoted)
    assert [event.text for event in noted] == [
        "not traded: the account is in hedge mode: switch it to one-way"
    ]
    assert len(await world.all_of(TradeDeclined)) == 1
    world.lose = lambda call: None
    await world.flat("60000")
    assert len(await world.all_of(AccountOpened)) == 1
    await world.flat("60000", to_risk(verdict()))
    assert await world.all_of(TradeEntered)


async def test_its_owner_is_told_too_when_it_was_opened_before(make_world: Callable[..., Any]) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.lose = lambda call: "misused" if call == "open" else None
    await world._restart()
    await world.flat("60000", minutes=3)
    noted = await world.only(AccountNoted)
    assert noted.text == "not traded: the account is in hedge mode: switch it to one-way"


async def test_an_owner_hears_of_a_position_without_a_stop_while_its_venue_is_silent(
    make_world: Callable[..., Any], verdict: Any, to_risk: Any
) -> None:
    world = make_world(conclusive=False)
    await world.start()
    await world.flat("60000")
    sent: list[str] = []

    def lose(call: str) -> str | None:
        sent.append(call)
        return "request" if call == "submit" and sent.count("submit") > 1 else None

    world.lose = lose
    await world.flat("60000", to_risk(verdict()))
    assert world.held() > 0
    world.lose = lambda call: "down" if call in ("updates", "positions") else "request"
    await world.flat("60000", minutes=3)
    assert "no confirmed stop since" in (await world.only(AccountNoted)).text
    world.lose = lambda call: None
    await world.flat("60000", minutes=2)
    assert world.held() == 0


async def test_a_venue_whose_orders_do_not_settle_is_left_for_the_next_turn(
    make_world: Callable[..., Any], verdict: Any, to_risk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus_executor.handlers.PASSES_MAX", 1)
    world = make_world(conclusive=False)
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    assert "do not settle" in (await world.all_of(AccountNoted))[0].text
    await world.flat("60000")
    assert await world.all_of(ProtectionSet)


async def test_orders_that_do_not_settle_at_an_exchange_that_answers_for_certain_are_our_fault(
    make_world: Callable[..., Any], verdict: Any, to_risk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus_executor.handlers.PASSES_MAX", 1)
    world = make_world()
    await world.start()
    await world.flat("60000")
    with pytest.raises(InvariantBroken, match="do not settle"):
        await world.flat("60000", to_risk(verdict()))
