"""All services in one process over memory: the ring of a backtest, and of a replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import EventStore, Reactor
from nexus_common.runtime.ring import SLOTS, Mark, Token, following, marks_of
from nexus_common.runtime.seat import Seat


@dataclass(frozen=True, slots=True)
class Place:
    """One service at the local ring."""

    reactor: Reactor
    desk: WorkDesk
    seat: Seat


def place(reactor: Reactor, store: EventStore, *, keep_commands: bool = True) -> Place:
    desk = WorkDesk(store, reactor.service.value, reactor.observe, keep_commands=keep_commands)
    return Place(reactor, desk, Seat(reactor, desk, store, topology.owned_by(reactor.service), 0))


class LocalRing:
    """Passes the token around until a round brings nothing new. Same slots, same rules as over the bus."""

    def __init__(self, places: Mapping[Service, Place]) -> None:
        self._places = places

    def hear(self, recorded: Iterable[Recorded[Event]]) -> None:
        for each in recorded:
            for there in self._places.values():
                there.seat.hear(each)

    async def step(self, at: datetime, recorded: Sequence[Recorded[Event]]) -> tuple[Mark, ...]:
        """One market instant, whose events ingest has recorded; returns the marks of all its events."""
        self.hear(recorded)
        marks = marks_of(recorded)
        token = Token.first(at, recorded[0].global_position, 0, marks)
        while True:
            back = await self._round(token)
            if back.produced == token.produced:
                return back.produced
            token = token.next_round(back.produced)

    async def _round(self, token: Token) -> Token:
        slot: int | None = 0
        while slot is not None:
            turn = replace(token, slot=slot)
            there = self._places.get(SLOTS[slot])
            token = turn if there is None else await self._turn(there, turn)
            slot = following(slot, token)
        return token

    async def _turn(self, there: Place, token: Token) -> Token:
        taken, recorded = await there.seat.take_turn(token)
        self.hear(recorded)
        return taken
