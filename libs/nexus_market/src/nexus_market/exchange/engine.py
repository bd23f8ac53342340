"""The simulated exchange: one matching engine for backtest, paper trading and the exchange server.

It knows no clock and no chance: time comes with each step, jitter from the seed. The same calls give the
same ledger. Between two steps the market stands at the open of the bar that opens at the last step's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import filters
from nexus_market.exchange.account import Account
from nexus_market.exchange.book import Book
from nexus_market.exchange.ledger import LedgerWriter
from nexus_market.exchange.matching import Hit, fill_price, hit_at_open, hit_within, rank
from nexus_market.exchange.model import (
    Accepted,
    Bars,
    ExchangeSettings,
    Fenced,
    Holding,
    Ohlcv,
    OhlcvLike,
    Order,
    Rates,
    Record,
    Refused,
    Reply,
    Reuse,
    Status,
    StepRefused,
    StepReply,
    Ticket,
    TicketLike,
    UnknownAccount,
    Update,
    exact,
    ticket_of,
)
from nexus_market.exchange.settlement import Settlement

_NOTHING: Bars = MappingProxyType({})
_NO_RATES: Rates = MappingProxyType({})
_NEVER_SEEN = Refused("-2011", "no such order on this account")


class Exchange:
    """One venue with its accounts. Symbols are unique within it."""

    def __init__(self, instruments: Iterable[Instrument], settings: ExchangeSettings | None = None) -> None:
        self.settings = settings or ExchangeSettings()
        self._books: dict[str, Book] = {i.symbol: Book(i) for i in instruments}
        # Books where something rests or is held; only these cost time in a step.
        self._awake: dict[str, Book] = {}
        self._accounts: dict[str, Account] = {}
        self._last: dict[str, OhlcvLike] = {}
        self._next: Bars = _NOTHING
        self._at: datetime | None = None
        self._reply: StepReply | None = None
        self._placed = 0
        self._ledger = LedgerWriter()
        self._settle = Settlement(self.settings, self._ledger)

    @property
    def at(self) -> datetime | None:
        """The time of the last step."""
        return self._at

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(book.instrument for book in self._books.values())

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Replace or add instruments; one that is being traded keeps its resting orders."""
        for instrument in instruments:
            book = self._books.get(instrument.symbol)
            if book is None:
                self._books[instrument.symbol] = Book(instrument)
            else:
                book.instrument, book.dirty = instrument, True

    def configure(self, settings: ExchangeSettings) -> None:
        """Treat orders by other settings from now on."""
        self.settings = settings
        self._settle.settings = settings

    # -- time ---------------------------------------------------------------------------------------

    def step(
        self, at: datetime, bars: Bars, next_bars: Bars = _NOTHING, funding: Rates = _NO_RATES
    ) -> StepReply:
        """Trade what rested on the bars that closed at `at`, then on the open of those that open at `at`.

        The last step asked again changes nothing and is answered as before.

        Raises:
            StepRefused: `at` is before the last step.
        """
        if self._at is not None and at <= self._at:
            if at == self._at and self._reply is not None:
                return self._reply
            raise StepRefused(f"step {at.isoformat()} is before the last one, {self._at.isoformat()}")
        self._at = at
        self._last.update(bars)
        self._next = next_bars
        fills = self._trade(at, bars, next_bars, funding) if self._awake else 0
        self._reply = StepReply(at, fills, self._ledger.length)
        return self._reply

    def _trade(self, at: datetime, bars: Bars, next_bars: Bars, funding: Rates) -> int:
        before = self._settle.fills
        for symbol, book in sorted(self._awake.items()):
            bar = bars.get(symbol)
            if bar is not None and not book.sleeps_through(bar):
                self._match(book, exact(bar), at)
            if funding and symbol in funding:
                price = self.price(symbol) if bar is None else exact(bar).close
                if price is not None:
                    self._settle.pay_funding(book, funding[symbol], price, at)
            opening = next_bars.get(symbol)
            if opening is not None and book.wants_open:
                self._match_at_next_open(book, exact(opening), at)
            if book.empty:
                del self._awake[symbol]
        return self._settle.fills - before

    def _match(self, book: Book, bar: Ohlcv, at: datetime) -> None:
        book.dirty = True
        waiting = []
        for order in sorted(book.orders.values(), key=rank):
            if order.drew_from_open_bar:
                order.drew_from_open_bar = False
            else:
                waiting.append(order)
        for order in waiting:
            if order.status is Status.OPEN:
                self._take(book, order, hit_at_open(order, bar), bar.volume, at)
        for order in waiting:
            if order.status is Status.OPEN and not order.at_market:
                self._take(book, order, hit_within(order, bar), bar.volume, at)
        self._settle.liquidate(book, bar, at)

    def _match_at_next_open(self, book: Book, bar: Ohlcv, at: datetime) -> None:
        for order in sorted(book.orders.values(), key=rank):
            if order.at_market and order.status is Status.OPEN:
                self._draw(book, order, bar, at)

    def _draw(self, book: Book, order: Order, bar: Ohlcv, at: datetime) -> None:
        """Fill from the bar that has just opened."""
        self._take(book, order, hit_at_open(order, bar), bar.volume, at)
        if order.status is Status.OPEN:
            order.drew_from_open_bar = True

    def _take(self, book: Book, order: Order, hit: Hit | None, volume: Decimal, at: datetime) -> None:
        if hit is None:
            return
        account = self._accounts[order.account]
        if order.kind in (OrderKind.STOP, OrderKind.TAKE_PROFIT, OrderKind.TRAILING_STOP):
            self._settle.trigger(account, order, hit.price, at)
            if order.ticket.limit_price is not None:
                order.ticket, order.triggered = order.ticket._replace(kind=OrderKind.LIMIT), False
                if not _trades_at_once(order, hit.price):
                    return
        price = fill_price(order, hit, book.instrument, self.settings)
        self._settle.fill(account, book, order, price, hit.liquidity, volume, at)

    # -- accounts -----------------------------------------------------------------------------------

    def open_account(self, account: str, epoch: int, currency: str, balance: Decimal | None) -> Decimal:
        """Open an account with a balance, or find it again; returns its wallet.

        Raises:
            Fenced: a newer holder has spoken.
            UnknownAccount: it does not exist and no balance was given.
        """
        known = self._accounts.get(account)
        if known is not None:
            if not self._admit(known, epoch):
                raise Fenced(f"epoch {epoch} of account {account} is over, {known.epoch} holds it")
            return known.wallet
        if balance is None:
            raise UnknownAccount(f"account {account} does not exist; open it with a balance")
        self._accounts[account] = Account(account, currency, balance, balance, epoch)
        self._ledger.note("account", self._at, account, None, currency=currency, wallet=balance)
        return balance

    def _admit(self, account: Account, epoch: int) -> bool:
        if epoch < account.epoch:
            return False
        account.epoch = epoch
        return True

    def _entrance(self, account: str, epoch: int) -> Account | Refused:
        known = self._accounts.get(account)
        if known is None:
            return Refused("no-account", f"account {account} does not exist; open it first")
        if not self._admit(known, epoch):
            return Refused("fenced", f"epoch {epoch} of account {account} is over, {known.epoch} holds it")
        return known

    # -- orders -------------------------------------------------------------------------------------

    def submit(self, account: str, epoch: int, order: TicketLike, reuse: Reuse = Reuse.SAME_ORDER) -> Reply:
        """Accept or refuse an order; `reuse` is what the venue makes of a client order id it has seen."""
        owner = self._entrance(account, epoch)
        if isinstance(owner, Refused):
            return owner
        ticket = order if isinstance(order, Ticket) else ticket_of(order)
        known = owner.orders.get(ticket.client_order_id)
        if known is not None and not (reuse is Reuse.WHEN_CLOSED and known.status is not Status.OPEN):
            if reuse is not Reuse.SAME_ORDER:
                return Refused("-4116", f"client order id {ticket.client_order_id} is taken")
            return self._answer_again(owner, known, ticket)
        book = self._books.get(ticket.symbol)
        if book is None:
            return Refused("-1121", f"{ticket.symbol} is not listed here")
        price = self.price(ticket.symbol)
        if price is None:
            return Refused("-4108", f"{ticket.symbol} has not traded yet")
        leverage = ticket.leverage or owner.leverage.get(ticket.symbol) or self.settings.default_leverage
        refused = self._refused(ticket, owner, book.instrument, price, leverage)
        return refused or self._place(owner, book, ticket, price, leverage)

    def _refused(
        self, ticket: Ticket, owner: Account, instrument: Instrument, price: Decimal, leverage: int
    ) -> Refused | None:
        return (
            filters.refused_form(ticket)
            or filters.refused_grid(ticket, instrument, price)
            or filters.refused_position(ticket, owner.held(ticket.symbol))
            or filters.refused_trigger(ticket.side, ticket.kind, ticket.trigger_price, price)
            or filters.refused_margin(ticket, owner, instrument, price, leverage)
        )

    def _answer_again(self, owner: Account, known: Order, ticket: Ticket) -> Reply:
        if known.ticket != ticket:
            return Refused("-4116", f"client order id {ticket.client_order_id} belongs to another order")
        self._ledger.note("resubmission", self._at, owner.name, ticket.symbol, client=ticket.client_order_id)
        return Accepted(known.venue_order_id)

    def _place(self, owner: Account, book: Book, ticket: Ticket, price: Decimal, leverage: int) -> Reply:
        at = self._now()
        self._placed += 1
        order = Order(self._placed, owner.name, ticket, ticket.trigger_price, placed_at=at, changed_at=at)
        order.extreme = price
        order.trailing = ticket.kind is OrderKind.TRAILING_STOP and _starts_at_once(ticket, price)
        if not order.reduces:
            owner.leverage[ticket.symbol] = leverage
        owner.orders[ticket.client_order_id] = order
        owner.resting[order.number] = order
        book.orders[order.number] = order
        book.dirty = True
        self._awake[ticket.symbol] = book
        self._ledger.accepted(order, leverage, at)
        opening = self._next.get(ticket.symbol)
        if opening is not None and _trades_at_once(order, price):
            self._draw_now(book, order, exact(opening), at)
        return Accepted(order.venue_order_id)

    def _draw_now(self, book: Book, order: Order, bar: Ohlcv, at: datetime) -> None:
        if order.kind is OrderKind.LIMIT:
            hit = hit_at_open(order, bar)
            if hit is not None:
                # It meets orders that rest already: a taker, and it pays the spread up to its limit.
                taker = self._settle.as_taker(hit)
                self._take(book, order, taker, bar.volume, at)
            if order.status is Status.OPEN:
                order.drew_from_open_bar = True
        else:
            self._draw(book, order, bar, at)
        book.dirty = True

    def cancel(self, account: str, epoch: int, client_order_id: str) -> Reply:
        """Take an order off the book; one that is canceled already is answered as canceled."""
        owner = self._entrance(account, epoch)
        if isinstance(owner, Refused):
            return owner
        order = owner.orders.get(client_order_id)
        if order is None or order.status is Status.FILLED:
            return _NEVER_SEEN if order is None else Refused("-2011", "the order is filled")
        if order.status is Status.OPEN:
            self._settle.cancel(owner, self._books[order.symbol], order, "requested", self._now())
        return Accepted(order.venue_order_id)

    def amend(
        self,
        account: str,
        epoch: int,
        client_order_id: str,
        trigger_price: Decimal,
        quantity: Decimal | None = None,
    ) -> Reply:
        """Move the trigger of a resting stop or take-profit, or give it another size; refused, it stays."""
        owner = self._entrance(account, epoch)
        if isinstance(owner, Refused):
            return owner
        order = owner.orders.get(client_order_id)
        if order is None or order.status is not Status.OPEN or order.triggered:
            return Refused("-2013", "no such order rests on this account")
        if order.kind not in (OrderKind.STOP, OrderKind.TAKE_PROFIT):
            return Refused(
                "-4138", f"a {order.kind} order has no trigger to move: cancel it and place another"
            )
        quantity = order.ticket.quantity if quantity is None else quantity
        if order.trigger_price == trigger_price and order.ticket.quantity == quantity:
            return Accepted(order.venue_order_id)
        book = self._books[order.symbol]
        price = self.price(order.symbol) or trigger_price
        moved = order.ticket._replace(trigger_price=trigger_price, quantity=quantity)
        refused = filters.refused_grid(moved, book.instrument, price) or filters.refused_trigger(
            order.side, order.kind, trigger_price, price
        )
        if refused is not None:
            return refused
        order.ticket = order.ticket._replace(quantity=quantity)
        order.trigger_price, order.changed_at, book.dirty = trigger_price, self._now(), True
        self._ledger.amended(order, self._now())
        return Accepted(order.venue_order_id)

    # -- what a venue can do to an account ----------------------------------------------------------

    def vanish(self, account: str, client_order_id: str) -> bool:
        """Drop a resting order without a word to its owner; False when there is none."""
        owner = self.account(account)
        order = owner.orders.get(client_order_id)
        if order is None or order.status is not Status.OPEN:
            return False
        self._settle.drop(owner, self._books[order.symbol], order, "vanished", self._now())
        return True

    def take_over(self, account: str, symbol: str, reason: str = "liquidation") -> bool:
        """Close a position at the market as a liquidation or for deleveraging (`adl`); False without one."""
        owner = self.account(account)
        position, price = owner.positions.get(symbol), self.price(symbol)
        if position is None or price is None:
            return False
        self._settle.take_over(owner, self._books[symbol], position, price, self._now(), reason)
        return True

    def transfer(self, account: str, amount: Decimal) -> Decimal:
        """Pay in (or out, negative) by hand; returns the wallet."""
        owner = self.account(account)
        owner.wallet += amount
        at = self._now()
        update = Update(
            len(owner.updates) + 1, at, "balance", wallet=owner.wallet, change=amount, reason="transfer"
        )
        owner.updates.append(update)
        self._ledger.note("transfer", at, account, None, change=amount, wallet=owner.wallet)
        return owner.wallet

    # -- questions ----------------------------------------------------------------------------------

    def price(self, symbol: str) -> Decimal | None:
        """Where the market stands: the open of the bar that opens now, else the last close."""
        opening = self._next.get(symbol)
        if opening is not None:
            return exact(opening).open
        last = self._last.get(symbol)
        return None if last is None else exact(last).close

    def opens(self, symbol: str) -> bool:
        """Whether a bar of the instrument opens now, so that a market order would trade at once."""
        return symbol in self._next

    def quiet_band(self, symbol: str) -> tuple[float, float]:
        """A bar with its low above the first and its high below the second price trades and moves nothing.

        A backtest may leave out the steps of bars that stay inside, if it makes the one before it looks at
        prices, positions or places an order.
        """
        book = self._awake.get(symbol)
        return (0.0, float("inf")) if book is None else book.band()

    @property
    def idle(self) -> bool:
        """Nothing rests and nothing is held: steps do nothing but move the time."""
        return not self._awake

    def lookup(self, account: str, epoch: int, client_order_id: str) -> Order | Refused | None:
        """The order of this id, or None for certain: what an older holder still sends will be refused."""
        owner = self._entrance(account, epoch)
        return owner if isinstance(owner, Refused) else owner.orders.get(client_order_id)

    def account(self, account: str) -> Account:
        """The account as it stands, to read from.

        Raises:
            UnknownAccount: it was never opened here.
        """
        try:
            return self._accounts[account]
        except KeyError:
            raise UnknownAccount(f"account {account} does not exist; open it first") from None

    @property
    def accounts(self) -> Mapping[str, Account]:
        return MappingProxyType(self._accounts)

    def updates(self, account: str, after: int) -> list[Update]:
        """The private messages behind a sequence number, oldest first."""
        return self.account(account).updates[max(after, 0) :]

    def open_orders(self, account: str) -> list[Order]:
        return list(self.account(account).resting.values())

    def positions(self, account: str) -> list[Holding]:
        return [
            Holding(symbol, held.quantity, held.entry_price, held.margin, held.liquidation_price)
            for symbol, held in sorted(self.account(account).positions.items())
        ]

    @property
    def records(self) -> list[Record]:
        """The ledger: every accepted order, trigger, fill, amendment, cancel and change of a position."""
        return self._ledger.records

    def _now(self) -> datetime:
        if self._at is None:
            raise StepRefused("no step has been made yet: the exchange has no time")
        return self._at


def _starts_at_once(ticket: Ticket, price: Decimal) -> bool:
    start = ticket.trigger_price
    return start is None or (price >= start if ticket.side is Side.SELL else price <= start)


def _trades_at_once(order: Order, price: Decimal) -> bool:
    limit = order.ticket.limit_price
    if order.kind is not OrderKind.LIMIT or limit is None:
        return order.kind is OrderKind.MARKET
    return price <= limit if order.side is Side.BUY else price >= limit
