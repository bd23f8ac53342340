"""What a venue lists; recorded when it changes."""

from __future__ import annotations

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.instrument import InstrumentsListed, ListInstruments


def decide(command: ListInstruments, state: InstrumentsListed | None) -> list[InstrumentsListed]:
    listed = InstrumentsListed(
        venue=command.venue, instruments=command.instruments, not_trading=command.not_trading
    )
    return [] if state == listed else [listed]


def evolve(state: InstrumentsListed | None, event: InstrumentsListed) -> InstrumentsListed | None:
    return event


INSTRUMENT: Decider[ListInstruments, InstrumentsListed | None, InstrumentsListed] = Decider(
    "instrument", None, decide, evolve
)
