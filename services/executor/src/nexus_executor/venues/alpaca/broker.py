"""Alpaca for one account: US stocks, paper or live by explicit choice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.domain.traits import TRAITS, VenueTraits
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.alpaca import evidence
from nexus_executor.venues.alpaca.evidence import Proof
from nexus_executor.venues.alpaca.feed import Feed
from nexus_executor.venues.alpaca.fields import Document
from nexus_executor.venues.alpaca.messages import OrderState, parse_order, venue_order
from nexus_executor.venues.alpaca.orders import (
    Fields,
    bracket_fields,
    change_fields,
    next_replacement,
    order_fields,
)
from nexus_executor.venues.alpaca.queries import Queries, readable, stands
from nexus_executor.venues.alpaca.rest import Answer, NoAnswer, NotSent, Rest
from nexus_executor.venues.alpaca.statement import is_paper, read_facts, read_statement
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    ChangeReply,
    LookupReply,
    OrderRequest,
    Refused,
    SubmitReply,
    Unknown,
    VenueDown,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.facts import AccountFacts, StatementRow
from nexus_executor.venues.private_stream import PrivateStream, UnreadableFrame
from nexus_executor.venues.rate_budget import RateBudget

LIVE_HOST: Final = "api.alpaca.markets"
PAPER_HOST: Final = "paper-api.alpaca.markets"
# Alpaca's keys begin with it: AK for live accounts, PK for paper.
_KEY_PREFIXES: Final = {"AK": True, "PK": False}
_KEY_LENGTH: Final = 20


class AlpacaBroker:
    """A client order id is refused for ever once it was used, so an order is never placed twice."""

    traits: VenueTraits = TRAITS[Venue.ALPACA]
    conclusive_lookup = False

    def __init__(self, access: Access, clock: TurnClock, budget: RateBudget | None = None) -> None:
        self._access = access
        self._rest = Rest(access, clock, budget)
        self._queries = Queries(self._rest)
        self._feed = Feed(access, self._rest, self._queries)

    @property
    def private(self) -> PrivateStream:
        """What was told, and how much could not be read."""
        return self._feed.private

    # -- the account --------------------------------------------------------------------------------

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        """Check that keys, address and choice of paper or live agree; listen; returns the wallet.

        Raises:
            ConfigurationError: they do not, or Alpaca does not know the key.
            VenueDown: there is no answer.
        """
        _check_side(self._access)
        answer = await self._queries.get("/account")
        if answer.status in (401, 403):
            raise ConfigurationError(
                f"Alpaca refuses the key of account {self._access.account} ({answer.reason}): "
                "check key and secret, and that they belong to the chosen side, paper or live"
            )
        if not answer.ok or not isinstance(answer.document, dict):
            raise VenueDown(f"Alpaca: the account cannot be read: {answer.code}")
        self._check_account(answer.document, currency)
        return await self._feed.open()

    def _check_account(self, account: Document, currency: str) -> None:
        paper = is_paper(account)
        if paper is self._access.live:
            found, chosen = ("a paper", "live") if paper else ("a live", "paper")
            raise ConfigurationError(
                f"the key of account {self._access.account} opens {found} account, but {chosen} trading is "
                f"chosen: give the keys of the {chosen} account, or choose the other side"
            )
        if account.get("currency") not in (None, currency):
            raise ConfigurationError(
                f"account {self._access.account} is kept in {account['currency']}, not {currency}: "
                "correct its currency"
            )

    async def facts(self) -> AccountFacts:
        """Permissions and clock; raises VenueDown."""
        return await read_facts(self._queries, await self._queries.wallet(), self._rest.now())

    async def statement(self, since: datetime) -> Sequence[StatementRow]:
        """Every change of the wallet since then, oldest first; raises VenueDown."""
        return await read_statement(self._queries, since)

    # -- placing ------------------------------------------------------------------------------------

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        """Place an order with one request. Alpaca's requests carry no time, so `at` is not sent."""
        return await self._place(order, order_fields(order))

    async def bracket(
        self, order: OrderRequest, take_profit: Decimal, stop_loss: Decimal, at: datetime
    ) -> SubmitReply:
        """An entry whose exits wait at Alpaca and cancel each other."""
        return await self._place(order, bracket_fields(order, take_profit, stop_loss))

    async def market(
        self,
        client_order_id: ClientOrderId,
        symbol: Symbol,
        side: Side,
        quantity: Decimal,
        at: datetime,
    ) -> SubmitReply:
        """A market order; a fraction of a share only to buy, or to sell what is held."""
        return await self.submit(OrderRequest(client_order_id, symbol, side, OrderKind.MARKET, quantity), at)

    async def limit(
        self,
        client_order_id: ClientOrderId,
        symbol: Symbol,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        at: datetime,
    ) -> SubmitReply:
        return await self.submit(
            OrderRequest(client_order_id, symbol, side, OrderKind.LIMIT, quantity, limit_price=price), at
        )

    async def _place(self, order: OrderRequest, fields: Fields | Refused) -> SubmitReply:
        if isinstance(fields, Refused):
            return fields
        answer = await self._send("POST", "/orders", fields, urgent=order.reduce_only)
        if not isinstance(answer, Answer):
            return answer
        placed = _placed(answer)
        if not isinstance(placed, OrderState):
            return placed
        if placed.client_order_id != order.client_order_id:
            return Unknown("the answer speaks of another order")
        if placed.status == "rejected":
            return Refused("rejected", "rejected by the venue")
        self._feed.note_order(order.client_order_id, placed.order_id)
        return Accepted(placed.order_id)

    async def _send(
        self, method: Literal["POST", "PATCH", "DELETE"], path: str, fields: Fields | None, *, urgent: bool
    ) -> Answer | Refused | Unknown:
        """A request that changes something, sent once; what is unreadable or proves nothing is Unknown."""
        try:
            answer = await self._rest.ask(method, path, fields, urgent=urgent)
        except NotSent as error:
            return Refused("not-sent", str(error))
        except NoAnswer as error:
            return Unknown(str(error))
        if answer.ok:
            return answer if answer.readable else Unknown("the answer is not JSON")
        if evidence.proof_of(answer.status) is Proof.UNKNOWN:
            return Unknown(f"HTTP {answer.status} says nothing about the order")
        return answer

    # -- changing -----------------------------------------------------------------------------------

    async def cancel(self, order: OrderRequest) -> ChangeReply:
        """One that is canceled already is answered as canceled."""
        order_id = self._feed.order_id(order.client_order_id)
        refused: Refused | None = None
        for _ in range(2):
            if order_id is None or refused is not None:
                # Not known here, or it has ended, or another order has taken its place.
                found = await self._current(order.client_order_id, order_id)
                if not isinstance(found, OrderState):
                    return found
                if not stands(found):
                    return _ended(found)
                order_id = found.order_id
            answer = await self._send("DELETE", _path(order_id), None, urgent=True)
            if not isinstance(answer, Answer):
                return answer
            if answer.ok:
                return Accepted(order_id)
            refused = Refused(answer.code, answer.reason)
            if answer.status not in (404, 422):
                return refused
        return refused or Unknown("nothing was sent")

    async def amend(
        self, order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None = None
    ) -> ChangeReply:
        """Put another order in the place of a resting one; our id goes on naming it."""
        known = self._feed.order_id(order.client_order_id)
        found = await self._current(order.client_order_id, known)
        if not isinstance(found, OrderState):
            return found
        if not stands(found):
            return Refused(evidence.UNPROCESSABLE, f"the order is {found.status}")
        if quantity == found.quantity:
            quantity = None
        price = found.limit_price if found.kind is OrderKind.LIMIT else found.stop_price
        if price == trigger_price and quantity is None:
            return Accepted(found.order_id)
        name = next_replacement(found.client_order_id)
        fields = change_fields(found.kind, trigger_price, quantity, name)
        answer = await self._send("PATCH", _path(found.order_id), fields, urgent=True)
        if not isinstance(answer, Answer):
            return answer
        if answer.reason == evidence.NOT_CHANGED:
            return Accepted(found.order_id)
        placed = _placed(answer)
        if not isinstance(placed, OrderState):
            return placed
        self._feed.note_order(order.client_order_id, placed.order_id)
        return Accepted(placed.order_id)

    async def _current(
        self, client_order_id: ClientOrderId, known: str | None
    ) -> OrderState | Refused | Unknown:
        try:
            found = await self._queries.current(client_order_id, known)
        except VenueDown as error:
            return Unknown(str(error))
        if isinstance(found, OrderState):
            return found
        if found.status == 404:
            return Refused(found.code, found.reason)
        return Unknown(f"{found.code} {found.reason}")

    # -- asking -------------------------------------------------------------------------------------

    async def lookup(self, order: OrderRequest) -> LookupReply:
        try:
            found = await self._queries.by_client_id(order.client_order_id)
        except VenueDown as error:
            return Unknown(str(error))
        if isinstance(found, OrderState):
            if found.status == "rejected":
                return Refused("rejected", "rejected by the venue")
            return Accepted(found.order_id)
        if found.status == 404 and found.code == evidence.NOT_FOUND:
            return Absent(found.reason)
        return Unknown(f"{found.code} {found.reason}")

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        return await self._feed.updates(after)

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        """Of all symbols: Alpaca tells fills and orders by account."""
        await self._feed.backfill(since)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return [readable_order(order) for order in await self._queries.orders("open")]

    async def positions(self) -> Sequence[VenuePosition]:
        return await self._queries.positions()

    async def close(self) -> None:
        await self._feed.close()
        await self._rest.close()


