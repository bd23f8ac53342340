"""Two runs of one market side by side: the same trades, or in which way they are not.

Times, sides and reasons must be the same; quantities may differ by one step of the instrument, prices by one tick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from nexus_common.contracts.account import AccountOpened
from nexus_common.contracts.instrument import Instrument, InstrumentsListed
from nexus_common.contracts.order import OrderFilled
from nexus_common.contracts.trade import TradeClosed
from nexus_common.contracts.values import AccountId, Symbol, Venue
from nexus_common.runtime.ports import EventStore
from nexus_ops.decisions import events_of

HEARD = ("instrument", "account", "order", "trade")


class FillKey(NamedTuple):
    """Fills of one order leg at one instant are one, however many parts the venue made of them."""

    at: datetime
    account: AccountId
    symbol: Symbol
    side: str
    leg: str


class TradeKey(NamedTuple):
    opened_at: datetime
    account: AccountId
    symbol: Symbol
    direction: str
    strategy: str


@dataclass(slots=True)
class Sum:
    quantity: Decimal = Decimal(0)
    value: Decimal = Decimal(0)

    @property
    def price(self) -> Decimal:
        return self.value / self.quantity


@dataclass(slots=True)
class Run:
    """What a run traded."""

    trades: dict[TradeKey, TradeClosed] = field(default_factory=dict)
    fills: dict[FillKey, Sum] = field(default_factory=dict)
    instruments: dict[tuple[Venue, Symbol], Instrument] = field(default_factory=dict)
    venues: dict[AccountId, Venue] = field(default_factory=dict)

    def grid(self, account: AccountId, symbol: Symbol) -> tuple[Decimal, Decimal]:
        """The quantity step and the price tick of an account's instrument; zeros when it is not listed."""
        listed = self.instruments.get((self.venues.get(account, Venue.BINANCE), symbol))
        return (Decimal(0), Decimal(0)) if listed is None else (listed.step_size, listed.tick_size)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences` in the order of time, a sentence each."""

    trades: tuple[int, int]
    fills: tuple[int, int]
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"trades": self.trades, "fills": self.fills, "differences": self.differences}


async def run_of(store: EventStore) -> Run:
    """What a store has on record."""
    run = Run()
    async for recorded in events_of(store, HEARD):
        event, envelope = recorded.event, recorded.envelope
        match event:
            case InstrumentsListed():
                run.instruments.update({(event.venue, each.symbol): each for each in event.instruments})
            case AccountOpened():
                run.venues[event.account] = event.venue
            case OrderFilled():
                account = envelope.account or AccountId("")
                key = FillKey(envelope.occurred_at, account, event.symbol, str(event.side), str(event.leg))
                total = run.fills.setdefault(key, Sum())
                total.quantity += event.quantity
                total.value += event.quantity * event.price
            case TradeClosed():
                trade = TradeKey(
                    event.opened_at, event.account, event.symbol, str(event.direction), event.strategy
                )
                run.trades[trade] = event
            case _:
                pass
    return run


def compare(one: Run, other: Run) -> Comparison:
    """Where two runs differ."""
    found = [*_missing(one.trades, other.trades), *_missing(one.fills, other.fills)]
    for trade in one.trades.keys() & other.trades.keys():
        for said in _trade(one.trades[trade], other.trades[trade], one.grid(trade.account, trade.symbol)):
            found.append((trade.opened_at, f"the {_told(trade)} {said}"))
    for fill in one.fills.keys() & other.fills.keys():
        ours, theirs = one.fills[fill], other.fills[fill]
        step, tick = one.grid(fill.account, fill.symbol)
        for name, mine, its, most in (
            ("quantity", ours.quantity, theirs.quantity, step),
            ("price", ours.price, theirs.price, tick),
        ):
            if abs(mine - its) > most:
                found.append((fill.at, f"the {_told(fill)} has {name} {mine:f} and {its:f}"))
    return Comparison(
        (len(one.trades), len(other.trades)),
        (len(one.fills), len(other.fills)),
        tuple(sentence for _, sentence in sorted(found)),
    )


def _trade(one: TradeClosed, other: TradeClosed, grid: tuple[Decimal, Decimal]) -> Iterable[str]:
    step, tick = grid
    if one.closed_at != other.closed_at:
        yield f"closes at {one.closed_at:%m-%d %H:%M:%S} and at {other.closed_at:%m-%d %H:%M:%S}"
    if one.reason is not other.reason:
        yield f"is left by {one.reason} and by {other.reason}"
    if abs(one.quantity - other.quantity) > step:
        yield f"has quantity {one.quantity:f} and {other.quantity:f}"
    for name in ("entry_price", "exit_price"):
        mine, its = getattr(one, name), getattr(other, name)
        if abs(mine - its) > tick:
            yield f"has {name.replace('_', ' ')} {mine:f} and {its:f}"


def _missing(one: Mapping[Any, object], other: Mapping[Any, object]) -> Iterable[tuple[datetime, str]]:
    for key in one.keys() ^ other.keys():
        yield key[0], f"the {_told(key)} is in the {'first' if key in one else 'second'} run only"


def _told(key: FillKey | TradeKey) -> str:
    if isinstance(key, FillKey):
        return f"{key.leg} fill on {key.symbol} ({key.side}) at {key.at:%m-%d %H:%M:%S} of {key.account}"
    return f"{key.strategy} {key.direction} on {key.symbol} of {key.opened_at:%m-%d %H:%M} of {key.account}"
