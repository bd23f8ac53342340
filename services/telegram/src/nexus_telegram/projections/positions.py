"""`positions_open`: trades that hold a position, or have ordered one. Key: the trade; owner: its user."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.trade import (
    ExitOrdered,
    LadderFilled,
    ProtectionFailed,
    ProtectionSet,
    TradeAbandoned,
    TradeAdmitted,
    TradeClosed,
    TradeEntered,
    TradeReduced,
)
from nexus_common.runtime.projection import Amend, Change, Drop, Put
from nexus_common.runtime.store.schema import positions_open


class OpenPositions:
    """`phase` is entering, open or leaving; `quantity` what the last entry or exit fill left.

    A `ladder`'s row says what it holds at the moment, in which direction, and what it has earned so far.
    """

    name = "positions_open"
    categories = ("trade",)
    tables = (positions_open,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        match event:
            case TradeAdmitted():
                return [Put(positions_open, event.trade_id, _admitted(event), owner=event.user)]
            case TradeEntered():
                return [Amend(positions_open, event.trade_id, _entered(event, envelope))]
            case LadderFilled():
                return [Amend(positions_open, event.trade_id, _rung(event))]
            case ProtectionSet():
                return [Amend(positions_open, event.trade_id, _protected(event))]
            case ProtectionFailed():
                return [Amend(positions_open, event.trade_id, {"protection_failed": event.detail})]
            case TradeReduced():
                return [Amend(positions_open, event.trade_id, {"quantity": event.quantity})]
            case ExitOrdered():
                return [
                    Amend(positions_open, event.trade_id, {"phase": "leaving", "exit": str(event.reason)})
                ]
            case TradeClosed() | TradeAbandoned():
                return [Drop(positions_open, event.trade_id)]
            case _:
                return []


def _admitted(event: TradeAdmitted) -> dict[str, object]:
    return {
        "phase": "entering",
        "account": event.account,
        "venue": str(event.venue),
        "symbol": event.symbol,
        "direction": str(event.direction),
        "strategy": event.strategy,
        "wanted": event.quantity,
        "quantity": Decimal(0),
        "leverage": event.leverage,
        **({} if event.ladder is None else {"ladder": event.ladder.model_dump(mode="json")}),
    }


def _rung(event: LadderFilled) -> dict[str, object]:
    return {
        "phase": "open",
        "direction": str(event.direction),
        "quantity": event.quantity,
        "entry_price": event.average_price,
        "margin": event.margin,
        "stop": event.stop,
        "earned": event.earned,
        "fees": event.fees,
        "opened_at": event.opened_at,
    }


def _entered(event: TradeEntered, envelope: Envelope[Event]) -> dict[str, object]:
    return {
        "phase": "open",
        "quantity": event.quantity,
        "entry_price": event.average_price,
        "margin": event.margin,
        "fees": event.fees,
        "opened_at": event.opened_at or envelope.occurred_at,
    }


def _protected(event: ProtectionSet) -> dict[str, object]:
    return {
        "stop": event.stop,
        "stop_quantity": event.stop_quantity,
        "first_target": event.first_target,
        "second_target": event.second_target,
        "trail_distance": event.trail_distance,
    }
