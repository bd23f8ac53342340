"""Readings of the whole market; recorded when a figure changes.

Each source tells its own figures at its own times, so what is known is kept figure by figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.macro import MacroRead, RecordMacro

GLOBAL = "global"


class Figure(NamedTuple):
    value: Decimal | int
    known_at: datetime


Figures = Mapping[str, Figure]


def decide(command: RecordMacro, state: Figures) -> list[MacroRead]:
    news = _figures(command.reading)
    return (
        [command.reading] if any(_is_news(state.get(name), figure) for name, figure in news.items()) else []
    )


def evolve(state: Figures, event: MacroRead) -> Figures:
    told = _figures(event)
    newer = {name: figure for name, figure in told.items() if _is_newer(state.get(name), figure)}
    return MappingProxyType({**state, **newer})


def _figures(reading: MacroRead) -> dict[str, Figure]:
    values: dict[str, Decimal | int | None] = {
        "btc_dominance": reading.btc_dominance,
        "total_market_cap": reading.total_market_cap,
        "total_volume": reading.total_volume,
        "fear_greed": reading.fear_greed,
    }
    return {name: Figure(value, reading.known_at) for name, value in values.items() if value is not None}


def _is_news(last: Figure | None, figure: Figure) -> bool:
    return last is None or (_is_newer(last, figure) and figure.value != last.value)


def _is_newer(last: Figure | None, figure: Figure) -> bool:
    return last is None or figure.known_at > last.known_at


MACRO: Decider[RecordMacro, Figures, MacroRead] = Decider("macro", MappingProxyType({}), decide, evolve)
