"""`orders`: every order and what became of it. Key: the client order id; owner: the account."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import (
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderIntentRecorded,
    OrderTriggered,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitRefused,
    SubmitStarted,
    SubmitUnknown,
)
from nexus_common.runtime.projection import Amend, Change, Put
from nexus_common.runtime.store.schema import orders


class Orders:
    """News of an order comes in any order, so facts stand side by side: `answer` is what the venue said to the
    request (sent, accepted, refused, unknown, absent), `ended` how the order ended (filled, canceled), if it has.
    """

    name = "orders"
    categories = ("order",)
    tables = (orders,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        if isinstance(event, OrderIntentRecorded):
            intent = event.model_dump(mode="json")
            facts = {**intent, "answer": None, "ended": None, "wanted_at": envelope.occurred_at}
            return [Put(orders, event.client_order_id, facts, owner=event.account)]
        facts = _facts(event)
        key = envelope.stream.partition("-")[2]
        return [Amend(orders, key, facts)] if facts else []


def _facts(event: Event) -> dict[str, object]:
    match event:
        case SubmitStarted():
            return {"answer": "sent", "attempt": event.attempt}
        case SubmitAccepted():
            return {"answer": "accepted", "venue_order_id": event.venue_order_id}
        case SubmitRefused():
            return {"answer": "refused", "reason": f"{event.code} {event.reason}".strip()}
        case SubmitUnknown():
            return {"answer": "unknown", "reason": event.reason}
        case SubmitProvenAbsent():
            return {"answer": "absent", "reason": event.evidence}
        case OrderFilled():
            fill: dict[str, object] = {"last_fill_price": event.price, "last_fill_quantity": event.quantity}
            return {**fill, "ended": "filled"} if event.complete else fill
        case OrderCanceled():
            return {"ended": "canceled", "reason": event.reason}
        case OrderAmended():
            return {"trigger_price": event.trigger_price}
        case OrderTriggered():
            return {"triggered_at_price": event.price}
        case _:
            return {}
