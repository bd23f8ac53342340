"""Which prices are believed: wrong prints are left out, true crashes are not held up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.market import Bar, CandleCorrected, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_data.bar_file import read_bars
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.prices import Level, PriceJudge, Verdict, Witness
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Answered, Ask, AskBars, Heard, Input, Opened, TimePassed
from nexus_market.candles import from_millis, slot_millis, to_millis
from unit.ingest.live_world import kline_of

DATA = Path(__file__).parents[4] / "shared" / "data" / "ohlcv"
RULES = WatchRules()
BELIEVED = Verdict.BELIEVED


class Tape:
    """Prints of one instrument, with a witness that may speak; tells how long a price was held up."""

    def __init__(self) -> None:
        self.level = Level()
        self.other = Level()
        self._judge = PriceJudge(RULES)

    def believes(self, price: float, at: int) -> bool:
        witnesses = (Witness(Venue.BYBIT, self.other),)
        return self._judge.judge(self.level, price, at, witnesses) is BELIEVED

    def witnessed(self, price: float, at: int) -> None:
        self._judge.judge(self.other, price, at, ())


def held_up(tape: Tape, price: float, start: int, every: int) -> int:
    """Milliseconds of prints at one price until it is believed."""
    return next(passed for passed in range(0, 60_000, every) if tape.believes(price, start + passed))


def test_a_wrong_print_between_true_ones_is_left_out() -> None:
    tape = Tape()
    prices = [100.0, 1_000.0, 100.1, 10.0, 99.9, 0.001]
    assert [tape.believes(price, 100 * at) for at, price in enumerate(prices)] == [True, False] * 3


def test_a_burst_of_prices_times_ten_is_left_out_for_seconds() -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    assert not any(tape.believes(1_000.0, 10 * at) for at in range(1, 400))
    assert tape.believes(100.2, 4_000)


@pytest.mark.parametrize("every", [10, 50, 100, 250, 400])
@pytest.mark.parametrize("fall", [0.75, 0.5, 0.35, 1.3, 1.9])
def test_a_crash_in_one_step_is_believed_within_a_second(fall: float, every: int) -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    assert held_up(tape, 100.0 * fall, 1_000, every) <= 1_000


def test_a_crash_that_goes_on_while_it_is_doubted_is_believed_within_a_second() -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    prices = [(at, 75.0 - at / 100) for at in range(0, 2_000, 100)]
    assert next(at for at, price in prices if tape.believes(price, 1_000 + at)) <= 1_000


def test_a_witness_confirms_at_once() -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    tape.witnessed(100.0, 0)
    tape.witnessed(71.0, 900)
    assert tape.believes(70.0, 1_000)


def test_two_venues_that_crash_at_once_confirm_each_other() -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    tape.witnessed(100.0, 0)
    tape.witnessed(70.0, 500)  # doubted over there as well, but seen
    assert tape.other.reference == 100.0
    assert tape.believes(70.5, 600)


def test_a_witness_that_says_otherwise_holds_a_price_up_for_five_seconds() -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    for passed in range(0, 20_000, 100):
        tape.witnessed(100.0, 1_000 + passed)
        if tape.believes(70.0, 1_000 + passed):
            break
    assert passed == RULES.price_insists_ms


def test_a_stale_witness_says_nothing() -> None:
    tape = Tape()
    tape.believes(100.0, 0)
    tape.witnessed(100.0, 0)
    assert held_up(tape, 70.0, 10_000, 100) == RULES.price_persists_ms


def test_a_wrong_first_print_is_seen_through_with_a_witness() -> None:
    tape = Tape()
    tape.witnessed(100.0, 0)
    assert not tape.believes(1_000.0, 10)
    assert tape.believes(100.5, 20)


@given(st.lists(st.floats(-0.19, 0.19), max_size=200))
def test_a_market_that_moves_in_steps_below_the_bound_is_never_held_up(steps: list[float]) -> None:
    tape = Tape()
    price = 100.0
    for at, step in enumerate([0.0, *steps]):
        price *= 1 + step
        assert tape.believes(price, at)


@given(st.lists(st.tuples(st.floats(1e-9, 1e9), st.integers(0, 3_000)), max_size=100), st.floats(1e-9, 1e9))
def test_any_price_that_stays_is_believed_in_the_end(noise: list[tuple[float, int]], price: float) -> None:
    tape = Tape()
    now = 0
    for each, pause in noise:
        now += pause
        tape.believes(each, now)
    assert held_up(tape, price, now, 100) <= RULES.price_insists_ms


# -- recorded crashes ---------------------------------------------------------------------------------

recorded = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")
SPOT = "BTC ETH ADA DOGE DOT LINK LTC XRP"
PERPETUALS = "BTC ETH SOL ADA AVAX BNB DOGE HYPE LINK LTC XRP 1000PEPE 1000SHIB"
MAY, OCTOBER = datetime(2021, 5, 19, tzinfo=UTC), datetime(2025, 10, 10, tzinfo=UTC)
CRASHES = [
    *(("binance_spot", coin, "1m", MAY) for coin in SPOT.split()),
    *(("binance_um", coin, "5m", OCTOBER) for coin in PERPETUALS.split()),
    *(("bybit_linear", coin, "5m", OCTOBER) for coin in ("BTC", "ETH", "SOL", "BNB")),
]


def crash_day(folder: str, coin: str, interval: str, day: datetime) -> list[Bar]:
    """The recorded candles of that day."""
    series = read_bars(DATA / folder / f"{coin}USDT-{interval}.parquet", Timeframe(interval))
    first = series.count_closed_by(to_millis(day)) + 1
    last = first + 86_400_000 // slot_millis(series.timeframe)
    rows = range(first, min(last, len(series)))
    return [Bar(series.open_time.item(row), *series.bar(row)) for row in rows]


class Venue24:
    """A venue whose REST says what its stream said, 150 ms later."""

    def __init__(self, timeframe: Timeframe, bars: list[Bar]) -> None:
        self.timeframe = timeframe
        self.bars = {bar.open_time: bar for bar in bars}
        watched = WatchedVenue(Venue.BINANCE, (Symbol("X"),), (timeframe,))
        first = bars[0].open_time - slot_millis(timeframe)
        rules = WatchRules(connection_silence_ms=10**9, stream_silence_ms=10**9)
        self.watch = MarketWatch(rules, [watched], {Series(Venue.BINANCE, Symbol("X"), timeframe): first})
        self.asked = 0
        self.told: list[tuple[int, Bar, int]] = []

    def take(self, happened: Input) -> None:
        for output in self.watch.take(happened):
            match output:
                case Ask():
                    self.asked += output.bars.reason == "a price to be confirmed"
                    self.take(self.answer(output.bars, to_millis(happened.at) + 150))
                case CandlesClosed():
                    self._record(output, to_millis(happened.at))
                case CandleCorrected():
                    raise AssertionError(output)

    def _record(self, closed: CandlesClosed, now: int) -> None:
        """When it closed, what it was, when it was told."""
        for each in closed.candles:
            if each.timeframe is self.timeframe:
                bar = Bar(to_millis(each.open_time(closed.at)), *each[2:])
                self.told.append((to_millis(closed.at), bar, now))

    def answer(self, ask: AskBars, now: int) -> Answered:
        times = range(ask.first, ask.last + 1, slot_millis(self.timeframe))
        bars = tuple(
            self.bars[at] for at in times if at in self.bars and at + slot_millis(self.timeframe) <= now
        )
        return Answered(Venue.BINANCE, ask, bars, from_millis(now))

    def play(self) -> None:
        first = min(self.bars)
        self.take(Opened(Venue.BINANCE, "a", from_millis(first + 1)))
        for bar in self.bars.values():
            closes = bar.open_time + slot_millis(self.timeframe)
            kline = kline_of(Series(Venue.BINANCE, Symbol("X"), self.timeframe), bar, True, closes)
            self.take(Heard(Venue.BINANCE, "a", [kline], from_millis(closes + 5)))
            while self.watch.deadline() <= from_millis(closes + 300):
                self.take(TimePassed(self.watch.deadline()))


@recorded
@pytest.mark.parametrize(("folder", "coin", "interval", "day"), CRASHES)
def test_no_candle_of_a_recorded_crash_is_withheld(
    folder: str, coin: str, interval: str, day: datetime
) -> None:
    bars = crash_day(folder, coin, interval, day)
    assert len(bars) == {"1m": 1_440, "5m": 288}[interval]
    venue = Venue24(Timeframe(interval), bars)
    venue.play()
    assert [bar for _, bar, _ in venue.told] == bars
    assert max(told_at - closed_at for closed_at, _, told_at in venue.told) <= 1_000


@recorded
@pytest.mark.parametrize(
    "crash", [("binance_spot", "DOGE", "1m", MAY), ("binance_um", "1000PEPE", "5m", OCTOBER)]
)
def test_recorded_crashes_hold_candles_that_had_to_be_confirmed(
    crash: tuple[str, str, str, datetime],
) -> None:
    venue = Venue24(Timeframe(crash[2]), crash_day(*crash))
    venue.play()
    assert venue.asked > 0


@recorded
@pytest.mark.parametrize(("folder", "coin", "interval", "day"), CRASHES)
def test_prints_that_jump_to_the_extremes_of_a_recorded_crash_are_held_up_a_second_at_most(
    folder: str, coin: str, interval: str, day: datetime
) -> None:
    """Harsher than it was: every bar jumps from open to high to low to close, five prints a second at each."""
    tape = Tape()
    doubted_since: int | None = None
    for at, price in jumps(crash_day(folder, coin, interval, day)):
        if tape.believes(price, at):
            doubted_since = None
        else:
            doubted_since = at if doubted_since is None else doubted_since
            assert at - doubted_since <= 1_000


def jumps(bars: list[Bar]) -> Iterator[tuple[int, float]]:
    for bar in bars:
        for place, price in enumerate((bar.open, bar.high, bar.low, bar.close)):
            for moment in range(0, 2_000, 200):
                yield bar.open_time + place * 15_000 + moment, float(price)
