"""Placing an order at Alpaca: what is checked of it, and its legs."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from nexus_common.contracts.values import Side
from nexus_data.sessions import is_live, session_end
from nexus_simvenue.alpaca import rules
from nexus_simvenue.alpaca.book import Book
from nexus_simvenue.alpaca.intake import Wish
from nexus_simvenue.alpaca.market import FRACTION, Market
from nexus_simvenue.alpaca.problems import DUPLICATE_ID, Problem, forbidden, unprocessable
from nexus_simvenue.alpaca.records import Record, State, made_id


class Placing:
    """Takes new orders."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def place(self, book: Book, wish: Wish, now: datetime) -> Record:
        """Take an order with its legs; raises Problem, and then nothing has changed."""
        self._check_account(book)
        client = wish.client_order_id or book.next_id("client")
        known = self._market.exchange.account(book.account).orders
        if client in book.by_client or client in known:
            raise Problem(DUPLICATE_ID, "client_order_id must be unique")
        price = self._market.price(wish.symbol)
        held = self._market.held(book, wish.symbol)
        record = Record(book.next_id("order"), client, wish, self._size(wish, price), now)
        record.limit_price = wish.exits.take_profit if wish.order_class == "oco" else wish.limit_price
        record.stop_price = wish.stop_price
        self._check(book, record, held, price)
        at = self._market.exchange.at or now
        live = is_live(at, wish.extended_hours)
        record.expires = None if wish.time_in_force == "gtc" else session_end(at, wish.extended_hours)
        record.routed = live
        record.state = State.NEW if live else State.ACCEPTED
        legs = self._legs(book, record)
        problem = self._market.send(book, record) if live else self._market.unaffordable(book, record, price)
        if problem is not None:
            raise problem
        for each in (record, *legs):
            book.add(each)
        book.tell("pending_new" if live else "accepted", record, now)
        if live:
            book.tell("new", record, now)
        return record

    def _check_account(self, book: Book) -> None:
        flags = book.flags
        if flags.trading_blocked or flags.account_blocked or flags.trade_suspended_by_user:
            raise forbidden("account is not authorized to trade")

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
