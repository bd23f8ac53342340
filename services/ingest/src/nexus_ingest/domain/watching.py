"""What goes into the watch over the live markets, and what comes out of it.

The watch itself (`market_watch.MarketWatch`) reads no clock and does no I/O: everything that happens to a feed
is an input with the time it was received, all it wants done is an output. Inputs are on the tape, so a watch
that is given the tape's inputs again gives the same outputs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nexus_common.contracts.feed import FeedFact, GapFound
from nexus_common.contracts.market import (
    Bar,
    CandleCorrected,
    CandlesClosed,
    FundingSettled,
    SessionScheduled,
)
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.readings import HaltRead, Reading

# -- inputs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection of a venue's feed stands and is subscribed."""

    venue: Venue
    connection: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection is gone. A rotation that overlapped loses nothing and is not told."""

    venue: Venue
    connection: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """What one frame said."""

    venue: Venue
    connection: str
    readings: Sequence[Reading]
    at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that could not be used. `sample` is its beginning, for people."""

    venue: Venue
    connection: str
    reason: str
    sample: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """Closed bars by REST, oldest first, as answer to an AskBars; `bars` may be empty, or fewer than asked."""

    venue: Venue
    ask: AskBars
    bars: tuple[Bar, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Unanswered:
    """REST did not answer an AskBars, after its own retries."""

    venue: Venue
    ask: AskBars
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ServerTime:
    """The venue's clock, asked for: it is `ahead_ms` ahead of ours, known to half the round trip."""

    venue: Venue
    ahead_ms: int
    round_trip_ms: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened up to `at`: budgets may be used up, candles may be due."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Trading hours of one day became known, or changed."""

    session: SessionScheduled
    at: datetime


Input = Opened | Closed | Heard | Refused | Answered | Unanswered | ServerTime | Scheduled | TimePassed

# -- outputs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskBars:
    """Fetch the closed bars opening from `first` to `last` (ms, both included) by REST."""

    symbol: Symbol
    timeframe: Timeframe
    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    venue: Venue
    bars: AskBars


@dataclass(frozen=True, slots=True)
class Reopen:
    """A connection that lives but says nothing: close it and open another."""

    venue: Venue
    connection: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeedDown:
    """Nothing can be said about the venue's prices."""

    venue: Venue
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FeedUp:
    """The venue's feed is back, its gaps are filled."""

    venue: Venue
    at: datetime


@dataclass(frozen=True, slots=True)
class Halted:
    venue: Venue
    halt: HaltRead


@dataclass(frozen=True, slots=True)
class Noted:
    """A fact for the venue's feed stream."""

    venue: Venue
    fact: FeedFact | GapFound
    at: datetime


@dataclass(frozen=True, slots=True)
class Ticks:
    """Readings worth passing on to the bus, in the order received; doubtful prices are not among them."""

    venue: Venue
    readings: Sequence[Reading]
    at: datetime


Output = (
    CandlesClosed
    | CandleCorrected
    | FundingSettled
    | Ask
    | Reopen
    | FeedDown
    | FeedUp
    | Halted
    | Noted
    | Ticks
)
