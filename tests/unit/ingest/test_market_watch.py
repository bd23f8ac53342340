"""What the watch makes of what the feeds say, story by story."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.feed import (
    ClockOff,
    FoldDiffers,
    FramesRefused,
    GapFilled,
    GapFound,
    PriceDoubted,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.market import (
    Bar,
    CandleCorrected,
    CandlesClosed,
    FundingSettled,
    SessionScheduled,
)
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.readings import BookRead, HaltRead, KlineRead, MarkRead, Reading, TradeRead
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import (
    Answered,
    Ask,
    AskBars,
    Closed,
    FeedDown,
    FeedUp,
    Halted,
    Heard,
    Input,
    Noted,
    Opened,
    Output,
    Refused,
    Reopen,
    Scheduled,
    ServerTime,
    Ticks,
    TimePassed,
    Unanswered,
)
from nexus_market.candles import spell, to_millis

BTC, ETH, SPY = Symbol("BTCUSDT"), Symbol("ETHUSDT"), Symbol("SPY")
NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
M1 = 60_000
CRYPTO = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4)

# Stories about candles and prices leave out what time alone would ask for.
QUIET = replace(WatchRules(), connection_silence_ms=10**9, candle_silence_ms=10**9)
PUNCTUAL = replace(WatchRules(), connection_silence_ms=10**9)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def slot(minute: int) -> int:
    return to_millis(NOON) + minute * M1


def bar(minute: int, close: float = 100.0, volume: float = 2.5) -> Bar:
    return Bar(slot(minute), *map(spell, (100.0, max(100.0, close), min(100.0, close), close, volume)))


def kline(
    figures: Bar, *, closed: bool = True, symbol: Symbol = BTC, frame: Timeframe = Timeframe.M1
) -> KlineRead:
    opens, high, low, close, volume = map(str, figures[1:])
    at = figures.open_time
    return KlineRead(symbol, frame, at, opens, high, low, close, volume, closed, at)


def trade(price: str, at: int, symbol: Symbol = BTC) -> TradeRead:
    return TradeRead(symbol, price, "1", Side.BUY, str(at), at)


class Story:
    """One watch, and what came of each thing that happened to it."""

    def __init__(
        self,
        *,
        symbols: tuple[Symbol, ...] = (BTC, ETH),
        venues: Iterable[Venue] = (Venue.BINANCE,),
        streamed: tuple[Timeframe, ...] = CRYPTO,
        known_minute: int | None = -1,
        rules: WatchRules | None = None,
    ) -> None:
        watched = [WatchedVenue(venue, symbols, streamed) for venue in venues]
        known = {
            Series(venue, symbol, Timeframe.M1): slot(known_minute)
            for venue in venues
            for symbol in symbols
            if known_minute is not None
        }
        self.venue = watched[0].venue
        self.watch = MarketWatch(rules or QUIET, watched, known)

    def take(self, happened: Input) -> list[Output]:
        return self.watch.take(happened)

    def opened(self, at: datetime, name: str = "a") -> list[Output]:
        return self.take(Opened(self.venue, name, at))

    def heard(
        self, at: datetime, *readings: Reading, name: str = "a", venue: Venue | None = None
    ) -> list[Output]:
        return self.take(Heard(venue or self.venue, name, readings, at))

    def answered(self, at: datetime, ask: AskBars, *bars: Bar) -> list[Output]:
        return self.take(Answered(self.venue, ask, bars, at))

    def answer_all(self, at: datetime, outputs: Iterable[Output], *minutes: Bar) -> list[Output]:
        """These bars to whoever asked for minutes, none to the others."""
        return [
            output
            for ask in asks(outputs)
            for output in self.answered(at, ask, *(minutes if ask.timeframe is Timeframe.M1 else ()))
        ]

    def until(self, at: datetime) -> list[Output]:
        """Time passes, as the watch wants to be told of it."""
        outputs: list[Output] = []
        while (due := self.watch.deadline()) is not None and due <= at:
            outputs += self.take(TimePassed(due))
        return outputs + self.take(TimePassed(at))


def begun(**how: Any) -> Story:
    """A feed that has just come up at noon, with the minute before recorded."""
    story = Story(**how)
    for ask in asks(story.opened(after(1.5))):
        story.answered(after(1.6), ask, bar(-1))
    return story


def asks(outputs: Iterable[Output]) -> list[AskBars]:
    return [each.bars for each in outputs if isinstance(each, Ask)]


def of(kind: type[Any], outputs: Iterable[Output]) -> list[Any]:
    """Outputs of that kind, and noted facts of it."""
    bare = [each.fact if isinstance(each, Noted) else each for each in outputs]
    return [each for each in bare if isinstance(each, kind)]


def candles(outputs: Iterable[Output]) -> list[tuple[str, str, int, bool]]:
    """Symbol, timeframe, minute it closed at, whether late."""
    return [
        (candle.symbol, candle.timeframe, (closed.at - NOON) // MINUTE, closed.late)
        for closed in of(CandlesClosed, outputs)
        for candle in closed.candles
    ]


# -- candles ------------------------------------------------------------------------------------------


def test_candles_that_close_together_come_in_one_event_twenty_milliseconds_later() -> None:
    story = begun()
    assert candles(story.heard(after(60.010), kline(bar(0)))) == []
    assert candles(story.heard(after(60.025), kline(bar(0), symbol=ETH))) == []
    assert story.watch.deadline() == after(60.030)
    (closed,) = of(CandlesClosed, story.take(TimePassed(after(60.030))))
    assert closed.at == NOON + MINUTE
    assert [candle.symbol for candle in closed.candles] == [BTC, ETH]


def test_a_slow_candle_comes_in_another_event_of_the_same_instant() -> None:
    story = begun()
    story.heard(after(60.010), kline(bar(0)))
    story.until(after(60.5))
    story.heard(after(60.6), kline(bar(0), symbol=ETH))
    assert candles(story.until(after(61))) == [("ETHUSDT", "1m", 1, False)]


def test_an_unclosed_kline_is_no_candle() -> None:
    story = begun()
    outputs = [*story.heard(after(59), kline(bar(0), closed=False)), *story.until(after(62))]
    assert candles(outputs) == []


def test_a_candle_told_again_is_nothing_and_one_told_otherwise_a_correction() -> None:
    story = begun()
    story.heard(after(60.01), kline(bar(0)))
    story.until(after(61))
    assert story.heard(after(62), kline(bar(0))) == []
    (corrected,) = of(CandleCorrected, story.heard(after(63), kline(bar(0, close=101.0))))
    assert (corrected.was, corrected.now, corrected.source) == (bar(0), bar(0, close=101.0), "stream")
    assert story.heard(after(64), kline(bar(0, close=101.0))) == []


def test_a_gap_is_asked_for_and_newer_candles_wait_until_it_is_filled() -> None:
    story = begun()
    outputs = story.heard(after(180.01), kline(bar(2)))
    (gap,) = of(GapFound, outputs)
    assert (gap.first, gap.last) == (NOON, NOON + MINUTE)
    (ask,) = asks(outputs)
    assert (ask.first, ask.last, ask.reason) == (slot(0), slot(2), "a gap")
    assert candles(story.until(after(180.5))) == []
    outputs = story.answered(after(180.6), ask, bar(0), bar(1), bar(2)) + story.until(after(181))
    assert candles(outputs) == [
        ("BTCUSDT", "1m", 1, True),
        ("BTCUSDT", "1m", 2, True),
        ("BTCUSDT", "1m", 3, False),
    ]
    assert [fact.bars for fact in of(GapFilled, outputs)] == [2]


def test_a_bar_that_rest_lacks_before_a_later_one_was_never_traded() -> None:
    story = begun()
    (ask,) = asks(story.heard(after(182), kline(bar(2))))
    outputs = story.answered(after(183), ask, bar(1), bar(2)) + story.until(after(184))
    assert [minute for _, _, minute, _ in candles(outputs)] == [2, 3]
    assert [fact.bars for fact in of(GapFilled, outputs)] == [1]
    # It turns up after all: too late to come in order, so it is refused and counted.
    assert story.heard(after(185), kline(bar(0))) == []
    (refused,) = of(FramesRefused, story.until(after(250)))
    assert refused.counts == {"candle of a slot passed over as never traded": 1}


def test_rest_that_lags_behind_the_stream_is_asked_again() -> None:
    story = begun()
    (ask,) = asks(story.heard(after(120.01), kline(bar(1))))
    assert candles(story.answered(after(120.1), ask)) == []
    (again,) = asks(story.until(after(122)))
    outputs = story.answered(after(122.1), again, bar(0), bar(1)) + story.until(after(123))
    assert [minute for _, _, minute, _ in candles(outputs)] == [1, 2]


def test_rest_that_does_not_answer_is_asked_again_with_growing_pauses() -> None:
    story = begun()
    (ask,) = asks(story.heard(after(120.01), kline(bar(1))))
    at = after(120.1)
    pauses = []
    for _ in range(4):
        story.take(Unanswered(Venue.BINANCE, ask, "HTTP 503", at))
        failed_at = at
        while not (asked := asks(story.take(TimePassed(at := max(at, story.watch.deadline() or at))))):
            pass
        ask = next(each for each in asked if each.symbol == BTC)
        pauses.append((at - failed_at).total_seconds())
    assert [int(pause) for pause in pauses] == [1, 2, 4, 8]


def test_what_had_not_settled_when_it_was_asked_for_is_not_taken_as_never_traded() -> None:
    """REST words the second bar otherwise than it will be, the third as the stream did: the second must wait."""
    story = begun(rules=replace(QUIET, rest_settles_ms=150_000))
    story.until(after(152))
    (ask,) = asks(story.heard(after(180.01), kline(bar(2))))
    outputs = story.answered(after(180.1), ask, bar(0), bar(1, close=99.0), bar(2)) + story.until(after(182))
    assert [minute for _, _, minute, _ in candles(outputs)] == []
    outputs += story.until(after(400))
    for again in asks(outputs):
        outputs += story.answered(after(400.1), again, bar(0), bar(1), bar(2))
    assert [minute for _, _, minute, _ in candles(outputs + story.until(after(402)))] == [1, 2, 3]


def test_a_candle_that_is_corrected_before_it_left_leaves_as_it_is_now() -> None:
    story = begun()
    story.heard(after(60.010), kline(bar(0)))
    outputs = story.heard(after(60.015), kline(bar(0, close=101.0))) + story.until(after(61))
    (closed,) = of(CandlesClosed, outputs)
    assert [candle.close for candle in closed.candles] == [bar(0, close=101.0).close]
    assert of(CandleCorrected, outputs) == []


def test_an_overdue_candle_is_asked_for() -> None:
    story = begun(rules=PUNCTUAL)
    story.heard(after(60.01), kline(bar(0), symbol=ETH))
    assert asks(story.until(after(67.5))) == []
    (ask,) = asks(story.until(after(69)))
    assert (ask.symbol, ask.first, ask.last, ask.reason) == (BTC, slot(0), slot(0), "overdue")
    outputs = story.answered(after(69.2), ask, bar(0)) + story.until(after(69.5))
    assert candles(outputs) == [("BTCUSDT", "1m", 1, False)]


def test_after_a_break_all_series_are_checked_and_the_last_bars_compared() -> None:
    story = begun()
    story.heard(after(60.01), kline(bar(0)), kline(bar(0), symbol=ETH))
    (down,) = of(FeedDown, story.take(Closed(Venue.BINANCE, "a", "cut", after(62))))
    assert "cut" in down.reason
    asked = asks(story.opened(after(64)))
    assert {(ask.symbol, ask.first, ask.last) for ask in asked if ask.timeframe is Timeframe.M1} == {
        (BTC, slot(-2), slot(0)),
        (ETH, slot(-2), slot(0)),
    }
    outputs: list[Output] = []
    for ask in asked:
        own = [bar(-1), bar(0, close=100.5 if ask.symbol == ETH else 100.0)] if ask.last == slot(0) else []
        outputs += story.answered(after(65), ask, *own)
    (corrected,) = of(CandleCorrected, outputs)
    assert (corrected.symbol, corrected.now.close, corrected.source) == (ETH, Decimal("100.5"), "rest")


def test_the_feed_is_up_after_the_gaps_are_filled_and_before_what_is_decided_on() -> None:
    story = begun(symbols=(BTC,))
    story.take(Closed(Venue.BINANCE, "a", "cut", after(30)))
    outputs = story.answer_all(after(183), story.opened(after(182)), bar(0), bar(1), bar(2))
    kinds = [type(each) for each in outputs if isinstance(each, CandlesClosed | FeedUp)]
    assert kinds == [CandlesClosed, CandlesClosed, FeedUp, CandlesClosed]
    assert [late for *_, late in candles(outputs)] == [True, True, False]


def test_the_feed_stays_lost_while_rest_does_not_answer_and_one_dead_series_does_not_hold_it() -> None:
    story = begun()
    story.take(Closed(Venue.BINANCE, "a", "cut", after(30)))
    outputs = story.opened(after(62))
    told: list[Output] = []
    for second in range(63, 80):
        failed = [Unanswered(Venue.BINANCE, ask, "HTTP 503", after(second)) for ask in asks(outputs)]
        outputs = [each for failure in failed for each in story.take(failure)] + story.until(
            after(second + 0.9)
        )
        told += outputs
    assert len(asks(told)) > 6
    assert of(FeedUp, told) == []
    while not (btc := [ask for ask in asks(outputs) if (ask.symbol, ask.timeframe) == (BTC, Timeframe.M1)]):
        outputs = story.take(TimePassed(story.watch.deadline() or after(80)))
    assert len(of(FeedUp, story.answered(after(140), btc[0], bar(-1), bar(0), bar(1)))) == 1


def test_a_watch_that_knows_nothing_begins_with_the_candle_that_is_open() -> None:
    story = Story(known_minute=None)
    outputs = story.opened(after(30))
    assert asks(outputs) == []
    assert of(FeedUp, outputs) == [FeedUp(Venue.BINANCE, after(30))]
    story.heard(after(31), kline(bar(-1)))
    story.heard(after(60.01), kline(bar(0)))
    assert candles(story.until(after(61))) == [("BTCUSDT", "1m", 1, False)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (kline(bar(0)._replace(open_time=slot(0) + 1)), "candle off its grid"),
        (kline(bar(600)), "candle of the future"),
        (kline(bar(0)._replace(low=Decimal(0))), "candle with an impossible price"),
        (kline(bar(0)._replace(low=Decimal("100.5"))), "candle with an impossible price"),
        (kline(bar(0, close=101.0)._replace(high=Decimal("100.5"))), "candle that leaves its own range"),
        (kline(bar(0))._replace(close="nan"), "candle that leaves its own range"),
        (kline(bar(0))._replace(open="nan"), "candle that leaves its own range"),
        (kline(bar(0))._replace(volume="nan"), "candle with an impossible volume"),
        (kline(bar(0))._replace(high="inf"), "candle with an impossible price"),
        (kline(bar(0), symbol=Symbol("NOPEUSDT")), "candle that is not watched"),
    ],
)
def test_a_kline_that_can_be_no_candle_is_refused_and_the_true_one_still_comes(
    broken: KlineRead, reason: str
) -> None:
    story = begun()
    story.heard(after(60.01), broken)
    story.heard(after(60.02), kline(bar(0)))
    outputs = story.until(after(122))
    assert candles(outputs) == [("BTCUSDT", "1m", 1, False)]
    assert [each.counts for each in of(FramesRefused, outputs)] == [{reason: 1}]


def test_a_candle_with_a_doubtful_price_waits_for_the_word_of_rest() -> None:
    story = begun()
    (ask,) = asks(story.heard(after(60.01), kline(bar(0, close=1_000.0))))
    assert ask.reason == "a price to be confirmed"
    # What closed within the last second may not be final where REST reads it.
    assert candles(story.answered(after(60.2), ask, bar(0))) == []
    (ask,) = asks(story.until(after(61.8)))
    outputs = story.answered(after(61.9), ask, bar(0)) + story.until(after(62.5))
    assert of(CandlesClosed, outputs)[0].candles[0].close == Decimal("100.0")
    (doubted,) = of(PriceDoubted, outputs)
    assert (doubted.price, doubted.reference) == (Decimal("1000.0"), Decimal("100.0"))


def test_a_true_crash_is_passed_as_soon_as_rest_says_the_same_or_does_not_answer() -> None:
    confirmed = begun()
    (ask,) = asks(confirmed.heard(after(60.01), kline(bar(0, close=70.0))))
    outputs = confirmed.answered(after(60.2), ask, bar(0, close=70.0)) + confirmed.until(after(60.3))
    assert candles(outputs) == [("BTCUSDT", "1m", 1, False)]
    silent = begun()
    silent.heard(after(60.01), kline(bar(0, close=70.0)))
    assert candles(silent.until(after(61.9))) == []
    assert candles(silent.until(after(63.2))) == [("BTCUSDT", "1m", 1, False)]


# -- folds --------------------------------------------------------------------------------------------


def fold_story(minutes: int, **how: Any) -> tuple[Story, list[Output]]:
    story = begun(**how)
    outputs: list[Output] = []
    for minute in range(minutes):
        outputs += story.heard(after(60 * minute + 60.01), kline(bar(minute, close=101.0 + minute)))
    return story, outputs + story.until(after(60 * minutes + 1))


def test_a_candle_that_is_not_what_its_minutes_fold_to_is_told() -> None:
    told = Bar(slot(0), *map(spell, (100.0, 105.0, 100.0, 105.0, 12.5)))
    story, outputs = fold_story(5)
    outputs += story.heard(after(301), kline(told, frame=Timeframe.M5))
    assert of(FoldDiffers, outputs) == []
    story, outputs = fold_story(5)
    wrong = told._replace(volume=Decimal("12.6"))
    (differs,) = of(FoldDiffers, outputs + story.heard(after(301), kline(wrong, frame=Timeframe.M5)))
    assert (differs.folded, differs.told) == (told, wrong)


def test_a_correction_of_a_minute_corrects_what_was_folded_from_it() -> None:
    story, outputs = fold_story(5, streamed=(Timeframe.M1,))
    assert ("BTCUSDT", "5m", 5, False) in candles(outputs)
    outputs = story.heard(after(310), kline(bar(2, close=140.0)))
    assert [(each.timeframe, each.was.high, each.now.high) for each in of(CandleCorrected, outputs)] == [
        ("1m", Decimal("103.0"), Decimal("140.0")),
        ("5m", Decimal("105.0"), Decimal("140.0")),
    ]


def test_after_a_restart_the_open_hours_of_a_folded_candle_are_asked_for() -> None:
    """At 13:58 of a 4h slot begun at noon; the 4h candle is whole at 16:00 all the same."""
    story = Story(symbols=(BTC,), streamed=(Timeframe.M1,), known_minute=116)
    (ask,) = asks(story.opened(after(60 * 118 + 2)))
    assert (ask.first, ask.last) == (slot(0), slot(117))
    bars = [bar(minute, close=100.0 + minute) for minute in range(118)]
    outputs = story.answered(after(60 * 118 + 3), ask, *bars)
    assert [minute for _, frame, minute, _ in candles(outputs) if frame == "1m"] == [118]
    for minute in range(118, 240):
        outputs += story.heard(after(60 * minute + 60.01), kline(bar(minute)))
    outputs += story.until(after(60 * 240 + 1))
    (whole,) = (c for e in of(CandlesClosed, outputs) for c in e.candles if c.timeframe is Timeframe.H4)
    assert (whole.high, whole.volume) == (Decimal("217.0"), Decimal("600.0"))


def test_a_stocks_candle_ends_by_time_though_its_last_minute_was_not_traded() -> None:
    story, outputs = fold_story(
        4, symbols=(BTC,), venues=(Venue.ALPACA,), streamed=(Timeframe.M1,), rules=PUNCTUAL
    )
    at = after(240.5)
    while at < after(312):
        at = story.watch.deadline() or at
        passed = story.take(TimePassed(at))
        outputs += [*passed, *story.heard(at)]
        for ask in asks(passed):
            outputs += story.answered(at, ask)
    assert ("BTCUSDT", "5m", 5, False) in candles(outputs)
    assert of(GapFound, outputs) == []


# -- prices -------------------------------------------------------------------------------------------


def test_believed_readings_are_passed_on_and_doubtful_ones_are_not() -> None:
    story = begun()
    at = slot(1)
    good, wrong = trade("100.0", at), trade("1000.0", at + 1)
    book = BookRead(BTC, "99.9", "1", "100.1", "2", at)
    crossed = BookRead(BTC, "100.2", "1", "100.1", "2", at + 1)
    mark = MarkRead(BTC, "100.05", None, "0.0001", slot(300), at)
    outputs = story.heard(after(60.1), good, wrong, book, crossed, mark)
    (ticks,) = of(Ticks, outputs)
    assert list(ticks.readings) == [good, book, mark]
    assert [fact.reason for fact in of(PriceDoubted, outputs)] == [
        "price in doubt: a jump from the last one",
        "crossed book",
    ]
    (refused,) = of(FramesRefused, story.until(after(130)))
    assert refused.counts == {"price in doubt": 1, "crossed book": 1}


def test_time_that_goes_backwards_and_times_of_the_future_are_refused() -> None:
    story = begun()
    slight = trade("100.0", slot(1) - 9_000)
    back, future = trade("100.0", slot(1) - 11_000), trade("100.0", slot(9))
    (ticks,) = of(Ticks, story.heard(after(60), trade("100.0", slot(1)), slight, back, future))
    assert [each.at for each in ticks.readings] == [slot(1), slot(1) - 9_000]
    (refused,) = of(FramesRefused, story.until(after(125)))
    assert refused.counts == {"time goes backwards": 1, "time of the future": 1}


def test_the_other_venue_confirms_a_jump_at_once() -> None:
    story = begun(venues=(Venue.BINANCE, Venue.BYBIT))
    story.heard(after(60), trade("100.0", slot(1)))
    story.heard(after(60), trade("70.0", slot(1)), venue=Venue.BYBIT, name="b")
    (ticks,) = of(Ticks, story.heard(after(60.1), trade("71.0", slot(1) + 100)))
    assert len(ticks.readings) == 1


def test_funding_is_settled_once_when_the_venue_announces_the_next() -> None:
    story = begun()
    due, later = slot(10), slot(490)
    outputs: list[Output] = []
    for at, rate, mark, next_funding in (
        (due - 2_000, "0.0002", "99.0", due),
        (due - 1_000, "0.0001", "100.0", due),
        (due + 1_000, "0.0003", "101.0", due),
        (due + 2_000, "0.0004", "102.0", later),
        (due + 3_000, "0.0004", "102.0", later),
    ):
        outputs += story.heard(
            after(at / 1_000 - NOON.timestamp()), MarkRead(BTC, mark, None, rate, next_funding, at)
        )
    assert of(FundingSettled, outputs) == [
        FundingSettled(
            venue=Venue.BINANCE,
            symbol=BTC,
            rate=Decimal("0.0001"),
            mark_price=Decimal("100.0"),
            at=NOON + 10 * MINUTE,
        )
    ]


@pytest.mark.parametrize(
    ("heard_before", "next_funding"),
    [(11 * M1, 490 * M1), (1_000, 5 * M1), (30_000, 600 * M1)],
    ids=["not heard for long before", "brought forward", "put off"],
)
def test_funding_that_is_not_known_to_have_been_due_is_not_said(heard_before: int, next_funding: int) -> None:
    story = begun()
    due = slot(20)
    told_at = due + 1_000 if heard_before > 10 * M1 else due - heard_before + 500
    outputs = story.heard(after(600), MarkRead(BTC, "100", None, "0.0001", due, due - heard_before))
    outputs += story.heard(
        after(1_201), MarkRead(BTC, "100", None, "0.0001", slot(0) + next_funding, told_at)
    )
    assert of(FundingSettled, outputs) == []


def test_a_halt_is_passed_on() -> None:
    halt = HaltRead(BTC, True, "T1", "news pending", slot(1))
    assert begun().heard(after(60), halt) == [Halted(Venue.BINANCE, halt)]


# -- liveness -----------------------------------------------------------------------------------------


def test_a_silent_connection_is_opened_anew_and_the_feed_lost_when_none_speaks() -> None:
    story = begun(rules=WatchRules())
    story.opened(after(2), "b")
    story.until(after(6))
    story.heard(after(6.4), trade("100.0", slot(0)), name="b")
    outputs = story.until(after(9))
    assert [(each.connection, each.venue) for each in of(Reopen, outputs)] == [("a", Venue.BINANCE)]
    assert of(FeedDown, outputs) == []
    outputs = story.until(after(12.5))
    assert "b" in [each.connection for each in of(Reopen, outputs)]
    (down,) = of(FeedDown, outputs)
    assert down.at - after(6.4) < timedelta(seconds=10)


def test_a_connection_that_speaks_again_is_checked_like_a_new_one() -> None:
    story = begun(symbols=(BTC,), rules=WatchRules())
    story.until(after(64))
    outputs = story.heard(after(64.1), trade("100.0", slot(1)))
    assert of(FeedUp, story.answer_all(after(64.2), outputs, bar(0)))


def test_one_silent_stream_is_told_once_and_again_when_it_speaks() -> None:
    story = begun(symbols=(BTC, ETH), rules=WatchRules())
    outputs: list[Output] = []
    for second in range(2, 200):
        outputs += story.until(after(second))
        outputs += story.heard(after(second), trade("100.0", slot(0) + 1_000 * second))
    silent = {(each.symbol, each.stream) for each in of(StreamSilent, outputs)}
    assert silent == {
        (BTC, "book"),
        (BTC, "mark"),
        (BTC, "candles"),
        *((ETH, stream) for stream in ("trades", "book", "mark", "candles")),
    }
    assert len(of(StreamSilent, outputs)) == 7
    story.heard(after(200), trade("100.0", slot(3), ETH))
    (heard,) = of(StreamHeard, story.until(after(202)))
    assert (heard.symbol, heard.stream) == (ETH, "trades")


def test_a_stock_may_be_silent_while_its_venue_is_shut() -> None:
    story = Story(
        symbols=(SPY,),
        venues=(Venue.ALPACA,),
        streamed=(Timeframe.M1,),
        known_minute=None,
        rules=WatchRules(),
    )
    session = SessionScheduled(
        venue=Venue.ALPACA,
        day=date(2025, 6, 2),
        opens=after(5_400),
        closes=after(28_800),
        is_early_close=False,
        sources=("alpaca",),
    )
    story.take(Scheduled(session, after(0)))
    for ask in asks(story.opened(after(1))):
        story.answered(after(1.1), ask)
    assert of(Reopen, story.until(after(5_399))) == []
    outputs = story.until(after(5_407))
    assert len(of(Reopen, outputs)) == 1
    assert of(FeedDown, outputs)


def test_a_weekend_that_the_calendar_leaves_out_is_no_silence() -> None:
    story = Story(
        symbols=(SPY,),
        venues=(Venue.ALPACA,),
        streamed=(Timeframe.M1,),
        known_minute=None,
        rules=WatchRules(),
    )
    friday = NOON + timedelta(days=4)
    for days in (0, 3):
        opens = friday + timedelta(days=days, minutes=90)
        session = SessionScheduled(
            venue=Venue.ALPACA,
            day=opens.date(),
            opens=opens,
            closes=opens + timedelta(hours=6, minutes=30),
            is_early_close=False,
            sources=("alpaca",),
        )
        story.take(Scheduled(session, friday))
    for ask in asks(story.opened(friday + timedelta(hours=9))):
        story.answered(friday + timedelta(hours=9), ask)
    outputs = story.until(friday + timedelta(hours=24))
    assert of(Reopen, outputs) == of(FeedDown, outputs) == []


def test_refused_frames_are_counted_and_told_once_a_minute() -> None:
    story = begun(rules=WatchRules())
    for second in range(10, 40):
        story.take(Refused(Venue.BINANCE, "a", "not JSON", '{"e":"tra', after(second)))
    story.take(Refused(Venue.BINANCE, "a", "unknown kind", "{}", after(41)))
    outputs = story.until(after(75))
    assert of(FramesRefused, outputs) == [
        FramesRefused(
            venue=Venue.BINANCE,
            counts={"not JSON": 30, "unknown kind": 1},
            sample='{"e":"tra',
            at=of(FramesRefused, outputs)[0].at,
        )
    ]
    assert of(FramesRefused, story.until(after(200))) == []


def test_a_clock_is_told_when_it_goes_off_and_when_it_is_back() -> None:
    story = begun(rules=WatchRules())
    read = [
        of(ClockOff, story.take(ServerTime(Venue.BINANCE, ahead, 100, after(60 + place))))
        for place, ahead in enumerate((20, 1_040, -3_000, -2_900, 10))
    ]
    assert [[each.milliseconds for each in told] for told in read] == [[], [], [-3_000], [], [10]]


def test_an_instrument_that_vanishes_is_told_once_and_the_rest_flows_on() -> None:
    story = begun(symbols=(BTC, ETH), rules=WatchRules())
    outputs: list[Output] = []
    asked = 0
    for second in range(2, 900):
        outputs += (passed := story.until(after(second)))
        for ask in asks(passed):
            asked += (ask.symbol, ask.timeframe) == (ETH, Timeframe.M1)
            outputs += story.answered(after(second + 0.1), ask)
        readings: list[Reading] = [trade("100.0", slot(0) + 1_000 * second)]
        if second % 60 == 0:
            readings.append(kline(bar(second // 60 - 1)))
        outputs += story.heard(after(second + 0.2), *readings)
    assert [minute for symbol, frame, minute, _ in candles(outputs) if frame == "1m"] == list(range(1, 15))
    assert [each.stream for each in of(StreamSilent, outputs) if each.symbol == ETH].count("candles") == 1
    assert 5 < asked < 30
    assert of(FeedDown, outputs) == []
