"""How the feeds stand, as `nexus status` shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nexus_common.contracts.feed import FeedLost, FeedStarted
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.message import Event
from nexus_common.contracts.run import RunStarted
from nexus_common.contracts.values import Service, Venue
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.store_contract import a_batch, an_append
from nexus_ops.feed_standing import feeds_standing

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
STARTED = FeedStarted(venue=Venue.BINANCE, sources={}, notes=(), start=NOON, end=None)


def ingest(market: str, venues: str) -> RunStarted:
    settings = {"ingest.market": market, "feeds.venues": venues}
    return RunStarted(
        service=Service.INGEST, instance="1", code="", settings_hash="", settings=settings, epoch=1
    )


async def standing(*recorded: tuple[str, Event]) -> dict[str, str]:
    store = MemoryStore()
    for number, (stream, event) in enumerate(recorded):
        await store.append(a_batch(an_append(stream, [event], cause=derived(NEXUS, str(number)))))
    return {venue: each["state"] for venue, each in (await feeds_standing(store)).items()}


async def test_a_venue_that_has_not_answered_yet_is_named() -> None:
    run = ("run-ingest", ingest("live", "binance,bybit"))
    assert await standing(run) == {"binance": "no answer yet", "bybit": "no answer yet"}
    assert await standing(run, ("feed-binance", STARTED)) == {"binance": "up", "bybit": "no answer yet"}


async def test_a_lost_feed_says_why() -> None:
    lost = FeedLost(venue=Venue.BINANCE, reason="no connection")
    run = ("run-ingest", ingest("live", "binance"))
    assert await standing(run, ("feed-binance", lost)) == {"binance": "lost: no connection"}


@pytest.mark.parametrize("recorded", [(), (("run-ingest", ingest("played", "binance,bybit")),)])
async def test_nobody_is_waited_for_without_a_live_market(recorded: tuple[tuple[str, Event], ...]) -> None:
    assert await standing(*recorded) == {}
