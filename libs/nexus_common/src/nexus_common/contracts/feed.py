"""The health of a market feed. Owner: ingest, streams `feed-{venue}`."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_common.contracts.message import Event, command
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


FeedEvent = FeedStarted | FeedLost | FeedRestored | GapFound | FeedEnded


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


FeedCommand = StartFeed | LoseFeed | RestoreFeed | ReportGap | EndFeed
