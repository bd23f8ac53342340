"""What Alpaca remembers of one account: its orders, what was told of them, its activities and its flags."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from nexus_common.contracts.values import Side
from nexus_market.exchange import Update
from nexus_simvenue.alpaca.records import OPEN_STATES, Record, State, instant, made_id, number, show
from nexus_simvenue.wire.dialect import Outgoing

TRADE_UPDATES = "trade_updates"
# The stream's events in the words of fault rules.
_KINDS = {
    "fill": "fill",
    "partial_fill": "fill",
    "canceled": "canceled",
    "expired": "canceled",
    "rejected": "canceled",
    "replaced": "amended",
}


@dataclass(slots=True)
class Flags:
    """What a person or the venue has set; set over the control interface."""

    revoked: bool = False
    ip_restricted: bool = False
    trading_blocked: bool = False
    account_blocked: bool = False
    trade_suspended_by_user: bool = False
    no_shorting: bool = False
    not_shortable: tuple[str, ...] = ()
    not_fractionable: tuple[str, ...] = ()


@dataclass(slots=True)
class Book:
    """`heard` counts the engine's messages that were worked on; `endings` says why an order is taken off."""

    account: str
    flags: Flags = field(default_factory=Flags)
    records: dict[str, Record] = field(default_factory=dict)
    by_client: dict[str, Record] = field(default_factory=dict)
    by_engine: dict[str, Record] = field(default_factory=dict)
    open: dict[str, Record] = field(default_factory=dict)
    heard: int = 0
    held: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    endings: dict[str, State] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    told: int = 0

    def add(self, record: Record) -> None:
        self.records[record.id] = record
        self.by_client[record.client_order_id] = record
        self.open[record.id] = record

    def next_id(self, *parts: object) -> str:
        return made_id(self.account, len(self.records), *parts)

    def settle(self, record: Record) -> None:
        """Forget it among the open ones if it is open no more."""
        if record.state not in OPEN_STATES:
            self.open.pop(record.id, None)

    def others(self, record: Record | None = None) -> list[Record]:
        """The open orders but this one and its group."""
        if record is None:
            return list(self.open.values())
        group = {id(record), id(record.parent), *map(id, record.siblings), *map(id, record.legs)}
        return [other for other in self.open.values() if id(other) not in group]

    # -- the stream ---------------------------------------------------------------------------------

    def tell(self, event: str, record: Record, at: datetime, **more: Any) -> None:
        """A message of trade_updates, as things stand."""
        self.told += 1
        data = {
            "at": instant(at),
            "event": event,
            "event_id": f"{self.told:026d}",
            "execution_id": more.pop("execution_id", made_id(self.account, "event", self.told)),
            "order": show(record),
            "timestamp": instant(at),
            **more,
        }
        # Alpaca's trading stream sends binary frames.
        frame = orjson.dumps({"stream": TRADE_UPDATES, "data": data})
        self.outgoing.append(Outgoing(self.account, TRADE_UPDATES, _KINDS.get(event, "accepted"), frame))

    def end(self, record: Record, state: State, at: datetime) -> None:
        """An order ends without another fill, and the stream says so."""
        stamp = {State.EXPIRED: "expired_at", State.REJECTED: "failed_at"}.get(state, "canceled_at")
        record.mark(state, at, stamp)
        self.settle(record)
        self.tell(str(state), record, at)

    def fill(self, record: Record, update: Update) -> None:
        """Book a fill of the engine."""
        quantity, price = update.quantity or Decimal(0), update.price or Decimal(0)
        record.filled += quantity
        record.filled_value += quantity * price
        self.held[record.symbol] += quantity if record.side is Side.BUY else -quantity
        complete = record.filled >= record.qty
        record.mark(State.FILLED if complete else State.PARTIALLY_FILLED, update.at, "filled_at")
        if not complete:
            record.times.pop("filled_at")
        self.settle(record)
        execution = made_id(self.account, "execution", update.fill_id or update.sequence)
        self._note_fill(record, update, execution)
        self.tell(
            "fill" if complete else "partial_fill",
            record,
            update.at,
            execution_id=execution,
            price=number(price),
            qty=number(quantity),
            position_qty=number(self.held[record.symbol]),
        )

    def _note_fill(self, record: Record, update: Update, execution: str) -> None:
        done = record.state is State.FILLED
        self.activities.append(
            {
                "id": f"{update.at:%Y%m%d%H%M%S}{update.at.microsecond // 1000:03d}::{execution}",
                "activity_type": "FILL",
                "transaction_time": instant(update.at),
                "type": "fill" if done else "partial_fill",
                "price": number(update.price),
                "qty": number(update.quantity),
                "side": str(record.side),
                "symbol": record.symbol,
                "leaves_qty": number(record.remaining),
                "order_id": record.id,
                "cum_qty": number(record.filled),
                "order_status": str(record.state),
            }
        )

    def note_cash(self, update: Update) -> None:
        """Money that was paid in or out."""
        change = update.change or Decimal(0)
        self.activities.append(
            {
                "id": f"{update.at:%Y%m%d%H%M%S}000::{made_id(self.account, 'cash', update.sequence)}",
                "activity_type": "CSD" if change >= 0 else "CSW",
                "date": f"{update.at:%Y-%m-%d}",
                "created_at": instant(update.at),
                "net_amount": number(change),
                "description": "cash transfer",
                "status": "executed",
            }
        )
