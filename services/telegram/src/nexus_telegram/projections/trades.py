"""`trades_closed`: trades that are over, with their result. Key: the trade; owner: its user."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.trade import TradeClosed
from nexus_common.runtime.projection import Change, Put
from nexus_common.runtime.store.schema import trades_closed


class ClosedTrades:
    """The result as the executor recorded it."""

    name = "trades_closed"
    categories = ("trade",)
    tables = (trades_closed,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        if not isinstance(event, TradeClosed):
            return []
        return [Put(trades_closed, event.trade_id, event.model_dump(mode="json"), owner=event.user)]
