"""The venue's numbered messages: each once, in order, and none left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.order import OrderFilled


async def test_a_hole_in_the_numbers_is_not_passed_over(
    make_world: Any, verdict: Callable[..., Any], to_risk: Callable[[Any], Any]
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    pull = world.exchange.updates

    def with_a_hole(account: str, after: int) -> list[Any]:
        return [update._replace(sequence=update.sequence + 1) for update in pull(account, after)]

    world.exchange.updates = with_a_hole
    with pytest.raises(InvariantBroken, match="hole"):
        await world.flat("60000", to_risk(verdict()))


async def test_a_message_told_again_counts_once(
    make_world: Any, verdict: Callable[..., Any], to_risk: Callable[[Any], Any]
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000", to_risk(verdict()))
    await world.flat("60000", minutes=3)
    fills = await world.all_of(OrderFilled)
    assert len({fill.fill_id for fill in fills}) == len(fills) == 1
