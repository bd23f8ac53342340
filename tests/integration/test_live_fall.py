"""A fall inside a bar of a live market: longs are out before the bar has closed, and a bad print exits nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, FallUnconfirmed
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import Leg, OrderIntentRecorded
from nexus_common.contracts.trade import ExitReason, TradeClosed, TradeEntered
from nexus_common.contracts.values import Direction
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_ops.access import connected
from nexus_ops.decisions import events_of
from nexus_ops.live_options import LiveOptions, MarketKind, rehearsed_live
from nexus_ops.stack.house import House
from nexus_ops.stack.life import prepare_home

SPEED = 10
START = datetime(2025, 3, 3, 12, tzinfo=UTC)
WARM_UP = 1_500
FALLEN = START + timedelta(minutes=5)
MINUTES = 20
PATIENCE_SECONDS = 90.0
SHORTS, LONGS = "ETHUSDT", "BTCUSDT"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    script = tmp_path / "script.txt"
    # Asked for again and again: the house may be up late, and a second position is refused.
    instants = (START + timedelta(seconds=second) for second in range(20, 240, 20))
    wishes = ((at, wish) for at in instants for wish in (f"/long {LONGS} 4.5%", f"/short {SHORTS} 4.5%"))
    script.write_text("".join(f"{at:%Y-%m-%dT%H:%M:%SZ} {wish}\n" for at, wish in wishes))
    write_market(tmp_path / "data")
    chosen = LiveOptions(
        MarketKind.SIMULATED,
        symbols=f"{LONGS},{SHORTS}",
        mode="pilot",
        data=tmp_path / "data",
        start=START.isoformat(),
        end=(START + timedelta(minutes=MINUTES)).isoformat(),
        speed=str(SPEED),
    )
    environment, plays = rehearsed_live(chosen)
    environment["NEXUS__TELEGRAM__SCRIPT"] = str(script)
    prepare_home(tmp_path / "home", environment, fresh=True)
    with House(tmp_path / "home", environment, plays=plays) as running:
        running.start()
        yield running


def write_market(folder: Path) -> None:
    """Minutes that go up and down by a thousandth, until BTC falls by 4.2 % inside one of them."""
    at = folder / "ohlcv" / "binance_um"
    at.mkdir(parents=True)
    for symbol, falls in ((LONGS, True), (SHORTS, False)):
        rows = []
        for minute in range(-WARM_UP, MINUTES + 1):
            opened = START + timedelta(minutes=minute)
            low, high = (59_970.0, 60_030.0) if opened < FALLEN or not falls else (57_390.0, 57_450.0)
            first = 60_000.0 if opened <= FALLEN else (low + high) / 2
            rows.append(
                (int(opened.timestamp() * 1_000), first, max(first, high), low, (low + high) / 2, 50.0)
            )
        columns = ("open_time", "open", "high", "low", "close", "volume")
        pl.DataFrame(rows, schema=columns, orient="row").write_parquet(at / f"{symbol}-1m.parquet")


@pytest.mark.integration
@pytest.mark.xdist_group("machine")
async def test_longs_are_out_before_the_bar_closes_and_a_bad_print_exits_nobody(house: House) -> None:
    venues = ExchangeClient(house.addresses.exchange, name="test")
    async with connected(house.addresses.store) as store:
        await until(lambda: has(store, "trade", TradeEntered, 2))

        await venues.call("market_faults", {"rules": [BAD_PRINT]})
        await until(lambda: has(store, "guard", FallUnconfirmed, 1))
        assert not await has(store, "guard", AmberRaised, 1)

        await until(lambda: has(store, "trade", TradeClosed, 1))
        await until(lambda: has_closed(store, FALLEN + timedelta(minutes=1)))
        events = [recorded async for recorded in events_of(store, ())]
    await venues.close()

    (declared,) = of(events, BlackSwanDeclared)
    assert declared.event.evidence.proof is not None
    bar_closed = next(
        each.global_position
        for each in of(events, CandlesClosed)
        if each.event.at == FALLEN + timedelta(minutes=1) and has_btc(each.event)
    )
    exits = [each for each in of(events, OrderIntentRecorded) if each.event.leg is Leg.EXIT]
    assert declared.global_position < exits[0].global_position < bar_closed
    closed = {
        (each.event.symbol, each.event.direction, each.event.reason) for each in of(events, TradeClosed)
    }
    assert closed == {(LONGS, Direction.LONG, ExitReason.BLACK_SWAN)}
    (unconfirmed, *_) = of(events, FallUnconfirmed)
    assert unconfirmed.event.reason.startswith("binance, asked, says last")
    assert unconfirmed.global_position < declared.global_position


BAD_PRINT: Mapping[str, object] = {"fault": "dip", "address": "binance", "topic": "btcusdt@trade"}


def of(events: Sequence[Recorded[Event]], kind: type[Event]) -> list[Recorded[Any]]:
    return [each for each in events if isinstance(each.event, kind)]


def has_btc(event: CandlesClosed) -> bool:
    return any(candle.symbol == LONGS for candle in event.candles)


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def has(store: PostgresStore, category: str, kind: type[Event], count: int) -> bool:
    latest = await store.latest(category, 200)
    return sum(isinstance(recorded.event, kind) for recorded in latest) >= count


async def has_closed(store: PostgresStore, at: datetime) -> bool:
    latest = (recorded.event for recorded in await store.latest("market", 50))
    return any(isinstance(event, CandlesClosed) and event.at >= at for event in latest)
