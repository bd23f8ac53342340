"""The health of a market feed. Owner: ingest, streams `feed-{venue}`."""

from __future__ import annotations

from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Instant, Symbol, Timeframe, Venue


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
    """Bars are missing: no candle closed for `symbol` from `first` up to and including `last` (open times)."""

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


FeedEvent = FeedStarted | FeedLost | FeedRestored | GapFound | FeedEnded
