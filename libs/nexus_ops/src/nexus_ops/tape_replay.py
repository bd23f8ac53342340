"""Decodes a tape's frames again, watches the market again, and compares what follows with the record.

Every output of the watch goes through the decider that recorded it then, from the state its stream had when the
run began. Events are compared by their payloads, stream by stream and in order. At the end of a run one side may
have more: a crash comes between taking an input, writing the tape and recording what follows. Since all is recorded
in the order in which it followed, nothing that both sides have may come behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, get_args

import orjson

from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.feed import (
    ClockOff,
    FeedLost,
    FeedRestored,
    FoldDiffers,
    FramesRefused,
    GapFilled,
    GapFound,
    PriceDoubted,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.market import (
    CandleCorrected,
    CandlesClosed,
    FundingSettled,
    TradingHalted,
    TradingResumed,
)
from nexus_common.contracts.message import Event
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import EventStore
from nexus_data.tape import Tape
from nexus_ingest.adapters.tape_watch import Conditions, Happened, Hole, TapeWatch
from nexus_ingest.domain.candle_stream import MARKET
from nexus_ingest.domain.feed import FEED
from nexus_ingest.live.recording import Known, request_of
from nexus_ops.decisions import events_of

# The tape lacks the seconds before a crash; candles, of which there may be nothing else, come every minute.
TAIL: Final = timedelta(seconds=75)
# What follows from the tape alone. The rest of these streams (listings, hours, the tape's own facts) is asked for.
COMPARED: Final = (
    *(CandlesClosed, CandleCorrected, FundingSettled, TradingHalted, TradingResumed),
    *(FeedLost, FeedRestored, GapFound, GapFilled, StreamSilent, StreamHeard),
    *(FramesRefused, PriceDoubted, ClockOff, FoldDiffers),
)
DECIDERS: Final[Mapping[str, AnyDecider]] = {"market": MARKET, "feed": FEED}
Progress = Callable[[int, datetime], None]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first event that is another one now, or is missing on a side."""

    what: str
    stream: str
    recorded: Mapping[str, object] | None
    replayed: Mapping[str, object] | None

    def to_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "stream": self.stream,
            "recorded": self.recorded,
            "replayed": self.replayed,
        }


@dataclass(slots=True)
class Outcome:
    """What a replay of the tape found. `one_sided` counts events at the end of runs that only one side has.

    `since` is set where the first run's beginning is gone, and it was taken up in its middle; `skipped` counts the
    inputs before.
    """

    inputs: int = 0
    skipped: int = 0
    since: datetime | None = None
    frames: int = 0
    runs: int = 0
    events: int = 0
    candles: int = 0
    one_sided: int = 0
    divergence: Divergence | None = None
    digest: Any = field(default_factory=sha256)

    @property
    def equal(self) -> bool:
        return self.divergence is None

    def to_json(self) -> dict[str, object]:
        return {
            "inputs": self.inputs,
            "skipped": self.skipped,
            "since": None if self.since is None else self.since.isoformat(),
            "frames": self.frames,
            "runs": self.runs,
            "events": self.events,
            "candles": self.candles,
            "one_sided": self.one_sided,
            "replay_equal": self.equal,
            "first_divergence": None if self.divergence is None else self.divergence.to_json(),
            "events_hash": self.digest.hexdigest(),
        }


