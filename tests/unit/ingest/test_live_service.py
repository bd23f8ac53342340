"""The live service over memory: a scripted feed, the real watch, and services that answer every token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.beat import Beat
from nexus_common.contracts.feed import FeedStarted
from nexus_common.contracts.instrument import Group, Instrument, InstrumentKind, InstrumentsListed
from nexus_common.contracts.market import (
    Bar,
    Candle,
    CandlesBackfilled,
    CandlesClosed,
    FundingSettled,
    SessionScheduled,
)
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service, Symbol, Timeframe, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.health import Health
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import Token
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.trace import Trace
from nexus_ingest import bootstrap as ingest
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.readings import KlineRead, Reading
from nexus_ingest.domain.watch_rules import WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Input, TimePassed
from nexus_ingest.live.conductor import Conductor, Follows
from nexus_ingest.live.intake import Intake
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.paper import bars_of, funding_of
from nexus_ingest.live.recording import Known
from nexus_ingest.live.steps import Agenda, Steps
from nexus_ingest.rounds import Rounds
from nexus_ingest.venues.feed import Feed, FeedDown, Listing, RawFrame, ReadBy, Settled, Sink
from nexus_market.candles import slot_millis, to_millis

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOME = Venue.BINANCE


class HandClock:
    """A wall clock that is set by hand."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    @property
    def nanoseconds(self) -> int:
        return to_millis(self.at) * 1_000_000


def bar(opened: datetime, close: str = "101") -> Bar:
    return Bar(to_millis(opened), Decimal(100), Decimal(102), Decimal(99), Decimal(close), Decimal(5))


def closed(
    at: datetime, *symbols: Symbol, timeframe: Timeframe = Timeframe.M1, late: bool = False
) -> CandlesClosed:
    candles = tuple(Candle(symbol, timeframe, *bar(at)[1:]) for symbol in symbols)
    return CandlesClosed(venue=HOME, partition=0, at=at, candles=candles, late=late)


def instrument(symbol: Symbol) -> Instrument:
    return Instrument(
        venue=HOME,
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        group=Group.MAJOR,
        tick_size=Decimal("0.1"),
        step_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(5),
        max_leverage=125,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        maintenance_margin=Decimal("0.004"),
    )


@dataclass
class ScriptedFeed:
    """A venue that knows every bar up to `now`, and says on its stream what `says` is given."""

    clock: HandClock
    venue: Venue = HOME
    timeframes: tuple[Timeframe, ...] = tuple(Timeframe)
    asked: list[tuple[Symbol, Timeframe, int, int]] = field(default_factory=list)
    says: asyncio.Queue[Sequence[Reading]] = field(default_factory=asyncio.Queue)
    settled: list[Settled] = field(default_factory=list)
    down: bool = False
    has_begun: bool = False
    is_closed: bool = False

    async def run(self, sink: Sink) -> None:
        self.has_begun = True
        sink.opened(self.venue, "one", self.clock.nanoseconds)
        while True:
            readings = await self.says.get()
            sink.heard(self.venue, "one", "{}", readings, self.clock.nanoseconds)

    def reopen(self, connection: str, reason: str) -> None: ...

    def memories(self) -> Mapping[str, object]:
        return {}

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        self.asked.append((symbol, timeframe, first, last))
        if self.down:
            raise FeedDown("it is under maintenance")
        slot = slot_millis(timeframe)
        newest = min(last, to_millis(self.clock.at) // slot * slot - slot)
        return [bar(NOON)._replace(open_time=opened) for opened in range(first, newest + 1, slot)]

    async def server_time(self) -> tuple[datetime, int]:
        return self.clock.at, 0

    async def listing(self) -> Listing:
        return Listing((instrument(BTC),))

    async def sessions(self, first: date, last: date) -> tuple[SessionScheduled, ...]:
        return ()

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]:
        return [each for each in self.settled if first <= each.at <= last]

    async def close(self) -> None:
        self.is_closed = True


class House:
    """A live ingest over memory; the others pass each token straight back."""

    def __init__(self, store: MemoryStore | None = None, clock: HandClock | None = None) -> None:
        self.store = store or MemoryStore()
        self.bus = MemoryBus()
        self.clock = clock or HandClock(NOON + timedelta(seconds=30))
        self.told: list[tuple[datetime, Sequence[Known]]] = []
        self.tokens: list[Token] = []
        self.health = Health("ingest", "1")
        self.time = MarketTime(self.clock)
        relay = Relay(self.store, self.bus, topology.owned_by(Service.INGEST))
        rounds = Rounds(self.bus, relay, 1, 1, Trace(None))
        self.steps = Steps(
            ingest.desk(self.store),
            self.store,
            relay,
            rounds,
            self.time,
            self._tell,
            0.01,
            Trace(None),
            self.health,
        )

    async def _tell(self, at: datetime, items: Sequence[Known]) -> None:
        self.told.append((at, items))

    async def answer_tokens(self) -> None:
        subject = topology.turn_subject(Service.EXECUTOR)
        async for delivery in self.bus.deliveries("executor-1", [subject]):
            self.tokens.append(Token.from_bytes(delivery.data))
            await self.bus.publish(topology.turn_subject(Service.INGEST), delivery.data, {}, "")
            await self.bus.ack([delivery])

    @asynccontextmanager
    async def living(self, *works: Callable[[], Any]) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(work()) for work in (self.answer_tokens, *works)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def recorded(self, kind: type[Event]) -> list[Any]:
        page = await self.store.read_categories([], limit=100_000)
        return [each.event for each in page if isinstance(each.event, kind)]

    async def until(self, kind: type[Event], count: int) -> list[Any]:
        async with asyncio.timeout(5):
            while True:
                found = await self.recorded(kind)
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.001)

    def conductor(self, feed: Feed, symbols: Sequence[Symbol] = (BTC,)) -> Conductor:
        follows = Follows({HOME: symbols}, lambda venue, chosen: feed, {HOME: "binance"}, WatchRules(), 24.0)
        return Conductor(follows, self.time, self.steps, self.store, TickPublisher(self.bus), self.health)


