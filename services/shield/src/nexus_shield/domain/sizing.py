"""Equity, stop distance and leverage to a quantity. Every rounding goes toward less risk."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from nexus_common.contracts.instrument import Instrument, InstrumentKind
from nexus_common.contracts.limits import ProfileLimits, RiskSettings

ZERO = Decimal(0)
ONE = Decimal(1)
FINEST = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class SizingInput:
    """What a size depends on. `peak` is the highest equity of all time; the signal's confidence is not here.

    `stop_distance` is in units of price; `leverage` what the signal or the user would like; `kelly_risk` the
    fraction of equity that the account's own record justifies, when the user asked for it.
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


@dataclass(frozen=True, slots=True)
class Size:
    """A size, and how it came about. `shortfall` says why it is no size at all.

    `risk` is lost at the stop, round-trip fees included; `liquidation_distance` is in units of price.
    """

    quantity: Decimal
    leverage: int
    notional: Decimal
    margin: Decimal
    risk: Decimal
    drawdown: Decimal
    scale: Decimal
    liquidation_distance: Decimal
    bound_by: str
    shortfall: str | None


def size_entry(given: SizingInput) -> Size:
    """The smaller of what margin and what the loss at the stop allow, scaled by drawdown, floored to the step."""
    leverage = fitting_leverage(given)
    drawdown = drawdown_of(given.equity, given.peak)
    scale = drawdown_scale(drawdown, given.settings)
    equity = max(given.equity, ZERO) * scale
    loss_per_unit = given.stop_distance + given.price * round_trip_cost(given.instrument)
    by_margin = equity * given.settings.margin_fraction * leverage / given.price
    risk_fraction, by_risk_name = _risk_fraction(given)
    by_risk = equity * risk_fraction / loss_per_unit
    quantity = floor_to_step(min(by_margin, by_risk), given.instrument.step_size)
    notional = quantity * given.price
    return Size(
        quantity=quantity,
        leverage=leverage,
        notional=notional,
        margin=(notional / leverage).quantize(FINEST, ROUND_DOWN),
        risk=(quantity * loss_per_unit).quantize(FINEST, ROUND_DOWN),
        drawdown=drawdown,
        scale=scale,
        liquidation_distance=given.price * liquidation_fraction(leverage, given.instrument),
        bound_by="margin" if by_margin <= by_risk else by_risk_name,
        shortfall=_shortfall(quantity, notional, given.instrument),
    )


def _risk_fraction(given: SizingInput) -> tuple[Decimal, str]:
    allowed = given.settings.risk_fraction
    if given.kelly_risk is not None and given.kelly_risk < allowed:
        return max(given.kelly_risk, ZERO), "kelly"
    return allowed, "loss at the stop"


def _shortfall(quantity: Decimal, notional: Decimal, instrument: Instrument) -> str | None:
    if quantity <= 0:
        return f"less than one step of {instrument.step_size:f}"
    if quantity < instrument.min_quantity:
        return f"quantity {quantity:f} is below the venue's minimum {instrument.min_quantity:f}"
    if notional < instrument.min_notional:
        return f"notional {notional:.2f} is below the venue's minimum {instrument.min_notional:f}"
    return None


def fitting_leverage(given: SizingInput) -> int:
    """The wanted leverage within profile and venue, lowered until liquidation is far enough behind the stop."""
    if given.instrument.kind is InstrumentKind.STOCK:
        return 1
    wanted = given.leverage or given.settings.leverage or given.limits.leverage
    leverage = max(1, min(wanted, given.limits.max_leverage, given.instrument.max_leverage))
    needed = given.settings.liquidation_stops * given.stop_distance / given.price
    while leverage > 1 and liquidation_fraction(leverage, given.instrument) < needed:
        leverage -= 1
    return leverage


def liquidation_fraction(leverage: int, instrument: Instrument) -> Decimal:
    """How far liquidation is from the entry, as a fraction of price, isolated margin.

    A long is liquidated where its margin falls to the maintenance margin: (1/L - m) / (1 - m) away; a short
    at (1/L - m) / (1 + m). The nearer of the two is taken for both.
    """
    maintenance = instrument.maintenance_margin
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
    """× 1, 0.8, 0.5, 0.2 as the drawdown from the all-time peak deepens; a bound belongs to the deeper step."""
    if drawdown >= settings.severe_drawdown:
        return settings.severe_scale
    if drawdown >= settings.deep_drawdown:
        return settings.deep_scale
    if drawdown >= settings.mild_drawdown:
        return settings.mild_scale
    return ONE


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
