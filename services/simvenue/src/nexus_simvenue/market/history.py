"""What has happened so far: the past of every instrument up to the venue's present moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice

import numpy as np

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, format_decimal
from nexus_market.candles import Series, slot_millis
from nexus_simvenue.market.happenings import Happening, Kline

NEWEST_KEPT = 1_500


class PlayedHistory:
    """The `History` of one venue. `now` (ms) ends it: bars that close later are not known yet.

    `series` holds all bars that are known or will be played, by symbol and timeframe; `funding` the due times
    (ms) and rates, by symbol, oldest first.
    """

    def __init__(
        self,
        now: Callable[[], int],
        instruments: Callable[[], Iterable[Instrument]],
        series: Mapping[tuple[Symbol, Timeframe], Series],
        funding: Mapping[Symbol, Sequence[tuple[int, Decimal]]] | None = None,
    ) -> None:
        self._now = now
        self._instruments = instruments
        self._series = series
        self._funding = funding or {}
        self._symbols = frozenset(symbol for symbol, _ in series)
        self._open: dict[tuple[Symbol, Timeframe], Kline] = {}
        self._newest: dict[Symbol, deque[Happening]] = {
            symbol: deque(maxlen=NEWEST_KEPT) for symbol in self._symbols
        }
        self._gone: set[Symbol] = set()

    def instruments(self) -> Sequence[Instrument]:
        return tuple(each for each in self._instruments() if each.symbol in self._symbols)

    def is_trading(self, symbol: Symbol) -> bool:
        return symbol in self._symbols and symbol not in self._gone

    def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> Sequence[Bar]:
        series = self._series.get((symbol, timeframe))
        if series is None:
            return ()
        last = min(last, self._now() - slot_millis(timeframe))
        begin, end = np.searchsorted(series.open_time, (first, last + 1))
        times = series.open_time[begin:end].tolist()
        rows = series.bars(int(begin), int(end))
        return [Bar(time, *row) for time, row in zip(times, rows, strict=True)]

    def open_bar(self, symbol: Symbol, timeframe: Timeframe) -> Bar | None:
        kline = self._open.get((symbol, timeframe))
        if kline is None:
            return None
        figures = (kline.open, kline.high, kline.low, kline.close, kline.volume)
        return Bar(kline.open_time, *map(Decimal, figures))

    def newest(self, symbol: Symbol, count: int) -> Sequence[Happening]:
        kept = self._newest.get(symbol, ())
        return tuple(islice(kept, max(0, len(kept) - count), None))

    def funding(self, symbol: Symbol, first: int, last: int) -> Sequence[tuple[int, str]]:
        last = min(last, self._now())
        due = self._funding.get(symbol, ())
        return [(at, format_decimal(rate)) for at, rate in due if first <= at <= last]

    # -- what is told to it -------------------------------------------------------------------------

    def note(self, symbol: Symbol, happening: Happening) -> None:
        """Keep it: the open candle as it stands, and the newest of everything else."""
        if isinstance(happening, Kline):
            if happening.closed:
                self._open.pop((symbol, happening.timeframe), None)
            else:
                self._open[symbol, happening.timeframe] = happening
        elif symbol in self._newest:
            self._newest[symbol].append(happening)

    def vanish(self, symbol: Symbol) -> None:
        """It is listed no more."""
        self._gone.add(symbol)
