"""`ledger`: every fact that money follows from, a row each. Key: the event; owner: the account.

`kind` says which: `opened` and `balance` (the wallet as the venue stated it, `change`, `reason`), `fill` (`symbol`,
`side`, `quantity`, `price`, `fee`, `trade`, `leg`; without a trade it was made by hand, past us), `funding`
(`amount`, positive was paid), `liquidation` (`quantity`, `price`). A row of `trade` (key: `trade/` and its id) says
which strategy a trade belongs to. What profit a fill realised follows from the fills before it: whoever reads the
rows in order adds it up.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.account import (
    AccountOpened,
    BalanceChanged,
    FundingPaid,
    HandTraded,
    PositionLiquidated,
)
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import OrderFilled
from nexus_common.contracts.trade import TradeAdmitted, TradeEntered
from nexus_common.runtime.projection import Change, Put
from nexus_common.runtime.store.schema import ledger


class Ledger:
    """Rows are never changed: a ledger is appended to."""

    name = "ledger"
    categories = ("account", "order", "trade")
    tables = (ledger,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        if isinstance(event, TradeAdmitted | TradeEntered):
            strategy = {"kind": "trade", "trade": event.trade_id, "strategy": event.strategy}
            return [Put(ledger, f"trade/{event.trade_id}", strategy, owner=event.account)]
        facts = _facts(event)
        if facts is None:
            return []
        account = envelope.account or envelope.stream.partition("-")[2]
        row = {**facts, "account": account, "at": envelope.occurred_at}
        return [Put(ledger, str(envelope.event_id), row, owner=account)]


def _facts(event: Event) -> dict[str, object] | None:
    match event:
        case AccountOpened():
            return {
                "kind": "opened",
                "venue": str(event.venue),
                "currency": event.currency,
                "wallet": event.wallet,
            }
        case BalanceChanged():
            return {
                "kind": "balance",
                "wallet": event.wallet,
                "change": event.change,
                "reason": event.reason,
            }
        case OrderFilled():
            return {
                "kind": "fill",
                "symbol": event.symbol,
                "side": str(event.side),
                "quantity": event.quantity,
                "price": event.price,
                "fee": event.fee,
                "liquidity": str(event.liquidity),
                "trade": event.trade_id,
                "leg": str(event.leg),
                "fill": event.fill_id,
            }
        case HandTraded():
            return {
                "kind": "fill",
                "symbol": event.symbol,
                "side": str(event.side),
                "quantity": event.quantity,
                "price": event.price,
                "fee": event.fee,
                "trade": None,
                "fill": event.fill_id,
            }
        case FundingPaid():
            return {"kind": "funding", "symbol": event.symbol, "rate": event.rate, "amount": event.amount}
        case PositionLiquidated():
            return {
                "kind": "liquidation",
                "symbol": event.symbol,
                "quantity": event.quantity,
                "price": event.price,
            }
        case _:
            return None
