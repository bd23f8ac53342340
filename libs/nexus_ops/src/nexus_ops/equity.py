"""The equity of a run, folded from its events: wallets, and open positions at the last known closes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts import account, trade
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import AccountId, Direction, Symbol, TradeId, Venue
from nexus_ops.report import Reading

MARK_SECONDS = 3_600


@dataclass(slots=True)
class Held:
    """An open position: what has been entered, and what of it is left."""

    venue: Venue
    symbol: Symbol
    direction: Direction
    entered: Decimal
    left: Decimal
    entry_price: Decimal


@dataclass
class EquityCurve:
    """A reading whenever a wallet changed and at each full hour, so that open losses show too."""

    readings: list[Reading] = field(default_factory=list)
    trades: list[trade.TradeClosed] = field(default_factory=list)
    held: dict[TradeId, Held] = field(default_factory=dict)
    _wallets: dict[AccountId, Decimal] = field(default_factory=dict)
    _marks: dict[tuple[Venue, Symbol], Decimal] = field(default_factory=dict)
    _moved: bool = False

    def take(self, event: Event) -> None:
        match event:
            case CandlesClosed():
                self._marks.update({(event.venue, candle.symbol): candle.close for candle in event.candles})
            case account.AccountOpened() | account.BalanceChanged():
                self._wallets[event.account] = event.wallet
                self._moved = True
            case trade.TradeEntered():
                self._enter(event)
            case trade.LadderFilled():
                self._rung(event)
            case trade.TradeReduced():
                self.held[event.trade_id].left = event.quantity
            case trade.TradeClosed():
                self.held.pop(event.trade_id, None)
                self.trades.append(event)
            case _:
                pass

    def mark(self, closes: Mapping[tuple[Venue, Symbol], Decimal]) -> None:
        """The last closes of instruments whose candles were left out."""
        self._marks.update(closes)

    def end_of_step(self, at: datetime) -> None:
        """All events of an instant have been taken."""
        if self._wallets and (self._moved or at.timestamp() % MARK_SECONDS == 0):
            self.readings.append(Reading(at, self.equity()))
            self._moved = False

    def close(self, at: datetime) -> None:
        """The run is over."""
        if self._wallets and (not self.readings or self.readings[-1].at < at):
            self.readings.append(Reading(at, self.equity()))

    def equity(self) -> Decimal:
        return sum(self._wallets.values(), Decimal(0)) + sum(
            map(self._profit, self.held.values()), Decimal(0)
        )

    def _profit(self, held: Held) -> Decimal:
        mark = self._marks.get((held.venue, held.symbol), held.entry_price)
        return (mark - held.entry_price) * held.left * held.direction.sign

    def _rung(self, event: trade.LadderFilled) -> None:
        """What a ladder holds now takes the place of what it held."""
        price, quantity = event.average_price or event.price, event.quantity
        self.held[event.trade_id] = Held(
            event.venue, event.symbol, event.direction, quantity, quantity, price
        )

    def _enter(self, event: trade.TradeEntered) -> None:
        known = self.held.get(event.trade_id)
        gone = Decimal(0) if known is None else known.entered - known.left
        self.held[event.trade_id] = Held(
            event.venue,
            event.symbol,
            event.direction,
            event.quantity,
            event.quantity - gone,
            event.average_price,
        )
