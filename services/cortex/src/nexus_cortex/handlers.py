"""What cortex hears, and what it does at its turn: judge the instruments whose 15m candle has just come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.market import Bar, Candle, CandleCorrected, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import SessionOpened, StrategyChosen
from nexus_common.contracts.signal import JudgeMarket
from nexus_common.contracts.values import Service, Symbol, Timeframe, UserId, Venue, instrument_key
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import Desk, Turn
from nexus_cortex.domain.evaluation import Choice, Evaluation, SeriesScan, evaluate
from nexus_cortex.domain.regime import NO_MACRO, MacroTrend, macro_trend
from nexus_cortex.domain.sangria import BTC, Mood
from nexus_cortex.domain.signals import SIGNALS
from nexus_cortex.domain.strategies import AUTO, with_parameters
from nexus_cortex.domain.strategies.shark import SHARK_TARGETS
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import to_millis
from nexus_market.features import History, Row

MAIN: Final = Timeframe.M15
MACRO: Final = Timeframe.H4
# Macro figures are looked back on for a day; polled once a minute that is 1,440 readings.
MACRO_READINGS: Final = 4_000

Key = tuple[Venue, Symbol]


@dataclass(slots=True)
class Wish:
    """The strategy a user chose. What he chooses within an instant counts from the next one on."""

    strategy: str
    chosen_at: datetime
    before: str | None = None

    def at(self, instant: datetime) -> str | None:
        return self.strategy if self.chosen_at < instant else self.before


class CortexReactor:
    """Keeps the series of all instruments and judges those it owns."""

    service = Service.CORTEX
    listens: Mapping[str, int | None] = {"market": None, "macro": MACRO_READINGS, "session": None}

    def __init__(
        self,
        strategy: str = AUTO,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        shark_targets: Sequence[Symbol] = SHARK_TARGETS,
        owns: Callable[[str], bool] = lambda key: True,
        scans: Mapping[Key, SeriesScan] | None = None,
    ) -> None:
        """`owns` is asked at each turn with an instrument's key, as partitions come and go.

        `scans` are instruments whose whole series are known beforehand, as in a backtest: their closes are
        not judged one by one, and their candles not kept.

        Raises ConfigurationError for a strategy or parameter that does not exist.
        """
        try:
            self._table = with_parameters(parameters or {})
        except ValueError as error:
            raise ConfigurationError(f"strategy parameters: {error}") from error
        if strategy != AUTO and strategy not in self._table:
            raise ConfigurationError(
                f"strategy {strategy!r} does not exist; choose {AUTO}, {', '.join(self._table)}"
            )
        self._strategy = strategy
        self._targets = frozenset(shark_targets)
        self._owns = owns
        self._scans = dict(scans or {})
        self._mood = Mood()
        self._main: dict[Key, History] = {}
        self._macro: dict[Key, History] = {}
        self._macro_trends: dict[Key, tuple[int, MacroTrend]] = {}
        self._wishes: dict[UserId, Wish] = {}
        self._done = (0, 0)
        self._step = 0
        self._closed: set[Key] = set()

    @property
    def judged_closes(self) -> list[int] | None:
        """The closes (milliseconds) at which anything can be said of an instrument; None: not known beforehand."""
        if not self._scans:
            return None
        return sorted({close for scan in self._scans.values() for close in scan.closes.tolist()})

    def observe(self, envelope: Envelope[Event]) -> None:
        match envelope.event:
            case CandlesClosed() as event:
                self._take_candles(event)
            case CandleCorrected() as event:
                self._take_correction(event)
            case CandlesBackfilled() as event:
                self._take_history(event)
            case MacroRead() as event:
                self._mood.hear_macro(event)
            case SessionOpened() | StrategyChosen() as event:
                self._take_wish(event.user, event.strategy, envelope.occurred_at)
            case _:
                pass

    async def resume(self, desk: Desk) -> None:
        """Nothing is ever left open here: a close is judged whole or, at the same turn again, anew."""

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        # The later rounds of an instant bring cortex nothing new. This spares work only: whoever judges a
        # close again finds it judged.
        if turn.position == self._done[0] and turn.round > self._done[1]:
            return
        choice = self._choice(turn.at)
        for venue, symbol in self._closing(turn, batch):
            command = self._judge(venue, symbol, turn.at, choice)
            if command is not None:
                cause = ids.candle_id(venue, symbol, MAIN, command.candle_close - MAIN.duration)
                await desk.handle(SIGNALS, instrument_key(venue, symbol), command, cause=cause)
        self._done = (turn.position, turn.round)

    def _closing(self, turn: Turn, batch: Sequence[Envelope[Event]]) -> list[Key]:
        """The instruments of which this step brought a main candle that is to be decided on.

        Most close at the time of the turn. At a live venue slow ones come later, in a step of their own.
        """
        if turn.position != self._step:
            self._step, self._closed = turn.position, set()
        self._closed.update(key for envelope in batch for key in _decided_on(envelope.event))
        now, closing = to_millis(turn.at), self._closed & self._main.keys()
        if now % (MAIN.seconds * 1_000) == 0:
            opened = now - MAIN.seconds * 1_000
            closing |= {key for key, series in self._main.items() if series.last_open_time == opened}
            closing |= {key for key, scan in self._scans.items() if now in scan}
        return sorted(key for key in closing if self._owns(instrument_key(*key)))

    def _judge(self, venue: Venue, symbol: Symbol, at: datetime, choice: Choice) -> JudgeMarket | None:
        scan = self._scans.get((venue, symbol))
        if scan is not None:
            return scan.command(to_millis(at))
        evaluation = evaluate(self._view((venue, symbol)), choice.of(self._table))
        return None if evaluation is None else evaluation.command(symbol, 0, at, choice)

    def judged(self, venue: Venue, symbol: Symbol) -> tuple[MarketView, Evaluation | None] | None:
        """What every strategy makes of the last close of an instrument, for explaining; None without a candle.

        The evaluation is None while the instrument warms up.
        """
        if (venue, symbol) not in self._main:
            return None
        view = self._view((venue, symbol))
        return view, evaluate(view, list(self._table.values()))

    def _view(self, key: Key) -> MarketView:
        """What may be seen of an instrument at its last close."""
        return MarketView(
            self._main[key].columns(), self._direction(key), self._mood, key[0], key[1] in self._targets
        )

    def _direction(self, key: Key) -> MacroTrend:
        """Where the macro view points, read once for each of its candles."""
        series = self._macro.get(key)
        last = None if series is None else series.last_open_time
        if series is None or last is None:
            return NO_MACRO
        known = self._macro_trends.get(key)
        if known is None or known[0] != last:
            known = self._macro_trends[key] = (last, macro_trend(series.columns()))
        return known[1]

    def _choice(self, at: datetime) -> Choice:
        wishes = {wish.at(at) for wish in self._wishes.values()} | {self._strategy}
        by_hand = tuple(name for name in sorted(self._table) if name in wishes)
        return Choice(self._strategy == AUTO, by_hand)

    def _take_candles(self, event: CandlesClosed) -> None:
        for candle in event.candles:
            if candle.timeframe in (MAIN, MACRO) and (event.venue, candle.symbol) not in self._scans:
                opened = to_millis(candle.open_time(event.at))
                row = _row(opened, candle)
                self._series(event.venue, candle.symbol, candle.timeframe).add(row)
                self._hear_btc(event.venue, candle.symbol, candle.timeframe, row)

    def _take_correction(self, event: CandleCorrected) -> None:
        if event.timeframe in (MAIN, MACRO) and (event.venue, event.symbol) not in self._scans:
            row = _row(event.now.open_time, event.now)
            self._series(event.venue, event.symbol, event.timeframe).correct(row)
            self._hear_btc(event.venue, event.symbol, event.timeframe, row)

    def _take_history(self, event: CandlesBackfilled) -> None:
        if event.timeframe not in (MAIN, MACRO) or (event.venue, event.symbol) in self._scans:
            return
        rows = [_row(bar.open_time, bar) for bar in event.bars]
        self._series(event.venue, event.symbol, event.timeframe).backfill(rows)
        for row in rows:
            self._hear_btc(event.venue, event.symbol, event.timeframe, row)

    def _hear_btc(self, venue: Venue, symbol: Symbol, timeframe: Timeframe, row: Row) -> None:
        if symbol == BTC and timeframe is MAIN:
            self._mood.hear_btc(venue, row[0], row[1], row[4])

    def _take_wish(self, user: UserId, strategy: str, at: datetime) -> None:
        wish = self._wishes.get(user)
        self._wishes[user] = Wish(strategy, at, None if wish is None else wish.at(at))

    def _series(self, venue: Venue, symbol: Symbol, timeframe: Timeframe) -> History:
        held = self._main if timeframe is MAIN else self._macro
        if (venue, symbol) not in held:
            held[venue, symbol] = History(timeframe)
        return held[venue, symbol]


def _decided_on(event: Event) -> Iterator[Key]:
    """The instruments with a main candle in an event; late ones are history."""
    if isinstance(event, CandlesClosed) and not event.late:
        yield from ((event.venue, candle.symbol) for candle in event.candles if candle.timeframe is MAIN)


def _row(opened: int, bar: Bar | Candle) -> Row:
    return opened, float(bar.open), float(bar.high), float(bar.low), float(bar.close), float(bar.volume)
