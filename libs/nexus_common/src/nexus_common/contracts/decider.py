"""A decider: what may be decided on one stream, and what follows from each fact on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

from nexus_common.contracts.message import Event

C_contra = TypeVar("C_contra", contravariant=True)
S = TypeVar("S")
E = TypeVar("E", bound=Event)


class InvariantBroken(Exception):
    """Something happened that must not happen: the stream and the world disagree. Nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Decider(Generic[C_contra, S, E]):
    """`decide` turns a wish into facts, `evolve` folds facts into state; neither does I/O or reads a clock.

    `category` names the streams it rules: `risk` rules `risk-{account}`.
    """

    category: str
    initial: S
    decide: Callable[[C_contra, S], Sequence[E]]
    evolve: Callable[[S, E], S]

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        return reduce(self.evolve, events, self.initial if state is None else state)

    def stream(self, key: str) -> str:
        return f"{self.category}-{key}"


AnyDecider = Decider[Any, Any, Any]
