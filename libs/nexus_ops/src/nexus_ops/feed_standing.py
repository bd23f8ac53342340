"""How the feeds of a running stack stand, by venue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from nexus_common.contracts.beat import Beat
from nexus_common.contracts.feed import (
    FeedEnded,
    FeedLost,
    FeedRestored,
    FeedStarted,
    FramesRefused,
    GapFound,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.market import CandleCorrected, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.run import RunStarted
from nexus_common.contracts.values import Service, Symbol, Timeframe, Venue, format_instant
from nexus_common.runtime.bus import topology
from nexus_common.runtime.ports import EventStore
from nexus_ops.decisions import events_of

LOOKED_THROUGH: Final = 5_000


@dataclass
class FeedStanding:
    """Fold of one venue's feed. Corrections and series are those among the last LOOKED_THROUGH market events."""

    state: str = "up"
    series: set[tuple[Symbol, Timeframe]] = field(default_factory=set)
    silent: set[tuple[Symbol, str]] = field(default_factory=set)
    last_candle: datetime | None = None
    gaps: int = 0
    corrections: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def take(self, event: Event) -> None:
        match event:
            case FeedStarted() | FeedRestored():
                self.state = "up"
            case FeedLost(reason=reason):
                self.state = f"lost: {reason}"
            case FeedEnded():
                self.state = "ended"
            case GapFound():
                self.gaps += 1
            case StreamSilent(symbol=symbol, stream=stream):
                self.silent.add((symbol, stream))
            case StreamHeard(symbol=symbol, stream=stream):
                self.silent.discard((symbol, stream))
            case FramesRefused(counts=counts):
                self.refused.update(counts)
            case CandleCorrected():
                self.corrections += 1
            case CandlesClosed(candles=candles, at=at):
                self.series.update((candle.symbol, candle.timeframe) for candle in candles)
                self.last_candle = at if self.last_candle is None else max(at, self.last_candle)
            case _:
                pass

    def to_json(self, now: datetime | None) -> dict[str, Any]:
        """`age_seconds` is how old the last candle is by the venues' time; None in a played market."""
        last = self.last_candle
        return {
            "state": self.state,
            "series": len(self.series),
            "silent": [f"{symbol} {stream}" for symbol, stream in sorted(self.silent)],
            "last_candle": None if last is None else format_instant(last),
            "age_seconds": None if last is None or now is None else round((now - last).total_seconds(), 1),
            "gaps": self.gaps,
            "corrections": self.corrections,
            "refused_frames": dict(self.refused),
        }


async def feeds_standing(store: EventStore) -> dict[str, dict[str, Any]]:
    """Every venue whose feed was ever started, and those that ingest follows but has not had an answer from."""
    found: dict[Venue, FeedStanding] = {}
    async for recorded in events_of(store, ("feed",)):
        _take(found, recorded.event)
    for recorded in await store.latest("market", LOOKED_THROUGH):
        _take(found, recorded.event)
    for venue in await _followed(store):
        found.setdefault(venue, FeedStanding(state="no answer yet"))
    beat = next((each.event for each in await store.latest("beat", 1)), None)
    now = beat.at if isinstance(beat, Beat) else None
    return {str(venue): standing.to_json(now) for venue, standing in sorted(found.items())}


async def _followed(store: EventStore) -> tuple[Venue, ...]:
    """The venues that the newest ingest was told to follow; none while a market is played."""
    for recorded in reversed(await store.latest(topology.RUN, LOOKED_THROUGH)):
        event = recorded.event
        if isinstance(event, RunStarted) and event.service is Service.INGEST:
            live = event.settings.get("ingest.market") == "live"
            return tuple(map(Venue, event.settings["feeds.venues"].split(","))) if live else ()
    return ()


def _take(found: dict[Venue, FeedStanding], event: Event) -> None:
    venue = getattr(event, "venue", None)
    if venue is not None:
        found.setdefault(venue, FeedStanding()).take(event)
