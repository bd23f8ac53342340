"""Readings of the whole market; recorded when a figure changes."""

from __future__ import annotations

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.macro import MacroRead, RecordMacro

GLOBAL = "global"


def decide(command: RecordMacro, state: MacroRead | None) -> list[MacroRead]:
    reading = command.reading
    if state is not None and (reading.known_at <= state.known_at or _figures(reading) == _figures(state)):
        return []
    return [reading]


def evolve(state: MacroRead | None, event: MacroRead) -> MacroRead | None:
    return event


def _figures(reading: MacroRead) -> tuple[object, ...]:
    return (reading.btc_dominance, reading.total_market_cap, reading.fear_greed)


MACRO: Decider[RecordMacro, MacroRead | None, MacroRead] = Decider("macro", None, decide, evolve)
