"""Replacing an order at Alpaca: another order takes the place of one that is open."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.order import OrderKind
from nexus_market.exchange import Refused
from nexus_simvenue.alpaca import rules
from nexus_simvenue.alpaca.book import Book
from nexus_simvenue.alpaca.intake import Change
from nexus_simvenue.alpaca.market import Market
from nexus_simvenue.alpaca.problems import DUPLICATE_ID, Problem, order_not_found, unprocessable
from nexus_simvenue.alpaca.records import Record, State, made_id


class Replacing:
    """Takes changes of orders."""

    def __init__(self, market: Market) -> None:
        self._market = market

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
            held = self._market.held(book, new.symbol)
            rules.check_available(new.symbol, new.side, new.remaining, held, others)
        if new.wish.type != "trailing_stop":
            rules.check_stop_price(new.side, new.stop_price, self._market.price(new.symbol))

    def _move(self, book: Book, old: Record, new: Record) -> None:
        """A resting stop is moved in place, so that it never stops to protect; others are placed anew."""
        source, engine_id = old.source, old.engine_id
        if source is None or engine_id is None:
            raise unprocessable(f"cannot replace order in {old.state} status")
        if old.wish.type == "stop" and new.stop_price is not None and not source.triggered:
            reply = self._market.exchange.amend(
                book.account,
                self._market.epoch(book),
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
        self._market.exchange.cancel(book.account, self._market.epoch(book), engine_id)
        problem = self._market.send(book, new)
        if problem is not None:
            old.engine_id = made_id(old.id, "again", len(book.by_engine))
            self._market.send(book, old)
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
