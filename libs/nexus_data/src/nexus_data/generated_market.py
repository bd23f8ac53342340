"""A market made from a seed: for a first look without any data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.data_directory import check_span
from nexus_data.playback import Listing, PlayedMarket
from nexus_data.price_paths import COINS, Tide, bars_of, chance, tide
from nexus_market.candles import spell, to_millis

SYMBOLS = tuple(Symbol(name) for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT", "ADAUSDT"))
START = datetime(2025, 3, 3, tzinfo=UTC)
TWO_DAYS = 2 * 1_440
# Three times EMA 50 on 4h and EMA 200 on 1h, the slowest readings that strategies wait for.
WARMUP_MINUTES = 26 * 1_440
_POLL_MINUTES = 15
_DAY = 1_440
_FUNDING_HOURS = 8
_COINS_MINED = 19_800_000.0


class GeneratedMarket(PlayedMarket):
    """USDT perpetuals on one venue, one-minute bars, the same for one seed on every machine.

    Moods change between trends, ranges and volatile hours; about halfway BTC falls by more than 5 % within
    minutes, the others fall more, and the market recovers. Adding a symbol does not change the others.

    Raises:
        ConfigurationError: symbols, start or length cannot be used.
    """

    def __init__(
        self,
        seed: int,
        symbols: Sequence[Symbol] = SYMBOLS,
        start: datetime = START,
        minutes: int = TWO_DAYS,
        venue: Venue = Venue.BINANCE,
    ) -> None:
        if minutes < 60:
            raise ConfigurationError(f"a generated market of {minutes} minutes is too short: give 60 or more")
        end = start + timedelta(minutes=minutes)
        check_span(start, end)
        _check_symbols(symbols)
        swell = tide(seed, WARMUP_MINUTES, minutes)
        first = to_millis(start) - WARMUP_MINUTES * 60_000
        super().__init__(
            (
                Listing(symbol, venue, f"generated from seed {seed}", bars_of(seed, symbol, swell, first))
                for symbol in symbols
            ),
            start,
            end,
            notes=(f"the market is generated from seed {seed}: no price in it was ever paid",),
            funding={symbol: list(_funding(seed, symbol, start, minutes)) for symbol in symbols},
            macro=list(_macro(swell, start, minutes)),
        )


def _check_symbols(symbols: Sequence[Symbol]) -> None:
    if not symbols:
        raise ConfigurationError("no symbols were given: name at least one, such as BTCUSDT")
    foreign = [symbol for symbol in symbols if not symbol.endswith("USDT")]
    if foreign:
        raise ConfigurationError(
            f"{', '.join(foreign)} cannot be generated, only USDT perpetuals can: play stocks from a data directory"
        )
    twice = sorted({symbol for symbol in symbols if list(symbols).count(symbol) > 1})
    if twice:
        raise ConfigurationError(f"{', '.join(twice)} was given twice: name each symbol once")


def _funding(seed: int, symbol: Symbol, start: datetime, minutes: int) -> Iterator[tuple[int, Decimal]]:
    """Rates between -0.005 % and 0.025 % each eight hours of the day."""
    dice = chance(seed, f"funding/{symbol}")
    period = _FUNDING_HOURS * 3_600_000
    begin = to_millis(start)
    for due in range(begin // period * period + period, begin + minutes * 60_000 + 1, period):
        yield due, spell(int(300 * dice.random() - 50) / 1_000_000)


def _macro(swell: Tide, start: datetime, minutes: int) -> Iterator[MacroRead]:
    """A poll each quarter of an hour, beginning a day early; alts fall more, so a crash lifts dominance."""
    btc, alts = [1.0], [1.0]
    for change, shock in zip(swell.returns, swell.crash, strict=True):
        btc.append(btc[-1] * (1.0 + change))
        alts.append(alts[-1] * (1.0 + 1.25 * change + 0.35 * shock))
    capital = COINS["BTCUSDT"].price * _COINS_MINED
    begin = WARMUP_MINUTES
    offset = to_millis(start) // 60_000
    for at in range(begin - _DAY - _POLL_MINUTES, begin + minutes + 1):
        if (offset + at - begin) % _POLL_MINUTES:
            continue
        of_btc = capital * btc[at]
        total = of_btc + capital * btc[begin] * (0.70 * alts[at] / alts[begin] + 0.15)
        midnight = at - (offset + at - begin) % _DAY
        day_change = btc[midnight] / btc[midnight - _DAY] - 1.0
        yield MacroRead(
            known_at=start + timedelta(minutes=at - begin),
            btc_dominance=spell(int(of_btc / total * 10_000.0 + 0.5) / 100.0),
            total_market_cap=Decimal(int(total)),
            fear_greed=max(5, min(95, int(50.0 + 600.0 * day_change))),
        )
