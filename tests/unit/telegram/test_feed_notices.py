"""What users hear of live feeds: in plain words, about their venues, and not too often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from nexus_common.contracts.feed import (
    ClockOff,
    FeedLost,
    FeedRestored,
    FeedStarted,
    PriceDoubted,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.instrument import ChangeKind, InstrumentChange, InstrumentsChanged
from nexus_common.contracts.market import Bar, CandleCorrected, TradingHalted, TradingResumed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Timeframe, Venue

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOME = Venue.BINANCE
Build = Callable[..., Any]

LOST = FeedLost(venue=HOME, reason="no frame for 12 s")
SILENT = StreamSilent(venue=HOME, symbol=ETH, stream="candles", since=NOON)


def of_feed(*events: Event) -> list[tuple[str, Event, None]]:
    return [("feed-binance", event, None) for event in events]


def corrected(symbol: Symbol) -> CandleCorrected:
    was = Bar(0, Decimal(100), Decimal(101), Decimal(99), Decimal(100), Decimal(5))
    return CandleCorrected(
        venue=HOME,
        partition=0,
        symbol=symbol,
        timeframe=Timeframe.M1,
        was=was,
        now=was._replace(close=Decimal("100.5")),
        source="rest",
        at=NOON,
    )


async def first_lines(nexus: Any) -> list[str]:
    return [text.splitlines()[0] for text in await nexus.notices()]


async def test_every_trouble_of_a_feed_is_said_in_a_line(installation: Build) -> None:
    nexus = installation()
    doubted = PriceDoubted(
        venue=HOME,
        symbol=BTC,
        price=Decimal(600_000),
        reference=Decimal(60_000),
        reason="10 times the last price",
        witness=Venue.BYBIT,
        witness_price=Decimal(60_010),
        at=NOON,
    )
    await nexus.step(*of_feed(SILENT, doubted, ClockOff(venue=HOME, milliseconds=-2_500, at=NOON)))
    halted = TradingHalted(venue=HOME, symbol=BTC, code="H", reason="", at=NOON)
    await nexus.step(("market-binance.halts", halted, None), ("market-binance.0", corrected(BTC), None))
    await nexus.step(
        *of_feed(StreamHeard(venue=HOME, symbol=ETH, stream="candles", at=NOON)),
        ("market-binance.halts", TradingResumed(venue=HOME, symbol=BTC, at=NOON), None),
    )

    assert [line.split("  ")[0] for line in await first_lines(nexus)] == [
        "SILENT",
        "PRICE DOUBTED",
        "CLOCK",
        "HALTED",
        "CANDLE CORRECTED",
        "HEARD AGAIN",
        "TRADED AGAIN",
    ]
    told = "\n".join(await nexus.notices())
    assert "bybit says" in told
    assert "2.5 s behind ours" in told


async def test_other_streams_may_be_silent_without_a_word(installation: Build) -> None:
    nexus = installation()
    await nexus.step(*of_feed(SILENT.model_copy(update={"stream": "trades"})))
    assert await nexus.notices() == []


async def test_what_happens_again_and_again_is_told_once_an_hour_and_counted(installation: Build) -> None:
    nexus = installation()
    await nexus.step()
    for symbol in (BTC, ETH, BTC):
        await nexus.step(("market-binance.0", corrected(symbol), None))
    nexus.now += timedelta(hours=1)
    await nexus.step(("market-binance.0", corrected(ETH), None))

    first, second = await nexus.notices()
    assert "BTCUSDT" in first
    assert "ETHUSDT" in second
    assert second.split()[-1] == "4"


async def test_a_lost_feed_is_told_each_time(installation: Build) -> None:
    nexus = installation()
    for _ in range(2):
        await nexus.step(*of_feed(LOST))
        await nexus.step(*of_feed(FeedRestored(venue=HOME)))
    assert len(await nexus.notices()) == 4


async def test_changes_of_a_listing_are_told_by_instrument(installation: Build) -> None:
    nexus = installation()
    changes = (
        InstrumentChange(ETH, ChangeKind.TO_STOP, now="2024-02-01"),
        InstrumentChange(BTC, ChangeKind.ALTERED, "tick_size", "0.1", "0.01"),
    )
    await nexus.step(("instrument-binance", InstrumentsChanged(venue=HOME, changes=changes), None))
    [told] = await nexus.notices()
    assert "stops trading 2024-02-01" in told
    assert "tick_size 0.1 → 0.01" in told


async def test_status_shows_how_the_feeds_stand(installation: Build) -> None:
    nexus = installation("-", "-", "/status", "/status")
    started = FeedStarted(venue=HOME, sources={BTC: "live"}, notes=(), start=NOON, end=None)
    await nexus.step(*of_feed(started, SILENT))
    await nexus.step(*of_feed(LOST))
    await nexus.step(*of_feed(FeedRestored(venue=HOME)))
    await nexus.step()
    lines = [text for text in await nexus.notices() if text.startswith("STATUS")]
    assert len(lines) == 2
    assert "lost: no frame for 12 s" in lines[0] or "up, no candles of ETHUSDT" in lines[0]
    assert "up, no candles of ETHUSDT" in lines[1]
