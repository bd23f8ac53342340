"""The judge: what the venue's ledger says of one account against what the executor recorded of it.

The ledger is right about what happened. What the store says is only compared with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.account import AccountOpened, BalanceChanged
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import (
    Leg,
    OrderFilled,
    OrderIntentRecorded,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitStarted,
    SubmitUnknown,
)
from nexus_common.contracts.trade import TradeAbandoned, TradeAdmitted, TradeClosed
from nexus_market.exchange import duplicate_orders, unprotected_spans

Records = Sequence[Mapping[str, Any]]
HAND = "web_"
UNPROTECTED = timedelta(seconds=5)


# Turns at most this far apart.
_BUSY: Final = timedelta(seconds=5)


@dataclass(slots=True)
class Finding:
    """What is wrong with one account, and its figures in seconds of venue time.

    `share`: the most that any account of its market used of its venue's limit.
    """

    problems: list[str] = field(default_factory=list)
    adopted: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)
    naked: list[float] = field(default_factory=list)
    fills: int = 0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """The executor's side: its events, when each was recorded, and whether its owner traded by hand."""

    events: Sequence[Recorded[Event]]
    turns: Sequence[tuple[datetime, int]]
    by_hand: bool

    def at(self, recorded: Recorded[Event]) -> datetime:
        position = recorded.global_position
        return next((at for at, head in self.turns if position <= head), self.turns[-1][0])

    def waited(self, recorded: Recorded[Event]) -> timedelta:
        """How long there was no turn before the one in which this was recorded."""
        at = self.at(recorded)
        return at - max((turn for turn, _ in self.turns if turn < at), default=at)

    def of(self, kind: type[Any]) -> list[Any]:
        return [recorded.event for recorded in self.events if isinstance(recorded.event, kind)]


def judge(records: Records, told: Told, naked_seconds: float) -> Finding:
    """`records` are the ledger's of this account alone."""
    finding = Finding(fills=len(_fills_of(records)))
    _duplicates(records, told, finding)
    _fills(records, told, finding)
    _wallet(records, told, finding)
    _naked(records, told, naked_seconds, finding)
    _ends(records, told, finding)
    _resolutions(told, finding)
    return finding


def _is_ours(record: Mapping[str, Any]) -> bool:
    return not str(record["client"]).startswith(HAND)


def _fills_of(records: Records) -> list[Mapping[str, Any]]:
    return [record for record in records if record["kind"] == "fill" and _is_ours(record)]


def _duplicates(records: Records, told: Told, finding: Finding) -> None:
    for _, client in duplicate_orders(records):
        finding.problems.append(f"duplicate order {client}")
    entries = {
        intent.client_order_id: intent.trade_id
        for intent in told.of(OrderIntentRecorded)
        if intent.leg is Leg.ENTRY
    }
    wanted = {trade.trade_id: trade.quantity for trade in told.of(TradeAdmitted)}
    filled: dict[str, dict[str, Decimal]] = {}
    for record in _fills_of(records):
        trade = entries.get(record["client"])
        if trade is not None:
            orders = filled.setdefault(trade, {})
            orders[record["client"]] = orders.get(record["client"], Decimal(0)) + Decimal(record["quantity"])
    for trade, orders in filled.items():
        if len(orders) > 1:
            finding.problems.append(f"economic duplicate: entries {sorted(orders)} of trade {trade} filled")
        if sum(orders.values()) > wanted[trade]:
            finding.problems.append(f"{sum(orders.values())} entered, {wanted[trade]} wanted")
    if not told.by_hand:
        _reversed(records, told, finding)


def _reversed(records: Records, told: Told, finding: Finding) -> None:
    """A position of the other sign than any trade of ours is one that nobody wanted."""
    signs = {trade.direction.sign for trade in told.of(TradeAdmitted)}
    for record in records:
        held = Decimal(record["quantity"]) if record["kind"] == "position" else Decimal(0)
        if held and (1 if held > 0 else -1) not in signs:
            finding.problems.append(f"reversed position {held}")


