"""What can be traded and in which steps. Owner: ingest, streams `instrument-{venue}`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Fraction, Instant, Number, Price, Quantity, Symbol, Value, Venue


class InstrumentKind(StrEnum):
    PERPETUAL = "perpetual"
    STOCK = "stock"


class Group(StrEnum):
    """Switched per user, and the clusters of the exposure limit."""

    MAJOR = "major"
    MEME = "meme"
    DEFI = "defi"
    AI = "ai"
    LAYER1 = "layer1"
    STOCKS = "stocks"
    ETFS = "etfs"


class Instrument(Value):
    """A venue's own metadata of one instrument.

    `multiplier` is the number of coins in one contract unit (1000 for 1000PEPEUSDT); prices and quantities
    are always those of the contract.
    """

    venue: Venue
    symbol: Symbol
    kind: InstrumentKind
    base: str
    quote: str
    group: Group
    tick_size: Price
    step_size: Quantity
    min_quantity: Quantity
    min_notional: Number
    max_leverage: int
    maker_fee: Fraction
    taker_fee: Fraction
    maintenance_margin: Fraction
    multiplier: int = 1


class InstrumentsListed(Event):
    """The instruments of a venue as they are from now on. `not_trading` are those it has stopped, or is to."""

    type = "instrument.listed"

    venue: Venue
    instruments: tuple[Instrument, ...]
    not_trading: tuple[Symbol, ...] = ()

    later: ClassVar[tuple[str, ...]] = ("not_trading",)


@command("instrument.list_instruments")
@dataclass(frozen=True, slots=True)
class ListInstruments:
    at: Instant
    venue: Venue
    instruments: tuple[Instrument, ...]
    not_trading: tuple[Symbol, ...] = ()
