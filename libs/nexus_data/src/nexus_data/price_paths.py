"""Seeded price paths: regimes, clustered volatility, correlated alts, a crash and its recovery.

Only +, -, *, / and square roots of Python floats and a Mersenne twister are used: these give the same bits on
every machine, which exp, log and numpy's reductions do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from math import sqrt
from random import Random

import numpy as np

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_market.candles import Series

_ROOT_3 = sqrt(3.0)
# What each minute of the crash takes of the whole fall, and how much of it the rebound gives back.
CRASH = (0.08, 0.16, 0.26, 0.26, 0.16, 0.08)
CRASH_FALL = 0.082
REBOUND_MINUTES = 25
REBOUND_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class Coin:
    """How an instrument moves: `beta` to BTC, `own` volatility as a share of BTC's, `turnover` USD a minute.

    Prices are written with `decimals` digits.
    """

    price: float
    decimals: int
    beta: float
    own: float
    turnover: float


COINS = {
    "BTCUSDT": Coin(68_000.0, 1, 1.0, 0.0, 6_000_000.0),
    "ETHUSDT": Coin(3_400.0, 2, 1.15, 0.45, 3_500_000.0),
    "SOLUSDT": Coin(165.0, 2, 1.4, 0.8, 1_500_000.0),
    "DOGEUSDT": Coin(0.162, 5, 1.5, 0.9, 700_000.0),
    "XRPUSDT": Coin(0.58, 4, 1.2, 0.75, 800_000.0),
    "ADAUSDT": Coin(0.46, 4, 1.3, 0.7, 300_000.0),
    "BNBUSDT": Coin(590.0, 2, 1.05, 0.5, 600_000.0),
    "LTCUSDT": Coin(84.0, 2, 1.2, 0.7, 200_000.0),
    "LINKUSDT": Coin(14.5, 3, 1.35, 0.75, 250_000.0),
    "DOTUSDT": Coin(6.6, 3, 1.3, 0.7, 150_000.0),
    "AVAXUSDT": Coin(33.0, 3, 1.4, 0.8, 250_000.0),
}


@dataclass(frozen=True, slots=True)
class Regime:
    """Minutes of one mood: drift and volatility a minute, and the pull back to where it began."""

    name: str
    minutes: int
    drift: float
    volatility: float
    pull: float


_MOODS = {
    "range": (0.0, 0.00045, 0.004),
    "up": (0.00008, 0.0006, 0.0),
    "down": (-0.00008, 0.0007, 0.0),
    "volatile": (0.0, 0.0014, 0.001),
    "recovery": (0.00012, 0.0010, 0.0),
}
# The market itself: shares of its length; the crash comes where `recovery` begins.
_SCRIPT = (
    ("range", 0.10),
    ("up", 0.16),
    ("down", 0.14),
    ("volatile", 0.08),
    ("up", 0.12),
    ("recovery", 0.14),
    ("range", 0.10),
    ("down", 0.09),
    ("up", 0.07),
)


@dataclass(frozen=True, slots=True)
class Tide:
    """What moves all coins, minute by minute: BTC's return and volatility, the mood, the crash's share of it."""

    returns: Sequence[float]
    volatility: Sequence[float]
    regimes: Sequence[Regime]
    crash: Sequence[float]
    crash_at: int


def chance(seed: int, purpose: str) -> Random:
    """A stream of chance of its own, so that one more coin changes nothing about the others."""
    return Random(int.from_bytes(sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big"))  # noqa: S311


def tide(seed: int, before: int, minutes: int) -> Tide:
    """The common movement: `before` minutes of history, then the market."""
    dice = chance(seed, "tide")
    regimes = [*_history(dice, before), *_market(dice, minutes)]
    crash_at = before + sum(r.minutes for r in regimes[-len(_SCRIPT) : -_after_crash()])
    crash = _crash(dice, before + minutes, crash_at)
    draw = _normal(dice)
    returns: list[float] = []
    volatility: list[float] = []
    level = long_run = 1.0
    variance = regimes[0].volatility * regimes[0].volatility
    for regime in regimes:
        anchor = level
        target = regime.volatility * regime.volatility
        for _ in range(regime.minutes):
            deviation = sqrt(variance)
            noise = deviation * draw()
            back = regime.pull * (anchor / level - 1.0) + 0.0001 * (long_run / level - 1.0)
            change = regime.drift + back + noise + crash[len(returns)]
            level *= 1.0 + change
            returns.append(change)
            volatility.append(deviation)
            # Shocks of one minute make the next ones larger; the regime draws it back.
            variance = 0.02 * target + 0.08 * noise * noise + 0.90 * variance
    return Tide(returns, volatility, regimes, crash, crash_at)


def _normal(dice: Random) -> Callable[[], float]:
    """Draws of mean 0 and variance 1, near enough to normal; the regimes make the tails."""
    draw = dice.random

    def one() -> float:
        return (draw() + draw() + draw() + draw() - 2.0) * _ROOT_3

    return one


def _history(dice: Random, minutes: int) -> Iterator[Regime]:
    left, moods = minutes, ("range", "up", "range", "down", "volatile", "up", "down")
    while left > 0:
        name = moods[int(dice.random() * len(moods))]
        length = min(left, 240 + int(dice.random() * 960))
        left -= length
        yield Regime(name, length, *_MOODS[name])


def _market(dice: Random, minutes: int) -> list[Regime]:
    shares = [share * (0.85 + 0.3 * dice.random()) for _, share in _SCRIPT]
    whole = sum(shares)
    ends = [int(minutes * part / whole) for part in accumulate(shares)]
    ends[-1] = minutes
    lengths = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [Regime(name, length, *_MOODS[name]) for (name, _), length in zip(_SCRIPT, lengths, strict=True)]


def _after_crash() -> int:
    names = [name for name, _ in _SCRIPT]
    return len(names) - names.index("recovery")


def _crash(dice: Random, total: int, at: int) -> list[float]:
    """BTC's fall and rebound by minute; zero elsewhere."""
    shocks = [0.0] * total
    depth = CRASH_FALL * (0.95 + 0.15 * dice.random())
    rebound = depth * REBOUND_SHARE / REBOUND_MINUTES
    for index in range(at, min(total, at + len(CRASH))):
        shocks[index] = -depth * CRASH[index - at]
    for index in range(at + len(CRASH), min(total, at + len(CRASH) + REBOUND_MINUTES)):
        shocks[index] = rebound
    return shocks


