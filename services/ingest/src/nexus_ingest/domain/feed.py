"""The health of a venue's feed: started, lost and restored, gaps, the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.feed import (
    ClockOff,
    EndFeed,
    FeedCommand,
    FeedEnded,
    FeedEvent,
    FeedLost,
    FeedRestored,
    FeedStarted,
    FoldDiffers,
    FramesRefused,
    GapFilled,
    GapFound,
    LoseFeed,
    NoteFeed,
    PriceDoubted,
    ReportGap,
    RestoreFeed,
    StartFeed,
    StreamHeard,
    StreamSilent,
    TapeDropped,
    TapeSealed,
)
from nexus_common.contracts.values import Symbol, Timeframe


@dataclass(frozen=True, slots=True)
class FeedState:
    """`started` is what the feed plays or has played; `gaps` the last open time missed so far."""

    started: FeedStarted | None = None
    ended: bool = False
    lost: bool = False
    gaps: Mapping[tuple[Symbol, Timeframe], datetime] = field(default_factory=dict)
    silent: frozenset[tuple[Symbol, str]] = frozenset()


def decide(command: FeedCommand, state: FeedState) -> list[FeedEvent]:
    match command:
        case StartFeed():
            started = FeedStarted(
                venue=command.venue,
                sources=command.sources,
                notes=command.notes,
                start=command.start,
                end=command.end,
            )
            # The same market again is a restart, even one behind its end: it is not played twice.
            return [] if state.started == started else [started]
        case LoseFeed() | EndFeed() if state.started is None:
            raise InvariantBroken(f"the feed of {command.venue} cannot be lost or end: it was never started")
        case LoseFeed():
            return [] if state.lost else [FeedLost(venue=command.venue, reason=command.reason)]
        case RestoreFeed():
            return [FeedRestored(venue=command.venue)] if state.lost else []
        case ReportGap(gap=gap):
            until = state.gaps.get((gap.symbol, gap.timeframe))
            return [gap] if until is None or gap.last > until else []
        case EndFeed():
            return [] if state.ended else [FeedEnded(venue=command.venue, at=command.at)]
        case NoteFeed(fact=StreamSilent() | StreamHeard() as fact):
            news = isinstance(fact, StreamSilent) != ((fact.symbol, fact.stream) in state.silent)
            return [fact] if news else []
        case NoteFeed(fact=fact):
            return [fact]
        case _:
            assert_never(command)


def evolve(state: FeedState, event: FeedEvent) -> FeedState:
    match event:
        case FeedStarted():
            return FeedState(started=event)
        case FeedLost():
            return replace(state, lost=True)
        case FeedRestored():
            return replace(state, lost=False)
        case GapFound():
            return replace(state, gaps={**state.gaps, (event.symbol, event.timeframe): event.last})
        case FeedEnded():
            return replace(state, ended=True, lost=False)
        case StreamSilent():
            return replace(state, silent=state.silent | {(event.symbol, event.stream)})
        case StreamHeard():
            return replace(state, silent=state.silent - {(event.symbol, event.stream)})
        case (
            GapFilled()
            | FramesRefused()
            | PriceDoubted()
            | ClockOff()
            | FoldDiffers()
            | TapeSealed()
            | TapeDropped()
        ):
            return state
        case _:
            assert_never(event)


FEED: Decider[FeedCommand, FeedState, FeedEvent] = Decider("feed", FeedState(), decide, evolve)
