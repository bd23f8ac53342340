"""What follows from a trade: money, positions, the orders that end with them, and who is told."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.order import Liquidity
from nexus_common.contracts.values import Side
from nexus_market.exchange.account import Account, Position
from nexus_market.exchange.book import Book
from nexus_market.exchange.ledger import LedgerWriter
from nexus_market.exchange.matching import Hit, available_volume
from nexus_market.exchange.model import ExchangeSettings, Ohlcv, Order, Status, Update, money
from nexus_market.instruments import Toward, notional, round_price

_CLOSED = "position closed"


class Settlement:
    """Books fills, funding, liquidations and cancels, and numbers them."""

    def __init__(self, settings: ExchangeSettings, ledger: LedgerWriter) -> None:
        self.settings = settings
        self._ledger = ledger
        self.fills = 0

    @staticmethod
    def as_taker(hit: Hit) -> Hit:
        return Hit(hit.price, Liquidity.TAKER, slips=True)

    def trigger(self, account: Account, order: Order, price: Decimal, at: datetime) -> None:
        """A stop kind becomes a market order, once."""
        if order.triggered:
            return
        order.triggered, order.changed_at = True, at
        account.updates.append(
            Update(
                len(account.updates) + 1,
                at,
                "triggered",
                order.ticket.client_order_id,
                order.symbol,
                order.side,
                price=price,
            )
        )
        self._ledger.triggered(order, price, at)

    def fill(
        self,
        account: Account,
        book: Book,
        order: Order,
        price: Decimal,
        liquidity: Liquidity,
        volume: Decimal,
        at: datetime,
    ) -> None:
        """Trade as much of the order as its size, its position (if it only reduces) and the bar allow."""
        wanted = _wanted(order, account.held(order.symbol))
        if wanted == 0:
            self.cancel(account, book, order, _CLOSED, at)
            return
        quantity = min(wanted, available_volume(volume, book.instrument, self.settings))
        if quantity == 0:
            return
        instrument = book.instrument
        rate = instrument.maker_fee if liquidity is Liquidity.MAKER else instrument.taker_fee
        fee = money(notional(quantity, price) * rate)
        order.filled += quantity
        order.fill_value += quantity * price
        order.fills += 1
        order.changed_at = at
        self.fills += 1
        if quantity == wanted:
            order.status = Status.FILLED
            account.resting.pop(order.number, None)
            book.orders.pop(order.number, None)
        realised = self._move(account, book, quantity if order.side is Side.BUY else -quantity, price)
        account.book(realised=realised, fee=fee)
        update = _fill_update(account, order, self.fills, quantity, price, fee, liquidity, at)
        account.updates.append(update)
        self._ledger.filled(order, update, realised, at)
        self._after_move(account, book, at)

    def _move(self, account: Account, book: Book, signed: Decimal, price: Decimal) -> Decimal:
        symbol = book.instrument.symbol
        position = account.positions.get(symbol)
        if position is None:
            position = account.positions[symbol] = Position(book.instrument)
            book.holders[account.name] = account
        return position.apply(signed, price, account.leverage.get(symbol, self.settings.default_leverage))

    def _after_move(self, account: Account, book: Book, at: datetime) -> None:
        """Note the new position, and end the orders that had only the old one to reduce."""
        symbol = book.instrument.symbol
        position = account.positions[symbol]
        held = position.quantity
        book.dirty = True
        self._ledger.position(account, symbol, position, at)
        if held == 0:
            del account.positions[symbol]
            del book.holders[account.name]
        for order in list(account.resting.values()):
            if order.symbol == symbol and order.reduces and _wanted(order, held) == 0:
                self.cancel(account, book, order, _CLOSED, at)

    def cancel(self, account: Account, book: Book, order: Order, reason: str, at: datetime) -> None:
        self.drop(account, book, order, reason, at)
        account.updates.append(
            Update(
                len(account.updates) + 1,
                at,
                "canceled",
                order.ticket.client_order_id,
                order.symbol,
                order.side,
                reason=reason,
            )
        )

    def drop(self, account: Account, book: Book, order: Order, reason: str, at: datetime) -> None:
        """Take an order off the book and tell nobody; the ledger notes it."""
        order.status, order.reason, order.changed_at = Status.CANCELED, reason, at
        account.resting.pop(order.number, None)
        book.orders.pop(order.number, None)
        book.dirty = True
        self._ledger.canceled(order, reason, at)

    def pay_funding(self, book: Book, rate: Decimal, price: Decimal, at: datetime) -> None:
        """Longs pay shorts `rate` of the notional."""
        symbol = book.instrument.symbol
        for name in sorted(book.holders):
            account = book.holders[name]
            paid = money(account.held(symbol) * price * rate)
            account.book(funding=paid)
            update = Update(
                len(account.updates) + 1,
                at,
                "funding",
                symbol=symbol,
                price=price,
                wallet=account.wallet,
                change=-paid,
                rate=rate,
            )
            account.updates.append(update)
            self._ledger.funded(account.name, update)

    def liquidate(self, book: Book, bar: Ohlcv, at: datetime) -> None:
        """Close positions whose margin is used up at the bar's worst price."""
        symbol = book.instrument.symbol
        for name in sorted(book.holders):
            account = book.holders[name]
            position = account.positions[symbol]
            price = position.liquidation_price
            if price is None:
                continue
            if position.quantity > 0:
                reached, price = bar.low <= price, min(price, bar.open)
            else:
                reached, price = bar.high >= price, max(price, bar.open)
            if reached:
                self.take_over(account, book, position, price, at)

    def take_over(
        self,
        account: Account,
        book: Book,
        position: Position,
        price: Decimal,
        at: datetime,
        reason: str = "liquidation",
    ) -> None:
        """The venue closes a position (`reason` liquidation or adl); more than its margin is never lost."""
        long = position.quantity > 0
        bankruptcy = position.bankruptcy_price
        price = max(price, bankruptcy) if long else min(price, bankruptcy)
        price = round_price(price, book.instrument, Toward.DOWN if long else Toward.UP)
        quantity, margin = abs(position.quantity), position.margin
        realised = max(self._move(account, book, -position.quantity, price), -margin)
        fee = min(money(notional(quantity, price) * self.settings.liquidation_fee), margin + realised)
        account.book(realised=realised, fee=fee)
        update = Update(
            len(account.updates) + 1,
            at,
            "liquidation",
            symbol=book.instrument.symbol,
            side=Side.SELL if long else Side.BUY,
            quantity=quantity,
            price=price,
            fee=fee,
            wallet=account.wallet,
            change=realised - fee,
            reason=reason,
        )
        account.updates.append(update)
        self._ledger.liquidated(account.name, update, realised)
        self._after_move(account, book, at)


def _wanted(order: Order, held: Decimal) -> Decimal:
    """How much of the order may still trade; what only reduces is trimmed to the position."""
    if not order.reduces:
        return order.remaining
    against = -held if order.side is Side.BUY else held
    if against <= 0:
        return against * 0
    return against if order.ticket.close_position else min(order.remaining, against)


def _fill_update(
    account: Account,
    order: Order,
    number: int,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal,
    liquidity: Liquidity,
    at: datetime,
) -> Update:
    return Update(
        len(account.updates) + 1,
        at,
        "fill",
        order.ticket.client_order_id,
        order.symbol,
        order.side,
        f"t{number}",
        quantity,
        price,
        fee,
        liquidity,
        order.status is Status.FILLED,
        account.wallet,
    )
