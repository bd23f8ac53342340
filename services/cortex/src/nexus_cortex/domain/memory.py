"""What cortex remembers of the market: candles of every timeframe, the mood, fees; and the views it gives of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.market import Bar, Candle, CandleCorrected, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_cortex.domain.evaluation import MAIN
from nexus_cortex.domain.micro import MICRO, Micro, micro_of_history, no_micro
from nexus_cortex.domain.regime import NO_MACRO, MacroTrend, macro_trend
from nexus_cortex.domain.sangria import BTC, Mood
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import slot_millis, to_millis
from nexus_market.features import FeatureColumns, History, Row, is_sound

MACRO: Final = Timeframe.H4

Key = tuple[Venue, Symbol]


class MarketMemory:
    """The past of all instruments, as far as features reach back."""

    def __init__(self, shark_targets: Collection[Symbol], ignored: Collection[Key] = ()) -> None:
        """Candles of `ignored` instruments are not kept."""
        self._targets = frozenset(shark_targets)
        self._ignored = frozenset(ignored)
        self._mood = Mood()
        self._series: dict[Timeframe, dict[Key, History]] = {timeframe: {} for timeframe in Timeframe}
        self._macro_trends: dict[Key, tuple[int, MacroTrend]] = {}
        self._fees: dict[Key, float] = {}

    def hear(self, event: Event) -> None:
        match event:
            case CandlesClosed():
                self._take_candles(event)
            case CandleCorrected():
                self._take_correction(event)
            case CandlesBackfilled():
                self._take_history(event)
            case MacroRead():
                self._mood.hear_macro(event)
            case InstrumentsListed():
                for listed in event.instruments:
                    self._fees[listed.venue, listed.symbol] = float(listed.maker_fee)
            case _:
                pass

    def last_open_time(self, timeframe: Timeframe, key: Key) -> int | None:
        """Of the last candle, in milliseconds; None without one."""
        series = self._series[timeframe].get(key)
        return None if series is None else series.last_open_time

    def standing_at(self, timeframe: Timeframe, open_time: int) -> list[Key]:
        """The instruments whose last candle opened then (milliseconds)."""
        held = self._series[timeframe]
        return [key for key, series in held.items() if series.last_open_time == open_time]

    def view(self, timeframe: Timeframe, key: Key) -> MarketView:
        """What may be seen of an instrument at the last close of a timeframe; to be read before the next is heard."""
        return MarketView(
            bars=self._series[timeframe][key].columns(),
            macro=self._macro(key),
            mood=self._mood,
            venue=key[0],
            is_shark_target=key[1] in self._targets,
            maker_fee=self._fees.get(key),
            symbol=key[1],
            micro=self._micro(key),
        )

    def looked_back(self) -> list[MarketView]:
        """Of every instrument all closes of the main view that are held, with the macro view as of each of them."""
        macro = self._series[MACRO]
        return [
            replace(
                self.view(MAIN, key),
                bars=_all_rows(series),
                macro=macro_trend(_all_rows(macro[key])) if key in macro else NO_MACRO,
            )
            for key, series in sorted(self._series[MAIN].items())
        ]

    def _micro(self, key: Key) -> Micro:
        series = self._series[MICRO].get(key)
        return no_micro if series is None else micro_of_history(series)

    def _macro(self, key: Key) -> MacroTrend:
        """Where the macro view points, read once for each of its candles."""
        last = self.last_open_time(MACRO, key)
        if last is None:
            return NO_MACRO
        known = self._macro_trends.get(key)
        if known is None or known[0] != last:
            known = self._macro_trends[key] = (last, macro_trend(self._series[MACRO][key].columns()))
        return known[1]

    def _take_candles(self, event: CandlesClosed) -> None:
        at = to_millis(event.at)
        for candle in event.candles:
            key = (event.venue, candle.symbol)
            if key not in self._ignored:
                row = _row(at - slot_millis(candle.timeframe), candle)
                self._history(candle.timeframe, key).add(row)
                self._hear_btc(candle.timeframe, key, row)

    def _take_correction(self, event: CandleCorrected) -> None:
        key = (event.venue, event.symbol)
        if key not in self._ignored:
            row = _row(event.now.open_time, event.now)
            self._history(event.timeframe, key).correct(row)
            self._hear_btc(event.timeframe, key, row)

    def _take_history(self, event: CandlesBackfilled) -> None:
        key = (event.venue, event.symbol)
        if key in self._ignored:
            return
        rows = [_row(bar.open_time, bar) for bar in event.bars]
        self._history(event.timeframe, key).backfill(rows)
        for row in rows:
            self._hear_btc(event.timeframe, key, row)

    def _hear_btc(self, timeframe: Timeframe, key: Key, row: Row) -> None:
        if timeframe is MAIN and key[1] == BTC and is_sound(row):
            self._mood.hear_btc(key[0], row[0], row[1], row[4])

    def _history(self, timeframe: Timeframe, key: Key) -> History:
        held = self._series[timeframe]
        if key not in held:
            held[key] = History(timeframe)
        return held[key]


def _all_rows(series: History) -> FeatureColumns:
    return FeatureColumns(series.columns().window, 0, series.timeframe)


def _row(opened: int, bar: Bar | Candle) -> Row:
    return opened, float(bar.open), float(bar.high), float(bar.low), float(bar.close), float(bar.volume)
