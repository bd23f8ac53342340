"""Paper trading: the broker of the simulated exchange, over the wire or in the same process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, Venue, format_decimal
from nexus_common.runtime.exchange_client import (
    ExchangeClient,
    ExchangeDown,
    ExchangeError,
    ExchangeUnanswered,
)
from nexus_executor.domain.traits import VenueTraits
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    ChangeReply,
    Fenced,
    LookupReply,
    OrderRequest,
    Refused,
    SubmitReply,
    Unknown,
    UpdateKind,
    VenueDown,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueUpdate,
)
from nexus_market import exchange as market
from nexus_market.exchange.wire import decode_update, encode_ticket

_T = TypeVar("_T")
_KINDS = {str(kind): kind for kind in UpdateKind}
_UNKNOWN_ORDER = "the exchange does not know the order"


class Gateway(Protocol):
    """A way to the simulated exchange. `epoch` fences off older holders of the account."""

    async def open(self, account: AccountId, epoch: int, currency: str, balance: Decimal | None) -> Decimal:
        """Returns the wallet; raises VenueDown or Fenced."""

    async def submit(self, account: AccountId, epoch: int, order: OrderRequest) -> SubmitReply: ...

    async def cancel(self, account: AccountId, epoch: int, order: ClientOrderId) -> ChangeReply: ...

    async def amend(
        self,
        account: AccountId,
        epoch: int,
        order: ClientOrderId,
        trigger_price: Decimal,
        quantity: Decimal | None = None,
    ) -> ChangeReply: ...

    async def lookup(self, account: AccountId, epoch: int, order: ClientOrderId) -> LookupReply: ...

    async def updates(self, account: AccountId, after: int) -> Sequence[VenueUpdate]: ...

    async def open_orders(self, account: AccountId) -> Sequence[VenueOrder]: ...

    async def positions(self, account: AccountId) -> Sequence[VenuePosition]: ...


class PaperBroker:
    """The simulated exchange for one account, with the traits of the account's venue."""

    conclusive_lookup = True

    def __init__(
        self, account: AccountId, gateway: Gateway, epoch: int, traits: VenueTraits | None = None
    ) -> None:
        self.traits = traits or VenueTraits()
        self._account = account
        self._gateway = gateway
        self._epoch = epoch

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        return await self._gateway.open(self._account, self._epoch, currency, balance)

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        return await self._gateway.submit(self._account, self._epoch, order)

    async def cancel(self, order: OrderRequest) -> ChangeReply:
        return await self._gateway.cancel(self._account, self._epoch, order.client_order_id)

    async def amend(
        self, order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None = None
    ) -> ChangeReply:
        return await self._gateway.amend(
            self._account, self._epoch, order.client_order_id, trigger_price, quantity
        )

    async def lookup(self, order: OrderRequest) -> LookupReply:
        return await self._gateway.lookup(self._account, self._epoch, order.client_order_id)

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        return await self._gateway.updates(self._account, after)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return await self._gateway.open_orders(self._account)

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        """Nothing to do: the exchange keeps every numbered message, and `updates` asks for them."""

    async def positions(self) -> Sequence[VenuePosition]:
        return await self._gateway.positions(self._account)

    async def close(self) -> None:
        """The gateway is shared; whoever made it closes it."""


class LocalGateway:
    """The exchange in this process; no call ever waits."""

    def __init__(self, exchange: market.Exchange) -> None:
        self._exchange = exchange

    async def open(self, account: AccountId, epoch: int, currency: str, balance: Decimal | None) -> Decimal:
        try:
            return self._exchange.open_account(account, epoch, currency, balance)
        except market.Fenced as error:
            raise Fenced(str(error)) from error

    async def submit(self, account: AccountId, epoch: int, order: OrderRequest) -> SubmitReply:
        return _reply(self._exchange.submit(account, epoch, order))

    async def cancel(self, account: AccountId, epoch: int, order: ClientOrderId) -> ChangeReply:
        return _reply(self._exchange.cancel(account, epoch, order))

    async def amend(
        self,
        account: AccountId,
        epoch: int,
        order: ClientOrderId,
        trigger_price: Decimal,
        quantity: Decimal | None = None,
    ) -> ChangeReply:
        return _reply(self._exchange.amend(account, epoch, order, trigger_price, quantity))

    async def lookup(self, account: AccountId, epoch: int, order: ClientOrderId) -> LookupReply:
        found = self._exchange.lookup(account, epoch, order)
        if found is None:
            return Absent(_UNKNOWN_ORDER)
        if isinstance(found, market.Refused):
            return Refused(found.code, found.reason)
        return Accepted(found.venue_order_id)

    async def updates(self, account: AccountId, after: int) -> Sequence[VenueUpdate]:
        return [_update(update) for update in self._exchange.updates(account, after)]

    async def open_orders(self, account: AccountId) -> Sequence[VenueOrder]:
        held = self._exchange.account(account).held
        return [_order(order, held(order.symbol)) for order in self._exchange.open_orders(account)]

    async def positions(self, account: AccountId) -> Sequence[VenuePosition]:
        return [
            VenuePosition(Symbol(held.symbol), held.quantity, held.entry_price)
            for held in self._exchange.positions(account)
        ]


