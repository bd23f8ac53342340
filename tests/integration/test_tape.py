"""A session of the whole house at simulated venues, on tape: replayed to the same events, and made a data directory."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.feed import GapFilled, TapeSealed
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_data.data_directory import DataDirectory
from nexus_data.generated_market import GeneratedMarket
from nexus_data.tape import Tape
from nexus_data.tape_format import Table
from nexus_ingest.adapters.tape_writer import PART_SECONDS
from nexus_market.candles import from_millis
from nexus_ops.access import connected
from nexus_ops.decisions import events_of
from nexus_ops.live_options import LiveOptions, MarketKind, rehearsed_live
from nexus_ops.stack.house import House
from nexus_ops.stack.life import prepare_home
from nexus_ops.tape_import import import_tape
from nexus_ops.tape_replay import replay_tape

SPEED, MINUTES, SEED = 300, 1_500, 5
SYMBOLS = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
SPAN = timedelta(minutes=12)
PATIENCE_SECONDS = 40.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Its tape lies in the folder `tape` beside its home."""
    chosen = LiveOptions(
        MarketKind.SIMULATED, symbols=",".join(SYMBOLS), minutes=MINUTES, seed=SEED, speed=str(SPEED)
    )
    environment, plays = rehearsed_live(chosen)
    environment["NEXUS__FEEDS__TAPE_DIR"] = str(tmp_path / "tape")
    environment["NEXUS__FEEDS__TAPE_SEGMENT_MINUTES"] = "20"
    prepare_home(tmp_path / "home", environment, fresh=True)
    with House(tmp_path / "home", environment, plays=plays) as running:
        running.start()
        yield running


@pytest.mark.integration
@pytest.mark.xdist_group("machine")
async def test_a_recorded_session_is_replayed_to_the_same_events_and_imported(
    house: House, tmp_path: Path
) -> None:
    """Several runs, the first of them killed; a cut connection in two."""
    venues = ExchangeClient(house.addresses.exchange, name="test")
    async with connected(house.addresses.store) as store:
        await market_goes_on(store, SPAN)
        await cut(venues)
        await market_goes_on(store, SPAN)
        os.kill(pid_of_ingest(house), signal.SIGKILL)
        await market_goes_on(store, SPAN)
        await cut(venues)
        await market_goes_on(store, SPAN)
        reached = await newest(store)
        os.kill(pid_of_ingest(house), signal.SIGTERM)
        await sealed_until(store, reached)
        events = [recorded async for recorded in events_of(store)]
        tape = Tape(tmp_path / "tape")
        outcome = await replay_tape(tape, store)
    await venues.close()
    assert outcome.divergence is None, outcome.divergence.to_json()
    assert outcome.runs >= 2
    assert outcome.candles > len(SYMBOLS) * 3 * SPAN / Timeframe.M1.duration
    assert any(isinstance(each.event, GapFilled) for each in events)
    noted = {each.event.name: each.event.sha256 for each in events if isinstance(each.event, TapeSealed)}
    sealed = {file.name for file in tape.sealed()}
    assert noted
    assert sealed >= noted.keys()
    assert [finding for finding in tape.check(noted) if finding.name in noted] == []
    assert {file.table for file in tape.sealed()} >= {Table.FRAMES, Table.TRADES, Table.BOOK}
    assert_candles_are_those_served(tape, tmp_path / "data", events)


def assert_candles_are_those_served(tape: Tape, to: Path, events: Sequence[Recorded[Event]]) -> None:
    """To the last digit, and every minute that is on record."""
    import_tape(tape, to)
    market = GeneratedMarket(SEED, SYMBOLS, minutes=MINUTES, venue=Venue.BINANCE)
    for symbol in SYMBOLS:
        series = DataDirectory(to).stretch_for(symbol, None, None).read()
        served: dict[int, tuple[object, ...]] = {}
        for part in (market.warm_series(symbol, Timeframe.M1), market.series(symbol, Timeframe.M1)):
            served |= dict(zip(part.open_time.tolist(), part.bars(0, len(part)), strict=True))
        read = dict(zip(series.open_time.tolist(), series.bars(0, len(series)), strict=True))
        assert read == {opened: served[opened] for opened in read}
        recorded = {
            each.event.at - Timeframe.M1.duration
            for each in events
            if isinstance(each.event, CandlesClosed)
            for candle in each.event.candles
            if candle.symbol == symbol and candle.timeframe is Timeframe.M1
        }
        missing = sorted(recorded - {from_millis(opened) for opened in read})
        # The seconds before the kill were not written yet, those before the end are not yet.
        breaks = sum(later - earlier > Timeframe.M1.duration for earlier, later in pairwise(missing))
        assert breaks <= 1
        assert len(missing) <= 2 * (PART_SECONDS + 1) * SPEED / 60
        assert len(read) >= 2 * SPAN / Timeframe.M1.duration


async def cut(venues: ExchangeClient) -> None:
    rule = {"fault": "cut", "address": "binance", "topic": "btcusdt@kline_1m"}
    await venues.call("market_faults", {"rules": [rule]})


def pid_of_ingest(house: House) -> int:
    pid = next(status.pid for status in house.status() if status.name == "ingest")
    assert pid is not None
    return pid


async def market_goes_on(store: PostgresStore, span: timedelta) -> None:
    """Until candles closed that much later than the last ones."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    before = await newest(store)
    while (now := await newest(store)) < before + span:
        assert time.monotonic() < deadline, f"the market stands at {now}"
        await asyncio.sleep(0.2)


async def sealed_until(store: PostgresStore, moment: datetime) -> None:
    """Until the sealed segments reach that far, which is told by the run behind the one that was stopped."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        facts = (each.event for each in await store.latest("feed", 500))
        if any(isinstance(fact, TapeSealed) and fact.last >= moment for fact in facts):
            return
        assert time.monotonic() < deadline, f"nothing was sealed up to {moment}"
        await asyncio.sleep(0.2)


async def newest(store: PostgresStore) -> datetime:
    """When the last candles closed; waits for the first ones."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        latest = await store.latest("market", 500)
        closed = [each.event.at for each in latest if isinstance(each.event, CandlesClosed)]
        if closed:
            return max(closed)
        assert time.monotonic() < deadline, "no candle closed"
        await asyncio.sleep(0.2)
