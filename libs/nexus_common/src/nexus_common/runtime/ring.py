"""The order of work within one market instant, and when the instant is over. Pure; all runners obey it.

A step is one market instant. Its turns go round the ring: executor hears the exchange, shield hears the
fills, cortex sees the close, shield judges the signals, executor acts on the verdicts, telegram and scheduler
follow. Rounds repeat until one passes in which nobody recorded anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service, format_instant
from nexus_common.runtime.ports import Turn

SLOTS: Final = (
    Service.EXECUTOR,
    Service.SHIELD,
    Service.CORTEX,
    Service.SHIELD,
    Service.EXECUTOR,
    Service.TELEGRAM,
    Service.SCHEDULER,
)
JUDGING: Final = 3  # shield's second turn: all signals of the instant are in
ACTING: Final = 4  # executor's second turn
ROUNDS_MAX: Final = 50


Mark = tuple[int, str]  # the global position of an event and its category


def marks_of(recorded: Iterable[Recorded[Event]]) -> tuple[Mark, ...]:
    return tuple((each.global_position, each.envelope.category) for each in recorded)


@dataclass(frozen=True, slots=True)
class Token:
    """The right to take a turn in the step whose first event stands at global `position`.

    `produced` marks every event of the step so far, ingest's own (`base` of them) included: who takes the
    turn makes sure to have heard them, from the store where the bus lost them. A token asked again (same
    epoch, step, round and slot) is answered again without working again. `parts` are the partitions that the
    sender speaks for, out of `parts_total`; the next one waits until all have spoken.
    """

    at: datetime
    position: int
    epoch: int
    round: int
    slot: int
    base: int
    produced: tuple[Mark, ...]
    parts: tuple[int, ...] = ()
    parts_total: int = 0

    @property
    def key(self) -> tuple[int, int, int, int]:
        return self.epoch, self.position, self.round, self.slot

    @property
    def turn(self) -> Turn:
        return Turn(self.at, self.position, self.epoch, self.round, self.slot)

    @property
    def is_uneventful(self) -> bool:
        """Nobody but ingest has recorded anything in this step."""
        return len(self.produced) <= self.base

    def plus(self, marks: Iterable[Mark]) -> Token:
        produced = {*self.produced, *marks}
        if len(produced) == len(self.produced):
            return self
        return replace(self, produced=tuple(sorted(produced)))

    def joined(self, other: Token) -> Token:
        """Two tokens of one turn, sent by replicas that own different partitions."""
        parts = tuple(sorted({*self.parts, *other.parts}))
        return replace(self.plus(other.produced), parts=parts)

    @staticmethod
    def first(at: datetime, position: int, epoch: int, marks: tuple[Mark, ...]) -> Token:
        """The token that opens a step of which ingest has recorded `marks`."""
        return Token(at, position, epoch, 1, 0, len(marks), marks)

    def next_round(self, produced: tuple[Mark, ...]) -> Token:
        """The token of one more round, after one that brought something new.

        Raises:
            InvariantBroken: the services answer each other without end.
        """
        if self.round >= ROUNDS_MAX:
            raise InvariantBroken(
                f"the services do not come to rest at {self.at:%Y-%m-%d %H:%M}: {produced[-5:]}"
            )
        return replace(self, round=self.round + 1, slot=0, produced=produced, parts=(), parts_total=0)

    @property
    def is_complete(self) -> bool:
        return len(self.parts) >= self.parts_total

    def to_bytes(self) -> bytes:
        return orjson.dumps(
            {
                "at": format_instant(self.at),
                "position": self.position,
                "epoch": self.epoch,
                "round": self.round,
                "slot": self.slot,
                "base": self.base,
                "produced": self.produced,
                "parts": self.parts,
                "parts_total": self.parts_total,
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> Token:
        """Raises ValueError when the bytes are not a token."""
        try:
            fields = orjson.loads(data)
            return Token(
                at=datetime.fromisoformat(fields["at"]),
                position=fields["position"],
                epoch=fields["epoch"],
                round=fields["round"],
                slot=fields["slot"],
                base=fields["base"],
                produced=tuple((int(position), str(category)) for position, category in fields["produced"]),
                parts=tuple(fields["parts"]),
                parts_total=fields["parts_total"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a turn token: {error!r}") from error


def following(slot: int, token: Token) -> int | None:
    """The slot after this one, or None at the end of the round.

    In an uneventful step there are no verdicts, so executor's second turn is passed over.
    """
    if slot == JUDGING and token.is_uneventful:
        return ACTING + 1
    return slot + 1 if slot + 1 < len(SLOTS) else None
