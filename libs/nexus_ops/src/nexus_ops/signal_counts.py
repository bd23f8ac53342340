"""How many signals each strategy gives by itself on everything that a data directory has to play."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nexus_common.contracts.signal import Action, SignalEvent, SignalRaised, SignalWithheld
from nexus_common.contracts.values import Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.sangria import BTC
from nexus_data.data_directory import DataDirectory, Stretch, venue_of_folder
from nexus_data.playback import Listing, PlayedMarket
from nexus_data.side_series import read_macro
from nexus_market.candles import from_millis
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_ops.signals import SignalScan

ACTIONS: Final = tuple(Action)
ALL: Final = Symbol("all")
Advance = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """One series of one instrument to count on; `folder` is the recorded venue."""

    folder: str
    symbol: Symbol
    stretch: Stretch


@dataclass(slots=True)
class Count:
    """What one strategy said on one instrument: signals by action, withheld ones by the rule that failed."""

    venue: str
    symbol: Symbol
    strategy: str
    raised: Counter[Action] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "strategy": self.strategy,
            **{str(action): self.raised[action] for action in ACTIONS},
            "entries": self.entries,
            "withheld": dict(sorted(self.withheld.items())),
        }

    @property
    def entries(self) -> int:
        return sum(count for action, count in self.raised.items() if action.is_entry)

    def take(self, event: SignalEvent) -> None:
        match event:
            case SignalRaised():
                self.raised[event.action] += 1
            case SignalWithheld():
                self.withheld[event.failed_rule] += 1
            case _:
                pass


def grounds(
    data: DataDirectory, venue: str | None, symbols: Sequence[Symbol] | None
) -> tuple[list[Ground], list[str]]:
    """All series to count on, and the instruments that no venue lists, in words.

    Raises:
        ConfigurationError: no such venue, or nothing is left to count on.
    """
    folders = data.folders(venue)[:1] if venue is not None else data.folders(None)
    found: list[Ground] = []
    unlisted: list[str] = []
    for folder in folders:
        listed = {each.symbol for each in DEFAULT_INSTRUMENTS[venue_of_folder(folder)]}
        for symbol, stretch in data.playable(folder):
            if symbols is not None and symbol not in symbols:
                continue
            if symbol in listed:
                found.append(Ground(folder, symbol, stretch))
            else:
                unlisted.append(f"{folder}/{symbol}")
    if not found:
        raise ConfigurationError(f"{data.path} has no 1m or 5m bars of that venue and those symbols")
    return found, sorted(set(unlisted))


async def count_signals(
    data: DataDirectory,
    found: Sequence[Ground],
    strategies: Sequence[str],
    settings: CortexSettings,
    advance: Advance = lambda done, text: None,
) -> list[Count]:
    """Each strategy alone, whatever the regime, on each series; series of one instrument are added up."""
    counts: dict[tuple[str, Symbol, str], Count] = {}
    done = 0
    for ground in found:
        for strategy in strategies:
            advance(done, f"{ground.folder} {ground.symbol} {strategy}")
            key = (ground.folder, ground.symbol, strategy)
            count = counts.setdefault(key, Count(*key))
            for event in await signals_on(data, ground, found, strategy, settings):
                count.take(event)
            done += 1
    return list(counts.values())


def totals(counts: Iterable[Count]) -> list[Count]:
    """The counts of all symbols of a venue together, by venue and strategy."""
    found: dict[tuple[str, str], Count] = {}
    for each in counts:
        key = (each.venue, each.strategy)
        total = found.setdefault(key, Count(each.venue, ALL, each.strategy))
        total.raised += each.raised
        total.withheld += each.withheld
    return list(found.values())


async def signals_on(
    data: DataDirectory,
    ground: Ground,
    others: Sequence[Ground],
    strategy: str,
    settings: CortexSettings,
) -> list[SignalEvent]:
    """Everything that cortex records of one instrument on one series. Bitcoin's own is heard for Sangria."""
    scan = SignalScan(settings.model_copy(update={"strategy": strategy}), market_on(data, ground, others))
    return [event for event in await scan.run() if event.symbol == ground.symbol]


def market_on(data: DataDirectory, ground: Ground, others: Sequence[Ground]) -> PlayedMarket:
    """The market of one series from its first bar to its last, with bitcoin's beside it where it is recorded."""
    stretch = ground.stretch
    start, end = from_millis(stretch.first_open), from_millis(stretch.last_close)
    return PlayedMarket(
        _listings(data.path, [ground, *_bitcoin(ground, others)]),
        start,
        end,
        macro=read_macro(data.path, start, end),
    )


def _listings(directory: Path, found: Sequence[Ground]) -> Iterator[Listing]:
    for each in found:
        yield Listing(
            each.symbol, venue_of_folder(each.folder), each.stretch.source(directory), each.stretch.read()
        )


def _bitcoin(ground: Ground, others: Sequence[Ground]) -> list[Ground]:
    """The series of bitcoin at the same venue that shares most of the time, if any does."""
    here = [each for each in others if each.folder == ground.folder and each.symbol == BTC]
    shared = {_shared(ground.stretch, each.stretch): each for each in here}
    best = max(shared, default=0)
    return [shared[best]] if best > 0 and ground.symbol != BTC else []


def _shared(one: Stretch, other: Stretch) -> int:
    return min(one.last_close, other.last_close) - max(one.first_open, other.first_open)
