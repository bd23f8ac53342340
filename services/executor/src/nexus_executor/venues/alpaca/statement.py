"""What Alpaca says about the account itself: its permissions, and each change of its wallet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import Side, Symbol
from nexus_executor.venues.alpaca.fields import Document
from nexus_executor.venues.alpaca.messages import (
    CashActivity,
    FillActivity,
    parse_cash_activity,
    parse_fill_activity,
)
from nexus_executor.venues.alpaca.queries import Queries, readable
from nexus_executor.venues.facts import AccountFacts, PositionMode, StatementKind, StatementRow

# Kinds of activities (docs.alpaca.markets, "Account Activities"); what is not here is OTHER.
_KINDS: Final[Mapping[str, StatementKind]] = MappingProxyType(
    {
        **dict.fromkeys(("CSD", "CSW", "JNLC", "ACATC", "TRANS"), StatementKind.TRANSFER),
        **dict.fromkeys(("FEE", "CFEE", "PTC", "DIVFEE"), StatementKind.FEE),
    }
)
_BLOCKS: Final = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
# Account numbers of paper accounts begin with it.
PAPER_PREFIX: Final = "PA"


def is_paper(account: Document) -> bool:
    return str(account.get("account_number", "")).startswith(PAPER_PREFIX)


async def read_facts(queries: Queries, wallet: Decimal, now: datetime) -> AccountFacts:
    """Raises VenueDown."""
    account = await queries.document("/account")
    clock = await queries.document("/clock")
    server_time = _moment(clock.get("timestamp"))
    blocked = [name for name in _BLOCKS if account.get(name)]
    notes = [f"Alpaca says {name}" for name in blocked]
    if not account.get("shorting_enabled", False):
        notes.append("the account may not short")
    if account.get("pattern_day_trader"):
        notes.append("the account is marked as a pattern day trader")
    notes.append("a trading key cannot withdraw; Alpaca has no list of allowed addresses")
    return AccountFacts(
        server_time=server_time,
        clock_skew=None if server_time is None else server_time - now,
        can_trade=not blocked,
        can_withdraw=False,
        ip_restricted=False,
        position_mode=PositionMode.ONE_WAY,
        leverage={},
        wallet=wallet,
        live=not is_paper(account),
        notes=tuple(notes),
    )


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


async def read_statement(queries: Queries, since: datetime) -> list[StatementRow]:
    """Each change of the wallet since then, oldest first.

    Alpaca states fills, not their profit: it follows from all fills of the account, at average cost.
    """
    fills: list[FillActivity] = []
    cash: list[CashActivity] = []
    for row in await queries.activities((), None):
        if row.get("activity_type") == "FILL":
            fills.append(readable(parse_fill_activity, row))
        elif row.get("net_amount") is not None:
            cash.append(readable(parse_cash_activity, row))
    rows = [*realised(fills), *(_stated(activity) for activity in cash)]
    return sorted((row for row in rows if row.at >= since), key=lambda row: row.at)


def _stated(activity: CashActivity) -> StatementRow:
    kind = _KINDS.get(activity.kind, StatementKind.OTHER)
    return StatementRow(activity.at, kind, activity.amount, activity.activity_id, activity.symbol)


def realised(fills: Sequence[FillActivity]) -> list[StatementRow]:
    """The profit of each fill that reduced a position, at the average cost of what was held."""
    held: defaultdict[Symbol, Decimal] = defaultdict(Decimal)
    cost: defaultdict[Symbol, Decimal] = defaultdict(Decimal)
    rows = []
    for fill in fills:
        signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
        holding = held[fill.symbol]
        closing = Decimal(0)
        if holding * signed < 0:
            closing = max(signed, -holding) if signed < 0 else min(signed, -holding)
            part = cost[fill.symbol] * abs(closing / holding)
            profit = -closing * fill.price - part
            cost[fill.symbol] -= part
            rows.append(StatementRow(fill.at, StatementKind.REALISED, profit, fill.execution_id, fill.symbol))
        held[fill.symbol] += signed
        cost[fill.symbol] += (signed - closing) * fill.price
    return rows
