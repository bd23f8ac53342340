"""What held at an instant: the streams folded up to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.values import format_decimal, format_instant
from nexus_common.runtime.ports import EventStore
from nexus_executor.domain.order import OrderState
from nexus_executor.domain.trade_state import Phase, TradeState
from nexus_ops.deciders import DECIDERS
from nexus_ops.decisions import events_of
from nexus_ops.output import parse_instant
from nexus_shield.domain.guard import GuardState
from nexus_shield.domain.state import RiskState
from nexus_telegram.domain.access import Access
from nexus_telegram.domain.session import Session

Rows = list[dict[str, Any]]
# Candles of an instant stand with its funding; a symbol without a bar for this long has no price to show.
STEP_EVENTS_MAX = 100
MARKS_WITHIN = 20_000


class Subject(StrEnum):
    """What can be looked at."""

    POSITIONS = "positions"
    ORDERS = "orders"
    RISK = "risk"
    SESSIONS = "sessions"


def instant_or_now(text: str) -> datetime | None:
    """An instant, or None for `now`: everything on record. Raises ConfigurationError for anything else."""
    return None if text == "now" else parse_instant(text)


async def folded(store: EventStore, category: str, until: datetime | None) -> dict[str, Any]:
    """The state of each stream of a category by its key, as of an instant (None: now)."""
    decider = DECIDERS[category]
    states: dict[str, Any] = {}
    ended: set[str] = set()
    async for recorded in events_of(store, (category,)):
        envelope = recorded.envelope
        key = envelope.stream.partition("-")[2]
        # A stream is cut at its first event from later on, so that what is folded is a state it was in.
        if key in ended or (until is not None and envelope.occurred_at > until):
            ended.add(key)
            continue
        states[key] = decider.evolve(states.get(key, decider.initial), recorded.event)
    return states


async def look(store: EventStore, subject: Subject, until: datetime | None) -> Rows:
    """The rows of a subject as of an instant (None: now), in the order of their keys. Numbers as text."""
    match subject:
        case Subject.POSITIONS:
            marks = await marks_at(store, until)
            return _rows(await folded(store, "trade", until), lambda key, state: _position(key, state, marks))
        case Subject.ORDERS:
            return _rows(await folded(store, "order", until), _order)
        case Subject.RISK:
            at = until or await last_close(store)
            guards = _rows(await folded(store, "guard", until), lambda key, state: _guard(key, state, at))
            return guards + _rows(
                await folded(store, "risk", until), lambda key, state: _risk(key, state, at)
            )
        case Subject.SESSIONS:
            roles = await folded(store, "access", until)
            return _rows(
                await folded(store, "session", until), lambda key, state: _session(key, state, roles)
            )


async def last_close(store: EventStore) -> datetime | None:
    """The market's own time: the instant of the newest candles."""
    for recorded in reversed(await store.latest("market", STEP_EVENTS_MAX)):
        if isinstance(recorded.event, CandlesClosed):
            return recorded.event.at
    return None


async def marks_at(store: EventStore, until: datetime | None) -> dict[str, Decimal]:
    """The last close of each symbol up to an instant."""
    last = await store.head() if until is None else await _market_position(store, until)
    marks: dict[str, Decimal] = {}
    for recorded in await store.read_categories(("market",), max(0, last - MARKS_WITHIN), last, MARKS_WITHIN):
        if isinstance(recorded.event, CandlesClosed):
            marks.update({candle.symbol: candle.close for candle in recorded.event.candles})
    return marks


async def _market_position(store: EventStore, until: datetime) -> int:
    """The global position of the last market event up to an instant, found by halving; they come in order of time."""
    low, high = 0, await store.head()
    while low < high:
        middle = (low + high) // 2
        following = await store.read_categories(("market",), middle, None, 1)
        if following and following[0].envelope.occurred_at <= until:
            low = following[0].global_position
        else:
            high = middle
    return low


