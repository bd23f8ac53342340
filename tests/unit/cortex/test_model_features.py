"""What the regime model sees: by hand, as the same bits row by row and block by block, and never ahead of time."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Timeframe, Venue
from nexus_cortex.domain import model_features
from nexus_cortex.domain.model_features import FEATURES, LAG, NEEDS, first_ready, matrix, schema_hash
from nexus_cortex.domain.regime import NO_MACRO, MacroTrend, macro_trend, macro_trend_of
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import Series, fold, to_millis
from nexus_market.features import FeatureColumns, History, blocks
from nexus_market.indicators import Bars, Floats

REAL = Path(__file__).parents[4] / "shared" / "data" / "ohlcv" / "binance_spot"
BAR = 900_000
# The close of the last bar by hand: Wednesday 2024-03-06, 18:00.
CLOSED = datetime(2024, 3, 6, 18, tzinfo=UTC)
COUNT = 30


def view(bars: FeatureColumns, macro: MacroTrend = NO_MACRO, mood: Mood | None = None) -> MarketView:
    return MarketView(bars, macro, mood or Mood(), Venue.BINANCE, is_shark_target=True)


def by_hand(closes: dict[int, float] | None = None, **last: float) -> FeatureColumns:
    """One row, whose bar closes at 200; `closes` are those so many bars before, `last` other figures of the row."""
    close = np.full(COUNT, 200.0)
    for back, value in (closes or {}).items():
        close[COUNT - 1 - back] = value
    opens = to_millis(CLOSED) - BAR * np.arange(COUNT, 0, -1)
    volume = np.full(COUNT, last.pop("volume", 10.0))
    window = Bars(opens.astype(np.int64), close, close + 1.0, close - 1.0, close, volume)
    usual = {
        "ema20": 200.0,
        "ema50": 200.0,
        "ema200": 200.0,
        "rsi14": 50.0,
        "rsi_smoothed": 50.0,
        "atr14": 2.0,
    }
    usual |= {"adx14": 20.0, "plus_di14": 20.0, "minus_di14": 20.0, "bb_upper": 210.0, "bb_lower": 190.0}
    usual |= {"macd_histogram": 0.0, "volume_sma20": 10.0, "mfi14": 50.0, "high50": 210.0, "low50": 190.0}
    usual["volatility20"] = 0.01
    columns = {name: np.full(COUNT, value) for name, value in usual.items()}
    for name, value in last.items():
        columns[name][-1] = value
    return FeatureColumns(window, COUNT - 1, Timeframe.M15, columns)


def feature(name: str, bars: FeatureColumns, macro: MacroTrend = NO_MACRO, mood: Mood | None = None) -> float:
    rows = matrix(view(bars, macro, mood))
    assert rows.shape == (1, len(FEATURES))
    return float(rows[0, FEATURES.index(name)])


@pytest.mark.parametrize(
    ("name", "figures", "value"),
    [
        ("slope_ema20", {"ema20": 210.0}, 10.0 / 5 / 200),
        ("slope_ema50", {"ema50": 195.0}, -5.0 / 5 / 200),
        ("slope_ema200", {"ema200": 201.0}, 1.0 / 5 / 200),
        ("rsi", {"rsi14": 71.5}, 71.5),
        ("rsi_smoothed", {"rsi_smoothed": 63.0}, 63.0),
        ("atr", {"atr14": 3.0}, 0.015),
        ("adx", {"adx14": 33.0}, 33.0),
        ("di_lead", {"plus_di14": 31.0}, 11.0),
        ("di_lead", {"minus_di14": 31.0}, -11.0),
        ("band_width", {"bb_upper": 230.0}, 40.0 / 200),
        ("band_position", {"bb_upper": 230.0}, 10.0 / 40),
        ("band_position", {"bb_lower": 202.0}, -2.0 / 8),
        ("macd_histogram", {"macd_histogram": -0.5}, -0.0025),
        ("volume", {"volume": 25.0}, 2.5),
        ("money_flow", {"mfi14": 80.0}, 80.0),
        ("below_high50", {"high50": 220.0}, 0.1),
        ("above_low50", {"low50": 180.0}, 0.1),
        ("volatility20", {"volatility20": 0.02}, 0.02),
        ("hour_sine", {}, -1.0),
        ("hour_cosine", {}, 0.0),
        ("weekday_sine", {}, 0.974927912182),
        ("weekday_cosine", {}, -0.222520933956),
    ],
)
def test_a_feature_of_the_bars(name: str, figures: dict[str, float], value: float) -> None:
    assert feature(name, by_hand(**figures)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("back", [5, 10, 21])
def test_the_change_since_so_many_bars(back: int) -> None:
    assert feature(f"change_{back}", by_hand({back: 160.0})) == pytest.approx(0.25)
    assert feature(f"change_{back}", by_hand({back + 1: 160.0, back - 1: 160.0})) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("name", "figures"), [("volume", {"volume_sma20": 0.0}), ("band_position", {"bb_upper": 190.0})]
)
def test_what_cannot_be_computed_is_no_number(name: str, figures: dict[str, float]) -> None:
    assert np.isnan(feature(name, by_hand(**figures)))


def test_the_4h_view_is_the_one_of_the_last_4h_close() -> None:
    closed = to_millis(CLOSED)
    macro = MacroTrend(
        np.array([closed - 10, closed, closed + 1]),
        np.array([1, -1, 1]),
        np.array([0.1, 0.2, 0.3]),
        np.array([10.0, 20.0, 30.0]),
    )

    figures = [feature(name, by_hand(), macro) for name in ("macro_slope", "macro_rsi", "macro_known")]

    assert figures == [0.2, 20.0, 1.0]
    assert feature("macro_known", by_hand()) == 0.0
    later = MacroTrend(macro.close_time + 5_000, macro.direction, macro.slope, macro.rsi)
    assert [feature(name, by_hand(), later) for name in ("macro_slope", "macro_known")] == [0.0, 0.0]


def reading(day: int, hour: int = 0, **figures: object) -> MacroRead:
    return MacroRead(known_at=datetime(2024, 3, day, hour, tzinfo=UTC), **figures)


def test_the_whole_market_over_a_day_as_far_as_it_is_known() -> None:
    mood = Mood()
    mood.hear_macro(reading(5, btc_dominance=Decimal(50), total_market_cap=Decimal(200), fear_greed=40))
    mood.hear_macro(reading(6, btc_dominance=Decimal(51), fear_greed=60))
    mood.hear_macro(reading(7, btc_dominance=Decimal(99), total_market_cap=Decimal(9), fear_greed=1))
    names = (
        "dominance_change",
        "dominance_known",
        "cap_change",
        "cap_known",
        "fear_greed",
        "fear_greed_known",
    )

    figures = [feature(name, by_hand(), mood=mood) for name in names]

    assert figures == pytest.approx([0.02, 1.0, 0.0, 0.0, 60.0, 1.0])
    assert [feature(name, by_hand()) for name in names] == [0.0] * 6


def test_fear_and_greed_are_not_known_a_day_after_the_last_reading() -> None:
    mood = Mood()
    mood.hear_macro(reading(5, 18, fear_greed=40))
    assert feature("fear_greed_known", by_hand(), mood=mood) == 0.0
    mood.hear_macro(reading(5, 19, fear_greed=41))
    assert feature("fear_greed", by_hand(), mood=mood) == 41.0


def test_the_table_of_sines_is_that_of_a_turn() -> None:
    hours, days = np.arange(24) / 24 * 2 * np.pi, np.arange(7) / 7 * 2 * np.pi

    assert np.sin(hours) == pytest.approx(model_features.HOUR_SINE, abs=1e-12)
    assert np.cos(hours) == pytest.approx(model_features.HOUR_COSINE, abs=1e-12)
    assert np.sin(days) == pytest.approx(model_features.WEEKDAY_SINE, abs=1e-12)
    assert np.cos(days) == pytest.approx(model_features.WEEKDAY_COSINE, abs=1e-12)


def test_indicators_of_the_model_against_their_definitions() -> None:
    bars = random_bars(400, seed=8)
    (columns,) = blocks(bars, Timeframe.M15)
    returns = np.diff(bars.close) / bars.close[:-1]

    assert columns.column("high50")[-1] == bars.high[-50:].max()
    assert columns.column("low50")[-1] == bars.low[-50:].min()
    assert columns.column("volatility20")[-1] == pytest.approx(returns[-20:].std(), rel=1e-6)
    typical = (bars.high + bars.low + bars.close)[-15:] / 3
    flow, rose = (typical * bars.volume[-15:])[1:], np.diff(typical) > 0
    assert columns.column("mfi14")[-1] == pytest.approx(100 * flow[rose].sum() / flow.sum())
    smoothed = talib.EMA(talib.RSI(bars.close, 14)[14:], 9)
    assert columns.column("rsi_smoothed")[-1] == pytest.approx(smoothed[-1])


def random_bars(count: int, seed: int, missing: float = 0.0, start: int = 0) -> Bars:
    """A random walk on the 15m grid with holes in it; prices have four decimals."""
    random = np.random.default_rng(seed)
    close = np.round(100.0 * np.cumprod(1.0 + random.normal(0.0, 0.004, count)), 4)
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) + np.round(random.random(count) * 0.2, 4)
    low = np.minimum(opened, close) - np.round(random.random(count) * 0.2, 4)
    volume = np.round(random.random(count) * 50.0, 4)
    kept = np.flatnonzero(random.random(count) >= missing)
    times = start + np.arange(count, dtype=np.int64) * BAR
    return Bars(times[kept], *(column[kept].copy() for column in (opened, high, low, close, volume)))


def four_hours(bars: Bars) -> Bars:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    series = Series(Timeframe.M15, bars.open_time, *columns)
    return Bars.of_series(fold(series, Timeframe.H4, int(bars.open_time[-1]) + BAR))


def polled(bars: Bars, seed: int) -> Mood:
    """A poll an hour, of figures that wander."""
    random, mood = np.random.default_rng(seed), Mood()
    for hour in range(int(bars.open_time[0]) // 3_600_000, int(bars.open_time[-1]) // 3_600_000 + 24):
        mood.hear_macro(
            MacroRead(
                known_at=datetime.fromtimestamp(hour * 3_600, UTC),
                btc_dominance=Decimal(f"{random.uniform(40, 60):.3f}"),
                total_market_cap=Decimal(f"{random.uniform(1e12, 2e12):.0f}"),
                fear_greed=int(random.integers(0, 100)),
            )
        )
    return mood


def block_rows(bars: Bars, mood: Mood) -> dict[int, Floats]:
    """The features of each ready close, block by block."""
    macro, found = macro_trend_of(four_hours(bars)), {}
    for columns in blocks(bars, Timeframe.M15):
        first = first_ready(columns)
        if first < len(columns):
            ready = columns.since(first)
            found.update(zip(ready.close_time().tolist(), matrix(view(ready, macro, mood)), strict=True))
    return found


def live_rows(bars: Bars, mood: Mood, step: int) -> dict[int, Floats]:
    """The features of every `step`th ready close, as cortex computes them while candles come in."""
    main, slow, found = History(Timeframe.M15), History(Timeframe.H4), {}
    macro, coming = NO_MACRO, rows_of(four_hours(bars))
    for number, row in enumerate(rows_of(bars)):
        closed = row[0] + BAR
        while coming and coming[0][0] + 16 * BAR <= closed:
            slow.add(coming.pop(0))
            macro = macro_trend(slow.columns())
        main.add(row)
        columns = main.columns()
        if number % step == 0 and first_ready(columns) < len(columns):
            found[closed] = matrix(view(columns, macro, mood))[0]
    return found


def rows_of(bars: Bars) -> list[tuple[int, float, float, float, float, float]]:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return list(zip(bars.open_time.tolist(), *(column.tolist() for column in columns), strict=True))


def assert_same_bits(bars: Bars, mood: Mood, step: int) -> None:
    live, whole = live_rows(bars, mood, step), block_rows(bars, mood)
    assert live
    for closed, row in live.items():
        assert row.tobytes() == whole[closed].tobytes()


def test_a_close_gives_the_same_bits_as_its_block() -> None:
    bars = random_bars(5_500, seed=1, missing=0.03)

    assert_same_bits(bars, polled(bars, 2), step=61)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_a_close_gives_the_same_bits_as_its_block_on_a_recorded_market(symbol: str) -> None:
    pl = pytest.importorskip("polars")
    path = REAL / f"{symbol}-1m.parquet"
    if not path.exists():
        pytest.skip("the recorded market is not here")
    frame = pl.read_parquet(path)
    columns = [frame[name].to_numpy().copy() for name in ("open", "high", "low", "close", "volume")]
    base = Series(Timeframe.M1, frame["open_time"].to_numpy().copy(), *columns)
    bars = Bars.of_series(fold(base, Timeframe.M15, int(base.open_time[-1]) + 60_000))

    assert_same_bits(bars, polled(bars, 3), step=41)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(700, 1_500), st.integers(0, 1_023), st.floats(0.0, 0.5))
def test_later_bars_change_nothing(seed: int, kept: int, offset: int, missing: float) -> None:
    bars = random_bars(2_000, seed, missing, start=offset * BAR)
    cut = bars[:kept]
    mood = polled(bars, seed)

    whole, before = block_rows(bars, mood), block_rows(cut, mood)

    for closed, row in before.items():
        assert row.tobytes() == whole[closed].tobytes()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(-6, 6))
def test_another_unit_of_price_changes_nothing(seed: int, power: int) -> None:
    """By powers of two, which floats take without rounding."""
    bars = random_bars(900, seed)
    by = 2.0**power
    scaled = Bars(bars.open_time, bars.open * by, bars.high * by, bars.low * by, bars.close * by, bars.volume)

    ours, theirs = block_rows(bars, Mood()), block_rows(scaled, Mood())

    assert len(ours) == 900 - 620
    for closed, row in ours.items():
        assert np.allclose(theirs[closed], row, rtol=1e-9, atol=1e-12)


def test_rows_are_ready_once_every_indicator_and_the_changes_are() -> None:
    (columns,) = blocks(random_bars(700, seed=4), Timeframe.M15)

    assert first_ready(columns) == 3 * 200 - 1 + LAG
    assert first_ready(columns) == columns.first_ready(NEEDS, LAG)
    assert np.isfinite(matrix(view(columns.since(first_ready(columns))))).all()


def test_bars_of_another_timeframe_are_not_what_the_model_knows() -> None:
    (columns,) = blocks(random_bars(700, seed=4), Timeframe.H1)

    with pytest.raises(ValueError, match="15m bars, not 1h"):
        matrix(view(columns.since(650)))


def test_the_schema_hash_is_that_of_the_names_and_of_what_they_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = schema_hash()
    assert len(ours) == 64
    assert len(set(FEATURES)) == len(FEATURES)
    for name, value in (("VERSION", 2), ("FEATURES", FEATURES[::-1]), ("CHANGES", (5, 10, 20))):
        with monkeypatch.context() as changed:
            changed.setattr(model_features, name, value)
            assert schema_hash() != ours
    assert schema_hash() == ours
