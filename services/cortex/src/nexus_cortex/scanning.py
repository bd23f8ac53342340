"""Cortex for a market that is known whole: every close judged beforehand, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.evaluation import Choice, SeriesScan
from nexus_cortex.domain.sangria import BTC, Mood
from nexus_cortex.domain.strategies import AUTO, with_parameters
from nexus_cortex.handlers import CortexReactor
from nexus_market.indicators import Bars


@dataclass(frozen=True, slots=True)
class WholeSeries:
    """All bars of one instrument that cortex will ever hear, warm-up included."""

    venue: Venue
    symbol: Symbol
    main: Bars
    macro: Bars


def scanning_reactor(
    settings: CortexSettings, market: Sequence[WholeSeries], readings: Iterable[MacroRead], since: int
) -> CortexReactor:
    """A cortex that records what the one hearing the same bars one by one would, of closes from `since` (ms) on.

    It holds as long as no user chooses a strategy that the settings do not name.
    """
    table = with_parameters(settings.parameters)
    by_hand = (settings.strategy,) if settings.strategy in table else ()
    choice = Choice(settings.strategy == AUTO, by_hand)
    mood = _mood(market, readings)
    scans = {
        (each.venue, each.symbol): SeriesScan(
            each.venue,
            each.symbol,
            each.main,
            each.macro,
            mood,
            table,
            choice,
            each.symbol in settings.shark_targets,
            since,
        )
        for each in market
    }
    return CortexReactor(settings.strategy, settings.parameters, settings.shark_targets, scans=scans)


def _mood(market: Sequence[WholeSeries], readings: Iterable[MacroRead]) -> Mood:
    """What it hears of later times is not asked for at earlier ones."""
    mood = Mood()
    for reading in readings:
        mood.hear_macro(reading)
    for each in market:
        if each.symbol == BTC:
            bars = each.main
            for row in zip(bars.open_time.tolist(), bars.open.tolist(), bars.close.tolist(), strict=True):
                mood.hear_btc(each.venue, *row)
    return mood
