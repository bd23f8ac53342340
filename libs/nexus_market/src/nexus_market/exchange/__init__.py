"""The simulated exchange: fees, funding, leverage, liquidation, partial fills, all stop kinds, filters."""

from nexus_market.exchange.engine import Exchange
from nexus_market.exchange.ledger import (
    Totals,
    UnprotectedSpan,
    duplicate_orders,
    plain,
    totals,
    unprotected_spans,
)
from nexus_market.exchange.model import (
    Accepted,
    ExchangeSettings,
    Fenced,
    FloatBar,
    Holding,
    Ohlcv,
    Order,
    Record,
    Refused,
    Status,
    StepRefused,
    StepReply,
    Ticket,
    UnknownAccount,
    Update,
)

__all__ = [
    "Accepted",
    "Exchange",
    "ExchangeSettings",
    "Fenced",
    "FloatBar",
    "Holding",
    "Ohlcv",
    "Order",
    "Record",
    "Refused",
    "Status",
    "StepRefused",
    "StepReply",
    "Ticket",
    "Totals",
    "UnknownAccount",
    "UnprotectedSpan",
    "Update",
    "duplicate_orders",
    "plain",
    "totals",
    "unprotected_spans",
]
