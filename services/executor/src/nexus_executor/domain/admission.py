"""The gate of the owner's mode: from an approved entry to an alert, a proposal, or a trade that is made."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import Leg
from nexus_common.contracts.trade import (
    AnswerProposal,
    ConsiderVerdict,
    TradeAdmitted,
    TradeAlerted,
    TradeDeclined,
    TradeProposed,
)
from nexus_common.contracts.values import AccountId, Mode, Origin, TradeId, UserId
from nexus_executor.domain.figures import plain


def consider(command: ConsiderVerdict) -> TradeAlerted | TradeProposed | TradeAdmitted | TradeDeclined:
    verdict = command.verdict
    trade_id = TradeId(str(command.verdict_id))
    if command.refusal is not None:
        return TradeDeclined(trade_id=trade_id, reason=command.refusal)
    if command.at > verdict.valid_until:
        return TradeDeclined(trade_id=trade_id, reason=f"the verdict was valid until {verdict.valid_until}")
    if verdict.origin is Origin.MANUAL:
        return _admit(command, trade_id, command.account, command.user, approved_by=command.user)
    match command.mode:
        case Mode.PILOT:
            return _admit(command, trade_id, command.account, command.user, approved_by="pilot")
        case Mode.COPILOT:
            return _propose(command, trade_id)
        case Mode.WATCHER:
            return TradeAlerted(
                trade_id=trade_id,
                account=command.account,
                user=command.user,
                verdict_id=command.verdict_id,
                venue=verdict.venue,
                symbol=verdict.symbol,
                direction=verdict.direction,
                strategy=verdict.strategy,
                quantity=verdict.quantity,
                price=verdict.price,
                stop=verdict.stop,
                ladder=verdict.ladder,
            )
        case _:
            assert_never(command.mode)


def _propose(command: ConsiderVerdict, trade_id: TradeId) -> TradeProposed:
    verdict = command.verdict
    expires_at = command.at + timedelta(seconds=command.proposal_seconds)
    return TradeProposed(
        trade_id=trade_id,
        account=command.account,
        user=command.user,
        verdict_id=command.verdict_id,
        venue=verdict.venue,
        symbol=verdict.symbol,
        direction=verdict.direction,
        strategy=verdict.strategy,
        quantity=verdict.quantity,
        price=verdict.price,
        stop=verdict.stop,
        atr=verdict.atr,
        expires_at=min(expires_at, verdict.valid_until),
        drift_limit=plain(verdict.atr * command.drift_atr),
        ladder=verdict.ladder,
    )


def _admit(
    command: ConsiderVerdict | AnswerProposal,
    trade_id: TradeId,
    account: AccountId,
    user: UserId,
    approved_by: str,
) -> TradeAdmitted:
    verdict = command.verdict
    verdict_id = UUID(trade_id)
    return TradeAdmitted(
        trade_id=trade_id,
        account=account,
        user=user,
        verdict_id=verdict_id,
        origin=verdict.origin,
        venue=verdict.venue,
        symbol=verdict.symbol,
        direction=verdict.direction,
        strategy=verdict.strategy,
        timeframe=verdict.timeframe,
        quantity=verdict.quantity,
        leverage=verdict.leverage,
        price=verdict.price,
        plan=verdict.plan,
        atr=verdict.atr,
        equity=verdict.equity,
        entry_order=ids.client_order_id(verdict_id, Leg.ENTRY),
        approved_by=approved_by,
        signal_id=verdict.request_id,
        ladder=verdict.ladder,
    )


def answer(command: AnswerProposal, proposed: TradeProposed) -> TradeDeclined | TradeAdmitted:
    reason = _why_not(command, proposed)
    if reason is not None:
        return TradeDeclined(trade_id=proposed.trade_id, reason=reason)
    return _admit(command, proposed.trade_id, proposed.account, proposed.user, approved_by=command.by)


def _why_not(command: AnswerProposal, proposed: TradeProposed) -> str | None:
    if not command.approved:
        return f"rejected by {command.by}"
    if command.at >= proposed.expires_at:
        return f"expired: approved after {proposed.expires_at:%H:%M:%S}"
    if command.price is None:
        return "no fresh price to check the drift with"
    drift = abs(command.price - proposed.price)
    if drift > proposed.drift_limit:
        return (
            f"drifted: price {command.price} is {drift} from {proposed.price}, at most {proposed.drift_limit}"
        )
    return command.refusal