class _Record:
    """The recorded events of one run by stream, and the streams' states when it began."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.waiting: dict[str, deque[Recorded[Event]]] = {}

    def before(self, recorded: Recorded[Event]) -> None:
        envelope = recorded.envelope
        decider = DECIDERS[envelope.category]
        state = self.states.get(envelope.stream, decider.initial)
        self.states[envelope.stream] = decider.evolve(state, envelope.event)

    def during(self, recorded: Recorded[Event]) -> None:
        if isinstance(recorded.event, COMPARED):
            self.waiting.setdefault(recorded.envelope.stream, deque()).append(recorded)


async def replay_tape(tape: Tape, store: EventStore, progress: Progress = lambda count, at: None) -> Outcome:
    """Compare the whole tape with the record; stops at the first divergence.

    Raises:
        ConfigurationError: the tape has no run from its beginning on.
    """
    watching = TapeWatch(tape)
    comparing = _Comparing([each async for each in events_of(store, sorted(DECIDERS))], watching.heads())
    for step in watching.run():
        match step:
            case Conditions():
                comparing.begin(step)
            case Hole():
                comparing.outcome.divergence = Divergence(str(step), "", None, None)
            case Happened():
                comparing.compare(step)
                if watching.inputs % 10_000 == 0:
                    progress(watching.inputs, step.at)
        if not comparing.outcome.equal:
            break
    comparing.end()
    comparing.outcome.inputs, comparing.outcome.frames = watching.inputs, watching.frames
    comparing.outcome.skipped, comparing.outcome.since = watching.skipped, watching.since
    return comparing.outcome


class _Comparing:
    """One run after the other. `heads` says where the record stood as each of them began."""

    def __init__(self, recorded: Sequence[Recorded[Event]], heads: Sequence[int]) -> None:
        if not heads:
            raise ConfigurationError(
                "no run begins on this tape: its segments were dropped, or frames were not taped "
                "(feeds.tape_frames)"
            )
        self.outcome = Outcome()
        self._recorded = recorded
        self._heads = heads
        self._run = _Record()
        self._last: Recorded[Event] | None = None
        # What was decided now and found no counterpart, and how many had found one by then.
        self._beyond: list[tuple[int, str, Event]] = []

    def begin(self, conditions: Conditions) -> None:
        self.end()
        self.outcome.runs += 1
        self._run = _Record()
        ends = self._heads[self.outcome.runs] if self.outcome.runs < len(self._heads) else None
        for each in self._recorded:
            if each.global_position <= conditions.head:
                self._run.before(each)
            elif ends is None or each.global_position <= ends:
                self._run.during(each)

    def compare(self, happened: Happened) -> None:
        for output in happened.outputs:
            if isinstance(output, get_args(Known)):
                self._decide(output, happened)

    def _decide(self, output: Any, happened: Happened) -> None:
        request = request_of(output, happened.at)
        stream = f"{request.decider.category}-{request.key}"
        state = self._run.states.get(stream, request.decider.initial)
        events = request.decider.decide(request.command, state)
        self._run.states[stream] = request.decider.fold(events, state)
        for event in events:
            self._expect(stream, event, happened)

    def _expect(self, stream: str, event: Event, happened: Happened) -> None:
        waiting = self._run.waiting.get(stream)
        if not waiting:
            self._beyond.append((self.outcome.events, stream, event))
            return
        recorded = waiting.popleft()
        event = _as_taken(event, recorded.event)
        if _payload(recorded.event) != _payload(event):
            what = f"{_place(recorded)}: input {happened.sequence} of the tape leads to something else"
            self._diverge(what, stream, recorded.event, event)
            return
        if self._last is None or recorded.global_position > self._last.global_position:
            self._last = recorded
        self.outcome.digest.update(sha256(stream.encode() + b"\0" + _payload(event)).digest())
        self.outcome.events += 1
        self.outcome.candles += len(event.candles) if isinstance(event, CandlesClosed) else 0

    def end(self) -> None:
        """What is left on one side only has to belong to the last moments of the run."""
        if self.outcome.equal:
            self._end_beyond()
        if self.outcome.equal:
            self._end_waiting()
        self._beyond, self._last = [], None

    def _end_beyond(self) -> None:
        for matched, stream, event in self._beyond:
            if matched < self.outcome.events:
                self._diverge(f"{stream}: decided now, but not in the record", stream, None, event)
        self.outcome.one_sided += len(self._beyond)

    def _end_waiting(self) -> None:
        left = [recorded for waiting in self._run.waiting.values() for recorded in waiting]
        left.sort(key=lambda recorded: recorded.global_position)
        last = self._last or (left[0] if left else None)
        for recorded in left:
            assert last is not None
            came_before = recorded.global_position < last.global_position
            if came_before or recorded.recorded_at > last.recorded_at + TAIL:
                what = f"{_place(recorded)}: recorded, but does not follow from the tape"
                self._diverge(what, recorded.envelope.stream, recorded.event, None)
        self.outcome.one_sided += len(left)

    def _diverge(self, what: str, stream: str, recorded: Event | None, replayed: Event | None) -> None:
        if self.outcome.divergence is None:
            self.outcome.divergence = Divergence(what, stream, _shown(recorded), _shown(replayed))


def _as_taken(event: Event, recorded: Event) -> Event:
    """Candles that had waited for a step for too long were put on record as late, which no tape can tell."""
    if isinstance(event, CandlesClosed) and isinstance(recorded, CandlesClosed) and recorded.late:
        return event.model_copy(update={"late": True})
    return event


def _place(recorded: Recorded[Event]) -> str:
    envelope = recorded.envelope
    return f"{envelope.stream} position {envelope.position} (event {recorded.global_position})"


def _payload(event: Event) -> bytes:
    return orjson.dumps({"type": event.type, **event.payload()}, option=orjson.OPT_SORT_KEYS)


def _shown(event: Event | None) -> dict[str, object] | None:
    return None if event is None else {"type": event.type, **event.payload()}
