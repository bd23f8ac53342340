"""Who is told of what: an event to notices, one for each user it concerns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nexus_common.contracts.account import AccountNoted, HandTraded, PositionDrifted, PositionLiquidated
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.feed import (
    ClockOff,
    FeedLost,
    FeedRestored,
    PriceDoubted,
    StreamHeard,
    StreamSilent,
)
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, FallUnconfirmed, GuardReleased
from nexus_common.contracts.instrument import InstrumentsChanged
from nexus_common.contracts.market import CandleCorrected, TradingHalted, TradingResumed
from nexus_common.contracts.message import Event
from nexus_common.contracts.model import DriftMeasured, ModelPromoted, ModelRefused, ModelRolledBack
from nexus_common.contracts.notice import Urgency
from nexus_common.contracts.risk import (
    BreakerReset,
    BreakerTripped,
    EntriesHalted,
    EntriesResumed,
    EntryRefused,
)
from nexus_common.contracts.schedule import TaskDue, TaskKind, TaskRefused, TaskScheduled
from nexus_common.contracts.trade import (
    ProtectionFailed,
    TradeAbandoned,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeProposed,
)
from nexus_common.contracts.values import AccountId, Direction, Origin, UserId
from nexus_telegram.feed_view import CANDLES
from nexus_telegram.render import answers, feed_notices, models, notices
from nexus_telegram.trade_view import TradeStatus, TradeView
from nexus_telegram.view import View


@dataclass(frozen=True, slots=True)
class Notice:
    """`topic` names what is told once an hour at most, however often it happens."""

    user: UserId
    urgency: Urgency
    text: str
    topic: str | None = None


def notices_of(envelope: Envelope[Event], view: View) -> Iterator[Notice]:
    """What to tell of an event, and whom; the view has seen it already. Users come in a fixed order."""
    tell = _TELLERS.get(envelope.category)
    return iter(()) if tell is None else tell(envelope, view)


def _of_trade(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    event = envelope.event
    trade = view.trades.get(event.trade_id)
    told = _trade_text(event, trade)
    user = trade.user if trade is not None and trade.user is not None else getattr(event, "user", None)
    if told is not None and user is not None:
        yield Notice(user, *told)


def _trade_text(event: Any, trade: TradeView | None) -> tuple[Urgency, str] | None:
    match event:
        case TradeAlerted():
            return Urgency.TRADE, notices.alerted(event)
        case TradeProposed():
            return Urgency.TRADE, notices.proposed(event)
        case TradeAdmitted(ladder=ladder) if ladder is not None:
            return Urgency.TRADE, notices.ladder_opened(event, ladder)
        case TradeEntered(complete=True):
            return Urgency.TRADE, notices.opened(event, trade)
        case TradeClosed():
            return Urgency.TRADE, notices.closed(event, trade)
        case TradeDeclined():
            return Urgency.INFO, notices.declined(event, trade)
        case TradeAbandoned():
            return Urgency.INFO, notices.abandoned(event, trade)
        case ProtectionFailed():
            return Urgency.ALARM, notices.protection_failed(event, trade)
        case _:
            return None


def _of_risk(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    account = AccountId(envelope.stream.partition("-")[2])
    user = view.user_of(account)
    told = _risk_text(envelope.event, account)
    if told is not None and user is not None:
        yield Notice(user, *told)


def _risk_text(event: Any, account: AccountId) -> tuple[Urgency, str] | None:
    match event:
        case EntryRefused(origin=Origin.MANUAL):
            return Urgency.TRADE, notices.order_refused(event)
        case BreakerTripped():
            return Urgency.ALARM, notices.breaker_tripped(event, account)
        case BreakerReset():
            return Urgency.INFO, notices.breaker_reset(event, account)
        case EntriesHalted():
            return Urgency.ALARM, notices.halted(event, account)
        case EntriesResumed():
            return Urgency.INFO, notices.resumed(event, account)
        case _:
            return None


def _of_guard(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    event = envelope.event
    for user in view.crypto_users():
        match event:
            case BlackSwanDeclared():
                yield Notice(user, Urgency.ALARM, notices.black_swan(event, _crypto_longs(view, user)))
            case AmberRaised():
                yield Notice(user, Urgency.INFO, notices.amber(event))
            case GuardReleased():
                yield Notice(user, Urgency.INFO, notices.released(event))
            case FallUnconfirmed():
                yield Notice(user, Urgency.ALARM, notices.fall_unconfirmed(event))


def _crypto_longs(view: View, user: UserId) -> list[TradeView]:
    return [
        trade
        for trade in view.trades_of(user, TradeStatus.OPEN)
        if (trade.direction is Direction.LONG or trade.ladder is not None)
        and trade.venue is not None
        and trade.venue.is_crypto
    ]


def _of_account(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    event = envelope.event
    user = view.user_of(event.account)
    if user is None:
        return
    match event:
        case PositionDrifted():
            yield Notice(user, Urgency.ALARM, notices.drifted(event))
        case PositionLiquidated():
            yield Notice(user, Urgency.ALARM, notices.liquidated(event))
        case HandTraded():
            yield Notice(user, Urgency.TRADE, notices.hand_traded(event))
        case AccountNoted():
            yield Notice(user, Urgency.ALARM, notices.noted(event))


def _of_market(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    event = envelope.event
    told = _feed_text(event, view)
    if told is None:
        return
    urgency, text, topic = told
    for user in view.users_at(event.venue):
        yield Notice(user, urgency, text, topic)


def _feed_text(event: Any, view: View) -> tuple[Urgency, str, str | None] | None:
    """What is said, and the topic that it must not be said of too often."""
    match event:
        case FeedLost():
            return Urgency.ALARM, feed_notices.feed_lost(event), None
        case FeedRestored():
            return Urgency.INFO, feed_notices.feed_restored(event), None
        case StreamSilent() if event.stream == CANDLES:
            return Urgency.INFO, feed_notices.stream_silent(event), f"silent/{event.venue}/{event.symbol}"
        case StreamHeard() if event.stream == CANDLES:
            return Urgency.INFO, feed_notices.stream_heard(event), f"heard/{event.venue}/{event.symbol}"
        case PriceDoubted():
            return Urgency.INFO, feed_notices.price_doubted(event), f"doubted/{event.venue}/{event.symbol}"
        case ClockOff():
            return Urgency.ALARM, feed_notices.clock_off(event), f"clock/{event.venue}"
        case CandleCorrected():
            count = view.feeds.corrections[event.venue]
            return Urgency.INFO, feed_notices.corrected(event, count), f"corrected/{event.venue}"
        case TradingHalted():
            return Urgency.ALARM, feed_notices.trading_halted(event), None
        case TradingResumed():
            return Urgency.INFO, feed_notices.trading_resumed(event), None
        case InstrumentsChanged():
            return Urgency.INFO, feed_notices.instruments_changed(event), None
        case _:
            return None


def _of_model(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    told = _model_text(envelope.event, view)
    if told is not None:
        for user in view.keepers():
            yield Notice(user, *told)


def _model_text(event: Any, view: View) -> tuple[Urgency, str] | None:
    match event:
        case ModelPromoted():
            return Urgency.INFO, models.promoted(event)
        case ModelRolledBack():
            return Urgency.INFO, models.rolled_back(event)
        case ModelRefused():
            return Urgency.ALARM, models.refused(event)
        case DriftMeasured() if view.models.newly_drifted:
            return Urgency.INFO, models.drifted(event, view.models.newly_drifted)
        case _:
            return None


def _of_schedule(envelope: Envelope[Any], view: View) -> Iterator[Notice]:
    event = envelope.event
    match event:
        case TaskDue(kind=TaskKind.DAILY_SUMMARY):
            yield Notice(event.user, Urgency.INFO, answers.daily_summary(event.user, view, event.due))
        case TaskDue(kind=TaskKind.PRICE_ALERT):
            yield Notice(event.user, Urgency.TRADE, notices.task_due(event))
        case TaskDue():
            yield Notice(event.user, Urgency.INFO, notices.task_due(event))
        case TaskScheduled() if event.kind is not TaskKind.DAILY_SUMMARY:
            yield Notice(event.user, Urgency.INFO, notices.task_scheduled(event))
        case TaskRefused():
            yield Notice(event.user, Urgency.INFO, notices.task_refused(event))


_TELLERS: Final[Mapping[str, Callable[[Envelope[Any], View], Iterator[Notice]]]] = {
    "trade": _of_trade,
    "risk": _of_risk,
    "guard": _of_guard,
    "account": _of_account,
    "feed": _of_market,
    "market": _of_market,
    "instrument": _of_market,
    "schedule": _of_schedule,
    "model": _of_model,
}