# -- steps ----------------------------------------------------------------------------------------------


def test_a_step_ends_before_candles_of_a_second_instant() -> None:
    agenda = Agenda()
    items = [closed(NOON, BTC), closed(NOON, ETH), closed(NOON + MINUTE, BTC)]
    for item in items:
        agenda.put(item)

    assert agenda.take() == items[:2]
    assert agenda.take() == items[2:]
    assert agenda.take() == []


async def test_a_step_is_of_the_time_its_candles_closed_and_slow_ones_get_a_step_of_now() -> None:
    house = House()
    async with house.living(house.steps.run):
        house.steps.agenda.put(closed(NOON, BTC))
        await house.until(CandlesClosed, 1)
        house.steps.agenda.put(closed(NOON, ETH))
        await house.until(CandlesClosed, 2)

    at_of = {
        each.candles[0].symbol: at
        for at, items in house.told
        for each in items
        if isinstance(each, CandlesClosed)
    }
    assert at_of[BTC] == NOON
    assert at_of[ETH] >= house.clock.at


async def test_without_news_a_beat_passes_and_time_never_goes_back() -> None:
    house = House()
    async with house.living(house.steps.run):
        beats = await house.until(Beat, 5)
        house.clock.at -= timedelta(hours=1)
        beats = await house.until(Beat, 10)

    times = [beat.at for beat in beats]
    assert times == sorted(set(times))
    assert [token.at for token in house.tokens][: len(times)] == times[: len(house.tokens)]


async def test_a_step_that_was_cut_off_is_gone_through_again_with_all_its_events() -> None:
    house = House()
    async with house.living(house.steps.run):
        house.steps.agenda.put(closed(NOON, BTC))
        await house.until(CandlesClosed, 1)
    last = (await house.recorded(Beat))[-1]

    again = House(house.store, house.clock)
    async with again.living(again.steps.run):
        await again.until(Beat, len(await house.recorded(Beat)) + 1)

    assert again.tokens[0].at == last.at
    newest = {each.global_position for each in await house.store.latest("market", 1)}
    positions = {position for position, _ in again.tokens[0].produced}
    assert newest <= positions or last.at > NOON


# -- the intake -----------------------------------------------------------------------------------------


@dataclass
class ListTape:
    """A tape in memory."""

    inputs: list[Input] = field(default_factory=list)

    def take(self, given: Input, frame: RawFrame | None = None, read_by: ReadBy | None = None) -> None:
        self.inputs.append(given)


def kline(opened: datetime, symbol: Symbol = BTC, at: datetime = NOON) -> KlineRead:
    return KlineRead(
        symbol, Timeframe.M1, to_millis(opened), "100", "102", "99", "101", "5", True, to_millis(at)
    )


async def test_what_the_tape_holds_leads_to_the_same_again() -> None:
    clock, tape = HandClock(NOON), ListTape()
    outputs: list[Known] = []
    watched = [WatchedVenue(HOME, (BTC, ETH), tuple(Timeframe))]
    time = MarketTime(clock)
    feed = ScriptedFeed(clock)
    intake = Intake(
        MarketWatch(WatchRules(), watched), time, {HOME: feed}, lambda ask: None, outputs.append, [], tape
    )
    intake.opened(HOME, "one", clock.nanoseconds)
    for minute in range(4):
        for symbol, lag in ((BTC, 0.05), (ETH, 0.06)):
            clock.at = NOON + minute * MINUTE + timedelta(seconds=lag)
            reading = kline(NOON + (minute - 1) * MINUTE, symbol)
            intake.heard(HOME, "one", "{}", [reading], clock.nanoseconds)
    # A clock that is set back does not take the watch with it.
    intake.refused(HOME, "one", "?", "no JSON", clock.nanoseconds - 10**10)
    intake.close()

    again = MarketWatch(WatchRules(), watched)
    replayed = [output for given in tape.inputs for output in again.take(given)]
    assert [each for each in replayed if isinstance(each, CandlesClosed)] == [
        each for each in outputs if isinstance(each, CandlesClosed)
    ]
    assert [len(each.candles) for each in outputs if isinstance(each, CandlesClosed)][-2:] == [2, 2]
    assert any(isinstance(given, TimePassed) for given in tape.inputs)
    times = [given.at for given in tape.inputs]
    assert times == sorted(times)


