"""What users are told of what happened, unasked."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.account import AccountNoted, HandTraded, PositionDrifted, PositionLiquidated
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, FallUnconfirmed, GuardReleased
from nexus_common.contracts.risk import (
    BreakerReset,
    BreakerTripped,
    EntriesHalted,
    EntriesResumed,
    EntryRefused,
    Ladder,
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
from nexus_common.contracts.values import AccountId
from nexus_telegram.render.figures import average, card, clock, figure, money, percent, ratio, short
from nexus_telegram.trade_view import TradeView


def alerted(event: TradeAlerted) -> str:
    return card(
        f"SIGNAL  {_what(event)}",
        [*_asked(event), ("mode", "watcher: nothing is traded")],
    )


def proposed(event: TradeProposed) -> str:
    return card(
        f"PROPOSAL  {_what(event)}",
        [
            *_asked(event),
            ("account", event.account),
            ("until", clock(event.expires_at)),
            ("answer", f"/approve {short(event.trade_id)} or /reject {short(event.trade_id)}"),
        ],
    )


def _what(event: TradeAlerted | TradeProposed) -> str:
    return f"{'ladder' if event.ladder is not None else event.direction} {event.symbol}"


def _asked(event: TradeAlerted | TradeProposed) -> list[tuple[str, str]]:
    rows = [("strategy", event.strategy), ("price", figure(event.price))]
    if event.ladder is not None:
        return [*rows, *ladder_rows(event.ladder)]
    return [*rows, ("stop", _stop(event)), ("quantity", figure(event.quantity))]


def ladder_rows(ladder: Ladder) -> list[tuple[str, str]]:
    """The same on both sides of the centre."""
    plan = ladder.plan
    return [
        ("centre", figure(plan.centre)),
        ("levels", f"{plan.levels} a side, {figure(plan.spacing)} apart"),
        ("quantity", f"{figure(ladder.level_quantity)} a level"),
        ("stops", f"{figure(plan.centre - plan.reach)} and {figure(plan.centre + plan.reach)}"),
    ]


def ladder_opened(event: TradeAdmitted, ladder: Ladder) -> str:
    rows = [("strategy", event.strategy), *ladder_rows(ladder)]
    return card(
        f"LADDER  {event.symbol}", [*rows, ("account", event.account), ("trade", short(event.trade_id))]
    )


def _stop(event: TradeAlerted | TradeProposed) -> str:
    return f"{figure(event.stop)} ({percent((event.stop - event.price) / event.price, signed=True)})"


def opened(event: TradeEntered, trade: TradeView | None) -> str:
    rows = [
        ("strategy", event.strategy),
        ("entry", average(event.average_price)),
        ("quantity", figure(event.quantity)),
        ("margin", money(event.margin)),
    ]
    if trade is not None and trade.stop is not None:
        rows.append(("stop", figure(trade.stop)))
    if trade is not None and trade.first_target is not None:
        rows.append(("target", figure(trade.first_target)))
    rows += [("account", event.account), ("trade", short(event.trade_id))]
    return card(f"OPENED  {event.direction} {event.symbol}", rows)


def closed(event: TradeClosed, trade: TradeView | None) -> str:
    is_ladder = trade is not None and trade.ladder is not None
    what = f"{'ladder' if is_ladder else event.direction} {event.symbol}"
    return card(
        f"CLOSED  {what} by {event.reason.replace('_', ' ')}",
        [
            ("bought at" if is_ladder else "entry", average(event.entry_price)),
            ("sold at" if is_ladder else "exit", average(event.exit_price)),
            ("quantity", figure(event.quantity)),
            ("gross", money(event.gross_profit, signed=True)),
            ("fees", money(-event.fees, signed=True)),
            ("funding", money(-event.funding, signed=True)),
            ("net", money(event.net_profit, signed=True)),
            ("result", f"{ratio(event.r_multiple)} R"),
            ("on margin", percent(event.return_on_margin, signed=True)),
            ("on equity", percent(event.return_on_equity, signed=True)),
            ("account", event.account),
            ("trade", short(event.trade_id)),
        ],
    )


def declined(event: TradeDeclined, trade: TradeView | None) -> str:
    return f"NOT TRADED  {_name(trade)}{short(event.trade_id)}: {event.reason}"


def abandoned(event: TradeAbandoned, trade: TradeView | None) -> str:
    return f"NOT FILLED  {_name(trade)}{short(event.trade_id)}: {event.reason}"


def _name(trade: TradeView | None) -> str:
    return f"{trade.name} " if trade is not None and trade.symbol is not None else ""


def protection_failed(event: ProtectionFailed, trade: TradeView | None) -> str:
    return card(
        f"UNPROTECTED  {_name(trade)}".rstrip(),
        [
            ("what", event.detail),
            ("now", "the position is being closed at the market"),
            ("trade", short(event.trade_id)),
        ],
    )


def order_refused(event: EntryRefused) -> str:
    failed = [(check.name, check.detail) for check in event.checks if not check.passed]
    title = f"REFUSED  your {event.direction} {event.symbol}: {event.reason}"
    return card(title, failed)


def breaker_tripped(event: BreakerTripped, account: AccountId) -> str:
    return card(
        f"CIRCUIT BREAKER  {event.reason}",
        [
            ("account", account),
            ("equity", money(event.equity)),
            ("detail", event.detail),
            ("now", "no automated entries; stops and exits go on"),
            ("again", "/resetpilot"),
        ],
    )


def breaker_reset(event: BreakerReset, account: AccountId) -> str:
    return f"BREAKER RESET  {account} by {event.by}, equity {money(event.equity)}"


def halted(event: EntriesHalted, account: AccountId) -> str:
    return f"HALTED  {account} by {event.by}: no new trades until /resume"


def resumed(event: EntriesResumed, account: AccountId) -> str:
    return f"RESUMED  {account} by {event.by}"


def black_swan(event: BlackSwanDeclared, longs: Sequence[TradeView]) -> str:
    evidence = event.evidence
    names = ", ".join(f"{trade.symbol}" for trade in longs) or "none of yours"
    return card(
        f"BLACK SWAN  {event.symbol} {money(-abs(evidence.fall_percent), signed=True)} %",
        [
            ("measured", str(evidence.measure)),
            ("from", figure(evidence.reference_price)),
            ("to", figure(evidence.price)),
            ("confirmed", evidence.confirmed_by),
            ("leaving", names),
            ("shorts", "stay"),
            ("no longs", f"until {clock(event.longs_blocked_until)}, or /resume"),
        ],
    )


def amber(event: AmberRaised) -> str:
    fall = money(-abs(event.evidence.fall_percent), signed=True)
    until = clock(event.longs_blocked_until)
    return f"AMBER  {event.symbol} {fall} %: no new longs until {until}, trailing stops are tightened"


def fall_unconfirmed(event: FallUnconfirmed) -> str:
    evidence = event.evidence
    fall = money(-abs(evidence.fall_percent), signed=True)
    return card(
        f"FALL NOT CONFIRMED  {event.symbol} {fall} %",
        [
            ("at", event.venue),
            ("price", figure(evidence.price)),
            ("why", event.reason),
            ("now", "nothing is left"),
        ],
    )


def released(event: GuardReleased) -> str:
    return f"LONGS ALLOWED  {event.reason}"


def drifted(event: PositionDrifted) -> str:
    return card(
        f"DRIFT  {event.symbol}",
        [("expected", figure(event.expected)), ("held", figure(event.held)), ("account", event.account)],
    )


_TAKEN = {
    "liquidation": "LIQUIDATED",
    "adl": "DELEVERAGED",
    "settlement": "SETTLED",
}


def liquidated(event: PositionLiquidated) -> str:
    return card(
        f"{_TAKEN.get(event.reason, event.reason.upper())}  {event.symbol}",
        [
            ("quantity", figure(event.quantity)),
            ("price", figure(event.price)),
            ("account", event.account),
            ("now", "no entries there until the next day (UTC)"),
        ],
    )


def hand_traded(event: HandTraded) -> str:
    return card(
        f"BY HAND  {event.side} {event.symbol}",
        [("quantity", figure(event.quantity)), ("price", figure(event.price)), ("account", event.account)],
    )


def noted(event: AccountNoted) -> str:
    return f"ACCOUNT  {event.account}: {event.text}"


def task_due(event: TaskDue) -> str:
    word = "PRICE ALERT" if event.kind is TaskKind.PRICE_ALERT else "REMINDER"
    late = f" (and {event.missed} missed since)" if event.missed else ""
    return f"{word}  {event.text}{late}"


def task_scheduled(event: TaskScheduled) -> str:
    if event.kind is TaskKind.PRICE_ALERT:
        return f"ALERT SET  {event.task}: {event.text}"
    again = "" if event.cron is None else f", then by {event.cron!r} UTC"
    return f"REMINDER SET  {event.task}: {event.text}, next {clock(event.next_due)}{again}"


def task_refused(event: TaskRefused) -> str:
    return f"NOT SCHEDULED  {event.task}: {event.reason}"