class WireGateway:
    """The exchange server; what it leaves unanswered is UNKNOWN."""

    def __init__(self, client: ExchangeClient, venue: Venue = Venue.BINANCE) -> None:
        self._client = client
        self._venue = venue

    async def open(self, account: AccountId, epoch: int, currency: str, balance: Decimal | None) -> Decimal:
        params = {
            "venue": str(self._venue),
            "account": account,
            "epoch": epoch,
            "currency": currency,
            "balance": None if balance is None else format_decimal(balance),
        }
        return Decimal((await self._ask("open_account", params))["wallet"])

    async def submit(self, account: AccountId, epoch: int, order: OrderRequest) -> SubmitReply:
        params = {"account": account, "epoch": epoch, "order": encode_ticket(order)}
        return await self._change("submit", params)

    async def cancel(self, account: AccountId, epoch: int, order: ClientOrderId) -> ChangeReply:
        return await self._change("cancel", {"account": account, "epoch": epoch, "client_order_id": order})

    async def amend(
        self,
        account: AccountId,
        epoch: int,
        order: ClientOrderId,
        trigger_price: Decimal,
        quantity: Decimal | None = None,
    ) -> ChangeReply:
        params = {
            "account": account,
            "epoch": epoch,
            "client_order_id": order,
            "trigger_price": format_decimal(trigger_price),
            "quantity": None if quantity is None else format_decimal(quantity),
        }
        return await self._change("amend", params)

    async def lookup(self, account: AccountId, epoch: int, order: ClientOrderId) -> LookupReply:
        params = {"account": account, "epoch": epoch, "client_order_id": order}
        try:
            answer = await self._client.call("lookup", params)
        except (ExchangeDown, ExchangeUnanswered, ExchangeError) as error:
            return Unknown(str(error))
        return _read(lambda: _found(answer), str(answer))

    async def updates(self, account: AccountId, after: int) -> Sequence[VenueUpdate]:
        answer = await self._ask("updates", {"account": account, "after": after})
        return [_update(decode_update(update)) for update in answer["updates"]]

    async def open_orders(self, account: AccountId) -> Sequence[VenueOrder]:
        answer = await self._ask("open_orders", {"account": account})
        return [_decode_order(order) for order in answer["orders"]]

    async def positions(self, account: AccountId) -> Sequence[VenuePosition]:
        answer = await self._ask("positions", {"account": account})
        return [
            VenuePosition(Symbol(p["symbol"]), Decimal(p["quantity"]), Decimal(p["entry_price"]))
            for p in answer["positions"]
        ]

    async def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._client.call(method, params)
        except (ExchangeDown, ExchangeUnanswered) as error:
            raise VenueDown(str(error)) from error
        except ExchangeError as error:
            if error.code == "fenced":
                raise Fenced(str(error)) from error
            raise

    async def _change(self, method: str, params: Mapping[str, Any]) -> Accepted | Refused | Unknown:
        try:
            answer = await self._client.call(method, params)
        except (ExchangeDown, ExchangeUnanswered) as error:
            # Also what never left: the same rule for both, a lookup settles it.
            return Unknown(str(error))
        except ExchangeError as error:
            return Refused(error.code, error.reason)
        return _read(lambda: _changed(answer), str(answer))


def _read(parse: Callable[[], _T], answer: str) -> _T | Unknown:
    try:
        return parse()
    except (KeyError, TypeError, ValueError) as error:
        return Unknown(f"unreadable answer {answer}: {error!r}")


def _changed(answer: Mapping[str, Any]) -> Accepted | Refused:
    if "accepted" in answer:
        return Accepted(str(answer["accepted"]))
    return Refused(answer["refused"]["code"], answer["refused"]["reason"])


def _found(answer: Mapping[str, Any]) -> Accepted | Refused | Absent:
    if "refused" in answer:
        return _changed(answer)
    order = answer["order"]
    return Absent(_UNKNOWN_ORDER) if order is None else Accepted(order["venue_order_id"])


def _reply(reply: market.Accepted | market.Refused) -> Accepted | Refused:
    if isinstance(reply, market.Accepted):
        return Accepted(reply.venue_order_id)
    return Refused(reply.code, reply.reason)


def _update(update: market.Update) -> VenueUpdate:
    client, symbol = update.client_order_id, update.symbol
    return VenueUpdate(
        update.sequence,
        update.at,
        _KINDS[update.kind],
        None if client is None else ClientOrderId(client),
        None if symbol is None else Symbol(symbol),
        *update[5:],
    )


def _order(order: market.Order, held: Decimal) -> VenueOrder:
    quantity = abs(held) + order.filled if order.ticket.close_position else order.ticket.quantity
    return VenueOrder(
        ClientOrderId(order.ticket.client_order_id),
        order.venue_order_id,
        Symbol(order.symbol),
        order.side,
        order.kind,
        VenueOrderStatus(order.status.value),
        quantity,
        order.filled,
        order.trigger_price,
    )


def _decode_order(order: Mapping[str, Any]) -> VenueOrder:
    trigger = order["trigger_price"]
    return VenueOrder(
        ClientOrderId(order["client_order_id"]),
        order["venue_order_id"],
        Symbol(order["symbol"]),
        Side(order["side"]),
        OrderKind(order["kind"]),
        VenueOrderStatus(order["status"]),
        Decimal(order["quantity"]),
        Decimal(order["filled"]),
        None if trigger is None else Decimal(trigger),
    )