def readable_order(order: OrderState) -> VenueOrder:
    try:
        return venue_order(order)
    except UnreadableFrame as error:
        raise VenueDown(f"Alpaca: {error}") from None


def _path(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}"


def _placed(answer: Answer) -> OrderState | Refused | Unknown:
    """The order of an answer to placing or replacing one."""
    if not answer.ok:
        return Refused(answer.code, answer.reason)
    if not isinstance(answer.document, dict):
        return Unknown("the answer is not an order")
    try:
        return readable(parse_order, answer.document)
    except VenueDown as error:
        return Unknown(str(error))


def _ended(order: OrderState) -> ChangeReply:
    """The answer to canceling an order that stands no more."""
    if order.status in ("canceled", "expired"):
        return Accepted(order.order_id)
    return Refused(evidence.UNPROCESSABLE, f"the order is {order.status}")


def _check_side(access: Access) -> None:
    """Live keys never go to the paper address, nor paper keys to the live one."""
    chosen = "live" if access.live else "paper"
    hosts = {LIVE_HOST: True, PAPER_HOST: False}
    for url in (access.rest_url, access.stream_url):
        side = hosts.get(urlsplit(url).hostname or "")
        if side is not None and side is not access.live:
            raise ConfigurationError(
                f"{chosen} trading is chosen for account {access.account}, but {url} is Alpaca's "
                f"{'live' if side else 'paper'} address: use https://{LIVE_HOST if access.live else PAPER_HOST}"
            )
    if len(access.key) == _KEY_LENGTH and access.key.isalnum():
        side = _KEY_PREFIXES.get(access.key[:2])
        if side is not None and side is not access.live:
            raise ConfigurationError(
                f"{chosen} trading is chosen for account {access.account}, but its key is one of a "
                f"{'live' if side else 'paper'} account: give the keys of the {chosen} account"
            )
