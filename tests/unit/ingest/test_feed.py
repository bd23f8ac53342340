"""What is known about a feed: it started, was lost or restored, has gaps, came to its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.feed import (
    ClockOff,
    EndFeed,
    FeedCommand,
    FeedEnded,
    FeedFact,
    FeedLost,
    FeedRestored,
    FeedStarted,
    FoldDiffers,
    FramesRefused,
    GapFilled,
    GapFound,
    LoseFeed,
    NoteFeed,
    PriceDoubted,
    ReportGap,
    RestoreFeed,
    StartFeed,
    StreamHeard,
    StreamSilent,
    TapeDropped,
    TapeSealed,
)
from nexus_common.contracts.instrument import (
    Group,
    Instrument,
    InstrumentKind,
    InstrumentsChanged,
    InstrumentsListed,
    ListInstruments,
)
from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.contracts.market import Bar
from nexus_common.contracts.message import command_payload, command_type, decode_command
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_ingest.domain.feed import FEED
from nexus_ingest.domain.instrument import INSTRUMENT
from nexus_ingest.domain.macro import MACRO

BTC = Symbol("BTCUSDT")
NOON = datetime(2021, 5, 17, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SOURCES = {BTC: "ohlcv/binance_um/BTCUSDT-1m.parquet"}

START = StartFeed(NOON, Venue.BINANCE, SOURCES, ("a note",), NOON, NOON + DAY)
STARTED = FeedStarted(venue=Venue.BINANCE, sources=SOURCES, notes=("a note",), start=NOON, end=NOON + DAY)
LOST = FeedLost(venue=Venue.BINANCE, reason="no answer for 10 s")
RESTORED = FeedRestored(venue=Venue.BINANCE)
ENDED = FeedEnded(venue=Venue.BINANCE, at=NOON + DAY)
LOSE = LoseFeed(NOON, Venue.BINANCE, "no answer for 10 s")
RESTORE = RestoreFeed(NOON, Venue.BINANCE)
END = EndFeed(NOON + DAY, Venue.BINANCE)


def gap(last_minute: int) -> GapFound:
    return GapFound(
        venue=Venue.BINANCE,
        symbol=BTC,
        timeframe=Timeframe.M1,
        first=NOON,
        last=NOON + timedelta(minutes=last_minute),
    )


def test_a_feed_starts() -> None:
    given(FEED).when(START).then(STARTED)


def test_a_restart_with_the_same_market_is_not_a_new_feed_even_behind_its_end() -> None:
    given(FEED, STARTED).when(START).then_nothing()
    given(FEED, STARTED, ENDED).when(START).then_nothing()


def test_another_market_is_a_new_feed() -> None:
    other = StartFeed(NOON, Venue.BINANCE, SOURCES, (), NOON, None)
    given(FEED, STARTED).when(other).then_types(FeedStarted)


def test_a_feed_is_lost_once_until_it_is_restored() -> None:
    given(FEED, STARTED).when(LOSE).then(LOST)
    given(FEED, STARTED, LOST).when(LOSE).then_nothing()
    given(FEED, STARTED, LOST, RESTORED).when(LOSE).then(LOST)


def test_only_a_lost_feed_is_restored() -> None:
    given(FEED, STARTED).when(RESTORE).then_nothing()
    given(FEED, STARTED, LOST).when(RESTORE).then(RESTORED)


def test_a_feed_that_never_started_cannot_be_lost_or_end() -> None:
    given(FEED).when(LOSE).then_broken("never started")
    given(FEED).when(END).then_broken("never started")


def test_a_gap_is_reported_once() -> None:
    given(FEED, STARTED).when(ReportGap(NOON, gap(3))).then(gap(3))
    given(FEED, STARTED, gap(3)).when(ReportGap(NOON, gap(3))).then_nothing()
    given(FEED, STARTED, gap(3)).when(ReportGap(NOON, gap(9))).then(gap(9))


def test_a_feed_ends_once() -> None:
    given(FEED, STARTED).when(END).then(ENDED)
    given(FEED, STARTED, ENDED).when(END).then_nothing()


def silent(stream: str = "trades") -> StreamSilent:
    return StreamSilent(venue=Venue.BINANCE, symbol=BTC, stream=stream, since=NOON)


def heard(stream: str = "trades") -> StreamHeard:
    return StreamHeard(venue=Venue.BINANCE, symbol=BTC, stream=stream, at=NOON)


def test_a_silent_stream_is_told_once_until_it_speaks() -> None:
    given(FEED, STARTED).when(NoteFeed(NOON, silent())).then(silent())
    given(FEED, STARTED, silent()).when(NoteFeed(NOON, silent())).then_nothing()
    given(FEED, STARTED, silent()).when(NoteFeed(NOON, silent("book"))).then(silent("book"))
    given(FEED, STARTED, silent()).when(NoteFeed(NOON, heard())).then(heard())
    given(FEED, STARTED, silent(), heard()).when(NoteFeed(NOON, silent())).then(silent())


def test_only_a_silent_stream_can_speak_again() -> None:
    given(FEED, STARTED).when(NoteFeed(NOON, heard())).then_nothing()
    given(FEED, STARTED, silent("book")).when(NoteFeed(NOON, heard())).then_nothing()


BAR = Bar(0, *map(Decimal, ("1", "2", "0.5", "1.5", "10")))
FACTS: list[FeedFact] = [
    GapFilled(
        venue=Venue.BINANCE, symbol=BTC, timeframe=Timeframe.M1, first=NOON, last=NOON, bars=1, source="rest"
    ),
    FramesRefused(venue=Venue.BINANCE, counts={"not JSON": 3}, sample="{", at=NOON),
    PriceDoubted(
        venue=Venue.BINANCE,
        symbol=BTC,
        price=Decimal(1_000),
        reference=Decimal(100),
        reason="price in doubt",
        witness=None,
        witness_price=None,
        at=NOON,
    ),
    ClockOff(venue=Venue.BINANCE, milliseconds=-3_000, at=NOON),
    FoldDiffers(venue=Venue.BINANCE, symbol=BTC, timeframe=Timeframe.M5, folded=BAR, told=BAR),
    TapeSealed(venue=Venue.BINANCE, name="n", first=NOON, last=NOON, rows=1, size_bytes=45, sha256="0" * 64),
    TapeDropped(venue=Venue.BINANCE, name="n", reason="older than 14 days"),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_what_is_observed_of_a_feed_is_recorded_and_changes_nothing_else(fact: FeedFact) -> None:
    outcome = given(FEED, STARTED, LOST, silent()).when(NoteFeed(NOON, fact)).then(fact)
    assert outcome.state == given(FEED, STARTED, LOST, silent()).state
    command = NoteFeed(NOON, fact)
    assert decode_command(command_type(type(command)), command_payload(command)) == command


@pytest.mark.parametrize(
    "command", [START, LOSE, RESTORE, ReportGap(NOON, gap(3)), END, NoteFeed(NOON, silent())]
)
def test_stored_commands_come_back_the_same(command: FeedCommand) -> None:
    assert decode_command(command_type(type(command)), command_payload(command)) == command


def bitcoin(tick: str = "0.1") -> Instrument:
    return Instrument(
        venue=Venue.BINANCE,
        symbol=BTC,
        kind=InstrumentKind.PERPETUAL,
        base="BTC",
        quote="USDT",
        group=Group.MAJOR,
        tick_size=Decimal(tick),
        step_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(100),
        max_leverage=20,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        maintenance_margin=Decimal("0.004"),
    )


def test_instruments_are_listed_when_they_change() -> None:
    listed = InstrumentsListed(venue=Venue.BINANCE, instruments=(bitcoin(),))
    command = ListInstruments(NOON, Venue.BINANCE, (bitcoin(),))
    given(INSTRUMENT).when(command).then(listed)
    given(INSTRUMENT, listed).when(command).then_nothing()
    changed = ListInstruments(NOON, Venue.BINANCE, (bitcoin("0.01"),))
    given(INSTRUMENT, listed).when(changed).then_types(InstrumentsListed, InstrumentsChanged)
    assert decode_command(command_type(type(command)), command_payload(command)) == command


def reading(known_at: datetime, dominance: str = "58.1") -> MacroRead:
    return MacroRead(known_at=known_at, btc_dominance=Decimal(dominance), fear_greed=40)


def test_a_macro_reading_is_recorded_when_a_figure_changed() -> None:
    story = given(MACRO, reading(NOON))
    story.when(RecordMacro(NOON + DAY, reading(NOON + DAY, "59.0"))).then(reading(NOON + DAY, "59.0"))
    story.when(RecordMacro(NOON + DAY, reading(NOON + DAY))).then_nothing()


def test_an_older_macro_reading_changes_nothing() -> None:
    given(MACRO, reading(NOON)).when(RecordMacro(NOON, reading(NOON - DAY, "50.0"))).then_nothing()
    command = RecordMacro(NOON, reading(NOON))
    assert decode_command(command_type(type(command)), command_payload(command)) == command
