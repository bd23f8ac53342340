"""The numbers of a trade: its protection from the average fill price, and its result from its fills."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.trade import TargetPlan
from nexus_common.contracts.values import Direction
from nexus_market.instruments import floor_quantity, refusal, round_price, round_stop, round_target

_ZERO = Decimal(0)
_ONE = Decimal(1)
_MONEY = Decimal("0.000000000001")
_RATIO = Decimal("0.00000001")


def plain(number: Decimal) -> Decimal:
    """One spelling of a number, the one it still has when it was stored and read again."""
    if not number:
        return _ZERO  # Also for the zero with a minus that a short's sign makes.
    short = number.normalize()
    return short.quantize(_ONE) if short.as_tuple().exponent > 0 else short  # type: ignore[operator]


def exact(amount: Decimal) -> Decimal:
    """An amount free of the last digits that dividing and multiplying back leaves."""
    return plain(amount.quantize(_MONEY))


def ratio(part: Decimal, whole: Decimal) -> Decimal:
    """To eight places; 0 of nothing."""
    return plain((part / whole).quantize(_RATIO)) if whole else _ZERO


class Split(NamedTuple):
    """Quantities of the first target, the second and the trailing part; 0: that leg does not exist."""

    first: Decimal
    second: Decimal
    trail: Decimal

    @property
    def is_whole(self) -> bool:
        return self.trail == 0


def split(quantity: Decimal, price: Decimal, instrument: Instrument, targets: TargetPlan) -> Split:
    """Divide a position over its legs; where one would be below the venue's minimum, all is one leg.

    The venues' minimum notional counts here although reduce-only orders are exempt at some: the legs should
    stand at every venue.
    """
    first = floor_quantity(quantity * targets.first_share, instrument)
    second = floor_quantity(quantity * targets.second_share, instrument)
    trail = quantity - first - second
    if any(leg <= 0 or refusal(instrument, leg, price) is not None for leg in (first, second, trail)):
        return Split(plain(quantity), _ZERO, _ZERO)
    return Split(plain(first), plain(second), plain(trail))


class Levels(NamedTuple):
    """Prices of the protection; those of legs that do not exist are None."""

    stop: Decimal
    first_target: Decimal
    second_target: Decimal | None
    trail_distance: Decimal | None
    trail_activation: Decimal | None


def levels(
    average: Decimal,
    direction: Direction,
    plan: ExitPlan,
    instrument: Instrument,
    targets: TargetPlan,
    *,
    whole: bool,
) -> Levels:
    """The plan's distances laid at the average fill price, on the instrument's grid and above zero."""
    sign, tick = direction.sign, instrument.tick_size

    def placed(price: Decimal) -> Decimal:
        return plain(max(price, tick))

    stop = placed(round_stop(average - sign * plan.stop_distance, instrument, direction))
    first = placed(round_target(average + sign * plan.target_distance, instrument, direction))
    if whole:
        return Levels(stop, first, None, None, None)
    far = average + sign * plan.target_distance * targets.second_factor
    start = average + sign * plan.trail_after_r * plan.stop_distance
    return Levels(
        stop,
        first,
        placed(round_target(far, instrument, direction)),
        placed(round_price(plan.trail_distance, instrument)),
        placed(round_target(start, instrument, direction)),
    )


def break_even_price(average: Decimal, direction: Direction, instrument: Instrument) -> Decimal:
    """Entry plus what entering and leaving cost, so that being stopped there loses nothing."""
    fee = direction.sign * instrument.taker_fee
    return plain(round_stop(average * (1 + fee) / (1 - fee), instrument, direction))


class Result(NamedTuple):
    """Money in the quote currency; the ratios are three different numbers."""

    gross: Decimal
    net: Decimal
    exit_price: Decimal
    r_multiple: Decimal
    return_on_margin: Decimal
    return_on_equity: Decimal


def result(
    *,
    direction: Direction,
    quantity: Decimal,
    entry_price: Decimal,
    exit_value: Decimal,
    costs: Decimal,
    stop_distance: Decimal,
    leverage: int,
    equity: Decimal,
) -> Result:
    """`exit_value` is the sum of price times quantity of all exits; `costs` are fees and funding."""
    entry_value = exact(quantity * entry_price)
    gross = direction.sign * (exact(exit_value) - entry_value)
    net = gross - costs
    return Result(
        gross=plain(gross),
        net=plain(net),
        exit_price=plain(exit_value / quantity),
        r_multiple=ratio(net, stop_distance * quantity),
        return_on_margin=ratio(net * leverage, entry_value),
        return_on_equity=ratio(net, equity),
    )
