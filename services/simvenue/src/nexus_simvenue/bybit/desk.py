"""What a request about orders works with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.instrument import Instrument
from nexus_market.exchange import Accepted, Exchange, Refused, Reuse, Ticket
from nexus_simvenue.bybit.access import Flags
from nexus_simvenue.bybit.book import Book
from nexus_simvenue.bybit.codes import NotDone, worded
from nexus_simvenue.bybit.notes import Note


@dataclass(frozen=True, slots=True)
class Desk:
    """What a request about orders works with."""

    exchange: Exchange
    book: Book
    flags: Flags
    instrument: Instrument
    at: datetime

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def price(self) -> Decimal:
        price = self.exchange.price(self.symbol)
        if price is None:
            raise NotDone(110074)
        return price

    def submit(self, ticket: Ticket) -> Accepted | Refused:
        account = self.book.state
        return self.exchange.submit(account.name, account.epoch, ticket, Reuse.NEVER)

    def cancel(self, note: Note) -> None:
        """Take a standing order off the book."""
        account = self.book.state
        if note.order is None:
            raise NotDone(110001)
        reply = self.exchange.cancel(account.name, account.epoch, note.order.ticket.client_order_id)
        if isinstance(reply, Refused):
            raise worded(reply)