def coin_of(seed: int, symbol: Symbol) -> Coin:
    """A known coin, or one made up from its name."""
    if symbol in COINS:
        return COINS[symbol]
    dice = chance(seed, f"coin/{symbol}")
    return Coin(
        0.5 + 20.0 * dice.random(), 4, 1.1 + 0.5 * dice.random(), 0.8, 100_000.0 + 200_000.0 * dice.random()
    )


def bars_of(seed: int, symbol: Symbol, tide: Tide, first_open: int) -> Series:
    """One-minute bars of a coin that moves with the tide; `first_open` in milliseconds."""
    coin = coin_of(seed, symbol)
    dice = chance(seed, f"path/{symbol}")
    ticks = _walk(coin, dice, tide)
    scale = float(10**coin.decimals)
    opens, highs, lows, closes, volumes = (np.array(column, dtype=np.float64) for column in ticks)
    times = first_open + 60_000 * np.arange(len(opens), dtype=np.int64)
    return Series(
        Timeframe.M1, times, opens / scale, highs / scale, lows / scale, closes / scale, volumes / 1_000.0
    )


def _walk(
    coin: Coin, dice: Random, tide: Tide
) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Open, high, low, close in ticks and volume in thousandths, minute by minute."""
    draw, noise = dice.random, _normal(dice)
    scale = 10.0**coin.decimals
    price = begin = coin.price
    last = int(price * scale + 0.5)
    opens, highs, lows, closes, volumes = [], [], [], [], []
    crash_beta = 0.2 * coin.beta
    index = 0
    for regime in tide.regimes:
        # Some coins lead and some lag in each mood, so that a rising market has its losers too.
        lean = 0.0 if coin.own == 0.0 else regime.drift * (2.6 * draw() - 1.9)
        for _ in range(regime.minutes):
            deviation = tide.volatility[index]
            shock = tide.crash[index]
            change = tide.returns[index]
            if coin.own:
                change = coin.beta * change + coin.own * deviation * noise() + lean
                change += crash_beta * shock + 0.00005 * (begin / price - 1.0)
            price *= 1.0 + change
            close = max(1, int(price * scale + 0.5))
            reach = scale * price * deviation * 0.8
            high = max(last, close) + int(reach * draw())
            low = max(1, min(last, close) - int(reach * draw()))
            pace = min(12.0, 1.0 + 1.5 * abs(change) / deviation)
            opens.append(last)
            highs.append(high)
            lows.append(low)
            closes.append(close)
            volumes.append(int(coin.turnover * (0.4 + 0.8 * draw()) * pace / price * 1_000.0) + 1)
            last = close
            index += 1
    return opens, highs, lows, closes, volumes
