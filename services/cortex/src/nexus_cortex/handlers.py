"""What cortex hears, and what it does at its turn: judge the instruments of which a candle has just closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import SessionOpened, StrategyChosen
from nexus_common.contracts.signal import JudgeMarket
from nexus_common.contracts.values import Service, Symbol, Timeframe, UserId, Venue, instrument_key
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import Desk, Turn
from nexus_cortex.domain.evaluation import (
    MAIN,
    Choice,
    Evaluation,
    ReadRegimes,
    SeriesScan,
    by_rules,
    evaluate,
)
from nexus_cortex.domain.memory import Key, MarketMemory
from nexus_cortex.domain.signals import SIGNALS
from nexus_cortex.domain.strategies import AUTO, with_parameters, with_timeframes
from nexus_cortex.domain.strategies.shark import SHARK_TARGETS
from nexus_cortex.domain.strategies.strategy import MarketView, Strategy
from nexus_market.candles import slot_millis, to_millis

# Macro figures are looked back on for a day; polled once a minute that is 1,440 readings.
MACRO_READINGS: Final = 4_000

# A candle by its timeframe, instrument and open time (milliseconds).
Close = tuple[Timeframe, Key, int]


@dataclass(slots=True)
class Wish:
    """The strategy a user chose. What he chooses within an instant counts from the next one on."""

    strategy: str
    chosen_at: datetime
    before: str | None = None

    def at(self, instant: datetime) -> str | None:
        return self.strategy if self.chosen_at < instant else self.before


def table_of(
    parameters: Mapping[str, Mapping[str, Any]], timeframes: Mapping[str, Timeframe]
) -> Mapping[str, Strategy]:
    """The table of strategies as the settings want it.

    Raises ConfigurationError for a strategy, parameter or timeframe that does not exist.
    """
    try:
        return with_timeframes(with_parameters(parameters), timeframes)
    except ValueError as error:
        raise ConfigurationError(f"strategy settings: {error}") from error


class CortexReactor:
    """Keeps the series of all instruments on all timeframes and judges the instruments it owns."""

    service = Service.CORTEX
    listens: Mapping[str, int | None] = {
        "market": None,
        "macro": MACRO_READINGS,
        "session": None,
        "instrument": None,
    }

    def __init__(
        self,
        strategy: str = AUTO,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        shark_targets: Sequence[Symbol] = SHARK_TARGETS,
        owns: Callable[[str], bool] = lambda key: True,
        *,
        timeframes: Mapping[str, Timeframe] | None = None,
        scans: Mapping[tuple[Timeframe, Key], SeriesScan] | None = None,
        read_regimes: ReadRegimes = by_rules,
    ) -> None:
        """`owns` is asked at each turn with an instrument's key, as partitions come and go.

        `scans` are instruments whose whole series are known beforehand, as in a backtest: their closes are
        not judged one by one, and their candles not kept. `read_regimes` is handed all the main views of a turn.

        Raises ConfigurationError for a strategy, parameter or timeframe that does not exist.
        """
        self._table = table_of(parameters or {}, timeframes or {})
        if strategy != AUTO and strategy not in self._table:
            raise ConfigurationError(
                f"strategy {strategy!r} does not exist; choose {AUTO}, {', '.join(self._table)}"
            )
        self._strategy = strategy
        self._owns = owns
        self._scans = dict(scans or {})
        self._scanned = {key for _, key in self._scans}
        self._due = _due(self._scans)
        self._read_regimes = read_regimes
        self._memory = MarketMemory(shark_targets, self._scanned)
        self._wishes: dict[UserId, Wish] = {}
        self._done = (0, 0)
        self._step = 0
        self._closed: set[Close] = set()

    @property
    def judged_closes(self) -> list[int] | None:
        """The closes (milliseconds) at which anything can be said of an instrument; None: not known beforehand."""
        return sorted({close for _, close in self._due}) if self._scans else None

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """Those on which anything may be judged, in the order in which it is: the main one first, then rising."""
        return _in_order(self._table.values())

    def observe(self, envelope: Envelope[Event]) -> None:
        match envelope.event:
            case SessionOpened() | StrategyChosen() as event:
                self._take_wish(event.user, event.strategy, envelope.occurred_at)
            case event:
                self._memory.hear(event)

    async def resume(self, desk: Desk) -> None:
        """Nothing is ever left open here: a close is judged whole or, at the same turn again, anew."""

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        # The later rounds of an instant bring cortex nothing new. This spares work only: whoever judges a
        # close again finds it judged.
        if turn.position == self._done[0] and turn.round > self._done[1]:
            return
        choice = self._choice(turn.at)
        strategies = choice.of(self._table)
        self._gather(turn, batch)
        for timeframe in _in_order(strategies):
            for command in self._judge(timeframe, turn.at, choice, strategies):
                key = (command.venue, command.symbol)
                cause = ids.candle_id(*key, timeframe, command.candle_close - timeframe.duration)
                await desk.handle(SIGNALS, instrument_key(*key), command, cause=cause)
        self._done = (turn.position, turn.round)

    def _gather(self, turn: Turn, batch: Sequence[Envelope[Event]]) -> None:
        """Remember the closes that this step brought and that are to be decided on."""
        if turn.position != self._step:
            self._step, self._closed = turn.position, set()
        self._closed.update(close for envelope in batch for close in _decided_on(envelope.event))

    def _closing(self, timeframe: Timeframe, now: int) -> list[Key]:
        """The instruments of which this step brought a candle that is to be decided on.

        Most close at the time of the turn. At a live venue slow ones come later, in a step of their own.
        """
        closing = {
            key
            for each, key, opened in self._closed
            if each is timeframe and self._memory.last_open_time(timeframe, key) == opened
        }
        if now % slot_millis(timeframe) == 0:
            closing.update(self._memory.standing_at(timeframe, now - slot_millis(timeframe)))
            closing.update(self._due.get((timeframe, now), ()))
        return sorted(key for key in closing if self._owns(instrument_key(*key)))

    def _judge(
        self, timeframe: Timeframe, at: datetime, choice: Choice, strategies: Sequence[Strategy]
    ) -> Iterator[JudgeMarket]:
        now = to_millis(at)
        closing = self._closing(timeframe, now)
        if not closing:
            return
        heard = [key for key in closing if key not in self._scanned]
        views = [self._memory.view(timeframe, key) for key in heard]
        evaluations = dict(
            zip(heard, evaluate(views, timeframe, strategies, self._read_regimes), strict=True)
        )
        for key in closing:
            evaluation = evaluations.get(key)
            command = (
                self._scans[timeframe, key].command(now)
                if evaluation is None
                else evaluation.command(0, at, choice)
            )
            if command is not None:
                yield command

    def judged(self, venue: Venue, symbol: Symbol) -> list[Evaluation]:
        """What every strategy makes of the last close of each timeframe of an instrument, for explaining.

        The main one comes first; a timeframe without a candle is absent.
        """
        key, strategies = (venue, symbol), list(self._table.values())
        return [
            evaluation
            for timeframe in self.timeframes
            if self._memory.last_open_time(timeframe, key) is not None
            for evaluation in evaluate(
                [self._memory.view(timeframe, key)], timeframe, strategies, self._read_regimes
            )
        ]

    def read_with(self, read_regimes: ReadRegimes) -> None:
        """Read regimes so from the next turn on."""
        self._read_regimes = read_regimes

    def looked_back(self) -> list[MarketView]:
        """Of every instrument all closes of the main view that are held, with the macro view as of each of them."""
        return self._memory.looked_back()

    def _choice(self, at: datetime) -> Choice:
        wishes = {wish.at(at) for wish in self._wishes.values()} | {self._strategy}
        by_hand = tuple(name for name in sorted(self._table) if name in wishes)
        return Choice(self._strategy == AUTO, by_hand)

    def _take_wish(self, user: UserId, strategy: str, at: datetime) -> None:
        wish = self._wishes.get(user)
        self._wishes[user] = Wish(strategy, at, None if wish is None else wish.at(at))


def _in_order(strategies: Iterable[Strategy]) -> tuple[Timeframe, ...]:
    """The main timeframe, on which the regime is read, and then those that these run on, rising."""
    used = {strategy.timeframe for strategy in strategies} - {MAIN}
    return (MAIN, *sorted(used, key=lambda timeframe: timeframe.seconds))


def _due(scans: Mapping[tuple[Timeframe, Key], SeriesScan]) -> dict[tuple[Timeframe, int], list[Key]]:
    """For each timeframe and close that matters, the instruments it matters of."""
    due: dict[tuple[Timeframe, int], list[Key]] = {}
    for (timeframe, key), scan in scans.items():
        for close in scan.closes.tolist():
            due.setdefault((timeframe, close), []).append(key)
    return due


def _decided_on(event: Event) -> Iterator[Close]:
    """The candles of an event that are to be decided on; late ones are history."""
    if isinstance(event, CandlesClosed) and not event.late:
        at = to_millis(event.at)
        for candle in event.candles:
            yield candle.timeframe, (event.venue, candle.symbol), at - slot_millis(candle.timeframe)
