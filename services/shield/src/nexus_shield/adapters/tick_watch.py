"""Listens to the reference market's ticks beside the turns, and asks for a turn when they show a fall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, Protocol

import msgspec

from nexus_common.contracts.tick import PriceAnswer, TickBatch
from nexus_common.contracts.values import Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.log import get_logger
from nexus_shield.domain.market_view import REFERENCE
from nexus_shield.domain.tick_fall import TickFalls
from nexus_shield.domain.tick_findings import AskVenue, Confirmed, Dropped, Finding, Quote, Unconfirmed

ANSWER_SECONDS: Final = 5.0
log = get_logger(__name__)


class Asking(Protocol):
    """What is needed of a bus."""

    async def say(self, subject: str, data: bytes) -> None: ...

    async def ask(self, subject: str, data: bytes, timeout: float) -> bytes: ...


class Ticks(Protocol):
    @property
    def missed(self) -> int: ...

    def __aiter__(self) -> AsyncIterator[TickBatch]: ...


class TickWatch:
    """Feeds `falls` with what is heard. `find` takes what the next turn is to put on record.

    `speed` is how many seconds of the market pass in one of ours.
    """

    def __init__(
        self,
        bus: Asking,
        ticks: Ticks,
        falls: TickFalls,
        find: Callable[[Confirmed | Unconfirmed], None],
        speed: float = 1.0,
    ) -> None:
        self.heard = 0
        self.unusable = 0
        self._bus = bus
        self._ticks = ticks
        self._falls = falls
        self._find = find
        self._speed = speed
        self._missed = 0
        self._newest = (0, time.monotonic())
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as self._works:
            try:
                async for batch in self._ticks:
                    self._take(batch)
                    self._set_timer()
            finally:
                self._stop_timer()

    def _take(self, batch: TickBatch) -> None:
        heard, venue = batch.received, batch.venue
        self._newest = (heard, time.monotonic())
        if self._ticks.missed != self._missed:
            self._missed = self._ticks.missed
            self._falls.missed()
        # What the venue says of its mark price at the same moment may deny the trades, or bear them out.
        mark = None if batch.mark is None else self._price(batch.mark.mark_price)
        if batch.mark is not None and mark is not None:
            self._act(self._falls.mark(venue, mark, batch.mark.at, heard))
        for trade in batch.trades:
            price = self._price(trade.price)
            if price is not None:
                self.heard += 1
                self._act(self._falls.trade(venue, trade.number, price, trade.at, heard))

    def _price(self, text: str) -> Decimal | None:
        try:
            price = Decimal(text)
        except InvalidOperation:
            price = Decimal(0)
        if price.is_finite() and price > 0:
            return price
        self.unusable += 1
        return None

    def _act(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            match finding:
                case Confirmed(evidence=evidence):
                    log.warning(
                        "a fall is confirmed", by=evidence.confirmed_by, percent=evidence.fall_percent
                    )
                    self._tell(finding)
                case Unconfirmed(candidate=candidate, reason=reason):
                    log.warning("a fall is not confirmed", venue=candidate.venue, reason=reason)
                    self._tell(finding)
                case Dropped(candidate=candidate):
                    log.info(
                        "a bad print",
                        venue=candidate.venue,
                        trade=candidate.trade,
                        price=candidate.fell_to.price,
                    )
                case AskVenue(venue=venue):
                    self._works.create_task(self._ask(venue))

    def _tell(self, finding: Confirmed | Unconfirmed) -> None:
        self._find(finding)
        self._works.create_task(self._nudge())

    async def _nudge(self) -> None:
        try:
            await self._bus.say(topology.NUDGE, b"")
        except BusUnavailable as error:
            log.warning("no turn can be asked for; the next beat brings one", reason=str(error))

    async def _ask(self, venue: Venue) -> None:
        """What the venue answers is evidence; no answer is none."""
        try:
            data = await self._bus.ask(topology.price_question(venue), REFERENCE.encode(), ANSWER_SECONDS)
            answer = msgspec.msgpack.decode(data, type=PriceAnswer)
        except (BusUnavailable, msgspec.MsgspecError) as error:
            answer = PriceAnswer(problem=f"{venue} could not be asked: {error}")
        price = None if answer.problem else self._price(answer.price)
        mark = None if answer.mark_price is None else self._price(answer.mark_price)
        # Its last trade may be the very print that is asked about: a mark price that cannot be read denies it.
        if price is None or (mark is None and answer.mark_price is not None):
            said = f"{answer.price[:40]!r}, mark price {str(answer.mark_price)[:40]!r}"
            self._act(
                self._falls.unanswered(venue, answer.problem or f"{venue}, asked, says {said}", self._now())
            )
            return
        self._act(self._falls.answered(venue, Quote(price, answer.at, mark), self._now()))

    # -- time -------------------------------------------------------------------------------------------

    def _now(self) -> int:
        """The market's time by our clock, ms."""
        heard, at = self._newest
        return heard + round((time.monotonic() - at) * 1_000 * self._speed)

    def _set_timer(self) -> None:
        """Anew each time: what was heard last may be due before what was waited for."""
        self._stop_timer()
        due = self._falls.deadline()
        if due is not None:
            wait = max(0.0, (due - self._now()) / 1_000 / self._speed)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._act(self._falls.passed(self._now()))
        self._set_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
