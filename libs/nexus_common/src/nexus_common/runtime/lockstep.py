"""Six processes in step: a service hears events and tokens over the bus, takes its turns, passes the token on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from nexus_common.contracts.envelope import Recorded, decode
from nexus_common.contracts.message import Event, UnknownMessage
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Bus, Delivery, Reactor
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import SLOTS, Token, following
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.trace import Trace

RETRY_SECONDS = 0.2
log = get_logger(__name__)


class Lockstep:
    """The consumer loop of a service that lives in lock step with the others.

    `newest` is the global position of the last market event on record at the start.
    """

    def __init__(
        self,
        reactor: Reactor,
        seat: Seat,
        desk: WorkDesk,
        bus: Bus,
        relay: Relay,
        instance: int,
        trace: Trace,
        parts: Callable[[], Sequence[int]] = tuple,
        parts_total: int = 0,
        newest: int = 0,
    ) -> None:
        self._reactor = reactor
        self._service: Service = reactor.service
        self._seat = seat
        self._desk = desk
        self._bus = bus
        self._relay = relay
        self._instance = instance
        self._trace = trace
        self._parts = parts
        self._parts_total = parts_total
        self._joining: dict[tuple[int, int, int, int], Token] = {}
        self._answers: dict[tuple[int, int, int, int], Token] = {}
        self._answered_parts: tuple[int, ...] = ()
        self._epoch = 0
        self._step = 0
        self._newest = newest

    async def run(self) -> None:
        """Settle what was left open, then take turns until cancelled."""
        self._trace.point("resuming")
        await self._reactor.resume(self._desk)
        await self._desk.commit()
        await self._publish_recorded()
        self._trace.idle()
        durable = topology.durable(self._service, self._instance)
        unacked: list[Delivery] = []
        async for delivery in self._bus.deliveries(
            durable, topology.subjects_of(self._service, self._reactor.listens)
        ):
            unacked.append(delivery)
            token = await self._hear(delivery, unacked)
            if token is None:
                continue
            await self._on_token(token)
            await self._bus.ack(unacked)
            unacked.clear()

    async def _hear(self, delivery: Delivery, unacked: list[Delivery]) -> Token | None:
        try:
            if delivery.subject == topology.turn_subject(self._service):
                return Token.from_bytes(delivery.data)
            self._seat.hear(recorded_from(delivery))
        except (ValueError, UnknownMessage) as error:
            unacked.remove(delivery)
            log.error("message parked", subject=delivery.subject, reason=str(error))
            await self._bus.park(delivery, str(error))
        return None

    async def _on_token(self, token: Token) -> None:
        if token.epoch < self._epoch or token.position < self._step or self._is_history(token):
            return
        self._epoch = token.epoch
        if token.position > self._step:
            self._step = token.position
            self._answers.clear()
            self._joining.clear()
        parts = tuple(self._parts())
        if parts != self._answered_parts:
            # We own other partitions than when we answered: the answers did not speak for them.
            self._answers.clear()
            self._desk.forget_all()
            self._answered_parts = parts
        joined = self._joining.get(token.key)
        token = token if joined is None else joined.joined(token)
        self._joining[token.key] = token
        if not token.is_complete:
            return
        answer = self._answers.get(token.key)
        if answer is None:
            answer = await self._take(token, parts)
            self._answers[token.key] = answer
        else:
            await self._pass(answer)

    def _is_history(self, token: Token) -> bool:
        """A new consumer hears old tokens too: of steps before the newest one on record when we started."""
        return bool(token.produced) and token.produced[-1][0] < self._newest

    async def _take(self, token: Token, parts: tuple[int, ...]) -> Token:
        self._trace.turn(token)
        taken, recorded = await self._seat.take_turn(token)
        answer = pass_on(taken, parts, self._parts_total)
        self._trace.point("committed" if recorded else "decided")
        await self._pass(answer, recorded)
        self._trace.idle()
        return answer

    async def _pass(self, answer: Token, recorded: Sequence[Recorded[Event]] = ()) -> None:
        """Events first, the token behind them on the same stream; both again until the bus has taken them."""
        subject = topology.turn_subject(receiver(answer))
        name = "/".join(map(str, (self._service, self._instance, *answer.key)))
        while True:
            try:
                await self._relay.publish(recorded, [(subject, answer.to_bytes(), {}, "")])
            except BusUnavailable as error:
                log.warning("bus does not answer", reason=str(error), turn=name)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            return

    async def _publish_recorded(self) -> None:
        recorded = self._desk.take_recorded()
        if not recorded:
            return
        self._seat.committed(recorded)
        try:
            await self._relay.publish(recorded, [])
        except BusUnavailable as error:
            log.warning("bus does not answer", reason=str(error))


def pass_on(token: Token, parts: Sequence[int], parts_total: int) -> Token:
    """The token for whoever is next, speaking for the sender's partitions."""
    slot = following(token.slot, token)
    slot = len(SLOTS) if slot is None else slot
    return replace(token, slot=slot, parts=tuple(parts), parts_total=parts_total)


def receiver(token: Token) -> Service:
    """Who takes the turn: the slot's service, or ingest when the round is over."""
    return SLOTS[token.slot] if token.slot < len(SLOTS) else Service.INGEST


def recorded_from(delivery: Delivery) -> Recorded[Event]:
    """An event as it came over the bus. What only the store knows (the chain) is not on the bus.

    Raises ValueError or UnknownMessage when the message cannot be read.
    """
    try:
        position = int(delivery.headers[topology.POSITION_HEADER])
        recorded_at = datetime.fromisoformat(delivery.headers[topology.RECORDED_AT_HEADER])
    except (KeyError, ValueError) as error:
        raise ValueError(f"an event without its position and time: {error!r}") from error
    body = delivery.data.decode()
    return Recorded(decode(body), body, position, recorded_at, "", b"")
