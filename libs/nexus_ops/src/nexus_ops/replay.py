"""Decides a recorded run again, into an empty store, and compares hash by hash.

Every stored command goes through its decider once more, in the order of the record. Signals are not taken
from the record: cortex itself runs again on the recorded candles, strategies and all. Nothing here can reach
a venue or a person; there is no client to do it with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from nexus_common.contracts.beat import Beat
from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.envelope import (
    Envelope,
    Recorded,
    SealedCommand,
    category_of,
    encode,
    open_command,
    seal_events,
)
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import EventStore, Reactor, Turn
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.handlers import CortexReactor
from nexus_ops.deciders import DECIDERS
from nexus_ops.decisions import PAGE, events_of
from nexus_ops.recorded_models import read_as_recorded

Progress = Callable[[int], None]
Take = Callable[[Sequence[Envelope[Event]]], None]
RERUN = ("signal",)
BEAT = "beat"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first place, in the order of the record, where deciding again gave something else."""

    stream: str
    position: int
    global_position: int | None
    recorded: str | None
    replayed: str | None

    def describe(self) -> str:
        if self.replayed is None:
            return f"{self.stream} position {self.position}: recorded, but not decided again"
        if self.recorded is None:
            return f"{self.stream} position {self.position}: decided now, but not in the record"
        return f"{self.stream} position {self.position} (event {self.global_position}): decided differently"

    def to_json(self) -> dict[str, object]:
        """Both bodies, so that one can see what differs."""
        return {
            "stream": self.stream,
            "position": self.position,
            "global_position": self.global_position,
            "what": self.describe(),
            "recorded": None if self.recorded is None else orjson.loads(self.recorded),
            "replayed": None if self.replayed is None else orjson.loads(self.replayed),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay found: how much was decided again, and where it first differed."""

    events: int
    commands: int
    candles: int
    divergence: Divergence | None

    @property
    def equal(self) -> bool:
        return self.divergence is None


class _Replayed:
    """The bodies that deciding again gave, by stream."""

    def __init__(self) -> None:
        self._bodies: dict[str, list[str]] = {}
        self._states: dict[str, object] = {}

    def decide(self, decider: AnyDecider, sealed: SealedCommand) -> None:
        opened = open_command(sealed)
        state = self._states.get(sealed.stream, decider.initial)
        events = decider.decide(opened.command, state)
        envelopes = seal_events(
            events,
            consumer=opened.consumer,
            stream=sealed.stream,
            version=len(self._bodies.get(sealed.stream, ())),
            at=opened.command.at,
            cause=sealed.causation_id,
            correlation=opened.correlation_id,
            account=opened.account,
        )
        self._states[sealed.stream] = decider.fold(events, state)
        self.add(envelopes)

    def add(self, envelopes: Sequence[Envelope[Event]]) -> None:
        for envelope in envelopes:
            self._bodies.setdefault(envelope.stream, []).append(encode(envelope))

    def body(self, stream: str, position: int) -> str | None:
        bodies = self._bodies.get(stream, ())
        return bodies[position - 1] if position <= len(bodies) else None

    def beyond(self, recorded: dict[str, int]) -> Divergence | None:
        """The first stream on which more was decided now than is on record."""
        for stream in sorted(self._bodies):
            known = recorded.get(stream, 0)
            if len(self._bodies[stream]) > known:
                return Divergence(stream, known + 1, None, None, self._bodies[stream][known])
        return None


async def replay(store: EventStore, cortex: Reactor, progress: Progress = lambda count: None) -> Outcome:
    """Decide everything in `store` again. `cortex` is a fresh reactor with the settings to replay with."""
    replayed = _Replayed()
    commands = await _decide_again(store, replayed, progress)
    candles = await rerun_cortex(store, cortex, replayed.add)
    return await _compare(store, replayed, commands, candles)


async def _decide_again(store: EventStore, replayed: _Replayed, progress: Progress) -> int:
    count, after = 0, 0
    while page := await store.commands(after, PAGE):
        for number, sealed in page:
            after = number
            category = category_of(sealed.stream)
            if category not in RERUN:
                replayed.decide(DECIDERS[category], sealed)
                count += 1
        progress(len(page))
    return count


async def rerun_cortex(store: EventStore, cortex: Reactor, take: Take) -> int:
    """Cortex takes its turn behind the events of each step, as it did in the run; `take` gets what it records.

    Returns how many recorded candles it heard.

    A live step begins with a beat that carries its time; a played one lasts as long as its instant. Whatever
    closes in a step, on any timeframe, is judged at its one turn. Regimes are read by the models of the record.
    """
    if isinstance(cortex, CortexReactor):
        await read_as_recorded(store, cortex)
    memory = MemoryStore()
    desk = WorkDesk(memory, Service.CORTEX.value, cortex.observe, keep_commands=False)
    heard = sorted({*cortex.listens, BEAT} - set(RERUN))
    batch: list[Recorded[Event]] = []
    candles = 0

    async def turn(at: datetime) -> None:
        events = [recorded.envelope for recorded in batch]
        await cortex.react(Turn(at, batch[0].global_position, 0, 1, 2), desk.begin(events), desk)
        await desk.commit()
        again = [recorded.envelope for recorded in desk.take_recorded()]
        take([envelope for envelope in again if envelope.category in RERUN])
        batch.clear()

    beat: datetime | None = None
    closed_at: datetime | None = None
    async for recorded in events_of(store, heard):
        if isinstance(recorded.event, Beat):
            if closed_at is not None:
                await turn(closed_at)
            beat, closed_at = recorded.event.at, None
            continue
        if closed_at is not None and recorded.envelope.occurred_at > closed_at:
            await turn(closed_at)
            closed_at = None
        elif closed_at is not None and recorded.envelope.category not in _OF_A_STEP:
            # A session event of the same instant came behind cortex's turn.
            await turn(closed_at)
            closed_at = None
        cortex.observe(recorded.envelope)
        batch.append(recorded)
        if recorded.event.type == "market.candles_closed":
            closed_at = beat or recorded.envelope.occurred_at
            candles += len(getattr(recorded.event, "candles", ()))
    if closed_at is not None:
        await turn(closed_at)
    return candles


_OF_A_STEP = frozenset(topology.owned_by(Service.INGEST))


async def _compare(store: EventStore, replayed: _Replayed, commands: int, candles: int) -> Outcome:
    counts: dict[str, int] = {}
    events = 0
    first: Divergence | None = None
    async for recorded in events_of(store, sorted({*DECIDERS, *RERUN})):
        envelope = recorded.envelope
        counts[envelope.stream] = envelope.position
        events += 1
        if first is None:
            body = replayed.body(envelope.stream, envelope.position)
            if body != recorded.body:
                first = Divergence(
                    envelope.stream, envelope.position, recorded.global_position, recorded.body, body
                )
    return Outcome(events, commands, candles, first or replayed.beyond(counts))
