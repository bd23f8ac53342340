"""From the executor's facts about trades to shield's own record of them."""

from __future__ import annotations

from decimal import Decimal

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import (
    NotePosition,
    NoteReduction,
    NoteResult,
    ReleaseReservation,
    RiskCommand,
)
from nexus_common.contracts.trade import (
    LadderFilled,
    TradeAbandoned,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeReduced,
)
from nexus_common.contracts.values import TradeId
from nexus_shield.domain.account_view import Account
from nexus_shield.domain.state import RiskState
from nexus_shield.domain.world import World


def note(envelope: Envelope[Event], world: World, account: Account, state: RiskState) -> RiskCommand | None:
    """The command that a trade's event is for its account's risk; None: it changes nothing there."""
    match envelope.event:
        case TradeAlerted(trade_id=trade):
            return _release(trade, "alerted only", envelope, world)
        case TradeDeclined(trade_id=trade, reason=reason) | TradeAbandoned(trade_id=trade, reason=reason):
            return _release(trade, reason, envelope, world)
        case TradeEntered() as entered:
            return _position(entered, entered.average_price, entered.complete, envelope, world)
        case LadderFilled() as filled:
            return _ladder(filled, envelope, world)
        case TradeReduced(trade_id=trade, quantity=left):
            return NoteReduction(trade, left, envelope.occurred_at)
        case TradeClosed() as closed:
            return _result(closed, world, account, state)
        case _:
            return None


def _release(
    trade: TradeId, reason: str, envelope: Envelope[Event], world: World
) -> ReleaseReservation | None:
    verdict_id, request_id = world.people.verdict_of(trade), world.people.request_of(trade)
    if isinstance(envelope.event, TradeAbandoned):
        verdict_id = envelope.event.verdict_id
        verdict = world.people.verdicts.get(verdict_id)
        request_id = None if verdict is None else verdict.request_id
    if verdict_id is None or request_id is None:
        return None
    return ReleaseReservation(verdict_id, request_id, reason, envelope.occurred_at)


def _position(
    held: TradeEntered | LadderFilled,
    average_price: Decimal,
    complete: bool,
    envelope: Envelope[Event],
    world: World,
) -> NotePosition:
    return NotePosition(
        trade_id=held.trade_id,
        request_id=world.people.request_of(held.trade_id),
        venue=held.venue,
        symbol=held.symbol,
        direction=held.direction,
        strategy=held.strategy,
        quantity=held.quantity,
        entry_price=average_price,
        margin=held.margin,
        complete=complete,
        at=envelope.occurred_at,
    )


def _ladder(filled: LadderFilled, envelope: Envelope[Event], world: World) -> RiskCommand:
    """What a ladder holds now, in its present direction; what it reserved stays reserved while its orders rest."""
    if filled.average_price is None or filled.quantity == 0:
        return NoteReduction(filled.trade_id, filled.quantity, envelope.occurred_at)
    return _position(filled, filled.average_price, False, envelope, world)


def _result(closed: TradeClosed, world: World, account: Account, state: RiskState) -> NoteResult:
    holdings = {trade: held for trade, held in state.holdings.items() if trade != closed.trade_id}
    return NoteResult(
        trade_id=closed.trade_id,
        request_id=world.people.request_of(closed.trade_id),
        symbol=closed.symbol,
        strategy=closed.strategy,
        timeframe=closed.timeframe,
        reason=closed.reason,
        net_profit=closed.net_profit,
        r_multiple=closed.r_multiple,
        atr=closed.atr,
        atr_mean=closed.atr_mean,
        equity=world.equity_of(account, holdings).amount,
        settings=world.user_of(account).settings,
        at=closed.closed_at,
    )
