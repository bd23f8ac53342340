"""What the fills of a ladder mean for its trade: what is held, when it is left, and its result.

The trade ends when nothing is held and none of its orders can fill any more, not when a fill brings its position to
zero: that happens many times in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.trade import (
    AbandonEntry,
    ExitReason,
    LadderFilled,
    RecordExitFill,
    RecordLadderFill,
    TradeAbandoned,
    TradeClosed,
    TradeEvent,
    TradeReduced,
)
from nexus_executor.domain.figures import exact, plain, ratio
from nexus_executor.domain.ladder import LadderState, Slot, stop_price
from nexus_executor.domain.management import REASONS, order_exit
from nexus_executor.domain.trade_state import Phase, TradeState

WRITTEN_OFF = "written off"
_ZERO = Decimal(0)


def fill(command: RecordLadderFill, state: TradeState) -> Sequence[TradeEvent]:
    if state.phase not in (Phase.ADMITTED, Phase.OPEN):
        raise InvariantBroken(f"a fill of a ladder that is {state.phase}")
    terms = state.terms
    after = _ladder_of(state).after(Slot(command.rung, command.side), command.quantity, command.price)
    direction = after.direction or terms.direction
    held = abs(after.net)
    filled = LadderFilled(
        trade_id=terms.trade_id,
        account=terms.account,
        venue=terms.venue,
        symbol=terms.symbol,
        strategy=terms.strategy,
        rung=command.rung,
        side=command.side,
        price=command.price,
        direction=direction,
        quantity=held,
        average_price=after.average_price if held else None,
        margin=exact(held * after.average_price / terms.leverage),
        stop=stop_price(after.terms.plan, direction) if held else None,
        earned=after.earned,
        fees=plain(state.entry_fees + state.exit_fees + command.fee),
        opened_at=state.opened_at or command.at,
    )
    return (filled,)


def leave(command: RecordExitFill, state: TradeState) -> Sequence[TradeEvent]:
    """Part or all of what is held left by its stop, an exit, the venue or somebody's hand: the ladder goes with it."""
    reduced = TradeReduced(
        trade_id=state.terms.trade_id,
        leg=command.leg,
        quantity=plain(state.remaining - command.quantity),
        price=command.price,
        fee=command.fee,
    )
    reason = REASONS.get(command.leg, ExitReason.MANUAL)
    return (reduced, *order_exit(reason, f"{command.leg} filled at {command.price:f}", state))


def write_off(state: TradeState) -> Sequence[TradeEvent]:
    """What cannot be sold counts as gone at its own price."""
    gone = TradeReduced(
        trade_id=state.terms.trade_id, leg=WRITTEN_OFF, quantity=_ZERO, price=state.average_price
    )
    return (gone, *order_exit(ExitReason.MANUAL, "what was held is gone", state))


def end(command: AbandonEntry, state: TradeState) -> Sequence[TradeEvent]:
    """No rung can fill any more: the result, or nothing where nothing ever did."""
    terms = state.terms
    if state.is_held:
        return ()
    if state.phase is Phase.OPEN:
        return (_closed(_ladder_of(state), state, command.at),)
    abandoned = TradeAbandoned(
        trade_id=terms.trade_id,
        account=terms.account,
        verdict_id=terms.verdict_id,
        symbol=terms.symbol,
        reason=command.reason,
    )
    return (abandoned,)


def _closed(ladder: LadderState, state: TradeState, at: datetime) -> TradeClosed:
    """Flat to flat all that was bought was sold, so what was gained is the difference of the two values."""
    terms, plan, level = state.terms, ladder.terms.plan, ladder.terms.level_quantity
    fees = state.entry_fees + state.exit_fees
    gross = ladder.sold_value - ladder.bought_value
    net = gross - fees - state.funding
    margin = 2 * plan.levels * plan.centre * level / terms.leverage
    return TradeClosed(
        trade_id=terms.trade_id,
        account=terms.account,
        user=terms.user,
        venue=terms.venue,
        symbol=terms.symbol,
        direction=terms.direction,
        strategy=terms.strategy,
        timeframe=terms.timeframe,
        reason=state.exit.reason if state.exit else ExitReason.MANUAL,
        quantity=plain(ladder.bought),
        entry_price=plain(ladder.bought_value / ladder.bought),
        exit_price=plain(ladder.sold_value / ladder.sold),
        gross_profit=plain(gross),
        fees=plain(fees),
        funding=plain(state.funding),
        net_profit=plain(net),
        r_multiple=ratio(net, plan.full_side_loss * level),
        return_on_margin=ratio(net, margin),
        return_on_equity=ratio(net, terms.equity),
        opened_at=state.opened_at or at,
        closed_at=at,
        atr=terms.atr,
    )


def _ladder_of(state: TradeState) -> LadderState:
    if state.ladder is None:
        raise InvariantBroken(f"trade {state.terms.trade_id} is no ladder")
    return state.ladder
