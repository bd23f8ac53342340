"""Candles that come after others of their instant, late ones, and corrected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import Bar, CandleCorrected, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import JudgeMarket
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.ports import Turn
from nexus_market.candles import to_millis
from nexus_market.features import BLOCK_SLOTS, History

WARM = datetime(2024, 4, 8, tzinfo=UTC)
CLOSE = WARM + timedelta(minutes=15)
ON_THE_HOUR = datetime(2024, 4, 6, 5, tzinfo=UTC)
SLOW = Symbol("ETHUSDT")
Build = Callable[..., Any]


def parts(stage: Any, late: bool = False) -> tuple[CandlesClosed, CandlesClosed]:
    """The candles of one close in two events; the slow instrument's come in the second."""
    whole = stage.close(CLOSE).event
    stage.heard.clear()
    quick = tuple(candle for candle in whole.candles if candle.symbol != SLOW)
    slow = tuple(candle for candle in whole.candles if candle.symbol == SLOW)
    assert slow, "the slow instrument has a candle here"
    return (
        whole.model_copy(update={"candles": quick}),
        whole.model_copy(update={"candles": slow, "late": late}),
    )


async def step(stage: Any, events: Sequence[Event], at: datetime) -> list[JudgeMarket]:
    stage.positions += 1  # the step's beat
    heard: list[Envelope[Event]] = [stage.hear(event, CLOSE) for event in events]
    before = len(stage.commands)
    turn = Turn(at, stage.positions, 1, 1, 2)
    await stage.reactor.react(turn, stage.desk.begin(heard), stage.desk)
    await stage.desk.commit()
    judged: list[JudgeMarket] = stage.commands[before:]
    return judged


@pytest.fixture
def warm(stage: Build, synthetic_market: Any) -> Any:
    made = stage(synthetic_market)
    made.warm_up(WARM)
    return made


@pytest.fixture
def events(stage: Build, synthetic_market: Any) -> tuple[CandlesClosed, CandlesClosed]:
    return parts(stage(synthetic_market))


async def test_a_slow_instrument_is_judged_when_its_candle_comes_as_it_would_have_been(
    warm: Any, stage: Build, synthetic_market: Any, events: tuple[CandlesClosed, CandlesClosed]
) -> None:
    quick, slow = events
    at_once = stage(synthetic_market)
    at_once.warm_up(WARM)
    whole = await step(at_once, [quick, slow], CLOSE)

    first = await step(warm, [quick], CLOSE)
    nothing = await step(warm, [], CLOSE + timedelta(seconds=1))
    then = await step(warm, [slow], CLOSE + timedelta(seconds=2))

    assert SLOW not in {command.symbol for command in first}
    assert nothing == []
    assert [command.symbol for command in then] == [SLOW]
    expected = next(command for command in whole if command.symbol == SLOW)
    assert (then[0].candle_close, then[0].reading, then[0].proposals) == (
        expected.candle_close,
        expected.reading,
        expected.proposals,
    )


@pytest.mark.parametrize("slow", [Timeframe.M5, Timeframe.M15, Timeframe.H1])
async def test_a_timeframe_that_is_slow_is_judged_when_its_candles_come(
    stage: Build, synthetic_market: Any, slow: Timeframe
) -> None:
    at_once, by_parts = stage(synthetic_market), stage(synthetic_market)
    for each in (at_once, by_parts):
        each.warm_up(ON_THE_HOUR - timedelta(hours=1))
        # The hour before is heard, and judged by nobody.
        for minutes in range(5, 60, 5):
            each.close(ON_THE_HOUR - timedelta(hours=1) + timedelta(minutes=minutes))
    whole = at_once.close(ON_THE_HOUR).event
    parts = [
        whole.model_copy(
            update={"candles": tuple(c for c in whole.candles if (c.timeframe is slow) is is_slow)}
        )
        for is_slow in (False, True)
    ]
    expected = await step(at_once, [whole], ON_THE_HOUR)

    first = await step(by_parts, parts[:1], ON_THE_HOUR)
    then = await step(by_parts, parts[1:], ON_THE_HOUR + timedelta(seconds=2))

    assert slow not in {command.timeframe for command in first}
    assert {command.timeframe for command in then} == {slow}
    came = [(c.timeframe, c.symbol, c.candle_close, c.reading, c.proposals) for c in first + then]
    assert sorted(came, key=lambda each: each[:2]) == sorted(
        [(c.timeframe, c.symbol, c.candle_close, c.reading, c.proposals) for c in expected],
        key=lambda each: each[:2],
    )


async def test_a_late_candle_is_history_and_judged_by_nobody(
    warm: Any, events: tuple[CandlesClosed, CandlesClosed]
) -> None:
    quick, slow = events
    await step(warm, [quick], CLOSE)
    late = slow.model_copy(update={"late": True})
    assert await step(warm, [late], CLOSE + timedelta(minutes=1)) == []


async def test_a_corrected_candle_is_judged_by_nobody(
    warm: Any, events: tuple[CandlesClosed, CandlesClosed]
) -> None:
    quick, slow = events
    await step(warm, [quick, slow], CLOSE)
    candle = next(each for each in slow.candles if each.timeframe is Timeframe.M15)
    was = Bar(to_millis(CLOSE) - 900_000, *candle[2:])
    correction = CandleCorrected(
        venue=Venue.BINANCE,
        partition=0,
        symbol=SLOW,
        timeframe=Timeframe.M15,
        was=was,
        now=was._replace(close=was.close + 1, high=was.high + 2),
        source="rest",
        at=CLOSE + timedelta(minutes=1),
    )
    assert await step(warm, [correction], CLOSE + timedelta(minutes=1)) == []


def test_a_correction_joins_with_the_next_block_and_what_was_never_heard_is_not_invented() -> None:
    slot = 900_000
    history = History(Timeframe.M15)
    for number in range(BLOCK_SLOTS):
        history.add((number * slot, 1.0, 2.0, 0.5, 1.5, 10.0))
    corrected = (5 * slot, 1.0, 3.0, 0.5, 2.5, 11.0)
    history.correct(corrected)
    history.correct((BLOCK_SLOTS * slot, 9.0, 9.0, 9.0, 9.0, 9.0))
    assert len(history) == BLOCK_SLOTS
    assert float(history.columns().window.close[5]) == 1.5

    history.add((BLOCK_SLOTS * slot, 1.0, 2.0, 0.5, 1.5, 10.0))
    window = history.columns().window
    assert float(window.close[5]) == 2.5
    assert float(window.close[-1]) == 1.5
