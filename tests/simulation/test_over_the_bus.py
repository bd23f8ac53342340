"""The ring over a bus decides what the ring in one process decides, whoever dies and whatever the bus loses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nexus_ingest import rounds
from nexus_market.exchange import duplicate_orders
from nexus_ops.composition import cortex_reactor
from nexus_ops.decisions import decisions_hash, events_of
from nexus_ops.replay import replay

Played = Callable[..., Awaitable[Any]]
DAY: dict[str, Any] = {"seed": 42, "minutes": 110, "script": Path(__file__).with_name("busy_day.txt")}
FAULTS: dict[str, dict[str, Any]] = {
    "undisturbed": {"kills": 1, "between_turns": 0.0, "at_writes": 0.0},
    "deaths": {"kills": 2, "between_turns": 0.0, "at_writes": 0.03},
    "losses": {"kills": 3, "between_turns": 0.005, "at_writes": 0.0},
    "deaths and losses": {"kills": 4, "between_turns": 0.003, "at_writes": 0.02},
}


@pytest.fixture(params=FAULTS)
async def twins(request: pytest.FixtureRequest, played: Played, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same hours in one process, and over a bus."""
    monkeypatch.setattr(rounds, "ASK_AGAIN_SECONDS", 0.02)
    return await played(**DAY), await played(**DAY, over_bus=True, **FAULTS[request.param])


async def test_over_a_bus_the_services_decide_what_they_decide_in_one_process(twins: Any) -> None:
    local, over_bus = twins
    left, right = await _bodies(local), await _bodies(over_bus)
    assert [key for key in sorted({*left, *right}) if left.get(key) != right.get(key)] == []
    assert await decisions_hash(local.store) == await decisions_hash(over_bus.store)
    assert duplicate_orders(over_bus.records) == []
    outcome = await replay(over_bus.store, cortex_reactor(over_bus.settings))
    assert outcome.equal


async def test_there_are_deaths_and_losses(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "ASK_AGAIN_SECONDS", 0.02)
    kills = (await played(**DAY, over_bus=True, **FAULTS["deaths and losses"])).kills
    assert any("ingest" in where for where in kills)
    assert any("lose everything" in where for where in kills)
    assert any("commit" in where for where in kills)


async def _bodies(day: Any) -> dict[tuple[str, int], str]:
    """What is on record but for the end of the market, which one process leaves out."""
    return {
        (r.envelope.stream, r.envelope.position): r.body
        async for r in events_of(day.store)
        if r.event.type != "feed.ended"
    }
