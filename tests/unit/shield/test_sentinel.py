"""The sentinel over live ticks: heard over a bus, a step asked for, put on record in the next turn, once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal as D

import msgspec
import pytest

from nexus_common.contracts.guard import (
    AmberRaised,
    BlackSwanDeclared,
    FallUnconfirmed,
    GuardReleased,
    Witness,
)
from nexus_common.contracts.risk import EntryApproved, EntryRefused
from nexus_common.contracts.session import ResumeRequested, RiskSettingChanged
from nexus_common.contracts.tick import MarkTick, PriceAnswer, TickBatch, TradeTick
from nexus_common.contracts.values import Direction, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.ticks import TickReader
from nexus_market.candles import to_millis
from nexus_shield.adapters.tick_watch import TickWatch
from nexus_shield.domain.market_view import REFERENCE
from nexus_shield.handlers import ShieldReactor

SECOND = timedelta(seconds=1)


class Watched:
    """Shield with its ear on a bus; `nudges` counts the steps it asked for."""

    def __init__(self, play, make, answer):
        self.play, self.make, self.bus = play, make, MemoryBus()
        self.answer, self.asked, self.nudged = answer, 0, asyncio.Event()
        self._number = 0
        sentinel = play.reactor.sentinel
        reader = TickReader(self.bus, [(Venue.BINANCE, REFERENCE)])
        # A hundred market seconds in one of ours: nobody waits two seconds here.
        self.watch = TickWatch(self.bus, reader, sentinel.ticks, sentinel.find, speed=100.0)

    async def say(self, seconds, *prices, mark=None):
        at = to_millis(self.make.NOON) + round(seconds * 1_000)
        trades = []
        for price in prices:
            self._number += 1
            trades.append(TradeTick(str(price), "1", None, str(self._number), at))
        said = None if mark is None else MarkTick(str(mark), None, None, None, at)
        batch = TickBatch(Venue.BINANCE, REFERENCE, at, tuple(trades), None, said)
        await self.bus.publish(
            topology.tick_subject(Venue.BINANCE, REFERENCE), msgspec.msgpack.encode(batch), {}, ""
        )

    async def hear_nudges(self):
        async for _ in self.bus.listen([topology.NUDGE]):
            self.nudged.set()

    async def reply(self, question):
        assert question == b"BTCUSDT"
        self.asked += 1
        return msgspec.msgpack.encode(self.answer)

    async def until_nudged(self):
        async with asyncio.timeout(10):
            await self.nudged.wait()
        self.nudged.clear()


@asynccontextmanager
async def watched(make, answer=None):
    play = await (await make.Play().start()).begin("BTCUSDT", "SOLUSDT", "DOGEUSDT")
    there = Watched(play, make, answer)
    works = [there.watch.run(), there.hear_nudges()]
    if answer is not None:
        works.append(there.bus.answer(topology.price_question(Venue.BINANCE), there.reply))
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.sleep(0)
    await there.say(0, 1000, 1000, 1000)
    try:
        yield there
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_fall_in_ticks_is_declared_in_the_step_that_it_asks_for(make):
    async with watched(make) as there:
        await there.say(1, 950, 949)
        await there.until_nudged()
        (declared,) = await there.play.act(make.NOON + SECOND)
        assert isinstance(declared, BlackSwanDeclared)
        assert declared.evidence.proof is not None
        assert declared.evidence.proof.witness is Witness.NEXT_TRADE
        assert declared.longs_blocked_until == make.NOON + SECOND + timedelta(hours=4)


async def test_one_event_whichever_comes_first_ticks_or_the_bar(make):
    async with watched(make) as there:
        await there.say(1, 950, 949)
        await there.until_nudged()
        await there.play.act(make.NOON + SECOND)
        bar = make.bars(make.NOON + timedelta(minutes=1), ("BTCUSDT", "940"))
        said = await there.play.act(make.NOON + timedelta(minutes=1), ("market-binance.0", bar))
        assert not [each for each in said if each.type.startswith("guard.")]
    play = await (await make.Play().start()).begin()
    fallen = make.bars(make.NOON, ("BTCUSDT", "950"))
    said = await play.act(make.NOON, ("market-binance.0", fallen))
    assert [type(each) for each in said if each.type.startswith("guard.")] == [BlackSwanDeclared]
    assert play.reactor.sentinel.ticks.trade(Venue.BINANCE, "1", D(900), 0, 0) == []


async def test_amber_comes_first_and_the_black_swan_follows(make):
    async with watched(make) as there:
        await there.say(1, 979, 978)
        await there.until_nudged()
        assert [type(each) for each in await there.play.act(make.NOON + SECOND)] == [AmberRaised]
        await there.say(2, 959, 958)
        await there.until_nudged()
        assert [type(each) for each in await there.play.act(make.NOON + 2 * SECOND)] == [BlackSwanDeclared]


async def test_after_resume_the_rule_is_armed_again(make):
    async with watched(make) as there:
        await there.say(1, 950, 949)
        await there.until_nudged()
        await there.play.act(make.NOON + SECOND)
        await there.say(2, 940, 940, 940)
        resumed = ("session-ann", ResumeRequested(user="ann"))
        said = await there.play.act(make.NOON + 3 * SECOND, resumed)
        assert [each for each in said if isinstance(each, GuardReleased)]
        await there.say(4, 930, 930)
        await there.until_nudged()
        assert [type(each) for each in await there.play.act(make.NOON + 4 * SECOND)] == [BlackSwanDeclared]


async def test_a_bad_print_asks_for_nothing(make):
    async with watched(make) as there:
        await there.say(1, 500, 1000, 1)
        await there.say(1.1, 1000)
        await asyncio.sleep(0)
        assert there.watch.heard == 7
        assert not there.nudged.is_set()
        assert await there.play.act(make.NOON + SECOND) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PriceAnswer("949", "951", 0), BlackSwanDeclared),
        (PriceAnswer("1000", "1000", 0), FallUnconfirmed),
        (PriceAnswer(problem="binance wants no requests for 30 seconds"), FallUnconfirmed),
        (PriceAnswer("NaN", "1000", 0), FallUnconfirmed),
        (PriceAnswer("950", "NaN", 0), FallUnconfirmed),
        (PriceAnswer("949", "951", 10**18), BlackSwanDeclared),
        (None, FallUnconfirmed),
    ],
)
async def test_what_stays_alone_is_asked_about_and_put_on_record(make, answer, expected):
    async with watched(make, answer) as there:
        await there.say(1, 950)
        await there.until_nudged()
        said = await there.play.act(make.NOON + 4 * SECOND)
        assert expected in [type(each) for each in said]
        assert there.asked == (answer is not None)
        if expected is FallUnconfirmed:
            assert not [each for each in said if isinstance(each, BlackSwanDeclared | AmberRaised)]


async def test_what_cannot_be_read_is_counted_and_the_rest_is_heard(make):
    async with watched(make) as there:
        await there.say(1, "NaN", "-5", "0", "much", 950, mark="NaN")
        await there.say(1.1, 949)
        await there.until_nudged()
        assert there.watch.unusable == 5


async def test_what_is_due_first_is_asked_about_first(make):
    denied = PriceAnswer("1000", "1000", 0)
    async with watched(make, denied) as there:
        # Amber is alone, asked about and denied: for a minute nobody asks about amber again.
        await there.say(1, 979)
        await there.until_nudged()
        await there.say(30, 1000, 1000, 1000)
        await there.say(31, 979)
        # A black swan alone is due in two seconds all the same, which are 20 ms here.
        await there.say(34, 950)
        async with asyncio.timeout(0.2):
            await there.nudged.wait()
        assert there.asked == 2


# -- shark's shorts ---------------------------------------------------------------------------------------


async def fallen(make, *session, targets=("SOLUSDT", "DOGEUSDT", "WIFUSDT")):
    """A black swan by bars, with an ATR known; what shield says in that step."""
    play = make.Play()
    await play.start()
    play.reactor = ShieldReactor(shark_targets=targets)
    play.desk._observe = play.reactor.observe
    play.seen = 0
    await play.begin("BTCUSDT", "SOLUSDT", "DOGEUSDT")
    history = [make.backfill(make.NOON, symbol, *["1000"] * 20) for symbol in ("SOLUSDT", "DOGEUSDT")]
    told = [(f"market-binance.{each.symbol}", each) for each in history]
    changed = [("session-ann", each) for each in session]
    await play.act(make.NOON, *told, *changed)
    bar = make.bars(
        make.NOON + timedelta(minutes=1), *((s, "950") for s in ("BTCUSDT", "SOLUSDT", "DOGEUSDT"))
    )
    return await play.act(make.NOON + timedelta(minutes=1), ("market-binance.0", bar))


OPTED_IN = RiskSettingChanged(user="ann", name="black_swan_shorts", value=D(1))


async def test_nobody_who_did_not_opt_in_goes_short(make):
    said = await fallen(make)
    assert [each for each in said if isinstance(each, BlackSwanDeclared)]
    assert not [each for each in said if isinstance(each, EntryApproved | EntryRefused)]


async def test_who_opted_in_goes_short_on_what_the_venue_lists_of_sharks_targets(make):
    said = await fallen(make, OPTED_IN)
    entries = [each for each in said if isinstance(each, EntryApproved)]
    assert [(each.symbol, each.direction, each.strategy) for each in entries] == [
        ("SOLUSDT", Direction.SHORT, "shark"),
        ("DOGEUSDT", Direction.SHORT, "shark"),
    ]
    assert all(each.plan.target_distance / each.plan.stop_distance == 3 for each in entries)


async def test_every_check_binds_them(make):
    chosen = RiskSettingChanged(user="ann", name="per_instrument", value=D("0.001"))
    said = await fallen(make, OPTED_IN, chosen)
    refused = [each for each in said if isinstance(each, EntryRefused)]
    assert {each.symbol for each in refused} == {"SOLUSDT", "DOGEUSDT"}
    assert {check.name for each in refused for check in each.checks if not check.passed} == {"per_instrument"}
