"""The venue's own identities of what happened, so that a backfill over REST and the stream tell the same fact.

A fill has its trade id, the end or trigger of an order the order's id, funding its symbol and hour, a transfer
its time and amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import format_decimal
from nexus_executor.venues.binance import fields

# Client ids of orders that the venue makes itself (Event: Order Update).
TAKEN_OVER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "autoclose-": "liquidation",
        "adl_autoclose": "adl",
        "settlement_autoclose-": "settlement",
        "delivery_autoclose-": "settlement",
    }
)


def taken_over(client_id: str) -> str | None:
    """Why the venue itself made an order of this client id; None for an order of its owner."""
    return next((reason for prefix, reason in TAKEN_OVER.items() if client_id.startswith(prefix)), None)


def fill_key(symbol: str, trade: int) -> str:
    return f"fill/{symbol}/{trade}"


def ended_key(order: int) -> str:
    return f"order/{order}/ended"


def algo_ended_key(algo: int) -> str:
    return f"algo/{algo}/ended"


def triggered_key(algo: int) -> str:
    return f"algo/{algo}/triggered"


def funding_key(symbol: str, at: datetime) -> str:
    """Funding is due on the hour; the statement's time and the stream's may differ by a little."""
    hour = (at + timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)
    return f"funding/{symbol}/{hour:%Y-%m-%dT%H}"


def transfer_key(at: datetime, change: Decimal) -> str:
    return f"transfer/{fields.millis(at)}/{format_decimal(change.normalize())}"
