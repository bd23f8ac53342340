"""The matching engine as Alpaca's desk uses it: where the market stands, and orders on their way to it."""

from __future__ import annotations

from decimal import Decimal

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import Exchange, Refused, Reuse, Ticket
from nexus_simvenue.alpaca import rules
from nexus_simvenue.alpaca.book import Book
from nexus_simvenue.alpaca.problems import Problem, unprocessable
from nexus_simvenue.alpaca.records import Record

FRACTION = Decimal("0.000000001")
_KINDS = {
    "market": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "stop": OrderKind.STOP,
    "stop_limit": OrderKind.STOP,
    "trailing_stop": OrderKind.TRAILING_STOP,
}


class Market:
    """Speaks to the engine with each account's own epoch."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def price(self, symbol: str) -> Decimal:
        if all(instrument.symbol != symbol for instrument in self.exchange.instruments):
            raise unprocessable(f'asset "{symbol}" not found')
        price = self.exchange.price(symbol)
        if price is None or self.exchange.at is None:
            raise unprocessable(f'asset "{symbol}" has no trade price yet')
        return price

    def held(self, book: Book, symbol: str) -> Decimal:
        return self.exchange.account(book.account).held(symbol)

    def send(self, book: Book, record: Record, at_market: bool = False) -> Problem | None:
        """Hand an order to the engine; what it refuses is said in Alpaca's words."""
        held = self.held(book, record.symbol)
        against = held > 0 if record.side is Side.SELL else held < 0
        wish = record.wish
        percent = wish.trail_percent
        ticket = Ticket(
            record.client_order_id if record.engine_id is None else record.engine_id,
            record.symbol,
            record.side,
            OrderKind.MARKET if at_market else _KINDS[wish.type],
            record.remaining,
            None if at_market else record.limit_price,
            None if at_market or wish.type == "trailing_stop" else record.stop_price,
            wish.trail_price,
            reduce_only=against,
            leverage=1,
            trail_rate=None if percent is None else percent / 100,
            step=FRACTION if record.remaining % 1 else None,
        )
        reply = self.exchange.submit(book.account, self.epoch(book), ticket, Reuse.NEVER)
        if isinstance(reply, Refused):
            price = record.limit_price or self.exchange.price(record.symbol) or Decimal(0)
            free = self.exchange.account(book.account).available()
            return rules.engine_refusal(reply, record.remaining * price, free)
        record.engine_id = ticket.client_order_id
        record.source = self.exchange.account(book.account).orders[ticket.client_order_id]
        book.by_engine[ticket.client_order_id] = record
        return None

    def unaffordable(self, book: Book, record: Record, price: Decimal) -> Problem | None:
        """Buying power of an order that waits for the open; the engine looks at it only then."""
        cost = record.remaining * (record.limit_price or price)
        free = self.exchange.account(book.account).available()
        if record.intent.endswith("_close") or cost <= free:
            return None
        return rules.engine_refusal(Refused("-2019", ""), cost, free)

    def epoch(self, book: Book) -> int:
        return self.exchange.account(book.account).epoch