def _fills(records: Records, told: Told, finding: Finding) -> None:
    def keys(fills: Iterable[Any]) -> Counter[tuple[str, Decimal, Decimal]]:
        return Counter(fills)

    theirs = keys((str(r["side"]), Decimal(r["quantity"]), Decimal(r["price"])) for r in _fills_of(records))
    ours = keys((str(f.side), f.quantity, f.price) for f in told.of(OrderFilled))
    for key, count in (theirs - ours).items():
        finding.problems.append(f"lost fill {' '.join(map(str, key))} ({count})")
    for key, count in (ours - theirs).items():
        finding.problems.append(f"invented fill {' '.join(map(str, key))} ({count})")


def _wallet(records: Records, told: Told, finding: Finding) -> None:
    wallets = [Decimal(record["wallet"]) for record in records if "wallet" in record]
    opened = told.of(AccountOpened)
    if not opened or not wallets:
        return
    changed = told.of(BalanceChanged)
    if changed and changed[-1].wallet != wallets[-1]:
        finding.problems.append(f"wallet {changed[-1].wallet}, the venue says {wallets[-1]}")
    taken = any(record["kind"] in ("liquidation", "transfer") for record in records)
    if told.by_hand or taken or len(told.of(TradeClosed)) + len(told.of(TradeAbandoned)) == 0:
        return
    earned = sum((trade.net_profit for trade in told.of(TradeClosed)), Decimal(0))
    if abs(wallets[0] + earned - wallets[-1]) > Decimal("0.0000001"):
        finding.problems.append(f"trades earned {earned}, the wallet moved by {wallets[-1] - wallets[0]}")


def _naked(records: Records, told: Told, limit: float, finding: Finding) -> None:
    ends = [told.at(r) for r in told.events if isinstance(r.event, TradeClosed | TradeAbandoned)]
    over = max(ends) if ends and told.by_hand else None
    last = told.turns[-1][0] if told.turns else None
    for span in unprotected_spans(records):
        start, end = span.start, span.end or last
        if start is None or end is None or (over is not None and start >= over):
            continue  # what its owner holds by hand beyond our trade is his
        end = min(end, over or end)
        seconds = (end - start) / timedelta(seconds=1)
        finding.naked.append(seconds)
        # Nothing is done between turns: the first one behind the five seconds is in time.
        in_time = next((at for at, _ in told.turns if at - start > UNPROTECTED), end)
        if seconds > limit and end > in_time:
            finding.problems.append(f"naked for {seconds:g} s from {start:%H:%M:%S}, limit {limit:g} s")


def _ends(records: Records, told: Told, finding: Finding) -> None:
    """In the end nothing of ours may be left: no order without a position, no position without a trade."""
    held: dict[str, Decimal] = {}
    standing: dict[str, Mapping[str, Any]] = {}
    for record in records:
        match record["kind"]:
            case "position":
                held[record["symbol"]] = Decimal(record["quantity"])
            case "order":
                standing[record["client"]] = record
            case "cancel":
                standing.pop(record["client"], None)
            case "fill" if record["complete"]:
                standing.pop(record["client"], None)
    open_trades = len(told.of(TradeAdmitted)) - len(told.of(TradeClosed)) - len(told.of(TradeAbandoned))
    if told.by_hand:
        return
    if not any(held.values()) and open_trades > 0:
        finding.problems.append("a trade is still open here, and nothing is held at the venue")
    if any(held.values()) and open_trades <= 0:
        finding.problems.append(f"held at the venue, and no trade of it here: {held}")
    if not any(held.values()) and standing:
        finding.problems.append(f"left behind: {sorted(standing)}")


def _resolutions(told: Told, finding: Finding) -> None:
    started: dict[str, SubmitStarted] = {}
    unknown: dict[str, datetime] = {}
    for recorded in told.events:
        event = recorded.event
        match event:
            case SubmitStarted():
                started[event.client_order_id] = event
            case SubmitUnknown():
                unknown.setdefault(event.client_order_id, told.at(recorded))
            case SubmitAccepted() if event.client_order_id in unknown:
                since = unknown[event.client_order_id]
                finding.adopted.append((told.at(recorded) - since) / timedelta(seconds=1))
            # A proof needs three turns behind the deadline; where they come by the minute it says nothing.
            case SubmitProvenAbsent() if event.client_order_id in started and told.waited(recorded) <= _BUSY:
                deadline = started[event.client_order_id].deadline
                finding.absent.append((told.at(recorded) - deadline) / timedelta(seconds=1))
            case _:
                continue
