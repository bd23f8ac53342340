"""The words every message is made of: money, time, direction, names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, NewType

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

UserId = NewType("UserId", str)
AccountId = NewType("AccountId", str)
Symbol = NewType("Symbol", str)
ClientOrderId = NewType("ClientOrderId", str)
TradeId = NewType("TradeId", str)
ModelId = NewType("ModelId", str)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; times are aware UTC")
    return moment.astimezone(UTC)


@lru_cache(4_096)
def format_instant(moment: datetime) -> str:
    """UTC with microseconds, always of the same length; raises ValueError for a time without a zone.

    Remembered: all messages of a market instant carry the same few times.
    """
    if moment.tzinfo is not UTC:
        moment = _utc(moment)
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def format_decimal(number: Decimal) -> str:
    """Plain digits, never an exponent."""
    text = str(number)
    # `format` takes five times as long, and most numbers are spelled without an exponent anyway.
    return format(number, "f") if "E" in text else text


Instant = Annotated[datetime, AfterValidator(_utc), PlainSerializer(format_instant, return_type=str)]
# pydantic refuses NaN and infinities of a Decimal by itself, without leaving compiled code.
Number = Annotated[Decimal, PlainSerializer(format_decimal, return_type=str)]
Money = Number
Price = Annotated[Number, Field(gt=0)]
Quantity = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]


class Value(BaseModel):
    """A frozen group of fields inside an event or a command."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Shared(Value):
    """A value that the messages to many accounts carry alike: it is spelled once, and remembered."""

    __slots__ = ("_spelled",)  # a slot is neither compared nor copied

    @model_serializer(mode="wrap")
    def _remembered(self, spell: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        if not info.mode_is_json() or info.include or info.exclude:
            return dict(spell(self))
        spelled: dict[str, Any] | None = getattr(self, "_spelled", None)
        if spelled is None:
            spelled = spell(self)
            object.__setattr__(self, "_spelled", spelled)
        return spelled


class Venue(StrEnum):
    """Where an instrument trades. Paper trading is a property of the account, not a venue."""

    BINANCE = "binance"
    BYBIT = "bybit"
    ALPACA = "alpaca"

    @property
    def is_crypto(self) -> bool:
        return self is not Venue.ALPACA


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class Direction(StrEnum):
    LONG = "long"
    SHORT = "short"

    @property
    def opposite(self) -> Direction:
        return Direction.SHORT if self is Direction.LONG else Direction.LONG

    @property
    def entry_side(self) -> Side:
        return Side.BUY if self is Direction.LONG else Side.SELL

    @property
    def exit_side(self) -> Side:
        return self.entry_side.opposite

    @property
    def sign(self) -> int:
        """+1 when a rising price is a gain, -1 when a falling one is."""
        return 1 if self is Direction.LONG else -1


class Timeframe(StrEnum):
    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    H4 = "4h"

    @property
    def seconds(self) -> int:
        return _SECONDS[self]

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.seconds)


_SECONDS = {
    Timeframe.M1: 60,
    Timeframe.M5: 300,
    Timeframe.M15: 900,
    Timeframe.H1: 3_600,
    Timeframe.H4: 14_400,
}


class Mode(StrEnum):
    """How much a user leaves to the system."""

    WATCHER = "watcher"
    COPILOT = "copilot"
    PILOT = "pilot"


class Profile(StrEnum):
    CONSERVATIVE = "conservative"
    NEXUS = "nexus"
    RONIN = "ronin"


class Origin(StrEnum):
    """Who wanted a trade: a strategy or a person."""

    SIGNAL = "signal"
    MANUAL = "manual"


class Service(StrEnum):
    INGEST = "ingest"
    CORTEX = "cortex"
    SHIELD = "shield"
    EXECUTOR = "executor"
    TELEGRAM = "telegram"
    SCHEDULER = "scheduler"


def instrument_key(venue: Venue, symbol: Symbol) -> str:
    """The name of an instrument inside a stream name: `binance.BTCUSDT`."""
    return f"{venue}.{symbol}"
