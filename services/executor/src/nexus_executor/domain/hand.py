"""The trades in hand, with their orders and the requests that have no outcome yet; and what can be asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from nexus_common.contracts.values import AccountId, ClientOrderId, Symbol, TradeId
from nexus_executor.domain import last_hop
from nexus_executor.domain.holding import Holding, Request, Started
from nexus_executor.domain.surroundings import Surroundings


class Hand(Surroundings):
    """Dictionaries keep the order of arrival.

    `restless` are the trades that something happened to since they were last found to be as they should;
    `unsettled` the requests without an outcome, in the order they were written down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.proposals: dict[TradeId, None] = {}
        self.holdings: dict[TradeId, Holding] = {}
        self.restless: dict[TradeId, None] = {}
        self.unsettled: dict[tuple[Request, ClientOrderId], Started] = {}
        self.last_hops: dict[AccountId, last_hop.LastHop] = {}
        # When the newest event about an account occurred.
        self.last_seen: dict[AccountId, datetime] = {}
        # Orders that should trade at once, and have not done so completely.
        self.at_market: dict[ClientOrderId, datetime] = {}
        # Fills by their number at the venue: a position's own stop bears no name of ours when it is told again.
        self.fills: dict[tuple[AccountId, Symbol, str], ClientOrderId] = {}
        self.trades: dict[ClientOrderId, TradeId] = {}

    def held_by(self, account: AccountId, symbol: Symbol | None = None) -> Iterator[Holding]:
        """Trades of an account that are wanted or held, in the order they began."""
        for holding in list(self.holdings.values()):
            if holding.account != account or holding.is_over or holding.proposed is not None:
                continue
            if symbol is None or holding.symbol == symbol:
                yield holding

    def trade_of(self, order: ClientOrderId) -> Holding | None:
        trade = self.trades.get(order)
        return None if trade is None else self.holdings.get(trade)

    def holder(self, order: ClientOrderId) -> Holding:
        """The trade in hand that an order belongs to; raises LookupError."""
        holding = self.trade_of(order)
        if holding is None:
            raise LookupError(f"order {order} belongs to no trade in hand; its intent was never observed")
        return holding

    def is_blocked(self, account: AccountId, symbol: Symbol) -> bool:
        """Whether nobody knows if an order of this account on this instrument reached the venue."""
        waiting = (self.trade_of(order) for request, order in self.unsettled if request is Request.SUBMIT)
        return any(holding and (holding.account, holding.symbol) == (account, symbol) for holding in waiting)

    def is_moving(self, account: AccountId, symbol: Symbol) -> bool:
        """Whether an order of ours may be changing what is held right now."""
        at_market = [self.trade_of(order) for order in self.at_market]
        moving = any(each and (each.account, each.symbol) == (account, symbol) for each in at_market)
        return moving or self.is_blocked(account, symbol)

    def adopted_on(self, account: AccountId, symbol: Symbol) -> bool:
        """Whether a position by hand is held there."""
        return any(holding.found is not None for holding in self.held_by(account, symbol))

    def overdue(self, before: datetime) -> dict[AccountId, datetime]:
        """Accounts with market orders sent before then that are not filled, and when the first of them was."""
        found: dict[AccountId, datetime] = {}
        for order, sent_at in self.at_market.items():
            holding = self.trade_of(order)
            if holding is not None and sent_at < before:
                found[holding.account] = min(sent_at, found.get(holding.account, sent_at))
        return found