# -- from the venue to the record -----------------------------------------------------------------------


async def test_a_venue_is_opened_warmed_up_and_followed() -> None:
    house = House()
    feed = ScriptedFeed(house.clock)
    async with house.living(house.conductor(feed).run):
        await house.until(CandlesBackfilled, len(Timeframe))
        await until(lambda: feed.has_begun)
        house.clock.at = NOON + MINUTE + timedelta(milliseconds=50)
        feed.says.put_nowait([kline(NOON, at=house.clock.at)])
        await until(feed.says.empty)
        house.clock.at += timedelta(seconds=2)
        candles = await house.until(CandlesClosed, 1)

    assert (await house.recorded(FeedStarted))[0].sources == {BTC: "binance live"}
    assert [each.symbol for each in (await house.recorded(InstrumentsListed))[0].instruments] == [BTC]
    assert candles[-1].at == NOON + MINUTE
    assert feed.is_closed


async def test_after_a_restart_nothing_that_is_on_record_is_fetched_again() -> None:
    house = House()
    feed = ScriptedFeed(house.clock)
    async with house.living(house.conductor(feed).run):
        await house.until(CandlesBackfilled, len(Timeframe))
        await until(lambda: len(house.tokens) > 1)
    warmed = len(await house.recorded(CandlesBackfilled))

    again = House(house.store, HandClock(house.clock.at + 3 * MINUTE))
    feed = ScriptedFeed(again.clock)
    async with again.living(again.conductor(feed).run):
        candles = await again.until(CandlesClosed, 3)

    assert len(await again.recorded(CandlesBackfilled)) == warmed
    minutes = [each.at for each in candles for candle in each.candles if candle.timeframe is Timeframe.M1]
    assert minutes == [NOON + MINUTE, NOON + 2 * MINUTE, NOON + 3 * MINUTE]
    assert all(first >= to_millis(NOON) - 240 * 60_000 * 4 for _, _, first, _ in feed.asked)


async def test_an_instrument_that_is_not_listed_is_left_out_and_said() -> None:
    house = House()
    feed = ScriptedFeed(house.clock)
    async with house.living(house.conductor(feed, (BTC, ETH)).run):
        started = await house.until(FeedStarted, 1)
        await house.until(CandlesBackfilled, len(Timeframe))

    assert started[0].notes == ("ETHUSDT is not listed",)
    assert {symbol for symbol, *_ in feed.asked} == {BTC}


# -- time and paper -------------------------------------------------------------------------------------


def test_a_venue_that_plays_faster_is_where_its_clock_says() -> None:
    clock = HandClock(NOON)
    time = MarketTime(clock, 60.0)
    time.begin(datetime(2021, 5, 17, tzinfo=UTC))
    clock.at += timedelta(seconds=2)

    assert time.now() == datetime(2021, 5, 17, 0, 2, tzinfo=UTC)
    assert time.wall_seconds(60) == 1.0
    assert time.wall_seconds_until(datetime(2021, 5, 17, 0, 4, tzinfo=UTC)) == 2.0


def test_a_venue_that_plays_as_fast_as_our_clock_goes_is_where_it_says_all_the_same() -> None:
    clock = HandClock(NOON)
    time = MarketTime(clock, 1.0)
    time.begin(datetime(2021, 5, 17, tzinfo=UTC))
    clock.at += timedelta(seconds=2)

    assert time.now() == datetime(2021, 5, 17, 0, 0, 2, tzinfo=UTC)


def test_the_time_of_turns_is_the_venues_and_never_goes_back() -> None:
    clock = HandClock(NOON)
    time = MarketTime(clock)
    time.correct(HOME, timedelta(seconds=3))
    assert time.now() == NOON + timedelta(seconds=3)
    time.correct(HOME, timedelta(seconds=-3))
    assert time.now() == NOON + timedelta(seconds=3)
    assert time.received() == NOON


@pytest.mark.parametrize("late", [False, True])
def test_the_bars_of_a_break_are_matched_as_one(late: bool) -> None:
    low = closed(NOON, BTC, late=late)
    high = closed(NOON + MINUTE, BTC, late=late)
    high = high.model_copy(
        update={"candles": (high.candles[0]._replace(high=Decimal(120), close=Decimal(119)),)}
    )
    joined = bars_of([low, high, closed(NOON, ETH, timeframe=Timeframe.M5)])[HOME]

    assert set(joined) == {BTC}
    assert joined[BTC] == (Decimal(100), Decimal(120), Decimal(99), Decimal(119), Decimal(10))


def test_funding_of_a_step_is_told_by_venue() -> None:
    due = FundingSettled(venue=HOME, symbol=BTC, rate=Decimal("0.0001"), mark_price=Decimal(100), at=NOON)
    assert funding_of([due, closed(NOON, BTC)]) == {HOME: {BTC: Decimal("0.0001")}}


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if happened():
                return
            await asyncio.sleep(0.001)
