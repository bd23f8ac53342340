"""What the watch goes by: budgets and bounds, and what is watched. Filled from settings by whoever makes it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from nexus_common.contracts.values import Symbol, Timeframe, Venue


class Series(NamedTuple):
    """One line of candles."""

    venue: Venue
    symbol: Symbol
    timeframe: Timeframe


@dataclass(frozen=True, slots=True)
class WatchedVenue:
    """The instruments watched at a venue, and the candles it streams; the others are folded from its 1m."""

    venue: Venue
    symbols: tuple[Symbol, ...]
    streamed: tuple[Timeframe, ...]

    @property
    def streams(self) -> tuple[str, ...]:
        """The kinds of readings whose silence is told, instrument by instrument."""
        return (
            ("trades", "book", "mark", "candles") if self.venue.is_crypto else ("trades", "book", "candles")
        )

    @property
    def has_sessions(self) -> bool:
        """A minute without trades is ordinary, and has no candle."""
        return not self.venue.is_crypto

    @property
    def folded(self) -> tuple[Timeframe, ...]:
        return tuple(timeframe for timeframe in Timeframe if timeframe not in self.streamed)


@dataclass(frozen=True, slots=True)
class WatchRules:
    """Times in milliseconds.

    `fresh_ms` has to lie between what a repair needs (`candle_silence_ms` and some seconds for REST) and a
    minute: a candle that is told within it is decided on, an older one is history.
    """

    # How often it is looked for silences and overdue candles.
    scan_ms: int = 500
    flush_ms: int = 20
    fresh_ms: int = 30_000
    connection_silence_ms: int = 5_000
    candle_silence_ms: int = 8_000
    # Outside a venue's sessions candles are few and nothing is decided on them.
    closed_candle_silence_ms: int = 900_000
    stream_silence_ms: int = 120_000
    clock_off_ms: int = 1_000
    price_jump: Decimal = Decimal("0.2")
    # How long a doubted price has to be repeated before it is believed: at least three prints over this time.
    price_persists_ms: int = 500
    # The same where a fresh witness says otherwise, or the price is off by a factor of three or more.
    price_insists_ms: int = 5_000
    witness_fresh_ms: int = 5_000
    trade_disorder_ms: int = 10_000
    # A doubted candle is passed without confirmation after this.
    confirm_ms: int = 2_000
    # A bar that closed within the last second may not be final where REST reads it.
    rest_settles_ms: int = 1_000
    # Repaired candles wait this long for those of other series, to come in one event an instant.
    repair_ms: int = 1_000
    # An ask that nobody answered by then is taken as unanswered.
    answer_ms: int = 60_000
    retry_first_ms: int = 1_000
    retry_most_ms: int = 60_000
    # Times REST may fail, or lack a bar, before one series no longer keeps its venue's feed down.
    tries_that_block: int = 3
    # Times REST has to lack the newest bars of a stock before they count as never traded.
    tries_until_untraded: int = 2
    compared_bars: int = 3
    # The rate last told counts as the one that was due if it was told this shortly before.
    funding_known_ms: int = 600_000

    def kept(self, timeframe: Timeframe) -> int:
        """How many closed bars of a series are kept to compare with: 4 h of minutes and some."""
        return 300 if timeframe is Timeframe.M1 else 60
