"""Equity, stop distance and leverage to a quantity. Every rounding goes toward less risk."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache

from nexus_common.contracts.instrument import Bracket, Instrument, InstrumentKind
from nexus_common.contracts.limits import ProfileLimits, RiskSettings
from nexus_common.contracts.values import format_decimal

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
FINEST = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class SizingInput:
    """What a size depends on. `peak` is the highest equity of all time; the signal's confidence is not here.

    `stop_distance` is in units of price; `leverage` what the signal or the user would like; `kelly_risk` the
    fraction of equity that the account's own record justifies, when the user asked for it. Without `brackets` the
    instrument's own maximum and maintenance margin hold for every size.
    """

    equity: Decimal
    peak: Decimal
    price: Decimal
    stop_distance: Decimal
    leverage: int | None
    instrument: Instrument
    limits: ProfileLimits
    settings: RiskSettings
    kelly_risk: Decimal | None = None
    brackets: tuple[Bracket, ...] = ()

    @property
    def loss_per_unit(self) -> Decimal:
        """What one unit loses at the stop, round-trip fees included."""
        return self.stop_distance + self.price * round_trip_cost(self.instrument)


@dataclass(frozen=True, slots=True)
class Size:
    """A size, and how it came about. `shortfall` says why it is no size at all.

    `risk` is lost at the stop, round-trip fees included; `liquidation_distance` is in units of price, for the
    `maintenance` margin of the bracket that the position falls into.
    """

    quantity: Decimal
    leverage: int
    notional: Decimal
    margin: Decimal
    risk: Decimal
    drawdown: Decimal
    scale: Decimal
    liquidation_distance: Decimal
    maintenance: Decimal
    bound_by: str
    shortfall: str | None


def size_entry(given: SizingInput) -> Size:
    """The smaller of what margin and what the loss at the stop allow, scaled by drawdown, floored to the step."""
    leverage = fitting_leverage(given)
    by_margin, by_risk = _allowed(leverage, given)
    quantity = floor_to_step(min(by_margin, by_risk), given.instrument.step_size)
    notional = quantity * given.price
    drawdown = drawdown_of(given.equity, given.peak)
    maintenance = bracket_of(notional, given).maintenance_margin
    return Size(
        quantity=quantity,
        leverage=leverage,
        notional=notional,
        margin=(notional / leverage).quantize(FINEST, ROUND_DOWN),
        risk=(quantity * given.loss_per_unit).quantize(FINEST, ROUND_DOWN),
        drawdown=drawdown,
        scale=drawdown_scale(drawdown, given.settings),
        liquidation_distance=given.price * liquidation_fraction(leverage, maintenance),
        maintenance=maintenance,
        bound_by="margin" if by_margin <= by_risk else risk_fraction(given)[1],
        shortfall=_shortfall(quantity, notional, given),
    )


def _allowed(leverage: int, given: SizingInput) -> tuple[Decimal, Decimal]:
    """The quantities that the margin and the loss at the stop allow."""
    scale = drawdown_scale(drawdown_of(given.equity, given.peak), given.settings)
    equity = max(given.equity, ZERO) * scale
    by_margin = equity * given.settings.margin_fraction * leverage / given.price
    return by_margin, equity * risk_fraction(given)[0] / given.loss_per_unit


def risk_fraction(given: SizingInput) -> tuple[Decimal, str]:
    """The share of equity that may be lost at the stop, and what it is named after."""
    allowed = given.settings.risk_fraction
    if given.kelly_risk is not None and given.kelly_risk < allowed:
        return max(given.kelly_risk, ZERO), "kelly"
    return allowed, "loss at the stop"


def _shortfall(quantity: Decimal, notional: Decimal, given: SizingInput) -> str | None:
    instrument = given.instrument
    if quantity <= 0:
        return f"less than one step of {instrument.step_size:f}"
    if quantity < instrument.min_quantity:
        return f"quantity {quantity:f} is below the venue's minimum {instrument.min_quantity:f}"
    if notional < instrument.min_notional:
        return f"notional {notional:.2f} is below the venue's minimum {instrument.min_notional:f}"
    if given.brackets and notional > given.brackets[-1].cap:
        return f"notional {notional:.2f} is above the venue's last bracket, {given.brackets[-1].cap:f}"
    return None


def fitting_leverage(given: SizingInput) -> int:
    """The wanted leverage within profile and venue, lowered until liquidation is far enough behind the stop."""
    if given.instrument.kind is InstrumentKind.STOCK:
        return 1
    wanted = given.leverage or given.settings.leverage or given.limits.leverage
    leverage = max(1, min(wanted, given.limits.max_leverage, given.instrument.max_leverage))
    while leverage > 1 and not _fits(leverage, given):
        leverage -= 1
    return leverage


def _fits(leverage: int, given: SizingInput) -> bool:
    """Whether the bracket of what would be bought grants the leverage, and liquidation lies far enough away."""
    notional = min(_allowed(leverage, given)) * given.price if given.brackets else ZERO
    bracket = bracket_of(notional, given)
    needed = given.settings.liquidation_stops * given.stop_distance / given.price
    return (
        leverage <= bracket.max_leverage
        and liquidation_fraction(leverage, bracket.maintenance_margin) >= needed
    )


def bracket_of(notional: Decimal, given: SizingInput) -> Bracket:
    """The step of the venue's table that a position of this worth falls into; beyond the last one, the last.

    The bracket's maintenance margin is taken for the whole position: venues take it for the part above its
    floor alone, which liquidates later.
    """
    for bracket in given.brackets:
        if notional <= bracket.cap:
            return bracket
    if given.brackets:
        return given.brackets[-1]
    listed = given.instrument
    return Bracket(ZERO, notional, Decimal(listed.max_leverage), listed.maintenance_margin)


def liquidation_fraction(leverage: int, maintenance: Decimal) -> Decimal:
    """How far liquidation is from the entry, as a fraction of price, isolated margin.

    A long is liquidated where its margin falls to the maintenance margin: (1/L - m) / (1 - m) away; a short
    at (1/L - m) / (1 + m). The nearer of the two is taken for both.
    """
    return max((ONE / leverage - maintenance) / (ONE + maintenance), ZERO)


def round_trip_cost(instrument: Instrument) -> Decimal:
    """Taker fees in and out, as a fraction of price."""
    return instrument.taker_fee * 2


def drawdown_of(equity: Decimal, peak: Decimal) -> Decimal:
    """How far equity stands below its peak, as a fraction of the peak."""
    if peak <= 0 or equity >= peak:
        return ZERO
    return (peak - equity) / peak


def drawdown_scale(drawdown: Decimal, settings: RiskSettings) -> Decimal:
    """× 1, 0.8, 0.5, 0.2 as the drawdown from the all-time peak deepens; a bound belongs to the deeper step.

    The least of the steps that were reached: whoever lowers one of them does not gain by falling further.
    """
    steps = (
        (settings.mild_drawdown, settings.mild_scale),
        (settings.deep_drawdown, settings.deep_scale),
        (settings.severe_drawdown, settings.severe_scale),
    )
    return min((scale for bound, scale in steps if drawdown >= bound), default=ONE)


def plain(number: Decimal) -> str:
    """A figure as people write it: digits without exponent and without zeros at the end."""
    text = format_decimal(number)
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(1_024)
def percent(fraction: Decimal) -> str:
    """`5 %` of 0.05. Remembered, because settings say the same few fractions again and again."""
    return f"{plain(fraction * HUNDRED)} %"


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of the step that is not above the quantity."""
    floored = int(quantity / step) * step
    return floored - step if floored > quantity else floored


def ceil_to_tick(distance: Decimal, tick: Decimal) -> Decimal:
    """The smallest multiple of the tick that is not below the distance."""
    raised = -int(-distance / tick) * tick
    while raised < distance:
        raised += tick
    return raised


def kelly_fraction(wins: int, losses: int, won_r: Decimal, lost_r: Decimal) -> Decimal:
    """Kelly's share of equity to risk, from an account's own results in R; 0 when the record promises nothing.

    With win rate p and b = average win over average loss: p - (1 - p) / b.
    """
    if wins == 0 or won_r <= 0:
        return ZERO
    rate = Decimal(wins) / (wins + losses)
    if losses == 0 or lost_r <= 0:
        return rate
    payoff = (won_r / wins) / (lost_r / losses)
    return max(rate - (ONE - rate) / payoff, ZERO)
