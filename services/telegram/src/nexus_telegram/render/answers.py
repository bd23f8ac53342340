"""What users are shown when they ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.instrument import Group
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.risk import EntryApproved, Ladder
from nexus_common.contracts.schedule import TaskScheduled
from nexus_common.contracts.session import Role
from nexus_common.contracts.values import UserId
from nexus_telegram.domain.session import Session
from nexus_telegram.render.figures import average, card, clock, figure, money, percent, ratio, short, table
from nexus_telegram.trade_view import TradeStatus, TradeView
from nexus_telegram.view import AccountView, DayResult, View


def status(user: UserId, session: Session, view: View, at: datetime) -> str:
    rows = [
        ("mode", str(session.mode)),
        ("profile", str(session.profile)),
        ("strategy", session.strategy),
        ("switched off", ", ".join((*session.switched_off, *session.groups_off)) or "none"),
        ("open trades", str(len(view.trades_of(user, TradeStatus.OPEN)))),
        ("proposals", str(len(view.trades_of(user, TradeStatus.PROPOSED)))),
    ]
    for account in view.accounts_of(user):
        rows.extend(_account(account))
    rows.extend((f"{venue} feed", line) for venue, line in view.feeds.lines())
    if view.longs_blocked_until is not None and view.longs_blocked_until > at:
        rows.append(("crypto longs", f"blocked until {clock(view.longs_blocked_until)}"))
    return card(f"STATUS  {clock(at)}", rows)


def _account(account: AccountView) -> list[tuple[str, str]]:
    kind = "paper" if account.spec.paper else "live"
    rows: list[tuple[str, str]] = [
        (account.spec.account, f"{money(account.wallet)} {account.spec.currency} ({kind})")
    ]
    if account.breaker is not None:
        rows.append(("", f"circuit breaker: {account.breaker}; /resetpilot"))
    if account.halted_by is not None:
        rows.append(("", f"halted by {account.halted_by}; /resume"))
    return rows


def positions(trades: Sequence[TradeView]) -> str:
    if not trades:
        return "No open positions."
    rows = [
        [
            trade.name,
            _held(trade),
            average(trade.entry_price),
            figure(trade.stop),
            money(trade.margin),
            trade.strategy,
            short(trade.trade_id),
        ]
        for trade in trades
    ]
    ladders = [line for trade in trades if trade.ladder is not None for line in _rungs(trade, trade.ladder)]
    header = ["position", "quantity", "entry", "stop", "margin", "strategy", "trade"]
    return "\n".join([table(header, rows), *ladders])


def _held(trade: TradeView) -> str:
    """A ladder turns round: it says on which side it is."""
    held = figure(trade.quantity)
    return held if trade.ladder is None or not trade.quantity else f"{held} {trade.direction}"


def _rungs(trade: TradeView, ladder: Ladder) -> list[str]:
    plan = ladder.plan
    return [
        f"{short(trade.trade_id)}  {plan.levels} levels a side of {figure(ladder.level_quantity)}, "
        f"{figure(plan.spacing)} apart around {figure(plan.centre)}",
        f"{short(trade.trade_id)}  earned {money(trade.earned, signed=True)}, fees {money(-trade.fees, signed=True)}",
    ]


def proposals(trades: Sequence[TradeView]) -> str:
    if not trades:
        return "No proposals are waiting."
    return "\n".join(
        f"{short(trade.trade_id)}  {trade.name} ({trade.strategy}), until {clock(trade.expires_at)}"
        for trade in trades
    )


def daily_summary(user: UserId, view: View, at: datetime) -> str:
    """The UTC day before `at`, account by account, and what is open now."""
    day = (at - timedelta(days=1)).strftime("%Y-%m-%d")
    rows: list[tuple[str, str]] = []
    for account in view.accounts_of(user):
        result = view.days.get((account.spec.account, day), DayResult())
        rows += [
            (account.spec.account, f"{money(account.wallet)} {account.spec.currency}"),
            ("trades", f"{result.trades} closed, {result.wins} won"),
            ("net", money(result.net_profit, signed=True)),
            ("fees", money(-result.fees, signed=True)),
            ("best", money(result.best, signed=True)),
            ("worst", money(result.worst, signed=True)),
        ]
        if account.breaker is not None:
            rows.append(("breaker", account.breaker))
    rows.append(("open now", str(len(view.trades_of(user, TradeStatus.OPEN)))))
    return card(f"SUMMARY  {day}", rows)


def why(trade: TradeView) -> str:
    parts = [f"WHY  {trade.name} {short(trade.trade_id)}, {trade.status}"]
    if trade.verdict is not None:
        parts.append(_verdict(trade.verdict))
    parts.append("\n".join(f"{at:%m-%d %H:%M:%S}  {what}" for at, what in trade.history))
    if trade.ladder is not None:
        parts.append("\n".join(_rungs(trade, trade.ladder)))
    result = trade.result
    if result is not None:
        parts.append(f"net {money(result.net_profit, signed=True)}, {ratio(result.r_multiple)} R")
    return "\n\n".join(parts)


def _verdict(verdict: EntryApproved) -> str:
    rows = [
        ("asked by", f"{verdict.origin}: {verdict.strategy} {verdict.timeframe}, {verdict.request_id}"),
        ("price", figure(verdict.price)),
        ("stop", figure(verdict.stop)),
        ("quantity", figure(verdict.quantity)),
        ("leverage", str(verdict.leverage)),
        ("at risk", f"{money(verdict.risk)} of {money(verdict.equity)}"),
        ("confidence", percent(verdict.confidence)),
    ]
    checks = [(f"{'ok' if check.passed else 'NO'} {check.name}", check.detail) for check in verdict.checks]
    return card("shield approved:", [*rows, *checks])


def strategies(session: Session, known: Sequence[str]) -> str:
    chosen = f"chosen: {session.strategy}"
    rows = [(name, "off" if name in session.switched_off else "on") for name in known]
    return card(f"STRATEGIES  {chosen}", rows)


def groups(session: Session) -> str:
    return card("GROUPS", [(group, "off" if group in session.groups_off else "on") for group in Group])


def risk(session: Session, defaults: RiskSettings) -> str:
    """Every figure, with a star at the user's own."""
    rows = []
    for name, default in defaults:
        own = session.risk.get(name)
        value = default if own is None else bool(own) if isinstance(default, bool) else own
        rows.append((name, risk_value(value) if own is None else f"{risk_value(value)} *"))
    return card("RISK  (* changed by you)", rows)


def risk_value(value: object) -> str:
    """A switch as on or off, as it is written in the command."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return figure(value) if isinstance(value, Decimal) else "–" if value is None else str(value)


def tasks(scheduled: Mapping[str, TaskScheduled]) -> str:
    if not scheduled:
        return "No tasks are scheduled."
    return "\n".join(
        f"{name}  {task.text}" + ("" if task.next_due is None else f", next {clock(task.next_due)}")
        for name, task in scheduled.items()
    )


def users(roles: Mapping[UserId, Role]) -> str:
    return card("USERS", [(user, str(role)) for user, role in sorted(roles.items())])
