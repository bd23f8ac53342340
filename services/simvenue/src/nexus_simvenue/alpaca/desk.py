"""Alpaca's order desk: places, replaces and ends orders at the engine, and keeps groups and sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import Exchange, Order, Refused, Reuse, Status, Ticket, Update
from nexus_simvenue.alpaca import rules
from nexus_simvenue.alpaca.book import Book
from nexus_simvenue.alpaca.intake import Change, Wish
from nexus_simvenue.alpaca.problems import DUPLICATE_ID, Problem, forbidden, order_not_found, unprocessable
from nexus_simvenue.alpaca.records import Record, State, made_id
from nexus_simvenue.alpaca.sessions import Session, us_sessions

FRACTION = Decimal("0.000000001")
_AFTER_HOURS = timedelta(hours=4)
_MOMENT = timedelta(microseconds=1)
_PRE_MARKET = timedelta(hours=5, minutes=30)
_KINDS = {
    "market": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "stop": OrderKind.STOP,
    "stop_limit": OrderKind.STOP,
    "trailing_stop": OrderKind.TRAILING_STOP,
}
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
        self._exchange = exchange
        self.books: dict[str, Book] = {}

    def book(self, account: str) -> Book:
        book = self.books.get(account)
        if book is None:
            book = self.books[account] = Book(account)
        return book

    # -- placing ------------------------------------------------------------------------------------

    def place(self, book: Book, wish: Wish, now: datetime) -> Record:
        """Take an order with its legs; raises Problem, and then nothing has changed."""
        self._check_account(book)
        client = wish.client_order_id or book.next_id("client")
        known = self._exchange.account(book.account).orders
        if client in book.by_client or client in known:
            raise Problem(DUPLICATE_ID, "client_order_id must be unique")
        price = self._price(wish.symbol)
        held = self._held(book, wish.symbol)
        record = Record(book.next_id("order"), client, wish, self._size(wish, price), now)
        record.limit_price = wish.exits.take_profit if wish.order_class == "oco" else wish.limit_price
        record.stop_price = wish.stop_price
        self._check(book, record, held, price)
        at = self._exchange.at or now
        live = self._is_live(wish, at)
        record.expires = self._expiry(wish, self._session(wish, at))
        record.routed = live
        record.state = State.NEW if live else State.ACCEPTED
        legs = self._legs(book, record)
        problem = self._send(book, record) if live else self._unaffordable(book, record, price)
        if problem is not None:
            raise problem
        for each in (record, *legs):
            book.add(each)
        book.tell("pending_new" if live else "accepted", record, now)
        if live:
            book.tell("new", record, now)
        if wish.order_class == "oco":
            self._activate(book, record, now)
        if wish.time_in_force == "ioc":
            self._drop_rest(book, record, now)
        return record

    def _check_account(self, book: Book) -> None:
        flags = book.flags
        if flags.trading_blocked or flags.account_blocked or flags.trade_suspended_by_user:
            raise forbidden("account is not authorized to trade")

    def _price(self, symbol: str) -> Decimal:
        if all(instrument.symbol != symbol for instrument in self._exchange.instruments):
            raise unprocessable(f'asset "{symbol}" not found')
        price = self._exchange.price(symbol)
        if price is None or self._exchange.at is None:
            raise unprocessable(f'asset "{symbol}" has no trade price yet')
        return price

    def _held(self, book: Book, symbol: str) -> Decimal:
        return self._exchange.account(book.account).held(symbol)

    @staticmethod
    def _size(wish: Wish, price: Decimal) -> Decimal:
        if wish.qty is not None:
            return wish.qty
        if wish.notional is None or wish.notional < 1:
            raise forbidden("cost basis must be >= minimal amount of order 1")
        return (wish.notional / (wish.limit_price or price)).quantize(FRACTION, ROUND_DOWN)

    def _check(self, book: Book, record: Record, held: Decimal, price: Decimal) -> None:
        wish, side = record.wish, record.side
        record.intent = rules.check_intent(wish, held)
        closes = record.intent.endswith("_close")
        if wish.is_fractional and wish.symbol in book.flags.not_fractionable:
            raise unprocessable("requested asset is not fractionable")
        if wish.order_class == "oco" and not closes:
            raise unprocessable("oco orders must be exit orders")
        rules.check_wash_trade(wish, book.open.values())
        if closes:
            rules.check_available(wish.symbol, side, record.qty, held, book.others())
        elif side is Side.SELL:
            self._check_short(book, wish)
        rules.check_stop_price(side, wish.stop_price, price)
        exit_side = side if wish.order_class == "oco" else side.opposite
        rules.check_stop_price(exit_side, wish.exits.stop, price)
        if wish.limit_price is not None and wish.is_complex and wish.order_class != "oco":
            rules.check_stop_price(exit_side, wish.exits.stop, wish.limit_price)

    @staticmethod
    def _check_short(book: Book, wish: Wish) -> None:
        if wish.is_fractional:
            raise unprocessable("fractional orders cannot be sold short")
        if book.flags.no_shorting:
            raise forbidden("account is not allowed to short")
        if wish.symbol in book.flags.not_shortable:
            raise unprocessable(f'asset "{wish.symbol}" cannot be sold short')

    def _legs(self, book: Book, record: Record) -> list[Record]:
        """The exits that wait for their parent; an OCO order is itself the take-profit."""
        wish, exits = record.wish, record.wish.exits
        side = wish.side if wish.order_class == "oco" else wish.side.opposite
        made: list[Record] = []
        wanted: list[tuple[str, Decimal | None, Decimal | None]] = []
        if exits.take_profit is not None and wish.order_class != "oco":
            wanted.append(("limit", exits.take_profit, None))
        if exits.stop is not None:
            wanted.append(("stop_limit" if exits.stop_limit else "stop", exits.stop_limit, exits.stop))
        for kind, limit, stop in wanted:
            leg_wish = Wish(
                wish.symbol, side, kind, wish.time_in_force, record.qty, None, limit, stop,
                order_class=wish.order_class,
            )  # fmt: skip
            leg_id = book.next_id(record.id, kind)
            leg = Record(
                leg_id, made_id(leg_id, "client"), leg_wish, record.qty, record.created_at, State.HELD
            )
            leg.limit_price, leg.stop_price, leg.expires = limit, stop, record.expires
            leg.parent, leg.intent = record, f"{side}_to_close"
            made.append(leg)
        record.legs = made
        group = [record, *made] if wish.order_class == "oco" else made
        for member in group:
            member.siblings = [other for other in group if other is not member]
        for member in group[1:]:
            member.shares_hold = True
        return made

    def _send(self, book: Book, record: Record, at_market: bool = False) -> Problem | None:
        """Hand an order to the engine; what it refuses is said in Alpaca's words."""
        held = self._held(book, record.symbol)
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
        reply = self._exchange.submit(book.account, self._epoch(book), ticket, Reuse.NEVER)
        if isinstance(reply, Refused):
            price = record.limit_price or self._exchange.price(record.symbol) or Decimal(0)
            free = self._exchange.account(book.account).available()
            return rules.engine_refusal(reply, record.remaining * price, free)
        record.engine_id = ticket.client_order_id
        record.source = self._exchange.account(book.account).orders[ticket.client_order_id]
        book.by_engine[ticket.client_order_id] = record
        return None

    def _unaffordable(self, book: Book, record: Record, price: Decimal) -> Problem | None:
        """Buying power of an order that waits for the open; the engine looks at it only then."""
        cost = record.remaining * (record.limit_price or price)
        free = self._exchange.account(book.account).available()
        if record.intent.endswith("_close") or cost <= free:
            return None
        return rules.engine_refusal(Refused("-2019", ""), cost, free)

    def _epoch(self, book: Book) -> int:
        return self._exchange.account(book.account).epoch

    # -- replacing ----------------------------------------------------------------------------------

    def replace(self, book: Book, order_id: str, change: Change, now: datetime) -> Record:
        """A new order takes the place of an open one; raises Problem."""
        old = book.records.get(order_id)
        if old is None:
            raise order_not_found(order_id)
        if old.state is State.REPLACED:
            raise unprocessable("order already replaced")
        if old.state not in (State.NEW, State.PARTIALLY_FILLED, State.HELD):
            raise unprocessable(f"cannot replace order in {old.state} status")
        client = change.client_order_id or book.next_id("client")
        if client in book.by_client:
            raise Problem(DUPLICATE_ID, "client_order_id must be unique")
        new = self._changed(book, old, change, client, now)
        self._check_change(book, old, new)
        if old.state is not State.HELD:
            self._move(book, old, new)
        old.mark(State.REPLACED, now, "replaced_at")
        old.replaced_by, new.replaces = new.id, old.id
        book.settle(old)
        book.add(new)
        self._take_place(old, new)
        book.tell("replaced", old, now)
        if new.state is not State.HELD:
            book.tell("new", new, now)
        return new

    @staticmethod
    def _changed(book: Book, old: Record, change: Change, client: str, now: datetime) -> Record:
        wish = old.wish
        if (change.limit_price and wish.type not in ("limit", "stop_limit")) or (
            change.stop_price and wish.type not in ("stop", "stop_limit")
        ):
            raise unprocessable(f"{wish.type} orders cannot be replaced with such a price")
        if change.trail is not None:
            if wish.type != "trailing_stop":
                raise unprocessable("trail is only valid for trailing stop orders")
            if wish.trail_percent is not None:
                wish = replace(wish, trail_percent=change.trail)
            else:
                wish = replace(wish, trail_price=change.trail)
        wish = replace(wish, time_in_force=change.time_in_force or wish.time_in_force)
        new = Record(book.next_id("order"), client, wish, change.qty or old.qty, now, old.state)
        new.limit_price = change.limit_price or old.limit_price
        new.stop_price = change.stop_price or old.stop_price
        new.wish = replace(wish, limit_price=new.limit_price, stop_price=new.stop_price)
        new.expires, new.routed, new.intent = old.expires, old.routed, old.intent
        new.filled, new.filled_value = old.filled, old.filled_value
        if (new.qty, new.limit_price, new.stop_price, new.wish) == (
            old.qty, old.limit_price, old.stop_price, replace(old.wish, limit_price=old.limit_price),
        ):  # fmt: skip
            raise unprocessable("order parameters are not changed")
        if new.qty <= old.filled:
            raise unprocessable("qty must be > filled_qty")
        return new

    def _check_change(self, book: Book, old: Record, new: Record) -> None:
        others = book.others(old)
        if old.parent is None and not old.wish.is_complex:
            rules.check_wash_trade(new.wish, others)
        if old.state is State.HELD:
            return
        if new.intent.endswith("_close"):
            held = self._held(book, new.symbol)
            rules.check_available(new.symbol, new.side, new.remaining, held, others)
        if new.wish.type != "trailing_stop":
            rules.check_stop_price(new.side, new.stop_price, self._price(new.symbol))

    def _move(self, book: Book, old: Record, new: Record) -> None:
        """A resting stop is moved in place, so that it never stops to protect; others are placed anew."""
        source, engine_id = old.source, old.engine_id
        if source is None or engine_id is None:
            raise unprocessable(f"cannot replace order in {old.state} status")
        if old.wish.type == "stop" and new.stop_price is not None and not source.triggered:
            reply = self._exchange.amend(
                book.account,
                self._epoch(book),
                engine_id,
                new.stop_price,
                new.qty - old.filled + source.filled,
            )
            if isinstance(reply, Refused):
                raise rules.engine_refusal(reply, Decimal(0), Decimal(0))
            new.engine_id, new.source = engine_id, source
            book.by_engine[engine_id] = new
            return
        book.endings[engine_id] = State.REPLACED
        self._exchange.cancel(book.account, self._epoch(book), engine_id)
        problem = self._send(book, new)
        if problem is not None:
            old.engine_id = made_id(old.id, "again", len(book.by_engine))
            self._send(book, old)
            raise problem
        if new.source is not None and source.kind is OrderKind.TRAILING_STOP:
            new.source.extreme, new.source.trailing = source.extreme, source.trailing

    @staticmethod
    def _take_place(old: Record, new: Record) -> None:
        new.parent, new.legs, new.siblings = old.parent, old.legs, old.siblings
        new.shares_hold = old.shares_hold
        for leg in new.legs:
            leg.parent = new
        for sibling in new.siblings:
            sibling.siblings = [new if other is old else other for other in sibling.siblings]
        if new.parent is not None:
            new.parent.legs = [new if leg is old else leg for leg in new.parent.legs]

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
            self._exchange.cancel(book.account, self._epoch(book), member.engine_id)
        self.hear(book)

    def _drop_rest(self, book: Book, record: Record, now: datetime) -> None:
        self.hear(book)
        if record.is_open:
            self._finish(book, record, State.CANCELED, now)

    # -- time ---------------------------------------------------------------------------------------

    @staticmethod
    def _session(wish: Wish, at: datetime) -> Session:
        """The session for which an order is."""
        return us_sessions().current_or_next(at - _AFTER_HOURS if wish.extended_hours else at)

    def _is_live(self, wish: Wish, at: datetime) -> bool:
        opens = self._session(wish, at).opens
        return (opens - _PRE_MARKET if wish.extended_hours else opens) <= at

    @staticmethod
    def _expiry(wish: Wish, session: Session) -> datetime | None:
        if wish.time_in_force == "gtc":
            return None
        return session.closes + (_AFTER_HOURS if wish.extended_hours else timedelta())

    def before_step(self, at: datetime) -> None:
        """End the DAY orders of a session whose close lies before the coming step."""
        us_sessions()  # Made before the first order, which shall not wait for it.
        for book in self.books.values():
            # Before the bars that end with this step, if they began with the session or later, so that what
            # waited gets the price of the open. Where a bar of the extended hours stands open, behind it.
            self._route(book, at - _MOMENT, lambda symbol: not self._exchange.opens(symbol))
        self._expire(lambda due: due < at)

    def tend(self) -> None:
        """Route what waited for the open, hear the engine, end what expires now."""
        at = self._exchange.at
        if at is None:
            return
        for book in self.books.values():
            if book.account in self._exchange.accounts:
                self._route(book, at, lambda _symbol: True)
                self.hear(book)
        self._expire(lambda due: due <= at)

    def _expire(self, is_due: Callable[[datetime], bool]) -> None:
        at = self._exchange.at
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
            if not self._is_live(record.wish, at):
                continue
            record.routed = True
            if record.source is None and self._send(book, record) is not None:
                book.end(record, State.REJECTED, at)
                continue
            record.mark(State.NEW, at, "updated_at")
            book.tell("new", record, at)

    # -- what the engine says -----------------------------------------------------------------------

    def hear(self, book: Book) -> None:
        """Work on what the engine has said since; ends when what follows says nothing more."""
        account = self._exchange.account(book.account)
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
                self._exchange.amend(
                    book.account, self._epoch(book), sibling.engine_id, sibling.stop_price, sibling.qty
                )

    def _activate(self, book: Book, parent: Record, at: datetime) -> None:
        """The legs go to the market; a stop that the market has passed already goes as a market order."""
        for leg in parent.legs:
            if leg.state is not State.HELD:
                continue
            leg.routed = True
            leg.mark(State.NEW, at, "updated_at")
            market = self._exchange.price(leg.symbol)
            passed = False
            if leg.stop_price is not None and market is not None:
                passed = market <= leg.stop_price if leg.side is Side.SELL else market >= leg.stop_price
            if self._send(book, leg, at_market=passed) is not None:
                book.end(leg, State.REJECTED, at)
                continue
            book.tell("new", leg, at)
