"""Cortex for a market that is known whole: every close judged beforehand, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.evaluation import MAIN, Choice, ReadRegimes, SeriesScan, ViewOf, by_rules
from nexus_cortex.domain.memory import MACRO, Key
from nexus_cortex.domain.micro import MICRO, MicroSeries, no_micro
from nexus_cortex.domain.regime import NO_MACRO, macro_trend_of
from nexus_cortex.domain.sangria import BTC, Mood
from nexus_cortex.domain.strategies import AUTO
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_cortex.handlers import CortexReactor, table_of
from nexus_market.indicators import Bars


@dataclass(frozen=True, slots=True)
class WholeSeries:
    """All bars of one instrument that cortex will ever hear, warm-up included, by timeframe."""

    venue: Venue
    symbol: Symbol
    bars: Mapping[Timeframe, Bars]
    maker_fee: float | None = None


def scanning_reactor(
    settings: CortexSettings,
    market: Sequence[WholeSeries],
    readings: Iterable[MacroRead],
    since: int,
    read_regimes: ReadRegimes = by_rules,
) -> CortexReactor:
    """A cortex that records what the one hearing the same bars one by one would, of closes from `since` (ms) on.

    It holds as long as no user chooses a strategy that the settings do not name.

    Raises ConfigurationError for a strategy, parameter or timeframe that does not exist.
    """
    return CortexReactor(
        settings.strategy,
        settings.parameters,
        settings.shark_targets,
        timeframes=settings.timeframes,
        scans=scans_of(settings, market, readings, since, read_regimes),
        read_regimes=read_regimes,
    )


def scans_of(
    settings: CortexSettings,
    market: Sequence[WholeSeries],
    readings: Iterable[MacroRead],
    since: int,
    read_regimes: ReadRegimes = by_rules,
) -> dict[tuple[Timeframe, Key], SeriesScan]:
    """Every series that a strategy runs on, and the main one of each instrument, judged."""
    table = table_of(settings.parameters, settings.timeframes)
    by_hand = (settings.strategy,) if settings.strategy in table else ()
    choice = Choice(settings.strategy == AUTO, by_hand)
    strategies = choice.of(table)
    used = {MAIN, *(strategy.timeframe for strategy in strategies)}
    mood = _mood(market, readings)
    scans = {}
    for each in market:
        view_of = _view_of(each, mood, each.symbol in settings.shark_targets)
        for timeframe in sorted(used & each.bars.keys()):
            scans[timeframe, (each.venue, each.symbol)] = SeriesScan(
                each.bars[timeframe], timeframe, view_of, strategies, choice, since, read_regimes
            )
    return scans


def _view_of(series: WholeSeries, mood: Mood, is_shark_target: bool) -> ViewOf:
    macro, micro = series.bars.get(MACRO), series.bars.get(MICRO)
    return partial(
        MarketView,
        macro=NO_MACRO if macro is None else macro_trend_of(macro),
        mood=mood,
        venue=series.venue,
        is_shark_target=is_shark_target,
        maker_fee=series.maker_fee,
        symbol=series.symbol,
        micro=no_micro if micro is None else MicroSeries(micro),
    )


def _mood(market: Sequence[WholeSeries], readings: Iterable[MacroRead]) -> Mood:
    """What it hears of later times is not asked for at earlier ones."""
    mood = Mood()
    for reading in readings:
        mood.hear_macro(reading)
    for each in market:
        if each.symbol == BTC and MAIN in each.bars:
            bars = each.bars[MAIN]
            for row in zip(bars.open_time.tolist(), bars.open.tolist(), bars.close.tolist(), strict=True):
                mood.hear_btc(each.venue, *row)
    return mood
