"""What came of a request, recorded under a cause made of the request as it was written down.

So whoever finds the answer (this process, or the next one after a kill, by asking the venue) records the very
same event.
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import (
    Outcome,
    RecordAmended,
    RecordAmendRefused,
    RecordCanceled,
    RecordReply,
    ResolveSubmit,
)
from nexus_common.runtime.ports import Desk
from nexus_executor.domain.holding import Started
from nexus_executor.domain.order import ORDER, OrderState
from nexus_executor.domain.view import View
from nexus_executor.venues.broker import Absent, Accepted, ChangeReply, Fenced, Refused, Unknown


class Outcomes:
    """Turns replies into facts on the orders' streams."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def of_submit(self, started: Started, reply: Accepted | Refused | Unknown, desk: Desk) -> None:
        match reply:
            case Accepted(venue_order_id):
                command = RecordReply(Outcome.ACCEPTED, started.at, venue_order_id=venue_order_id)
            case Refused("fenced", reason):
                raise Fenced(reason)
            case Refused(code, reason):
                command = RecordReply(Outcome.REFUSED, started.at, code=code, reason=reason)
            case Unknown(reason):
                command = RecordReply(Outcome.UNKNOWN, started.at, reason=reason)
                await self._decide(started, command, ids.reply_id(started.event_id, "unknown"), desk)
                return
            case _:
                assert_never(reply)
        await self._decide(started, command, ids.reply_id(started.event_id), desk)

    async def absent(self, started: Started, evidence: str, desk: Desk) -> None:
        """A submission that is proven never to have arrived."""
        command = ResolveSubmit(Outcome.ABSENT, started.at, evidence=evidence)
        await self._decide(started, command, ids.reply_id(started.event_id, "resolution"), desk)

    async def of_amend(self, started: Started, state: OrderState, reply: ChangeReply, desk: Desk) -> None:
        command: RecordAmended | RecordAmendRefused
        match reply:
            case Accepted():
                command = RecordAmended(state.revision, started.at)
            case Refused("fenced", reason):
                raise Fenced(reason)
            case Refused(code, reason):
                command = RecordAmendRefused(state.revision, code, reason, started.at)
            case Unknown():
                return
            case _:
                assert_never(reply)
        await self._decide(started, command, ids.reply_id(started.event_id), desk)

    async def gone(self, started: Started, absent: Absent, desk: Desk) -> None:
        """An order that was to be canceled and is not at the venue any more."""
        command = RecordCanceled(f"not at the venue: {absent.evidence}", started.at)
        await self._decide(started, command, ids.reply_id(started.event_id), desk)

    async def _decide(self, started: Started, command: object, cause: UUID, desk: Desk) -> None:
        holding = self._view.holder(started.order)
        await desk.handle(
            ORDER,
            started.order,
            command,
            cause=cause,
            correlation=holding.correlation,
            account=holding.account,
        )
