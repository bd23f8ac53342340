"""The health of a market feed. Owner: ingest, streams `feed-{venue}`."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_common.contracts.market import Bar
from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Instant, Price, Symbol, Timeframe, Venue


class FeedStarted(Event):
    """A feed began to play: which series stands for which instrument, and what was left alone."""

    type = "feed.started"

    venue: Venue
    sources: dict[Symbol, str]
    notes: tuple[str, ...]
    start: Instant
    end: Instant | None


class FeedLost(Event):
    """Nothing can be said about current prices until the feed is restored."""

    type = "feed.lost"

    venue: Venue
    reason: str


class FeedRestored(Event):
    type = "feed.restored"

    venue: Venue


class GapFound(Event):
    """Bars are missing: no candle of `symbol` closed from `first` up to and including `last` (open times)."""

    type = "feed.gap_found"

    venue: Venue
    symbol: Symbol
    timeframe: Timeframe
    first: Instant
    last: Instant


class FeedEnded(Event):
    """A recorded or generated market has come to its end."""

    type = "feed.ended"

    venue: Venue
    at: Instant


class GapFilled(Event):
    """A hole was closed from `source`: `bars` candles were found; what is still missing was never traded."""

    type = "feed.gap_filled"

    venue: Venue
    symbol: Symbol
    timeframe: Timeframe
    first: Instant
    last: Instant
    bars: int
    source: str


class StreamSilent(Event):
    """One stream (`trades`, `book`, `mark`, `candles`) of one instrument exceeded its silence budget."""

    type = "feed.stream_silent"

    venue: Venue
    symbol: Symbol
    stream: str
    since: Instant


class StreamHeard(Event):
    """A silent stream speaks again."""

    type = "feed.stream_heard"

    venue: Venue
    symbol: Symbol
    stream: str
    at: Instant


class FramesRefused(Event):
    """What a venue sent within the last minute and could not be used: how many by reason, and one sample."""

    type = "feed.frames_refused"

    venue: Venue
    counts: dict[str, int]
    sample: str
    at: Instant


class PriceDoubted(Event):
    """A price was marked and left out: too far from the last ones, or the book crossed.

    `witness_price` is what the other venue says of the same instrument, where there is one that is fresh.
    """

    type = "feed.price_doubted"

    venue: Venue
    symbol: Symbol
    price: Price
    reference: Price
    reason: str
    witness: Venue | None
    witness_price: Price | None
    at: Instant


class ClockOff(Event):
    """The venue's clock differs from ours: `milliseconds` it is ahead (negative: behind)."""

    type = "feed.clock_off"

    venue: Venue
    milliseconds: int
    at: Instant


class FoldDiffers(Event):
    """A candle of the venue is not what its own 1m candles fold to."""

    type = "feed.fold_differs"

    venue: Venue
    symbol: Symbol
    timeframe: Timeframe
    folded: Bar
    told: Bar


class TapeSealed(Event):
    """A segment of the tape is complete: `name` below the tape's folder, `first` to `last` received."""

    type = "feed.tape_sealed"

    venue: Venue
    name: str
    first: Instant
    last: Instant
    rows: int
    size_bytes: int
    sha256: str


class TapeDropped(Event):
    """A sealed segment was removed, by retention or by hand."""

    type = "feed.tape_dropped"

    venue: Venue
    name: str
    reason: str


FeedFact = (
    GapFilled
    | StreamSilent
    | StreamHeard
    | FramesRefused
    | PriceDoubted
    | ClockOff
    | FoldDiffers
    | TapeSealed
    | TapeDropped
)
FeedEvent = FeedStarted | FeedLost | FeedRestored | GapFound | FeedEnded | FeedFact


@command("feed.start_feed")
@dataclass(frozen=True, slots=True)
class StartFeed:
    at: Instant
    venue: Venue
    sources: dict[Symbol, str]
    notes: tuple[str, ...]
    start: Instant
    end: Instant | None


@command("feed.lose_feed")
@dataclass(frozen=True, slots=True)
class LoseFeed:
    at: Instant
    venue: Venue
    reason: str


@command("feed.restore_feed")
@dataclass(frozen=True, slots=True)
class RestoreFeed:
    at: Instant
    venue: Venue


@command("feed.report_gap")
@dataclass(frozen=True, slots=True)
class ReportGap:
    at: Instant
    gap: GapFound


@command("feed.end_feed")
@dataclass(frozen=True, slots=True)
class EndFeed:
    at: Instant
    venue: Venue


@command("feed.note")
@dataclass(frozen=True, slots=True)
class NoteFeed:
    """Something observed of a live feed."""

    at: Instant
    fact: FeedFact


FeedCommand = StartFeed | LoseFeed | RestoreFeed | ReportGap | EndFeed | NoteFeed
