"""A service small enough to see through: it answers each macro reading with one event of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.envelope import Envelope, Recorded
from nexus_common.contracts.guard import GuardReleased, ReleaseGuard
from nexus_common.contracts.ids import NEXUS, derived, timer_id
from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Desk, EventStore, Turn
from nexus_common.runtime.ring import Token, marks_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _release(command: ReleaseGuard, said: tuple[str, ...]) -> Sequence[GuardReleased]:
    return [] if command.reason in said else [GuardReleased(reason=command.reason)]


def _said(said: tuple[str, ...], event: GuardReleased) -> tuple[str, ...]:
    return (*said, event.reason)


ECHO: Decider[ReleaseGuard, tuple[str, ...], GuardReleased] = Decider("guard", (), _release, _said)
READINGS: Decider[RecordMacro, int, MacroRead] = Decider(
    "macro", 0, lambda command, count: [command.reading], lambda count, event: count + 1
)


def ignore(envelope: Envelope[Event]) -> None:
    """Nothing to remember."""


class Echo:
    """Stands where shield does. Says each number it reads, once, into `guard-crypto`."""

    service = Service.SHIELD

    def __init__(self, listens: Mapping[str, int | None] | None = None) -> None:
        self.listens: Mapping[str, int | None] = listens or {"macro": None, "guard": None}
        self.observed: list[Envelope[Event]] = []
        self.batches: list[list[Envelope[Event]]] = []
        self.turns: list[Turn] = []
        self.resumed = 0

    @property
    def heard(self) -> list[int]:
        """The numbers observed, in their order."""
        return [_number(e) for e in self.observed if isinstance(e.event, MacroRead)]

    @property
    def handed(self) -> list[list[int]]:
        """The numbers of each turn's batch."""
        return [[_number(envelope) for envelope in batch] for batch in self.batches]

    def observe(self, envelope: Envelope[Event]) -> None:
        self.observed.append(envelope)

    async def resume(self, desk: Desk) -> None:
        self.resumed += 1

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        self.turns.append(turn)
        self.batches.append(list(batch))
        for envelope in batch:
            command = ReleaseGuard(str(_number(envelope)), turn.at)
            await desk.handle(ECHO, "crypto", command, cause=envelope.event_id)


def _number(envelope: Envelope[Event]) -> int:
    assert isinstance(envelope.event, MacroRead)
    return envelope.event.fear_greed or 0


class Readings:
    """Ingest's part: puts numbers on record, each a macro reading on `macro-{key}`."""

    def __init__(self, store: EventStore) -> None:
        self._desk = WorkDesk(store, Service.INGEST.value, ignore, keep_commands=False)

    async def add(self, *numbers: int, key: str = "global") -> Sequence[Recorded[Event]]:
        for number in numbers:
            at = NOON + timedelta(minutes=number)
            reading = MacroRead(known_at=at, fear_greed=number)
            await self._desk.handle(
                READINGS, key, RecordMacro(at, reading), cause=timer_id(f"macro/{key}", at)
            )
        await self._desk.commit()
        return self._desk.take_recorded()


def token_of(recorded: Sequence[Recorded[Event]], *, slot: int = 1, round: int = 1, epoch: int = 1) -> Token:
    """The token of a step that these events are, at one of shield's turns."""
    marks = marks_of(recorded)
    first = Token.first(recorded[0].envelope.occurred_at, marks[0][0], epoch, marks)
    return replace(first, round=round, slot=slot)


CAUSE = derived(NEXUS, "a cause")
