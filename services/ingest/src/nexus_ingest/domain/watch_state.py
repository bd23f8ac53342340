"""All that a watch remembers, as plain values: what another one, made alike, goes on from.

A class of these has the attributes of its counterpart that change, by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

from nexus_common.contracts.market import Bar, Candle
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.funding import Announced
from nexus_ingest.domain.liveness import Connection
from nexus_ingest.domain.watching import AskBars

Slot = tuple[Timeframe, int]


@dataclass(frozen=True, slots=True)
class LevelState:
    reference: float
    seen: float
    seen_at: int
    newest: int
    run: int
    run_price: float
    run_since: int
    told_at: int | None


@dataclass(frozen=True, slots=True)
class QuotesState:
    """Levels of trades, book and mark, and the funding that is announced."""

    levels: Mapping[Symbol, tuple[LevelState, LevelState, LevelState]]
    announced: Mapping[Symbol, Announced]


@dataclass(frozen=True, slots=True)
class SeriesState:
    carrier: str
    next_open: int | None
    bars: dict[int, Bar]
    untraded: dict[int, None]
    held: dict[int, Bar]
    confirmed: set[int]
    last_close: Decimal | None
    doubted_until: int | None
    asked: AskBars | None
    asked_at: int
    retry_at: int
    failed: int
    absent: int
    must_reach: int | None
    maybe_missed: int
    gap_told: int


@dataclass(frozen=True, slots=True)
class FoldsState:
    minutes: dict[int, Bar]
    whole_from: int | None
    reached: int | None


@dataclass(frozen=True, slots=True)
class CheckState:
    folded: dict[Slot, Bar]
    told: dict[Slot, Bar]


@dataclass(frozen=True, slots=True)
class FoldedState:
    until: dict[Timeframe, int]
    passed: dict[Slot, Bar]


@dataclass(frozen=True, slots=True)
class BundlesState:
    open: dict[int, list[Candle]]
    due: dict[int, int]
    due_at: int


@dataclass(frozen=True, slots=True)
class CandlesState:
    bundles: BundlesState
    series: Mapping[tuple[Symbol, Timeframe], SeriesState]
    folds: Mapping[Symbol, tuple[FoldsState, CheckState, FoldedState]]


@dataclass(frozen=True, slots=True)
class RefusalsState:
    counts: dict[str, int]
    sample: str
    first_at: int


@dataclass(frozen=True, slots=True)
class StandingState:
    is_down: bool
    told_down: bool
    was_answered: bool
    since: int | None


@dataclass(frozen=True, slots=True)
class VenueState:
    """`heard` has when each stream of an instrument was last heard, `silent` since when those that are told are."""

    standing: StandingState
    refusals: RefusalsState
    hours: dict[date, tuple[int, int] | None]
    connections: dict[str, Connection]
    heard: Mapping[Symbol, list[datetime | None]]
    silent: dict[tuple[Symbol, int], int]
    clock_off: bool
    quotes: QuotesState
    candles: CandlesState


@dataclass(frozen=True, slots=True)
class WatchState:
    """Shares what it holds with the watch it is of: it has to be written down before the watch goes on."""

    scan_at: int | None
    wake_at: datetime
    venues: Mapping[Venue, VenueState]


State = TypeVar("State")


def kept(thing: object, state: type[State]) -> State:
    """What `thing` remembers."""
    names = [field.name for field in fields(state)]  # type: ignore[arg-type]
    return state(**{name: getattr(thing, _attribute(thing, name)) for name in names})


def recall(thing: object, state: object) -> None:
    """Have `thing` remember what `kept` gave of another."""
    for field in fields(state):  # type: ignore[arg-type]
        setattr(thing, _attribute(thing, field.name), getattr(state, field.name))


def _attribute(thing: object, name: str) -> str:
    return f"_{name}" if hasattr(thing, f"_{name}") else name
