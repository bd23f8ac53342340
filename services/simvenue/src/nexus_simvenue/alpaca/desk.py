"""Alpaca's order desk: takes, changes and ends orders, keeps groups together and sessions apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_data.sessions import is_live, us_sessions
from nexus_market.exchange import Exchange, Order, Status, Update
from nexus_simvenue.alpaca import rules
from nexus_simvenue.alpaca.book import Book
from nexus_simvenue.alpaca.intake import Change, Wish
from nexus_simvenue.alpaca.market import Market
from nexus_simvenue.alpaca.placing import Placing
from nexus_simvenue.alpaca.problems import order_not_found, unprocessable
from nexus_simvenue.alpaca.records import Record, State, made_id
from nexus_simvenue.alpaca.replacing import Replacing

_MOMENT = timedelta(microseconds=1)
_TYPES = {
    OrderKind.MARKET: "market",
    OrderKind.LIMIT: "limit",
    OrderKind.STOP: "stop",
    OrderKind.TAKE_PROFIT: "limit",
    OrderKind.TRAILING_STOP: "trailing_stop",
}


class Desk:
    """One venue's desk over its matching engine."""

    def __init__(self, exchange: Exchange) -> None:
        self._market = Market(exchange)
        self._placing = Placing(self._market)
        self._replacing = Replacing(self._market)
        self.books: dict[str, Book] = {}

    def book(self, account: str) -> Book:
        book = self.books.get(account)
        if book is None:
            book = self.books[account] = Book(account)
        return book

    def place(self, book: Book, wish: Wish, now: datetime) -> Record:
        """Take an order with its legs; raises Problem, and then nothing has changed."""
        record = self._placing.place(book, wish, now)
        if wish.order_class == "oco":
            self._activate(book, record, now)
        if wish.time_in_force == "ioc":
            self._drop_rest(book, record, now)
        return record

    def replace(self, book: Book, order_id: str, change: Change, now: datetime) -> Record:
        """Put another order in the place of an open one; raises Problem."""
        return self._replacing.replace(book, order_id, change, now)

    # -- ending -------------------------------------------------------------------------------------

    def cancel(self, book: Book, order_id: str, now: datetime) -> Record:
        """Cancel an order and its group; raises Problem."""
        record = book.records.get(order_id)
        if record is None:
            raise order_not_found(order_id)
        if not record.is_open:
            raise unprocessable(f'order is already in "{record.state}" state')
        self._finish(book, record, State.CANCELED, now)
        return record

    def _finish(self, book: Book, record: Record, state: State, at: datetime) -> None:
        group = [record, *record.siblings, *record.legs]
        if record.parent is not None and record.state is State.HELD:
            group.append(record.parent)
        for member in group:
            if not member.is_open:
                continue
            if member.source is None or member.engine_id is None:
                book.end(member, state, at)
                continue
            book.endings[member.engine_id] = state
            self._market.exchange.cancel(book.account, self._market.epoch(book), member.engine_id)
        self.hear(book)

    def _drop_rest(self, book: Book, record: Record, now: datetime) -> None:
        self.hear(book)
        if record.is_open:
            self._finish(book, record, State.CANCELED, now)

    # -- time ---------------------------------------------------------------------------------------

    def before_step(self, at: datetime) -> None:
        """End the DAY orders of a session whose close lies before the coming step."""
        us_sessions()  # Made before the first order, which shall not wait for it.
        for book in self.books.values():
            # Before the bars that end with this step, if they began with the session or later, so that what
            # waited gets the price of the open. Where a bar of the extended hours stands open, behind it.
            self._route(book, at - _MOMENT, lambda symbol: not self._market.exchange.opens(symbol))
        self._expire(lambda due: due < at)

    def tend(self) -> None:
        """Route what waited for the open, hear the engine, end what expires now."""
        at = self._market.exchange.at
        if at is None:
            return
        for book in self.books.values():
            if book.account in self._market.exchange.accounts:
                self._route(book, at, lambda _symbol: True)
                self.hear(book)
        self._expire(lambda due: due <= at)

    def _expire(self, is_due: Callable[[datetime], bool]) -> None:
        at = self._market.exchange.at
        for book in self.books.values():
            for record in list(book.open.values()):
                if (
                    at is not None
                    and record.is_open
                    and record.expires is not None
                    and is_due(record.expires)
                ):
                    self._finish(book, record, State.EXPIRED, at)

    def _route(self, book: Book, at: datetime, may: Callable[[str], bool]) -> None:
        """Send what has waited for the market that is open at this moment."""
        for record in list(book.open.values()):
            if record.routed or record.state is not State.ACCEPTED or not may(record.symbol):
                continue
            if not is_live(at, record.wish.extended_hours):
                continue
            record.routed = True
            if record.source is None and self._market.send(book, record) is not None:
                book.end(record, State.REJECTED, at)
                continue
            record.mark(State.NEW, at, "updated_at")
            book.tell("new", record, at)

    # -- what the engine says -----------------------------------------------------------------------

    def hear(self, book: Book) -> None:
        """Work on what the engine has said since; ends when what follows says nothing more."""
        account = self._market.exchange.account(book.account)
        if len(account.orders) != len(book.by_engine):
            for client, order in account.orders.items():
                if client not in book.by_engine:
                    self._adopt(book, client, order)
        while book.heard < len(account.updates):
            update = account.updates[book.heard]
            book.heard += 1
            self._apply(book, update)
        for record in list(book.open.values()):
            source = record.source
            if source is not None and source.status is Status.CANCELED and source.reason == "vanished":
                record.mark(State.CANCELED, source.changed_at or record.created_at, "canceled_at")
                book.settle(record)

    def _adopt(self, book: Book, client: str, order: Order) -> None:
        """An order that the owner placed by hand."""
        kind, ticket = _TYPES[order.kind], order.ticket
        limit = ticket.trigger_price if order.kind is OrderKind.TAKE_PROFIT else ticket.limit_price
        stop = ticket.trigger_price if order.kind is OrderKind.STOP else None
        wish = Wish(
            order.symbol, order.side, kind, "gtc", ticket.quantity, None, limit, stop, ticket.trail_distance
        )
        at = order.placed_at or order.changed_at
        if at is None:
            raise ValueError(f"order {order.venue_order_id} has no time")
        record = Record(book.next_id("hand"), client, wish, ticket.quantity, at)
        record.limit_price, record.stop_price, record.source, record.engine_id = limit, stop, order, client
        record.routed = True
        record.intent = rules.inferred_intent(order.side, book.held[order.symbol])
        book.by_engine[client] = record
        book.add(record)
        book.tell("new", record, at)

    def _apply(self, book: Book, update: Update) -> None:
        if update.kind == "balance":
            book.note_cash(update)
        if update.kind == "liquidation":
            self._liquidated(book, update)
        record = book.by_engine.get(update.client_order_id or "")
        if record is None:
            return
        if update.kind == "fill":
            book.fill(record, update)
            if update.complete and record.is_open:
                book.end(record, State.CANCELED, update.at)
            self._after_fill(book, record, update.at)
        elif update.kind == "canceled":
            state = book.endings.pop(update.client_order_id or "", State.CANCELED)
            if state is not State.REPLACED and record.is_open:
                book.end(record, state, update.at)
                for other in (*record.legs, *record.siblings):
                    if other.is_open:
                        self._finish(book, other, state, update.at)

    def _liquidated(self, book: Book, update: Update) -> None:
        """The venue closes a position with a market order of its own."""
        if update.symbol is None or update.side is None or update.quantity is None:
            return
        wish = Wish(update.symbol, update.side, "market", "day", update.quantity)
        order_id = book.next_id("liquidation", update.sequence)
        record = Record(order_id, made_id(order_id, "client"), wish, update.quantity, update.at)
        record.intent, record.routed = f"{update.side}_to_close", True
        book.add(record)
        book.fill(record, update)

    def _after_fill(self, book: Book, record: Record, at: datetime) -> None:
        if record.state is State.FILLED:
            if record.legs and record.wish.order_class != "oco":
                self._activate(book, record, at)
            for sibling in record.siblings:
                if sibling.is_open:
                    self._finish(book, sibling, State.CANCELED, at)
            return
        for sibling in record.siblings:
            if sibling.is_open and sibling.engine_id is not None and sibling.stop_price is not None:
                sibling.qty = record.remaining + sibling.filled
                self._market.exchange.amend(
                    book.account, self._market.epoch(book), sibling.engine_id, sibling.stop_price, sibling.qty
                )

    def _activate(self, book: Book, parent: Record, at: datetime) -> None:
        """The legs go to the market; a stop that the market has passed already goes as a market order."""
        for leg in parent.legs:
            if leg.state is not State.HELD:
                continue
            leg.routed = True
            leg.mark(State.NEW, at, "updated_at")
            market = self._market.exchange.price(leg.symbol)
            passed = False
            if leg.stop_price is not None and market is not None:
                passed = market <= leg.stop_price if leg.side is Side.SELL else market >= leg.stop_price
            if self._market.send(book, leg, at_market=passed) is not None:
                book.end(leg, State.REJECTED, at)
                continue
            book.tell("new", leg, at)
