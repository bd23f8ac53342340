"""What every new order is checked for before the engine gets it, and the engine's refusals in Binance's codes."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import Side
from nexus_market.exchange import Refused, Reuse, Ticket
from nexus_simvenue.binance.books import DEFAULT_LEVERAGE
from nexus_simvenue.binance.endpoints import Asked, Floor
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.market import MAX_QUANTITY, PRICE_DOWN, PRICE_UP, places
from nexus_simvenue.binance.sheets import Sheet, Terms, digits

# The engine's codes are Binance's, but for what only a simulation refuses.
_OWN_CODES: Final = {"flip": -4088, "no-account": -2015, "fenced": -2015}


class Placing:
    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def quantity(self, asked: Asked, instrument: Instrument) -> Decimal:
        """A quantity on the instrument's grid; raises Wrong with the filter's code."""
        quantity = asked.params.number("quantity")
        if quantity <= 0:
            raise Wrong(-4003)
        if decimals(quantity) > places(instrument.step_size):
            raise Wrong(-1111)
        if quantity < instrument.min_quantity:
            raise Wrong(-4004)
        if quantity > MAX_QUANTITY:
            raise Wrong(-4005)
        if quantity % instrument.step_size:
            raise Wrong(-4023)
        return quantity

    def price(self, asked: Asked, name: str, instrument: Instrument) -> Decimal:
        price = asked.params.number(name)
        if price <= 0:
            raise Wrong(-4001 if name == "price" else -4006)
        if decimals(price) > places(instrument.tick_size):
            raise Wrong(-1111)
        if price % instrument.tick_size:
            raise Wrong(-4014)
        return price

    def percent_price(self, price: Decimal, side: Side, symbol: str) -> None:
        """A buy's limit may not stand too far above the mark price, a sale's not too far below."""
        mark = self._floor.exchange.price(symbol)
        if mark is None:
            raise Wrong(-4108)
        if side is Side.BUY and price > mark * PRICE_UP:
            raise Wrong(-4016, digits(mark * PRICE_UP))
        if side is Side.SELL and price < mark * PRICE_DOWN:
            raise Wrong(-4024, digits(mark * PRICE_DOWN))

    def reduces(self, asked: Asked, side: Side) -> tuple[str, bool]:
        """Position side and whether the order only reduces, by the account's position mode."""
        hedge = bool(self._floor.book(asked).flags.get("hedge_mode"))
        position_side = asked.params.text("positionSide") or "BOTH"
        if position_side not in ("BOTH", "LONG", "SHORT"):
            raise Wrong(-4060)
        if hedge != (position_side != "BOTH"):
            raise Wrong(-4061)
        if not hedge:
            return position_side, asked.params.flag("reduceOnly")
        asked.params.forbid(("reduceOnly",))
        return position_side, (position_side == "LONG") != (side is Side.BUY)

    def place(self, asked: Asked, ticket: Ticket, terms: Terms, order_type: str) -> Sheet:
        """Have the engine take it; raises Wrong when it does not."""
        book, account = self._floor.book(asked), self._floor.account(asked)
        reduces = ticket.reduce_only or ticket.close_position
        if not reduces and book.flags.get("reduce_only"):
            raise Wrong(-4401)
        if not reduces:
            instrument = self._floor.instrument(ticket.symbol)
            leverage = book.leverage.get(ticket.symbol, DEFAULT_LEVERAGE)
            ticket = ticket._replace(leverage=min(leverage, instrument.max_leverage))
        self._floor.books.sent_with(asked.account, ticket.client_order_id, terms, order_type)
        reply = self._floor.exchange.submit(asked.account, account.epoch, ticket, Reuse.WHEN_CLOSED)
        if isinstance(reply, Refused):
            raise self._worded(reply, ticket)
        self._floor.books.catch_up()
        return book.newest[ticket.client_order_id]

    def _worded(self, refused: Refused, ticket: Ticket) -> Wrong:
        code = _OWN_CODES.get(refused.code) or int(refused.code)
        if code == -4164:
            return Wrong(code, digits(self._floor.instrument(ticket.symbol).min_notional))
        if code == -4136:
            return Wrong(code, ticket.kind, ticket.close_position)
        if code == -4028:
            return Wrong(code, ticket.leverage)
        return Wrong(code)


def decimals(number: Decimal) -> int:
    return places(number) if number else 0


def generated(asked: Asked, floor: Floor) -> str:
    """A client order id for who sends none."""
    return f"sim_{len(floor.book(asked).sheets) + 1}"
