"""A service's seat at the ring: what it has heard, whose turn it is, what it answers. No bus, no clock.

Both runners use it: six processes over JetStream, and one process over memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import EventStore, Reactor
from nexus_common.runtime.ring import Mark, Token, marks_of

PAGE = 1_000


class Seat:
    """Takes turns for one reactor.

    `observed_up_to` is the global position that recall has reached: what lies at or below it has been
    observed already.
    """

    def __init__(
        self, reactor: Reactor, desk: WorkDesk, store: EventStore, own: Sequence[str], observed_up_to: int
    ) -> None:
        self._reactor = reactor
        self._desk = desk
        self._store = store
        self._own = frozenset(own)
        self._foreign = frozenset(reactor.listens) - self._own
        self._observed_up_to = observed_up_to
        self._heard: dict[int, Recorded[Event]] = {}
        self._taken: set[int] = set()
        self._produced: list[Mark] = []
        self._step = 0
        self._recovering = True

    def hear(self, recorded: Recorded[Event]) -> None:
        """An event came over the bus; repeats and what concerns others are dropped.

        What lies before the step was observed in its own: the bus repeats it after a loss.
        """
        position = recorded.global_position
        known = position < self._step or position in self._taken
        if recorded.envelope.category in self._foreign and not known:
            self._heard[position] = recorded

    async def take(self, token: Token) -> Token:
        """Take the turn: hear what the bus lost, observe, react, commit. Returns the token with our marks."""
        await self._enter(token)
        await self._fill_holes(token.produced)
        turn = sorted(self._heard.items())
        for position, recorded in turn:
            if position > self._observed_up_to:
                self._reactor.observe(recorded.envelope)
        self._taken.update(position for position, _ in turn)
        self._heard.clear()
        # What lies before the step was settled in its own step, or is there to be observed only.
        batch = self._desk.begin([r.envelope for position, r in turn if position >= token.position])
        await self._reactor.react(token.turn, batch, self._desk)
        await self._desk.commit()
        return token.plus(self._produced)

    async def take_turn(self, token: Token) -> tuple[Token, Sequence[Recorded[Event]]]:
        """Take the turn, and account for what it recorded: the token with all our marks, and those events."""
        taken = await self.take(token)
        recorded = self._desk.take_recorded()
        self.committed(recorded)
        return taken.plus(marks_of(recorded)), recorded

    def committed(self, recorded: Iterable[Recorded[Event]]) -> None:
        """Remember our own events as part of the step."""
        self._produced.extend(marks_of(recorded))

    async def _enter(self, token: Token) -> None:
        if token.position != self._step:
            self._step = token.position
            self._produced = [mark for mark in self._produced if mark[0] >= token.position]
            self._taken = {position for position in self._taken if position >= token.position}
        if self._recovering:
            # A process that died in this step may have recorded events that nobody was told of.
            self._recovering = False
            await self._fill_gap(token.position)
            self._produced = await self._own_since(token.position)

    async def _own_since(self, step: int) -> list[Mark]:
        """All of them, however many: a mark left out would never be heard by the others."""
        marks: list[Mark] = []
        after = step - 1
        while page := await self._store.read_categories(sorted(self._own), after, limit=PAGE):
            marks.extend(marks_of(page))
            after = page[-1].global_position
        return marks

    async def _fill_gap(self, step: int) -> None:
        """What was recorded after recall had looked and before the first step that we take part in."""
        after = self._observed_up_to
        while page := await self._store.read_categories(sorted(self._foreign), after, step - 1, PAGE):
            for recorded in page:
                self._heard[recorded.global_position] = recorded
            after = page[-1].global_position

    async def _fill_holes(self, marks: Sequence[Mark]) -> None:
        missing = [
            position
            for position, category in marks
            if category in self._foreign and position not in self._heard and position not in self._taken
        ]
        if missing:
            for recorded in await self._store.read_positions(missing):
                self._heard[recorded.global_position] = recorded
