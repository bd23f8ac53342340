"""A second computation of the signals, from the written trading rules alone: none of the product's code is used.

Own reading of files, own folding, own indicators over whole histories, own rules. It judges the first
computation (`nexus signals --count`): see `tools/signal_table.py` and docs/strategies.md.

    .venv/bin/python tools/independent_signals.py DIR [VENUE ...]
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ATR_MEAN = 50
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
BASES = {"1m": MINUTE, "5m": 5 * MINUTE}
SHARK_TARGETS = {
    f"{coin}USDT"
    for coin in (
        "SOL DOGE WIF 1000PEPE 1000SHIB 1000BONK 1000FLOKI SUI SEI INJ AVAX LINK".split()  # noqa: SIM905
    )
}
# What a resting order costs, as a fraction of its value.
MAKER_FEES = {"binance_um": 0.0002, "binance_spot": 0.0002, "bybit_linear": 0.0002, "us": 0.0}
# Files of one series go on as one over at most this hole; stocks rest over weekends.
JOINED = {"us": 4 * DAY}


class Found(NamedTuple):
    """One signal; `close` in milliseconds."""

    venue: str
    symbol: str
    strategy: str
    action: str
    close: int


class Candles(NamedTuple):
    """Bars of one width (milliseconds), oldest first."""

    width: int
    opened: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @property
    def closed(self) -> Ints:
        return self.opened + self.width


# -- files -----------------------------------------------------------------------------------------------


def stretches(directory: Path, venue: str) -> Iterator[tuple[str, Candles]]:
    """Each unbroken series of 1m or 5m bars of a venue."""
    files: dict[tuple[str, str], list[pl.DataFrame]] = defaultdict(list)
    for path in sorted((directory / "ohlcv" / venue).glob("*.parquet")):
        named = re.fullmatch(r"([^-]+)-(1m|5m)(\..+)?\.parquet", path.name)
        if named:
            files[named[1], named[2]].append(
                pl.read_parquet(path, columns=["open_time", "open", "high", "low", "close", "volume"])
            )
    for (symbol, interval), frames in sorted(files.items()):
        frames.sort(key=lambda frame: int(frame["open_time"][0]))
        joined: list[pl.DataFrame] = []
        for frame in frames:
            hole = int(frame["open_time"][0]) - int(joined[-1]["open_time"][-1]) if joined else 0
            if joined and hole - BASES[interval] > JOINED.get(venue, DAY):
                yield symbol, _candles(pl.concat(joined), BASES[interval])
                joined = []
            joined.append(frame)
        yield symbol, _candles(pl.concat(joined), BASES[interval])


def _candles(frame: pl.DataFrame, width: int) -> Candles:
    columns = (frame[name].cast(pl.Float64).to_numpy() for name in ("open", "high", "low", "close", "volume"))
    return Candles(width, frame["open_time"].to_numpy(), *columns)


def folded(base: Candles, width: int) -> Candles:
    """Wider bars on the grid of the epoch, out of the bars there are; the last one only when its time has passed."""
    if width == base.width:
        return base
    frame = (
        pl.DataFrame(dict(zip(base._fields[1:], base[1:], strict=True)))
        .group_by(pl.col("opened") // width * width, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .filter(pl.col("opened") + width <= int(base.closed[-1]))
    )
    return Candles(width, *(frame[name].to_numpy() for name in base._fields[1:]))


# -- indicators ------------------------------------------------------------------------------------------


def _recursive(values: Floats, seed: int, share: float) -> Floats:
    """Begins with the mean of the first `seed` values, then takes in `share` of each; NaN before."""
    result = np.full(len(values), np.nan)
    if len(values) < seed:
        return result
    average = float(np.mean(values[:seed]))
    result[seed - 1] = average
    for index in range(seed, len(values)):
        average += share * (values[index] - average)
        result[index] = average
    return result


def ema(values: Floats, period: int) -> Floats:
    return _recursive(values, period, 2.0 / (period + 1))


def _wilder(values: Floats, period: int) -> Floats:
    """Of changes from bar to bar, so the first value stands at bar `period`."""
    return np.concatenate([[np.nan], _recursive(values, period, 1.0 / period)])


def rsi(close: Floats, period: int = 14) -> Floats:
    change = np.diff(close)
    up, down = _wilder(np.maximum(change, 0.0), period), _wilder(np.maximum(-change, 0.0), period)
    total = up + down
    return np.where(total > 0.0, 100.0 * up / np.where(total > 0.0, total, 1.0), 0.0)


def _true_range(bars: Candles) -> Floats:
    before = bars.close[:-1]
    return np.maximum(bars.high[1:], before) - np.minimum(bars.low[1:], before)


def atr(bars: Candles, period: int = 14) -> Floats:
    return _wilder(_true_range(bars), period)


def directional(bars: Candles, period: int = 14) -> tuple[Floats, Floats, Floats]:
    """ADX, +DI and -DI."""
    up, down = np.diff(bars.high), -np.diff(bars.low)
    plus = np.where((up > down) & (up > 0.0), up, 0.0)
    minus = np.where((down > up) & (down > 0.0), down, 0.0)
    reach = _wilder(_true_range(bars), period)
    reach = np.where(reach > 0.0, reach, np.nan)
    plus_di, minus_di = 100.0 * _wilder(plus, period) / reach, 100.0 * _wilder(minus, period) / reach
    total = plus_di + minus_di
    index = 100.0 * np.abs(plus_di - minus_di) / np.where(total > 0.0, total, np.nan)
    index = np.nan_to_num(index[period:])
    adx = np.concatenate(
        [np.full(min(period, len(bars.close)), np.nan), _recursive(index, period, 1.0 / period)]
    )
    return adx, plus_di, minus_di


def rolling_mean(values: Floats, period: int) -> Floats:
    return pl.Series(values).rolling_mean(period).to_numpy()


def bands(close: Floats) -> tuple[Floats, Floats, Floats]:
    series = pl.Series(close)
    middle, spread = series.rolling_mean(20).to_numpy(), series.rolling_std(20, ddof=0).to_numpy()
    return middle - 2.0 * spread, middle, middle + 2.0 * spread


def _ready(bars: Candles, longest: int, back: int = 0) -> Bools:
    """A figure counts from three times its period on; `back` bars before must have theirs too.

    Every signal carries the mean ATR of 50 bars, which the pause behind it is measured with.
    """
    return np.arange(len(bars.close)) >= 3 * max(longest, ATR_MEAN) + back - 1


# -- rules -----------------------------------------------------------------------------------------------


class Trade(NamedTuple):
    """Where one side is entered and left; `once` numbers what may be entered only once."""

    entry: str
    exit: str | None
    enters: Bools
    leaves: Bools | None = None
    once: Ints | None = None


def trend(bars: Candles) -> list[Trade]:
    """15m: EMA20 crossed EMA50 at one of the last three bars and is still beyond; ADX ≥ 25, its direction leads."""
    gap = ema(bars.close, 20) - ema(bars.close, 50)
    adx, plus, minus = directional(bars)
    ready = _ready(bars, 50, 3)
    up, down = _crossed(gap), _crossed(-gap)
    long = ready & (up >= 0) & (gap > 0) & (adx >= 25) & (plus > minus)
    short = ready & (down >= 0) & (gap < 0) & (adx >= 25) & (minus > plus)
    return [
        Trade("enter_long", "exit_long", long, ready & (down >= 0) & (gap < 0), up),
        Trade("enter_short", "exit_short", short, ready & (up >= 0) & (gap > 0), down),
    ]


def _crossed(gap: Floats) -> Ints:
    """The bar of the newest upward cross of zero among the last three, or -1."""
    crossed = np.concatenate([[False], (gap[1:] > 0) & (gap[:-1] <= 0)])
    last = np.maximum.accumulate(np.where(crossed, np.arange(len(gap)), -1))
    return np.where((last >= 0) & (np.arange(len(gap)) - last < 3), last, -1)


def scalping(bars: Candles) -> list[Trade]:
    """5m: RSI below 30 (above 70) and volume at least 1.5 times its mean of 20."""
    strength = rsi(bars.close)
    mean = rolling_mean(bars.volume, 20)
    holds = _ready(bars, 20) & (bars.volume >= 1.5 * mean) & (mean > 0) & (atr(bars) > 0)
    return [
        Trade("enter_long", None, holds & (strength < 30)),
        Trade("enter_short", None, holds & (strength > 70)),
    ]


def mean_reversion(bars: Candles) -> list[Trade]:
    """1h: close at or beyond a band with divergence of RSI from the deepest of the 20 bars before."""
    lower, middle, upper = bands(bars.close)
    strength = rsi(bars.close)
    ready = _ready(bars, 20, 20)
    below, above = ready & (bars.close <= lower), ready & (bars.close >= upper)
    long = _diverges(below, bars.low, strength)
    short = _diverges(above, -bars.high, -strength)
    return [
        Trade("enter_long", "exit_long", long, ready & (bars.close >= middle)),
        Trade("enter_short", "exit_short", short, ready & (bars.close <= middle)),
    ]


def _diverges(where: Bools, low: Floats, strength: Floats) -> Bools:
    """Of equal lows the latest: the rules do not say which, and it stands nearest."""
    found = np.zeros(len(low), dtype=np.bool_)
    for i in np.flatnonzero(where).tolist():
        j = i - 1 - int(np.argmin(low[i - 20 : i][::-1]))
        found[i] = low[i] < low[j] and strength[i] > strength[j]
    return found


def grid(bars: Candles, maker_fee: float) -> list[Trade]:
    """1h: close within half an ATR of EMA200, levels far enough apart to pay, no trend; ends with ADX over 25."""
    centre, reach = ema(bars.close, 200), atr(bars)
    adx, _, _ = directional(bars)
    ready = _ready(bars, 200)
    spacing = 2.0 * reach / 5.0
    opens = ready & (np.abs(bars.close - centre) <= 0.5 * reach) & (adx <= 25) & (reach > 0)
    opens &= spacing >= 3.0 * 2.0 * maker_fee * bars.close
    return [Trade("open_grid", "close_grid", opens, ready & (adx > 25))]


def shark(bars: Candles, sangria: Callable[[int], bool]) -> list[Trade]:
    """15m, short only, in a Sangria market: ADX over 25 and close < EMA50 < EMA200; not while RSI is below 20."""
    middle, slow = ema(bars.close, 50), ema(bars.close, 200)
    adx, _, _ = directional(bars)
    holds = _ready(bars, 200) & (adx > 25) & (bars.close < middle) & (middle < slow)
    holds &= (rsi(bars.close) >= 20) & (atr(bars) > 0)
    for index in np.flatnonzero(holds).tolist():
        holds[index] = sangria(int(bars.closed[index]))
    return [Trade("enter_short", None, holds)]


# -- the market as a whole -------------------------------------------------------------------------------


class Sangria:
    """Bitcoin fell 1.5 % within one of the last four 15m candles; or gained weight while everything lost in 24 h."""

    def __init__(self, directory: Path, bitcoin: list[Candles]) -> None:
        self._falls = {
            int(opened)
            for bars in bitcoin
            for opened, first, last in zip(bars.opened, bars.open, bars.close, strict=True)
            if (first - last) / first >= 0.015
        }
        self._dominance = _daily(directory, "btc_dominance")
        self._cap = _daily(directory, "total_market_cap")

    def __call__(self, at: int) -> bool:
        if any(at - back * 15 * MINUTE in self._falls for back in (1, 2, 3, 4)):
            return True
        # The value of a day is known from the next midnight on.
        day = at // DAY * DAY - DAY
        known = (
            self._dominance.get(day),
            self._dominance.get(day - DAY),
            self._cap.get(day),
            self._cap.get(day - DAY),
        )
        if None in known:
            return False
        dominance, dominance_before, cap, cap_before = known
        return bool(dominance > dominance_before and cap < cap_before)  # type: ignore[operator]


def _daily(directory: Path, name: str) -> dict[int, float]:
    path = directory / "sentiment" / f"{name}_daily.csv"
    if not path.is_file():
        return {}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    with path.open(newline="", encoding="utf-8") as text:
        rows = [row[:2] for row in csv.reader(text)][1:]
    return {
        (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) - epoch) // timedelta(milliseconds=1): float(
            value
        )
        for day, value in rows
        if value
    }


# -- signals ---------------------------------------------------------------------------------------------


def signals(directory: Path, venue: str) -> list[Found]:
    """Every signal of every strategy on every series of a venue, each strategy by itself."""
    series = list(stretches(directory, venue))
    bitcoin = [folded(bars, 15 * MINUTE) for symbol, bars in series if symbol == "BTCUSDT"]
    sangria = Sangria(directory, bitcoin)
    found: list[Found] = []
    for symbol, base in series:
        quarter, hour = folded(base, 15 * MINUTE), folded(base, HOUR)
        of: dict[str, tuple[Candles, list[Trade]]] = {
            "trend": (quarter, trend(quarter)),
            "scalping": (five := folded(base, 5 * MINUTE), scalping(five)),
            "mean_reversion": (hour, mean_reversion(hour)),
            "grid": (hour, grid(hour, MAKER_FEES[venue])),
        }
        if symbol in SHARK_TARGETS:
            of["shark"] = (quarter, shark(quarter, sangria))
        for strategy, (bars, trades) in of.items():
            for trade in trades:
                found += [
                    Found(venue, symbol, strategy, action, close) for action, close in _taken(bars, trade)
                ]
    return found


def _taken(bars: Candles, trade: Trade) -> Iterator[tuple[str, int]]:
    """Entries, and the first exit behind each run of them."""
    wanted = trade.enters if trade.leaves is None else trade.enters | trade.leaves
    entered, last = False, -1
    for row in np.flatnonzero(wanted).tolist():
        at = int(bars.closed[row])
        if entered and trade.exit is not None and trade.leaves is not None and trade.leaves[row]:
            entered = False
            yield trade.exit, at
        if trade.enters[row] and (trade.once is None or trade.once[row] != last):
            last = -1 if trade.once is None else int(trade.once[row])
            entered = True
            yield trade.entry, at


def venues(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "ohlcv").iterdir() if path.is_dir())


def main(arguments: list[str]) -> Any:
    directory = Path(arguments[0])
    for venue in arguments[1:] or venues(directory):
        counts = Counter((each.strategy, each.symbol, each.action) for each in signals(directory, venue))
        for key, count in sorted(counts.items()):
            print(f"{venue:<14}" + "".join(f"{part:<16}" for part in key) + f"{count:>8}")


if __name__ == "__main__":
    main(sys.argv[1:])
