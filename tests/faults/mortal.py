"""A process that can die at a named point of an order's way: its broker and its store say when."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nexus_common.contracts.message import Event
from nexus_common.contracts.order import OrderFilled, OrderIntentRecorded, SubmitAccepted, SubmitStarted
from nexus_common.runtime.ports import Batch
from nexus_common.runtime.store.memory import MemoryStore
from nexus_executor.venues.broker import Broker, UpdateKind

ANSWER_SECONDS: Final = 0.3


class Point(StrEnum):
    """Where a process can die on an order's way; the fourteen arrows of the order path."""

    RESERVED = "1 risk reserved"  # the verdict is recorded, nobody is there to hear it
    BEFORE_INTENT = "2 intent about to be committed"
    PUBLISHED = "3 verdict published, turn not begun"
    RECEIVED = "4 turn begun, nothing done"
    STARTED = "5 submit started committed"
    SENT = "6 bytes sent, no answer read"
    ANSWERED = "7 answer read"
    OUTCOME = "8 outcome committed"
    HEARD = "9 fill received"
    FILLED = "10 fill committed"
    STOP_STARTED = "11 stop's intent committed"
    STOP_SENT = "12 stop sent, no answer read"
    STOP_ACCEPTED = "13 stop confirmed and committed"
    ACKED = "14 turn done, not passed on"


class Killed(BaseException):
    """The process is gone; nothing may catch this."""


@dataclass(slots=True)
class Crash:
    """Dies once, at a point on the way of an order of a leg (`entry`, `stop`, …), at the `skip`th time."""

    point: Point | None = None
    leg: str = "entry"
    skip: int = 0
    happened: bool = False
    now: str = ""  # "entry" during the turn in which the verdict is heard

    def reach(self, point: Point, leg: str) -> None:
        if self.happened or point is not self.point or leg != self.leg:
            return
        if self.skip:
            self.skip -= 1
            return
        self.happened = True
        raise Killed

    def awaits(self, point: Point, leg: str) -> bool:
        return not self.happened and point is self.point and leg == self.leg and not self.skip


class MortalBroker:
    """Dies before a request leaves, while it is under way, and when its answer is there."""

    def __init__(self, inner: Broker, crash: Crash, legs: dict[str, str], worked: Callable[[], int]) -> None:
        self.inner = inner
        self._crash = crash
        self._legs = legs
        self._worked = worked

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._mortal(name, found) if inspect.iscoroutinefunction(found) else found

    def _mortal(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def mortal(*args: Any, **kwargs: Any) -> Any:
            if name == "submit":
                return await self._submit(call, *args, **kwargs)
            if name == "updates":
                self._crash.reach(Point.RECEIVED, self._crash.now)
            answer = await call(*args, **kwargs)
            if name == "updates":
                for update in answer:
                    if update.kind is UpdateKind.FILL:
                        leg = self._legs.get(update.client_order_id or "", str(update.attached or ""))
                        self._crash.reach(Point.HEARD, leg)
            return answer

        return mortal

    async def _submit(self, call: Callable[..., Any], order: Any, *args: Any, **kwargs: Any) -> Any:
        leg = self._legs.get(order.client_order_id, "")
        for point in (Point.SENT, Point.STOP_SENT):
            if self._crash.awaits(point, leg):
                await self._die_on_the_way(call(order, *args, **kwargs))
                self._crash.reach(point, leg)
        answer = await call(order, *args, **kwargs)
        self._crash.reach(Point.ANSWERED, leg)
        return answer

    async def _die_on_the_way(self, request: Any) -> None:
        """Let the request reach the venue and go before its answer is read."""
        before = self._worked()
        sending = asyncio.ensure_future(request)
        for _ in range(int(ANSWER_SECONDS / 0.001)):
            if self._worked() > before or sending.done():
                break
            await asyncio.sleep(0.001)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


class MortalStore:
    """Dies before and after a commit that matters."""

    def __init__(self, inner: MemoryStore, crash: Crash, legs: dict[str, str]) -> None:
        self._inner = inner
        self._crash = crash
        self._legs = legs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, batch: Batch) -> Any:
        events = [envelope.event for append in batch.appends for envelope in append.envelopes]
        for event in events:
            if isinstance(event, OrderIntentRecorded):
                self._legs[event.client_order_id] = event.leg.value
        for leg in self._of(events, SubmitStarted):
            self._crash.reach(Point.BEFORE_INTENT, leg)
        answer = await self._inner.append(batch)
        for leg in self._of(events, SubmitStarted):
            self._crash.reach(Point.STARTED, leg)
            self._crash.reach(Point.STOP_STARTED, leg)
        for leg in self._of(events, SubmitAccepted):
            self._crash.reach(Point.OUTCOME, leg)
            self._crash.reach(Point.STOP_ACCEPTED, leg)
        for leg in self._of(events, OrderFilled):
            self._crash.reach(Point.FILLED, leg)
        return answer

    def _of(self, events: Sequence[Event], kind: type[Any]) -> list[str]:
        found = [event for event in events if isinstance(event, kind)]
        return [self._legs.get(event.client_order_id, "") for event in found]
