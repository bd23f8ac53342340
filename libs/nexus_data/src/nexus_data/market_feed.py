"""A market that can be played step by step, wherever its bars come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from nexus_common.contracts.feed import GapFound
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.market import CandlesBackfilled, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_market.candles import Ohlcv

# Features of a bar see at most the last 2,304 bars before its block of 1,024 slots, and that block.
WARMUP_BARS = 2_304 + 1_024
# About 90 kB an event, far below what the bus carries in one message.
BACKFILL_BARS = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at one market instant.

    `closed` holds one event for each venue with a candle ending at `at`, `bars` the base bars that closed,
    `next_bars` those that open now. `funding` (fraction of notional that longs pay) and `macro` fell due or
    became known since the step before. `gaps` are the holes that ended with a bar of this step.
    """

    at: datetime
    closed: tuple[CandlesClosed, ...]
    bars: Mapping[Symbol, Ohlcv]
    next_bars: Mapping[Symbol, Ohlcv]
    funding: Mapping[Symbol, Decimal]
    macro: MacroRead | None
    gaps: tuple[GapFound, ...]


class Market(Protocol):
    """A bounded market: what was before it, then its steps in order of time.

    There is a step for each instant in (`start`, `end`] at which a candle of any symbol ends. The same
    arguments give the same market in every process, so a restart goes on with `steps_after`.
    """

    @property
    def symbols(self) -> tuple[Symbol, ...]: ...

    @property
    def start(self) -> datetime: ...

    @property
    def end(self) -> datetime: ...

    @property
    def sources(self) -> Mapping[Symbol, str]:
        """Which series stands for which instrument."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the choice of series."""

    def venue_of(self, symbol: Symbol) -> Venue: ...

    def base_of(self, symbol: Symbol) -> Timeframe:
        """The timeframe of the bars that the others are folded from."""

    def warmup(self) -> Iterator[CandlesBackfilled]:
        """The last WARMUP_BARS of each symbol and timeframe closed by `start`, in chunks, oldest first."""

    def macro_before(self) -> tuple[MacroRead, ...]:
        """Readings known at `start`, enough to compare with the day before, oldest first."""

    def steps(self) -> Iterator[Step]: ...

    def steps_after(self, at: datetime) -> Iterator[Step]:
        """The steps later than `at`, just as `steps` gives them."""
