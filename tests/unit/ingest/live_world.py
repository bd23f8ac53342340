"""A venue with mishaps around a MarketWatch: the true bars are known, what is recorded has to be them.

Everything happens by a heap of moments and one seed. Frames are delayed, lost, told twice or out of order;
connections are cut, stall and swallow; REST is slow, lags, fails, and words what has only just closed wrongly.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from nexus_common.contracts.market import Bar, CandleCorrected, CandlesClosed
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.readings import KlineRead, TradeRead
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import (
    Answered,
    Ask,
    AskBars,
    Closed,
    FeedUp,
    Heard,
    Input,
    Noted,
    Opened,
    Output,
    Reopen,
    TimePassed,
    Unanswered,
)
from nexus_market.candles import Ohlcv, fold, from_millis, series_of, slot_millis, spell

MINUTE = 60_000
START = 1_748_822_400_000  # 2025-06-02 00:00 UTC, on every grid


@dataclass(frozen=True)
class Mishaps:
    """Chances by frame or by answer; cuts and stalls by minute and connection."""

    lost: float = 0.0
    twice: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    stall: float = 0.0
    rest_fails: float = 0.0
    rest_lags_ms: int = 0
    rest_takes_ms: int = 200
    untraded: float = 0.0


CALM = Mishaps()
ROUGH = Mishaps(
    lost=0.15,
    twice=0.1,
    slow=0.1,
    cut=0.08,
    stall=0.05,
    rest_fails=0.2,
    rest_lags_ms=3_000,
    rest_takes_ms=2_500,
)


def true_bars(series: Series, count: int, chance: Random, untraded: float) -> dict[int, Bar]:
    """`count` slots from START on; one that was never traded has no bar."""
    bars: dict[int, Bar] = {}
    price = 100.0
    for slot in range(count):
        close = price * (1 + chance.uniform(-0.01, 0.01))
        high, low = max(price, close) * 1.001, min(price, close) * 0.999
        open_time = START + slot * slot_millis(series.timeframe)
        figures = (price, high, low, close, chance.uniform(0, 10))
        if chance.random() >= untraded:
            bars[open_time] = Bar(open_time, *(spell(round(figure, 4)) for figure in figures))
        price = close
    return bars


def kline_of(series: Series, bar: Bar, closed: bool, at: int) -> KlineRead:
    opens, high, low, close, volume = map(str, bar[1:])
    return KlineRead(
        series.symbol, series.timeframe, bar.open_time, opens, high, low, close, volume, closed, at
    )


@dataclass
class Socket:
    name: str
    symbols: tuple[Symbol, ...]
    state: str = "down"
    opened_at: int = 0
    opening: bool = False


@dataclass
class LiveWorld:
    """`complaints` are breaches seen while it ran; `recorded` what came out, series by series."""

    venue: Venue
    symbols: tuple[Symbol, ...]
    timeframes: tuple[Timeframe, ...]
    minutes: int
    mishaps: Mishaps
    seed: int
    rules: WatchRules = field(default_factory=WatchRules)
    known: bool = True
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.now = START
        self.watch = self.new_watch()
        self.truth = {
            Series(self.venue, symbol, timeframe): true_bars(
                Series(self.venue, symbol, timeframe),
                self.minutes * MINUTE // slot_millis(timeframe),
                self.chance,
                self.mishaps.untraded,
            )
            for symbol in self.symbols
            for timeframe in self.timeframes
        }
        self.recorded: dict[Series, list[Bar]] = defaultdict(list)
        self.sockets = {f"s{i}": Socket(f"s{i}", (symbol,)) for i, symbol in enumerate(self.symbols)}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def new_watch(self) -> MarketWatch:
        known = {
            Series(self.venue, symbol, timeframe): START - slot_millis(timeframe)
            for symbol in self.symbols
            for timeframe in Timeframe
        }
        watched = WatchedVenue(self.venue, self.symbols, self.timeframes)
        return MarketWatch(self.rules, [watched], known if self.known else {})

    # -- running --------------------------------------------------------------------------------------

    def run(self, quiet_minutes: int = 4) -> LiveWorld:
        """All of it, then some minutes without mishaps, in which what is missing has to be found."""
        end = START + self.minutes * MINUTE
        self._schedule(end)
        while self._heap:
            due = self.watch.deadline()
            if due is not None and math.ceil(due.timestamp() * 1_000) <= self._heap[0][0]:
                self.now = max(self.now, math.ceil(due.timestamp() * 1_000))
                self.take(TimePassed(self.moment()))
                continue
            at, _, deed = heapq.heappop(self._heap)
            if at > end + quiet_minutes * MINUTE:
                break
            self.now = max(self.now, at)
            if at > end:
                self.mishaps = CALM
            deed()
        return self

    def moment(self) -> datetime:
        return from_millis(self.now)

    def after(self, milliseconds: float, deed: Callable[[], None]) -> None:
        self._at(self.now + int(milliseconds), deed)

    def _at(self, at: int, deed: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (at, next(self._order), deed))

    def take(self, happened: Input) -> None:
        self.inputs.append(happened)
        outputs = self.watch.take(happened)
        self.outputs.extend(outputs)
        for output in outputs:
            self._obey(output)
        if any(isinstance(output, FeedUp) for output in outputs):
            self._check_whole()

    def _schedule(self, end: int) -> None:
        for socket in self.sockets.values():
            self._at(START + 1, lambda socket=socket: self._open(socket))
            for second in range(START, end + 5 * MINUTE, 1_000):
                self._at(second + 300, lambda socket=socket: self._beat(socket))
            for minute in range(START, end, MINUTE):
                if self.chance.random() < self.mishaps.cut:
                    self._at(minute + self.chance.randrange(MINUTE), lambda socket=socket: self._cut(socket))
                if self.chance.random() < self.mishaps.stall:
                    self._at(
                        minute + self.chance.randrange(MINUTE), lambda socket=socket: self._stall(socket)
                    )
        for series, bars in self.truth.items():
            for bar in bars.values():
                self._schedule_klines(series, bar)

    def _schedule_klines(self, series: Series, bar: Bar) -> None:
        closes = bar.open_time + slot_millis(series.timeframe)
        for part in (0.3, 0.9):
            at = bar.open_time + int(part * slot_millis(series.timeframe))
            self._at(at, lambda: self._say(series, bar._replace(close=bar.low, volume=spell(0.5)), False))
        delay = self.chance.randrange(5, 300)
        if self.chance.random() < self.mishaps.slow:
            delay += self.chance.randrange(150_000)
        if self.chance.random() >= self.mishaps.lost:
            self._at(closes + delay, lambda: self._say(series, bar, True))
        if self.chance.random() < self.mishaps.twice:
            self._at(closes + delay + self.chance.randrange(5_000), lambda: self._say(series, bar, True))

    # -- the venue ------------------------------------------------------------------------------------

    def _socket_of(self, symbol: Symbol) -> Socket:
        return next(socket for socket in self.sockets.values() if symbol in socket.symbols)

    def _say(self, series: Series, bar: Bar, closed: bool) -> None:
        socket = self._socket_of(series.symbol)
        if socket.state == "up":
            self.take(
                Heard(self.venue, socket.name, [kline_of(series, bar, closed, self.now)], self.moment())
            )

    def _beat(self, socket: Socket) -> None:
        if socket.state == "up":
            trade = TradeRead(socket.symbols[0], "100.0", "1", Side.BUY, str(self.now), self.now)
            self.take(Heard(self.venue, socket.name, [trade], self.moment()))

    def _open(self, socket: Socket) -> None:
        socket.state, socket.opened_at, socket.opening = "up", self.now, False
        self.take(Opened(self.venue, socket.name, self.moment()))

    def _cut(self, socket: Socket) -> None:
        if socket.state == "down":
            return
        socket.state, socket.opening = "down", True
        self.take(Closed(self.venue, socket.name, "cut", self.moment()))
        self.after(self.chance.choice((200, 1_500, 20_000, 200_000)), lambda: self._open(socket))

    def _stall(self, socket: Socket) -> None:
        """The socket stands and says nothing; a short one passes by itself."""
        if socket.state != "up":
            return
        socket.state = "stalled"
        if self.chance.random() < 0.3:
            self.after(3_000, lambda: self._thaw(socket))

    def _thaw(self, socket: Socket) -> None:
        if socket.state == "stalled":
            socket.state = "up"

    def _answer(self, ask: AskBars, failed: bool, lag: int) -> None:
        if failed:
            self.take(Unanswered(self.venue, ask, "HTTP 503", self.moment()))
            return
        slot = slot_millis(ask.timeframe)
        truth = self.truth[Series(self.venue, ask.symbol, ask.timeframe)]
        bars = [
            bar for at, bar in truth.items() if ask.first <= at <= ask.last and at + slot <= self.now - lag
        ]
        if bars and bars[-1].open_time + slot > self.now - 300:
            bars[-1] = bars[-1]._replace(close=bars[-1].low)  # not final yet
        self.take(Answered(self.venue, ask, tuple(bars), self.moment()))

    # -- what the watch wants -------------------------------------------------------------------------

    def _obey(self, output: Output) -> None:
        match output:
            case Ask():
                failed = self.chance.random() < self.mishaps.rest_fails
                lag = self.chance.randrange(self.mishaps.rest_lags_ms + 1)
                takes = self.chance.randrange(20, self.mishaps.rest_takes_ms + 21)
                self.after(takes, lambda: self._answer(output.bars, failed, lag))
            case Reopen():
                socket = self.sockets[output.connection]
                if not socket.opening:
                    self._cut(socket)
            case CandlesClosed():
                self._record(output)
            case CandleCorrected():
                self.complaints.append(f"nothing was to be corrected: {output}")
            case _:
                pass

    def _record(self, closed: CandlesClosed) -> None:
        for candle in closed.candles:
            series = Series(closed.venue, candle.symbol, candle.timeframe)
            open_time = int(candle.open_time(closed.at).timestamp()) * 1_000
            recorded = self.recorded[series]
            if recorded and recorded[-1].open_time >= open_time:
                self.complaints.append(f"{series} again or out of order: {open_time}")
            recorded.append(Bar(open_time, *candle[2:]))

    def _check_whole(self) -> None:
        """With the feed's return all that closed before its connections opened has to be there.

        The newest candles may follow the word of the return, so that they are decided on.
        """
        if self.mishaps.rest_fails or self.mishaps.rest_lags_ms:
            return
        for series, bars in self.truth.items():
            socket = self._socket_of(series.symbol)
            if socket.state != "up":
                continue
            until = socket.opened_at - slot_millis(series.timeframe) - self.rules.rest_settles_ms
            missing = {at for at in bars if at <= until} - {bar.open_time for bar in self.recorded[series]}
            if missing:
                self.complaints.append(f"feed up at {self.moment()}, {series} lacks {sorted(missing)}")

    # -- what came of it ------------------------------------------------------------------------------

    def expect_folds(self, *timeframes: Timeframe) -> LiveWorld:
        """Where the venue streams 1m alone, what these fold to is recorded as well."""
        for symbol in self.symbols:
            minutes = list(self.truth[Series(self.venue, symbol, Timeframe.M1)].values())
            base = series_of(
                Timeframe.M1, [bar.open_time for bar in minutes], [Ohlcv(*bar[1:]) for bar in minutes]
            )
            for timeframe in timeframes:
                folded = fold(base, timeframe, START + self.minutes * MINUTE)
                times = folded.open_time.tolist()
                bars = {
                    at: Bar(at, *figures)
                    for at, figures in zip(times, folded.bars(0, len(times)), strict=True)
                }
                self.truth[Series(self.venue, symbol, timeframe)] = bars
        return self

    def facts(self) -> Sequence[object]:
        return [output.fact for output in self.outputs if isinstance(output, Noted)]

    def count(self, kind: type) -> int:
        return sum(isinstance(each, kind) for each in itertools.chain(self.outputs, self.facts()))

    def breaches(self) -> list[str]:
        """Whatever is not as it has to be."""
        wrong = list(self.complaints)
        for series, bars in self.truth.items():
            if self.recorded[series] != list(bars.values()):
                missing = bars.keys() - {bar.open_time for bar in self.recorded[series]}
                wrong.append(f"{series}: recorded is not the truth; missing {sorted(missing)}")
        return wrong