def _rows(states: Mapping[str, Any], row: Callable[[str, Any], dict[str, Any] | None]) -> Rows:
    made = (row(key, state) for key, state in sorted(states.items()))
    return [each for each in made if each is not None]


def _position(key: str, state: TradeState, marks: Mapping[str, Decimal]) -> dict[str, Any] | None:
    if state.phase is not Phase.OPEN or not state.is_held:
        return None
    terms = state.terms
    mark = marks.get(terms.symbol)
    gain = None if mark is None else (mark - state.average_price) * state.remaining * state.direction.sign
    return {
        "trade_id": key,
        "account": terms.account,
        "symbol": terms.symbol,
        "direction": str(state.direction),
        "strategy": terms.strategy,
        "quantity": format_decimal(state.remaining),
        "entry_price": format_decimal(state.average_price),
        "stop": None if state.protection is None else format_decimal(state.protection.stop),
        "mark": None if mark is None else format_decimal(mark),
        "open_profit": None if gain is None else format_decimal(gain),
        "opened_at": None if state.opened_at is None else format_instant(state.opened_at),
    }


def _order(key: str, state: OrderState) -> dict[str, Any] | None:
    intent = state.intent
    if intent is None or state.status.has_ended:
        return None
    trigger = state.trigger_price or intent.trigger_price
    return {
        "client_order_id": key,
        "trade_id": intent.trade_id,
        "account": intent.account,
        "symbol": intent.symbol,
        "leg": str(intent.leg),
        "side": str(intent.side),
        "kind": str(intent.kind),
        "quantity": format_decimal(intent.quantity),
        "filled": format_decimal(state.filled),
        "price": None if intent.limit_price is None else format_decimal(intent.limit_price),
        "trigger_price": None if trigger is None else format_decimal(trigger),
        "status": str(state.status),
    }


def _guard(key: str, state: GuardState, at: datetime | None) -> dict[str, Any]:
    return {
        "scope": f"guard-{key}",
        "black_swan_until": _ahead(state.black_swan_until, None),
        "amber_until": _ahead(state.amber_until, at),
    }


def _risk(key: str, state: RiskState, at: datetime | None) -> dict[str, Any]:
    rests = {f"{strategy} {symbol}": ends for (strategy, symbol), ends in state.rests.items()}
    return {
        "scope": f"risk-{key}",
        "breaker": state.breaker,
        "halted_by": state.halted_by,
        "losing_streak": state.losing_streak,
        "day": state.day,
        "day_equity": _money(state.day_equity),
        "peak_since_reset": _money(state.peak_since_reset),
        "margin_in_use": _money(sum((each.margin for each in state.exposures), Decimal(0))),
        "reserved": [reservation.exposure.symbol for reservation in state.reservations.values()],
        "held": sorted(holding.exposure.symbol for holding in state.holdings.values()),
        "cooldowns": _running(state.cooldowns, at),
        "rests": _running(rests, at),
    }


def _running(ends: Mapping[Any, datetime], at: datetime | None) -> dict[str, str]:
    """Pauses that are not over."""
    running = ((str(name), _ahead(end, at)) for name, end in sorted(ends.items()))
    return {name: end for name, end in running if end is not None}


def _ahead(end: datetime | None, at: datetime | None) -> str | None:
    return None if end is None or (at is not None and end <= at) else format_instant(end)


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format_decimal(amount)


def _session(key: str, state: Session, roles: Mapping[str, Access]) -> dict[str, Any] | None:
    if not state.is_open:
        return None
    role = roles.get(key, Access()).role
    return {
        "user": key,
        "role": None if role is None else str(role),
        "mode": str(state.mode),
        "profile": str(state.profile),
        "strategy": state.strategy,
        "switched_off": list(state.switched_off),
        "risk": {name: format_decimal(value) for name, value in sorted(state.risk.items())},
        "accounts": [account.account for account in state.accounts],
    }
