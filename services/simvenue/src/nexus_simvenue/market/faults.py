"""What a venue's market side does wrong, scripted or by seeded chance; what has been done is listed.

A rule is about the messages of one address, symbol and topic (any where not given). It strikes after `skip` of
them, then at each with probability `chance`, `times` times in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple

from nexus_common.contracts.values import format_decimal
from nexus_simvenue.market.happenings import Happening, Mark, Print, Top


class MarketFault(StrEnum):
    CUT = "cut"  # the sockets that hear the topic break, without a word
    ROTATE = "rotate"  # they are closed politely, as venues do after 24 hours
    STALL = "stall"  # they live and pings are answered, but nothing comes any more (or for `seconds`)
    DROP = "drop"  # the message is not sent
    DUPLICATE = "duplicate"  # sent `count` times
    DISORDER = "disorder"  # held until `count` are there, then sent newest first
    TENFOLD = "tenfold"  # a price ten times what it was
    DIP = "dip"  # a price a tenth below what it was
    ZERO = "zero"  # a price of 0
    NAN = "nan"  # a price that is no number
    CROSSED = "crossed"  # a bid above the ask
    BACKWARDS = "backwards"  # the message's times are `seconds` in the past
    MALFORMED = "malformed"  # something unreadable is sent before it
    TRUNCATED = "truncated"  # half a message is sent before it
    UNKNOWN = "unknown"  # a message of a kind that nobody knows is sent before it
    OVERSIZED = "oversized"  # a message larger than clients take is sent before it
    MAINTENANCE = "maintenance"  # sockets are closed and refused, REST answers 503, for `seconds`
    HALT = "halt"  # a stock exchange stops trading in the instrument: nothing of it is told
    RESUME = "resume"  # it goes on
    VANISH = "vanish"  # the instrument is listed no more
    CLOCK = "clock"  # the venue's clock is `seconds` wrong from here on


NOISE = frozenset((MarketFault.MALFORMED, MarketFault.TRUNCATED, MarketFault.UNKNOWN, MarketFault.OVERSIZED))
WRONG_FIGURES = frozenset(
    (
        *(MarketFault.TENFOLD, MarketFault.DIP, MarketFault.ZERO, MarketFault.NAN, MarketFault.CROSSED),
        MarketFault.BACKWARDS,
    )
)


@dataclass(slots=True)
class MarketRule:
    """`address` is a name of the addresses document (binance, polygon, …); `topic` as clients subscribe it.

    `seconds` are those of the clock on the wall; 0 is without end.
    """

    fault: MarketFault
    address: str | None = None
    symbol: str | None = None
    topic: str | None = None
    skip: int = 0
    chance: float = 1.0
    times: int = 1
    count: int = 2
    seconds: float = 0.0
    seed: int = 0
    _dice: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._dice = Random(self.seed)  # noqa: S311

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> MarketRule:
        """Raises TypeError or ValueError for what is no rule."""
        return cls(**{**fields, "fault": MarketFault(fields["fault"])})

    def strikes(self, address: str, symbol: str, topic: str) -> bool:
        """Whether it does at this message; counts it."""
        if self.times <= 0 or self.address not in (None, address):
            return False
        if self.symbol not in (None, symbol) or self.topic not in (None, topic):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.chance < 1.0 and self._dice.random() >= self.chance:
            return False
        self.times -= 1
        return True


class Fired(NamedTuple):
    """`at`: the market's time in milliseconds."""

    fault: MarketFault
    address: str
    symbol: str
    topic: str
    at: int


class MarketFaults:
    """The rules in force, for all addresses of a server."""

    def __init__(self) -> None:
        self.rules: list[MarketRule] = []
        self.fired: list[Fired] = []

    def replace(self, rules: Iterable[Mapping[str, Any]]) -> int:
        """Put these in place of all before; returns how many. Raises TypeError or ValueError, changing nothing."""
        self.rules = [MarketRule.parse(fields) for fields in rules]
        return len(self.rules)

    def strike(self, address: str, symbol: str, topic: str, at: int) -> MarketRule | None:
        """The first rule that strikes at this message."""
        for rule in self.rules:
            if rule.strikes(address, symbol, topic):
                self.fired.append(Fired(rule.fault, address, symbol, topic, at))
                return rule
        return None


def spoiled(happening: Happening, rule: MarketRule) -> Happening:
    """The same with a wrong figure; what has no such figure stays as it was."""
    if rule.fault is MarketFault.BACKWARDS:
        return happening._replace(at=happening.at - int(rule.seconds * 1_000))
    match happening:
        case Print():
            return happening._replace(price=_wrong(happening.price, rule.fault))
        case Mark():
            return happening._replace(mark_price=_wrong(happening.mark_price, rule.fault))
        case Top() if rule.fault is MarketFault.CROSSED:
            return happening._replace(bid=happening.ask, ask=happening.bid)
        case Top():
            return happening._replace(ask=_wrong(happening.ask, rule.fault))
        case _:
            return happening


def _wrong(price: str, fault: MarketFault) -> str:
    match fault:
        case MarketFault.TENFOLD:
            return format_decimal(Decimal(price) * 10)
        case MarketFault.DIP:
            return format_decimal(Decimal(price) * 9 / 10)
        case MarketFault.ZERO:
            return "0"
        case MarketFault.NAN:
            return "NaN"
        case _:
            return price
