"""A ladder of resting orders: what it holds by its fills, and which orders should rest therefore.

Between two neighbouring levels lies one rung: it is opened at the outer level (bought below the centre, sold above
it), and its profit is taken at the inner one. What rests follows from how far each rung is filled, and from nothing
else; no rung is ever filled beyond its quantity, so the net position stays within the levels of one side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from nexus_common.contracts.risk import Ladder
from nexus_common.contracts.signal import LadderPlan
from nexus_common.contracts.values import Direction, Side
from nexus_executor.domain.figures import exact, plain

_ZERO = Decimal(0)
_NONE: Mapping[int, Decimal] = MappingProxyType({})


class Slot(NamedTuple):
    """Where an order of a ladder stands (0: the centre, above it positive), and on which side."""

    level: int
    side: Side

    @property
    def opens(self) -> bool:
        """Whether it opens a rung; else it takes the profit of one."""
        return self.level < 0 if self.side is Side.BUY else self.level > 0

    @property
    def rung(self) -> int:
        """The rung it opens, or takes the profit of: the one that begins one level further out."""
        if self.opens:
            return self.level
        return self.level + 1 if self.side is Side.BUY else self.level - 1


class Resting(NamedTuple):
    """What should rest in a slot, all its orders together."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class LadderState:
    """`filled` is by rung; `net` signed, at its average price as venues reckon it.

    A fill that reduces realises its difference from the average, and leaves the average; one that turns the
    position round starts a new one. `bought` and `sold` are quantities, of all orders of the trade.
    """

    terms: Ladder
    filled: Mapping[int, Decimal] = field(default_factory=lambda: _NONE)
    net: Decimal = _ZERO
    average_price: Decimal = _ZERO
    earned: Decimal = _ZERO
    bought: Decimal = _ZERO
    bought_value: Decimal = _ZERO
    sold: Decimal = _ZERO
    sold_value: Decimal = _ZERO

    @property
    def direction(self) -> Direction | None:
        """Of what is held; None: nothing is."""
        if not self.net:
            return None
        return Direction.LONG if self.net > 0 else Direction.SHORT

    @property
    def turnover(self) -> Decimal:
        return self.bought + self.sold

    def after(self, slot: Slot, quantity: Decimal, price: Decimal) -> LadderState:
        """With a fill of one of its resting orders."""
        change = quantity if slot.opens else -quantity
        filled = plain(self.filled.get(slot.rung, _ZERO) + change)
        return replace(self.traded(slot.side, quantity, price), filled={**self.filled, slot.rung: filled})

    def traded(self, side: Side, quantity: Decimal, price: Decimal) -> LadderState:
        """With a fill of any order: what is held, what was earned, what was traded in all."""
        value = quantity * price
        signed = quantity if side is Side.BUY else -quantity
        closing = min(quantity, abs(self.net)) if self.net * signed < 0 else _ZERO
        sign = 1 if self.net > 0 else -1
        return replace(
            self,
            net=plain(self.net + signed),
            average_price=self._average(signed, closing, price),
            earned=exact(self.earned + closing * (price - self.average_price) * sign),
            bought=self.bought + (quantity if side is Side.BUY else _ZERO),
            bought_value=self.bought_value + (value if side is Side.BUY else _ZERO),
            sold=self.sold + (quantity if side is Side.SELL else _ZERO),
            sold_value=self.sold_value + (value if side is Side.SELL else _ZERO),
        )

    def _average(self, signed: Decimal, closing: Decimal, price: Decimal) -> Decimal:
        held, added = abs(self.net), abs(signed)
        if closing == added:
            return _ZERO if closing == held else self.average_price
        if closing:
            return price
        return plain((exact(held * self.average_price) + added * price) / (held + added))


def level_price(plan: LadderPlan, level: int) -> Decimal:
    return plain(plan.centre + level * plan.spacing)


def stop_price(plan: LadderPlan, direction: Direction) -> Decimal:
    """Beyond the last level of the side that is held."""
    return plain(plan.centre - direction.sign * plan.reach)


def resting(ladder: LadderState) -> dict[Slot, Resting]:
    """What should rest now, nearest the centre first.

    Where the take-profit of the rung further out still rests, a rung is not opened again: both orders would stand at
    one price and trade with each other.
    """
    plan, whole = ladder.terms.plan, ladder.terms.level_quantity
    wanted: dict[Slot, Resting] = {}
    for rung in _rungs(plan.levels):
        outward = 1 if rung > 0 else -1
        side = Side.SELL if rung > 0 else Side.BUY
        held = ladder.filled.get(rung, _ZERO)
        if held < whole and not ladder.filled.get(rung + outward):
            wanted[Slot(rung, side)] = Resting(level_price(plan, rung), plain(whole - held))
        if held > 0:
            inner = rung - outward
            wanted[Slot(inner, side.opposite)] = Resting(level_price(plan, inner), held)
    return wanted


def _rungs(levels: int) -> Iterator[int]:
    for distance in range(1, levels + 1):
        yield from (-distance, distance)
