"""The whole house following simulated venues that play a market of their own: cuts, maintenance, a killed ingest."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.feed import FeedLost, FeedRestored
from nexus_common.contracts.market import Bar, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryRefused
from nexus_common.contracts.trade import TradeEntered
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_data.generated_market import GeneratedMarket
from nexus_ingest.domain.watch_rules import Series
from nexus_market.candles import slot_millis, to_millis
from nexus_ops.access import connected
from nexus_ops.composition import cortex_reactor, settings_for
from nexus_ops.decisions import events_of
from nexus_ops.live_options import LiveOptions, MarketKind, rehearsed_live
from nexus_ops.replay import replay
from nexus_ops.stack.house import House
from nexus_ops.stack.life import prepare_home

SPEED = 600
MINUTES = 1_500
SEED = 5
SYMBOLS = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
START = datetime(2025, 3, 3, tzinfo=UTC)
SPAN = timedelta(minutes=20)
PATIENCE_SECONDS = 40.0
STILL = 20


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[House, Mapping[str, str]]]:
    """Somebody asks for a long position every few minutes: what shield says of it tells how it sees the feed."""
    script = tmp_path / "script.txt"
    instants = (START + timedelta(minutes=minute) for minute in range(20, MINUTES, 4))
    script.write_text("".join(f"{at:%Y-%m-%dT%H:%M:%SZ} /long BTCUSDT\n" for at in instants))
    chosen = LiveOptions(
        MarketKind.SIMULATED,
        symbols=",".join(SYMBOLS),
        mode="pilot",
        minutes=MINUTES,
        seed=SEED,
        speed=str(SPEED),
    )
    environment, plays = rehearsed_live(chosen)
    environment["NEXUS__TELEGRAM__SCRIPT"] = str(script)
    prepare_home(tmp_path / "home", environment, fresh=True)
    with House(tmp_path / "home", environment, plays=plays) as running:
        running.start()
        yield running, environment


@pytest.mark.integration
@pytest.mark.xdist_group("machine")
async def test_candles_arrive_once_each_whatever_happens_and_are_traded_on(
    house: tuple[House, Mapping[str, str]],
) -> None:
    running, environment = house
    venues = ExchangeClient(running.addresses.exchange, name="test")
    async with connected(running.addresses.store) as store:
        await until(lambda: has(store, TradeEntered))

        await strike(venues, {"fault": "cut", "address": "binance", "topic": "btcusdt@kline_1m"})
        await until_the_market_is_further(store, SPAN)

        await strike(venues, {"fault": "maintenance", "address": "binance", "seconds": 1.5})
        await until(lambda: has(store, FeedRestored))

        os.kill(pid_of(running, "ingest"), signal.SIGKILL)
        await until_the_market_is_further(store, SPAN)

        os.kill(ingest := pid_of(running, "ingest"), signal.SIGSTOP)
        await until_nothing_is_recorded(store)
        events = [recorded async for recorded in events_of(store, ())]
        outcome = await replay(store, cortex_reactor(settings_for(environment)))
        os.kill(ingest, signal.SIGCONT)
    await venues.close()

    assert_candles_are_those_played(events)
    assert "feed" in refusals_while_lost(events)
    assert outcome.divergence is None


# -- what happened --------------------------------------------------------------------------------------


def assert_candles_are_those_played(events: Sequence[Recorded[Event]]) -> None:
    """Each once, in order, without a hole, and with the figures that were played."""
    market = GeneratedMarket(SEED, SYMBOLS, minutes=MINUTES, venue=Venue.BINANCE)
    for series, bars in recorded_bars(events).items():
        opens = [bar.open_time for bar in bars]
        slot = slot_millis(series.timeframe)
        assert opens == list(range(opens[0], opens[0] + len(opens) * slot, slot)), series
        before, played = (of(series.symbol, series.timeframe) for of in (market.warm_series, market.series))
        whole = {
            int(opened): tuple(map(str, row))
            for part in (before, played)
            for opened, row in zip(part.open_time.tolist(), part.bars(0, len(part)), strict=True)
        }
        assert {bar.open_time: tuple(map(str, bar[1:])) for bar in bars} == {
            opened: whole[opened] for opened in opens
        }, series


def recorded_bars(events: Sequence[Recorded[Event]]) -> dict[Series, list[Bar]]:
    found: dict[Series, list[Bar]] = {}
    for recorded in events:
        match recorded.event:
            case CandlesBackfilled() as event:
                found.setdefault(Series(event.venue, event.symbol, event.timeframe), []).extend(event.bars)
            case CandlesClosed() as event:
                for candle in event.candles:
                    series = Series(event.venue, candle.symbol, candle.timeframe)
                    opened = to_millis(candle.open_time(event.at))
                    found.setdefault(series, []).append(Bar(opened, *candle[2:]))
    assert {(series.symbol, series.timeframe) for series in found} == {
        (symbol, timeframe) for symbol in SYMBOLS for timeframe in Timeframe
    }
    return found


def refusals_while_lost(events: Sequence[Recorded[Event]]) -> set[str]:
    """Why entries were refused between the feed's loss and its return."""
    lost, reasons = False, set()
    for recorded in events:
        match recorded.event:
            case FeedLost():
                lost = True
            case FeedRestored():
                lost = False
            case EntryRefused(checks=checks) if lost:
                reasons |= {check.name for check in checks if not check.passed}
            case _:
                pass
    return reasons


# -- waiting --------------------------------------------------------------------------------------------


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def has(store: PostgresStore, kind: type[Event]) -> bool:
    category = kind.type.partition(".")[0]
    return any(isinstance(recorded.event, kind) for recorded in await store.latest(category, 200))


async def newest_candles(store: PostgresStore) -> datetime:
    closed = (recorded.event for recorded in await store.latest("market", 50))
    return max((event.at for event in closed if isinstance(event, CandlesClosed)), default=START)


async def until_the_market_is_further(store: PostgresStore, span: timedelta) -> None:
    begun = await newest_candles(store)

    async def is_further() -> bool:
        return await newest_candles(store) >= begun + span

    await until(is_further)


async def until_nothing_is_recorded(store: PostgresStore) -> None:
    """The step that was going round is over when the head stays where it is."""
    heads: list[int] = []

    async def is_still() -> bool:
        heads.append(await store.head())
        return len(heads) > STILL and len(set(heads[-STILL:])) == 1

    await until(is_still)


async def strike(venues: ExchangeClient, rule: Mapping[str, Any]) -> None:
    await venues.call("market_faults", {"rules": [rule]})


def pid_of(running: House, name: str) -> int:
    pid = next(status.pid for status in running.status() if status.name == name)
    assert pid is not None
    return pid
