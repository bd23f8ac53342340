"""What can be traded and in which steps. Owner: ingest, streams `instrument-{venue}`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, NamedTuple

from pydantic import Field

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import (
    Fraction,
    Instant,
    Number,
    Price,
    Quantity,
    Shared,
    Symbol,
    Value,
    Venue,
)


class InstrumentKind(StrEnum):
    PERPETUAL = "perpetual"
    STOCK = "stock"


class Group(StrEnum):
    """Switched per user, and the clusters of the exposure limit. A coin that nobody has placed is `other`."""

    MAJOR = "major"
    MEME = "meme"
    DEFI = "defi"
    AI = "ai"
    LAYER1 = "layer1"
    STOCKS = "stocks"
    ETFS = "etfs"
    OTHER = "other"


class Instrument(Shared):
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


class InstrumentStatus(StrEnum):
    ANNOUNCED = "announced"
    TRADING = "trading"
    PAUSED = "paused"
    STOPPED = "stopped"


class Bracket(NamedTuple):
    """One step of a venue's leverage table, for positions worth more than `floor` and up to `cap` in quote currency."""

    floor: Number
    cap: Number
    max_leverage: Number
    maintenance_margin: Fraction


class Terms(Value):
    """What a venue says of an instrument beyond its grid; what it does not say is None, or empty.

    `ends_at` is when a venue has said that it takes the instrument down; `max_market_quantity` bounds one
    market order. `shortable` and `fractionable` are said of stocks.
    """

    status: InstrumentStatus
    listed_at: Instant | None = None
    ends_at: Instant | None = None
    max_market_quantity: Quantity | None = None
    shortable: bool | None = None
    fractionable: bool | None = None
    brackets: tuple[Bracket, ...] = ()


class InstrumentsListed(Event):
    """The instruments of a venue as they are from now on. `not_trading` are those it has stopped, or is to.

    `unreadable` gives for each name (as the venue spells it) that was left out what could not be read.
    """

    type = "instrument.listed"

    venue: Venue
    instruments: tuple[Instrument, ...]
    not_trading: tuple[Symbol, ...] = ()
    terms: dict[Symbol, Terms] = Field({})
    unreadable: dict[str, str] = Field({})

    later: ClassVar[tuple[str, ...]] = ("not_trading", "terms", "unreadable")


class ChangeKind(StrEnum):
    LISTED = "listed"
    DELISTED = "delisted"
    TO_STOP = "to_stop"
    STOPPED = "stopped"
    RESUMED = "resumed"
    ALTERED = "altered"
    UNREADABLE = "unreadable"


class InstrumentChange(NamedTuple):
    """One difference to the listing before: `field` went from `was` to `now`, in words for people.

    For `to_stop`, `now` is the time; for `unreadable` the reason; `symbol` is then the venue's own spelling.
    """

    symbol: Symbol
    kind: ChangeKind
    field: str = ""
    was: str = ""
    now: str = ""


class InstrumentsChanged(Event):
    """What people should know of a new listing; follows its `instrument.listed`, never the first one's instruments."""

    type = "instrument.changed"

    venue: Venue
    changes: tuple[InstrumentChange, ...]


InstrumentEvent = InstrumentsListed | InstrumentsChanged


@command("instrument.list_instruments")
@dataclass(frozen=True, slots=True)
class ListInstruments:
    at: Instant
    venue: Venue
    instruments: tuple[Instrument, ...]
    not_trading: tuple[Symbol, ...] = ()
    terms: dict[Symbol, Terms] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
