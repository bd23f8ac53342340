"""What the executor asks Alpaca: orders, positions, wallet, activities, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import quote

from nexus_common.contracts.values import format_instant
from nexus_executor.venues.alpaca import evidence
from nexus_executor.venues.alpaca.fields import Document
from nexus_executor.venues.alpaca.messages import (
    OrderState,
    cash_of,
    cost_of,
    parse_order,
    parse_position,
)
from nexus_executor.venues.alpaca.rest import Answer, NoAnswer, NotSent, Rest
from nexus_executor.venues.broker import VenueDown, VenueOrderStatus, VenuePosition
from nexus_executor.venues.private_stream import UnreadableFrame

_PAGE: Final = 500
_ACTIVITY_PAGE: Final = 100
# GTC orders are canceled by Alpaca when they are 90 days old.
OLDEST: Final = timedelta(days=90)
_HOPS: Final = 8
T = TypeVar("T")


class Queries:
    """Answers are parsed; whatever is not an answer is VenueDown."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def get(self, path: str, data: dict[str, str] | None = None, *, urgent: bool = False) -> Answer:
        """An answer of any status but those that say nothing; raises VenueDown."""
        try:
            answer = await self._rest.ask("GET", path, data, urgent=urgent)
        except (NoAnswer, NotSent) as error:
            raise VenueDown(f"Alpaca: {error}") from None
        if not answer.readable or (
            not answer.ok and evidence.proof_of(answer.status) is evidence.Proof.UNKNOWN
        ):
            raise VenueDown(f"Alpaca: GET {path}: HTTP {answer.status}")
        return answer

    async def _document(self, path: str, data: dict[str, str] | None = None, *, urgent: bool = False) -> Any:
        answer = await self.get(path, data, urgent=urgent)
        if not answer.ok:
            raise VenueDown(f"Alpaca: GET {path}: {answer.code} {answer.reason}")
        return answer.document

    async def document(self, path: str) -> Document:
        """An object; raises VenueDown."""
        found = await self._document(path)
        if not isinstance(found, dict):
            raise VenueDown(f"Alpaca: GET {path}: not an object")
        return found

    async def rows(
        self, path: str, data: dict[str, str] | None = None, *, urgent: bool = False
    ) -> list[Document]:
        """A list of objects; raises VenueDown."""
        found = await self._document(path, data, urgent=urgent)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise VenueDown(f"Alpaca: GET {path}: not a list of objects")
        return found

    # -- orders -------------------------------------------------------------------------------------

    async def orders(self, status: str, after: datetime | None = None) -> list[OrderState]:
        """All orders of a status that were placed behind a moment, oldest first; legs as orders of their own."""
        found: dict[str, OrderState] = {}
        while True:
            # Options and crypto that the owner trades by hand are none of ours, and have rows of other shapes.
            data = {"status": status, "limit": str(_PAGE), "direction": "asc", "nested": "false"}
            data["asset_class"] = "us_equity"
            if after is not None:
                data["after"] = format_instant(after)
            rows = await self.rows("/orders", data, urgent=True)
            page = [readable(parse_order, row) for row in rows]
            found.update((order.order_id, order) for order in page)
            last = max((order.submitted_at for order in page if order.submitted_at), default=None)
            if len(page) < _PAGE or last is None or last == after:
                return list(found.values())
            after = last

    async def by_client_id(self, client_order_id: str) -> OrderState | Answer:
        """The order, or what the venue says instead; raises VenueDown."""
        data = {"client_order_id": client_order_id}
        return self._order(await self.get("/orders:by_client_order_id", data, urgent=True))

    async def by_id(self, order_id: str) -> OrderState | Answer:
        return self._order(await self.get(f"/orders/{quote(order_id, safe='')}", urgent=True))

    @staticmethod
    def _order(answer: Answer) -> OrderState | Answer:
        if not answer.ok:
            return answer
        if not isinstance(answer.document, dict):
            raise VenueDown("Alpaca: an order is not an object")
        return readable(parse_order, answer.document)

    async def current(self, client_order_id: str, known_id: str | None) -> OrderState | Answer:
        """The newest replacement of an order, or what the venue says instead; raises VenueDown."""
        found = None if known_id is None else await self.by_id(known_id)
        if isinstance(found, OrderState) and found.status != "replaced":
            return found
        for order in await self.orders("open"):
            if order.ours == client_order_id:
                return order
        found = await self.by_client_id(client_order_id)
        for _ in range(_HOPS):
            if not isinstance(found, OrderState) or found.replaced_by is None:
                break
            found = await self.by_id(found.replaced_by)
        return found

    # -- account ------------------------------------------------------------------------------------

    async def positions(self) -> list[VenuePosition]:
        return [readable(parse_position, row) for row in await self.rows("/positions", urgent=True)]

    async def wallet(self) -> Decimal:
        """Money without open profit: cash, and what is held at its cost."""
        account = await self.document("/account")
        held = await self.rows("/positions")
        return readable(cash_of, account) + sum((readable(cost_of, row) for row in held), Decimal(0))

    async def activities(self, kinds: Sequence[str], after: datetime | None) -> list[Document]:
        """Activities of these kinds (all, if none is named) behind a moment, oldest first; raises VenueDown."""
        found: list[Document] = []
        data = {"direction": "asc", "page_size": str(_ACTIVITY_PAGE)}
        if after is not None:
            data["after"] = format_instant(after)
        path = "/account/activities"
        if len(kinds) == 1:
            path += f"/{kinds[0]}"
        elif kinds:
            data["activity_types"] = ",".join(kinds)
        while True:
            page = await self.rows(path, data, urgent=True)
            found += page
            token = page[-1].get("id") if page else None
            if len(page) < _ACTIVITY_PAGE or not isinstance(token, str):
                return found
            data["page_token"] = token


def readable(parse: Callable[[Document], T], document: Document) -> T:
    """Parse a part of an answer; what cannot be read says nothing about the venue's state."""
    try:
        return parse(document)
    except UnreadableFrame as error:
        raise VenueDown(f"Alpaca: an answer cannot be read: {error}") from None


def stands(order: OrderState) -> bool:
    return order.stands is VenueOrderStatus.OPEN
