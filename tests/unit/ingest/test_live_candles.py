"""Whatever happens on the way, the candles recorded are the true ones: each once, in order, none missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.feed import FoldDiffers, GapFilled, GapFound
from nexus_common.contracts.market import Bar, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.candle_news import Told
from nexus_ingest.domain.candle_truth import SeriesTruth
from nexus_ingest.domain.readings import KlineRead
from nexus_ingest.domain.venue_watch import VenueWatch
from nexus_ingest.domain.watching import FeedDown, FeedUp, Heard, Reopen
from unit.ingest.live_world import CALM, ROUGH, START, LiveWorld, Mishaps

COINS = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
STOCKS = (Symbol("SPY"), Symbol("XLK"))
CUTS = Mishaps(cut=0.3, rest_takes_ms=3_000)


def coins(mishaps: Mishaps, seed: int, minutes: int = 30) -> LiveWorld:
    return LiveWorld(Venue.BINANCE, COINS, (Timeframe.M1, Timeframe.M5), minutes, mishaps, seed)


def stocks(mishaps: Mishaps, seed: int, minutes: int = 60) -> LiveWorld:
    """Only 1m is streamed, and a quarter of the minutes goes without a trade."""
    world = LiveWorld(Venue.ALPACA, STOCKS, (Timeframe.M1,), minutes, replace(mishaps, untraded=0.25), seed)
    return world.expect_folds(Timeframe.M5, Timeframe.M15, Timeframe.H1)


def test_a_calm_market_is_recorded_without_a_question() -> None:
    world = coins(CALM, 1).run()
    assert world.breaches() == []
    # 1m and 5m as streamed, 15m folded.
    assert sum(len(bars) for bars in world.recorded.values()) == 2 * (30 + 6 + 2)
    assert world.count(GapFound) == world.count(Reopen) == world.count(FeedDown) == 0
    closed = [each for each in world.outputs if isinstance(each, CandlesClosed)]
    assert not any(each.late for each in closed)


@pytest.mark.parametrize("seed", range(25))
def test_a_rough_market_of_coins_is_recorded_as_it_truly_was(seed: int) -> None:
    world = coins(ROUGH, seed).run()
    assert world.breaches() == []
    assert world.count(GapFound) > 0
    assert world.count(GapFilled) > 0


@pytest.mark.parametrize("seed", range(10))
def test_a_rough_market_of_stocks_is_recorded_and_folded_as_it_truly_was(seed: int) -> None:
    assert stocks(ROUGH, seed).run().breaches() == []


@pytest.mark.parametrize("seed", range(10))
def test_the_feed_is_back_only_when_what_the_cut_cost_is_recorded(seed: int) -> None:
    world = coins(CUTS, seed).run()
    assert world.breaches() == []
    assert world.count(FeedUp) >= 1


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        Mishaps,
        lost=st.floats(0, 0.9),
        twice=st.floats(0, 0.5),
        slow=st.floats(0, 0.5),
        cut=st.floats(0, 0.4),
        stall=st.floats(0, 0.4),
        rest_fails=st.floats(0, 0.8),
        rest_lags_ms=st.integers(0, 5_000),
        rest_takes_ms=st.integers(0, 5_000),
    ),
    st.integers(0, 2**32),
)
def test_no_mixture_of_mishaps_costs_a_candle(mishaps: Mishaps, seed: int) -> None:
    assert coins(mishaps, seed, minutes=15).run().breaches() == []


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 2_000, 50))
def test_a_thousand_rough_hours(first: int) -> None:
    for seed in range(first, first + 50):
        assert coins(ROUGH, seed, minutes=60).run().breaches() == []
        assert stocks(ROUGH, seed).run().breaches() == []


def test_an_outage_of_the_venue_is_a_gap_that_stays() -> None:
    """Nothing was traded for seven minutes, so no candle is invented, and none after it is lost."""
    world = coins(CALM, 3)
    for bars in world.truth.values():
        for at in [at for at in bars if START + 5 * 60_000 <= at < START + 12 * 60_000]:
            del bars[at]
    world.run()
    assert world.breaches() == []
    filled = [fact for fact in world.facts() if isinstance(fact, GapFilled)]
    assert {(fact.symbol, fact.timeframe, fact.bars) for fact in filled} == {
        (symbol, timeframe, 0) for symbol in COINS for timeframe in (Timeframe.M1, Timeframe.M5)
    }
    assert world.count(GapFound) == 4


def test_the_same_inputs_give_the_same_outputs() -> None:
    world = coins(ROUGH, 7).run()
    again = world.new_watch()
    assert [output for happened in world.inputs for output in again.take(happened)] == world.outputs


def test_the_folds_of_the_minutes_are_compared_with_the_venues_own() -> None:
    """The 5m bars of this world are drawn apart from its 1m bars: every one of them differs."""
    world = coins(CALM, 1).run()
    assert world.count(FoldDiffers) == 2 * 6


# -- mistakes that have to be noticed ----------------------------------------------------------------


def test_an_unclosed_kline_taken_for_a_candle_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = VenueWatch.heard

    def credulous(self: VenueWatch, happened: Heard, out: list[object]) -> bool:
        closed = [
            each._replace(closed=True) if isinstance(each, KlineRead) else each for each in happened.readings
        ]
        return heard(self, replace(happened, readings=closed), out)

    monkeypatch.setattr(VenueWatch, "heard", credulous)
    monkeypatch.setattr("nexus_ingest.domain.venue_watch._AHEAD_MS", 10**9)
    assert coins(CALM, 1).run().breaches() != []


def test_not_asking_after_a_cut_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeriesTruth, "reconnected", lambda self, now: [])
    assert any("feed up" in breach for seed in range(10) for breach in coins(CUTS, seed).run().breaches())


def test_not_holding_candles_behind_a_gap_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = SeriesTruth.heard

    def hasty(self: SeriesTruth, bar: Bar, now: int) -> list[Told]:
        if self.next_open is not None and bar.open_time > self.next_open:
            self.next_open = bar.open_time
        return heard(self, bar, now)

    monkeypatch.setattr(SeriesTruth, "heard", hasty)
    assert coins(Mishaps(lost=0.3, rest_fails=0.9), 1).run().breaches() != []


def test_dropping_what_rest_brings_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = SeriesTruth.answered
    monkeypatch.setattr(
        SeriesTruth, "answered", lambda self, ask, bars, now: answered(self, ask, bars[1:], now)
    )
    assert coins(ROUGH, 1).run().breaches() != []
