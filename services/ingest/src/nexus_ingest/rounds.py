"""The token's way round the services, over the bus, until a round brings nothing new."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Bus
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import SLOTS, Mark, Token
from nexus_common.runtime.trace import Trace

ASK_AGAIN_SECONDS = 1.0
log = get_logger(__name__)


class Rounds:
    """Ingest's end of the ring: sends the token of a step and takes it back, as often as it takes."""

    def __init__(self, bus: Bus, relay: Relay, epoch: int, instance: int, trace: Trace) -> None:
        self._bus = bus
        self._relay = relay
        self._epoch = epoch
        self._instance = instance
        self._trace = trace
        self._returned: asyncio.Queue[Token] = asyncio.Queue()

    async def listen(self) -> None:
        """Take tokens that come back, until cancelled; to be run beside `go`."""
        durable = topology.durable(Service.INGEST, self._instance)
        async for delivery in self._bus.deliveries(durable, [topology.turn_subject(Service.INGEST)]):
            try:
                self._returned.put_nowait(Token.from_bytes(delivery.data))
            except ValueError as error:
                await self._bus.park(delivery, str(error))
                continue
            await self._bus.ack([delivery])

    async def go(self, at: datetime, marks: Sequence[Mark]) -> None:
        """Have everybody take the turns of the step of which ingest has recorded `marks`.

        Raises:
            InvariantBroken: the services answer each other without end.
        """
        token = Token.first(at, marks[0][0], self._epoch, tuple(marks))
        while True:
            self._trace.point(f"waiting for round {token.round}")
            back = await self._round(token)
            if back.produced == token.produced:
                return
            token = token.next_round(back.produced)

    async def _round(self, token: Token) -> Token:
        await self._ask(token)
        while True:
            try:
                # Unlike wait_for this never takes a cancellation for its own.
                async with asyncio.timeout(ASK_AGAIN_SECONDS):
                    back = await self._returned.get()
            except TimeoutError:
                # A service is away, or the bus lost the token: who has answered answers again.
                await self._ask(token)
                continue
            if (back.epoch, back.position, back.round) == (token.epoch, token.position, token.round):
                return back

    async def _ask(self, token: Token) -> None:
        try:
            await self._relay.publish((), [(topology.turn_subject(SLOTS[0]), token.to_bytes(), {}, "")])
        except BusUnavailable as error:
            log.warning("bus does not answer", reason=str(error))
