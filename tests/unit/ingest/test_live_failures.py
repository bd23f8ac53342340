"""Live ingest when others fail: venues that are down, answers that come late, a bus or a clock that goes astray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.beat import Beat
from nexus_common.contracts.feed import FeedStarted, StreamHeard, StreamSilent
from nexus_common.contracts.market import (
    Bar,
    CandlesBackfilled,
    CandlesClosed,
    FundingSettled,
    SessionScheduled,
)
from nexus_common.contracts.values import Service, Symbol, Timeframe, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.errors import NexusError, StoreUnavailable
from nexus_common.runtime.health import Health
from nexus_common.runtime.ports import Delivery
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import Token
from nexus_common.runtime.service import handled_by_all
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.trace import Trace
from nexus_data.market_feed import WARMUP_BARS
from nexus_data.sessions import SECOND_SOURCE, us_sessions
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.watch_rules import WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Answered, Ask, AskBars, Input, Noted, Scheduled
from nexus_ingest.live.asking import AT_ONCE, Asker
from nexus_ingest.live.conductor import Conductor, Follows
from nexus_ingest.live.intake import ClockWentBack, Intake
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.opening import Opening
from nexus_ingest.live.recording import Known
from nexus_ingest.live.routines import Routines
from nexus_ingest.live.steps import DECIDED_WITHIN_SECONDS, MOST_AT_ONCE, Agenda
from nexus_ingest.rounds import Rounds
from nexus_ingest.venues.feed import Feed, FeedDown, FeedRefused, Listing, Settled, Sink
from nexus_market.candles import from_millis, slot_millis, to_millis
from unit.ingest.test_live_service import (
    BTC,
    ETH,
    HOME,
    MINUTE,
    NOON,
    HandClock,
    House,
    ScriptedFeed,
    bar,
    closed,
    instrument,
    until,
)

SPY = Symbol("SPY")

# -- steps that wait ------------------------------------------------------------------------------------


def test_candles_that_waited_too_long_for_their_step_are_history() -> None:
    """A service or the exchange was away: nothing is to be decided on prices of long ago."""
    now = [0.0]
    agenda = Agenda(lambda: now[0])
    for minute in range(3):
        agenda.put(closed(NOON + minute * MINUTE, BTC))
        now[0] += DECIDED_WITHIN_SECONDS
    now[0] -= DECIDED_WITHIN_SECONDS / 2

    taken = agenda.take()
    assert [each.late for each in taken if isinstance(each, CandlesClosed)] == [True, True, False]


def test_a_step_is_of_bounded_size() -> None:
    agenda = Agenda()
    for minute in range(MOST_AT_ONCE + 1):
        agenda.put(closed(NOON + minute * MINUTE, BTC, late=True))
    assert len(agenda.take()) == MOST_AT_ONCE
    assert len(agenda.take()) == 1


async def test_a_bus_that_comes_back_empty_gets_a_step_from_its_beat_on() -> None:
    house = House()
    async with house.living(house.steps.run):
        for number in range(40):
            symbol = Symbol(f"C{number}USDT")
            house.steps.agenda.put(
                FundingSettled(venue=HOME, symbol=symbol, rate=Decimal(0), mark_price=Decimal(1), at=NOON)
            )
        await house.until(FundingSettled, 40)
    begins = (await house.store.latest("beat", 1))[0].global_position
    assert (await house.store.latest("market", 1))[0].global_position == begins + 40
    assert await handled_by_all(house.store) < begins


async def test_steps_end_when_tokens_cannot_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()

    async def broken(durable: str, subjects: list[str]) -> AsyncIterator[Delivery]:
        raise NexusError("the bus has another stream")
        yield

    monkeypatch.setattr(house.bus, "deliveries", broken)
    with pytest.raises(ExceptionGroup) as group:
        async with asyncio.timeout(5):
            await house.steps.run()
    assert [str(each) for each in group.value.exceptions] == ["the bus has another stream"]


@pytest.mark.parametrize("moments", range(16))
async def test_a_step_that_is_called_off_just_when_its_token_comes_back_ends(moments: int) -> None:
    bus = MemoryBus()
    rounds = Rounds(bus, Relay(MemoryStore(), bus, topology.owned_by(Service.INGEST)), 1, 1, Trace(None))
    listening = asyncio.ensure_future(rounds.listen())
    mark = (1, "beat")
    step = asyncio.ensure_future(rounds.go(NOON, [mark]))
    await asyncio.sleep(0.01)
    answered = replace(Token.first(NOON, 1, 1, (mark,)), produced=(mark, (2, "trade")))
    await bus.publish(topology.turn_subject(Service.INGEST), answered.to_bytes(), {}, "")
    for _ in range(moments):
        await asyncio.sleep(0)
    step.cancel()
    done, _ = await asyncio.wait([step], timeout=0.2)
    for task in (step, listening):
        task.cancel()
    assert done == {step}


# -- questions ------------------------------------------------------------------------------------------


@dataclass
class SlowFeed(ScriptedFeed):
    """Answers nothing until it is let."""

    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        self.asked.append((symbol, timeframe, first, last))
        await self.let.wait()
        return []


async def test_a_question_that_waits_is_replaced_by_the_newer_one_of_its_series() -> None:
    clock = HandClock(NOON)
    feed = SlowFeed(clock)
    asker = Asker({HOME: feed}, MarketTime(clock))
    answers: list[Input] = []
    task = asyncio.ensure_future(asker.run(answers.append))
    symbols = [Symbol(f"C{number}USDT") for number in range(AT_ONCE + 3)]
    for last in range(100):
        for symbol in symbols:
            asker.ask(Ask(HOME, AskBars(symbol, Timeframe.M1, 0, last, "a gap")))
        await until(lambda: len(feed.asked) == AT_ONCE)
    feed.let.set()
    await until(lambda: len(answers) == len(symbols) + AT_ONCE)
    task.cancel()

    newest = {each.ask.symbol: each.ask.last for each in answers if isinstance(each, Answered)}
    assert newest == dict.fromkeys(symbols, 99)
    assert len(feed.asked) == len(symbols) + AT_ONCE


# -- venues that are down -------------------------------------------------------------------------------


@dataclass
class SilentFeed(ScriptedFeed):
    """Answers nothing at all while it is down."""

    async def server_time(self) -> tuple[datetime, int]:
        if self.down:
            raise FeedDown("no answer")
        return await super().server_time()

    async def listing(self) -> Listing:
        if self.down:
            raise FeedDown("no answer")
        return Listing((instrument(BTC).model_copy(update={"venue": self.venue}),))


def conducted(house: House, feeds: dict[Venue, Feed], together_seconds: float = 5.0) -> Conductor:
    follows = Follows(
        dict.fromkeys(feeds, (BTC,)),
        lambda venue, chosen: feeds[venue],
        {venue: str(venue) for venue in feeds},
        WatchRules(),
        24.0,
    )
    return Conductor(
        follows,
        house.time,
        house.steps,
        house.store,
        TickPublisher(house.bus),
        house.health,
        together_seconds=together_seconds,
    )


async def test_a_venue_that_is_down_at_the_start_holds_up_no_other_and_joins_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nexus_ingest.live.opening.RETRY_SECONDS", 0.01)
    house = House()
    away = SilentFeed(house.clock, Venue.BINANCE, down=True)
    there = SilentFeed(house.clock, Venue.BYBIT)
    feeds: dict[Venue, Feed] = {Venue.BINANCE: away, Venue.BYBIT: there}
    async with house.living(conducted(house, feeds, together_seconds=0.05).run):
        await until(lambda: there.has_begun)
        assert [each.venue for each in await house.recorded(FeedStarted)] == [Venue.BYBIT]
        await house.until(Beat, 3)
        there.has_begun = away.down = False
        await until(lambda: away.has_begun and there.has_begun)
        started = await house.until(FeedStarted, 2)
        await house.until(Beat, len(await house.recorded(Beat)) + 2)
    assert {each.venue for each in started} == {Venue.BINANCE, Venue.BYBIT}
    assert len(await house.recorded(CandlesBackfilled)) % (2 * len(Timeframe)) == 0


async def test_what_ends_the_work_is_raised_alone() -> None:
    class DyingFeed(ScriptedFeed):
        async def run(self, sink: Sink) -> None:
            raise StoreUnavailable("nobody answers")

    house = House()
    async with house.living():
        with pytest.raises(StoreUnavailable, match="nobody answers"):
            async with asyncio.timeout(5):
                await house.conductor(DyingFeed(house.clock)).run()


async def test_a_history_that_is_refused_is_not_waited_for() -> None:
    class RefusingFeed(ScriptedFeed):
        async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
            raise FeedRefused("no such symbol")

    house = House()
    feed = RefusingFeed(house.clock)
    async with house.living(house.conductor(feed).run):
        await until(lambda: feed.has_begun)
    assert await house.recorded(CandlesBackfilled) == []


async def test_a_silence_that_ended_while_nobody_listened_is_forgotten() -> None:
    house = House()
    feed = ScriptedFeed(house.clock)
    async with house.living(house.conductor(feed).run):
        await until(lambda: feed.has_begun)
        silent = StreamSilent(venue=HOME, symbol=BTC, stream="candles", since=NOON)
        house.steps.agenda.put(Noted(HOME, silent, NOON))
        await house.until(StreamSilent, 1)

    again = House(house.store, house.clock)
    async with again.living(again.conductor(ScriptedFeed(house.clock)).run):
        (heard,) = await again.until(StreamHeard, 1)
    assert (heard.symbol, heard.stream) == (BTC, "candles")


async def test_funding_that_fell_due_while_nobody_listened_is_asked_for() -> None:
    """The venue stamps some milliseconds late what the stream told on the hour; that is not settled again."""
    house = House()
    feed = ScriptedFeed(house.clock)
    async with house.living(house.conductor(feed).run):
        told = FundingSettled(venue=HOME, symbol=BTC, rate=Decimal("0.0001"), mark_price=Decimal(1), at=NOON)
        house.steps.agenda.put(told)
        await house.until(FundingSettled, 1)

    again = House(house.store, HandClock(NOON + timedelta(hours=17)))
    due = [to_millis(NOON + timedelta(hours=hours)) for hours in (0, 8, 16)]
    feed = ScriptedFeed(again.clock, settled=[Settled(at + 7, 0.0002) for at in due])
    async with again.living(again.conductor(feed).run):
        settled = await again.until(FundingSettled, 3)
        await again.until(Beat, len(await again.recorded(Beat)) + 2)

    assert [(each.at, each.rate) for each in settled[1:]] == [
        (NOON + timedelta(hours=hours), Decimal("0.0002")) for hours in (8, 16)
    ]
    assert {each.mark_price for each in settled[1:]} == {Decimal(100)}
    assert len(await again.recorded(FundingSettled)) == 3


# -- stocks ---------------------------------------------------------------------------------------------


class StockFeed(ScriptedFeed):
    """Bars in the sessions alone; the calendar answers when it is not down."""

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        self.asked.append((symbol, timeframe, first, last))
        slot = slot_millis(timeframe)
        times = (
            range(to_millis(each.opens) // slot * slot, to_millis(each.closes), slot)
            for each in us_sessions().between(from_millis(first).date(), from_millis(last).date())
        )
        return [
            bar(NOON)._replace(open_time=at) for session in times for at in session if first <= at <= last
        ]

    async def listing(self) -> Listing:
        return Listing((instrument(SPY).model_copy(update={"venue": self.venue}),))

    async def sessions(self, first: date, last: date) -> tuple[SessionScheduled, ...]:
        if self.down:
            raise FeedDown("no answer")
        return (
            SessionScheduled(
                venue=self.venue,
                day=first,
                opens=None,
                closes=None,
                is_early_close=False,
                sources=("alpaca", SECOND_SOURCE),
            ),
        )


async def test_stocks_are_warmed_up_over_nights_and_weekends() -> None:
    house = House()
    feed = StockFeed(house.clock, Venue.ALPACA, (Timeframe.M1,))
    opening = Opening(feed, (SPY,), house.steps, house.time, Health("ingest", "1"))
    await opening.open()
    bars: dict[Timeframe, list[int]] = {timeframe: [] for timeframe in Timeframe}
    for each in await house.recorded(CandlesBackfilled):
        bars[each.timeframe] += [one.open_time for one in each.bars]
    assert {timeframe: len(times) for timeframe, times in bars.items()} == dict.fromkeys(
        Timeframe, WARMUP_BARS
    )
    assert all(times == sorted(set(times)) for times in bars.values())
    assert len(feed.asked) <= 2 * len(Timeframe)


async def test_a_young_instrument_is_warmed_up_with_what_there_is() -> None:
    class YoungFeed(ScriptedFeed):
        async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
            listed = to_millis(NOON - timedelta(days=3))
            found = await super().bars(symbol, timeframe, first, last)
            return [each for each in found if each.open_time >= listed]

    house = House()
    feed = YoungFeed(house.clock)
    await Opening(feed, (BTC,), house.steps, house.time, house.health).open()
    recorded = await house.recorded(CandlesBackfilled)
    assert sum(len(each.bars) for each in recorded if each.timeframe is Timeframe.H4) == 18


async def test_while_the_calendar_is_silent_the_second_source_alone_says_when_stocks_trade() -> None:
    clock = HandClock(NOON)
    feed = StockFeed(clock, Venue.ALPACA, (Timeframe.M1,), down=True)
    known: list[Known] = []
    given: list[Input] = []
    routines = Routines({Venue.ALPACA: feed}, MarketTime(clock), given.append, known.append, 24.0, 0.01)
    task = asyncio.ensure_future(routines.run())
    try:
        await until(lambda: any(isinstance(each, Scheduled) for each in given))
        told = [each for each in known if isinstance(each, SessionScheduled)]
        feed.down = False
        await until(
            lambda: any("alpaca" in each.sources for each in known if isinstance(each, SessionScheduled))
        )
    finally:
        task.cancel()
    monday = next(each for each in told if each.day == NOON.date())
    assert monday.opens == NOON.replace(hour=13, minute=30)
    assert {each.sources for each in told} == {(SECOND_SOURCE,)}
    assert {each.disagreement for each in told} == {"alpaca's calendar does not answer"}
    assert len({each.day for each in told}) == len(told)


# -- clocks ---------------------------------------------------------------------------------------------


async def test_a_clock_that_goes_far_back_ends_the_process_instead_of_stopping_its_time() -> None:
    clock = HandClock(NOON)
    watch = MarketWatch(WatchRules(), [WatchedVenue(HOME, (BTC, ETH), tuple(Timeframe))])
    outputs: list[Known] = []
    intake = Intake(
        watch, MarketTime(clock), {HOME: ScriptedFeed(clock)}, lambda ask: None, outputs.append, []
    )
    intake.opened(HOME, "one", clock.nanoseconds)
    intake.heard(HOME, "one", "{}", [], clock.nanoseconds - 30 * 10**9)
    with pytest.raises(ClockWentBack, match="went back"):
        intake.heard(HOME, "one", "{}", [], clock.nanoseconds - 3_600 * 10**9)
    intake.close()
