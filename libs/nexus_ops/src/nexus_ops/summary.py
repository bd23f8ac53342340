"""What a run did, counted from the store and judged by the exchange's own ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts import guard, market, order, risk, signal, trade
from nexus_common.contracts.account import AccountOpened, BalanceChanged
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Direction
from nexus_common.runtime.ports import EventStore
from nexus_ops.decisions import DecisionsHash, events_of


@dataclass
class Summary:
    """Counts of one run. Money in the account's currency, times in milliseconds of the wall clock."""

    candles: int = 0
    signals: int = 0
    withheld: int = 0
    verdicts_approved: int = 0
    verdicts_refused: int = 0
    orders: int = 0
    fills: int = 0
    trades_closed: int = 0
    trades_by_strategy: dict[str, int] = field(default_factory=dict)
    net_profit: Decimal = Decimal(0)
    events: int = 0
    black_swans: int = 0
    black_swan_at: list[str] = field(default_factory=list)
    longs_exited: int = 0
    shorts_kept: int = 0
    decisions_hash: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    example_trade: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "net_profit": str(self.net_profit)}


class Counter:
    """Counts a run's events as they come, in the order of their commits."""

    def __init__(self) -> None:
        self.summary = Summary()
        self._hash = DecisionsHash()
        self._open: dict[str, Direction] = {}
        self._candle_at: dict[datetime, datetime] = {}
        self._entries: set[str] = set()
        self._latencies: list[float] = []

    def add(self, recorded: Recorded[Event]) -> None:
        total, event = self.summary, recorded.event
        total.events += 1
        self._hash.add(recorded)
        match event:
            case market.CandlesClosed():
                total.candles += len(event.candles)
                self._candle_at[event.at] = recorded.recorded_at
            case signal.SignalRaised():
                total.signals += 1
            case signal.SignalWithheld():
                total.withheld += 1
            case risk.EntryApproved() | risk.ExitApproved():
                total.verdicts_approved += 1
            case risk.EntryRefused():
                total.verdicts_refused += 1
            case order.OrderIntentRecorded():
                total.orders += 1
                if event.leg is order.Leg.ENTRY:
                    self._entries.add(event.client_order_id)
            case order.SubmitStarted() if event.client_order_id in self._entries:
                self._time(recorded)
            case order.OrderFilled():
                total.fills += 1
            case guard.BlackSwanDeclared():
                total.black_swans += 1
                total.black_swan_at.append(f"{recorded.envelope.occurred_at:%Y-%m-%dT%H:%M:%SZ}")
                total.shorts_kept += sum(d is Direction.SHORT for d in self._open.values())
            case _:
                self._trade(event)

    def _trade(self, event: Event) -> None:
        total = self.summary
        match event:
            case trade.TradeEntered():
                self._open[event.trade_id] = event.direction
            case trade.TradeClosed():
                self._open.pop(event.trade_id, None)
                total.trades_closed += 1
                total.net_profit += event.net_profit
                by = total.trades_by_strategy
                by[event.strategy] = by.get(event.strategy, 0) + 1
                total.example_trade = total.example_trade or event.trade_id
                if event.reason is trade.ExitReason.BLACK_SWAN:
                    total.longs_exited += 1
            case _:
                pass

    def _time(self, recorded: Recorded[Event]) -> None:
        """From the candle's commit to the commit behind which the entry order leaves."""
        closed = self._candle_at.get(recorded.envelope.occurred_at)
        if closed is not None:
            self._latencies.append((recorded.recorded_at - closed).total_seconds() * 1_000)

    def done(self) -> Summary:
        self.summary.decisions_hash = self._hash.hexdigest()
        self.summary.p50_ms = percentile(self._latencies, 0.50)
        self.summary.p99_ms = percentile(self._latencies, 0.99)
        return self.summary


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


async def summarise(store: EventStore) -> Summary:
    counter = Counter()
    async for recorded in events_of(store):
        counter.add(recorded)
    return counter.done()


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """What an account amounts to by one book: fills, their quantity and fees, and the wallet at the end."""

    fills: int
    quantity: Decimal
    fees: Decimal
    wallet: Decimal


async def store_book(store: EventStore) -> dict[str, AccountFigures]:
    """The accounts by our own record."""
    fills: dict[str, int] = {}
    quantity: dict[str, Decimal] = {}
    fees: dict[str, Decimal] = {}
    wallet: dict[str, Decimal] = {}
    async for recorded in events_of(store, ("order", "account")):
        event, account = recorded.event, recorded.envelope.account or ""
        if isinstance(event, order.OrderFilled):
            fills[account] = fills.get(account, 0) + 1
            quantity[account] = quantity.get(account, Decimal(0)) + event.quantity
            fees[account] = fees.get(account, Decimal(0)) + event.fee
        elif isinstance(event, AccountOpened | BalanceChanged):
            wallet[event.account] = event.wallet
    return {
        account: AccountFigures(
            fills.get(account, 0), quantity.get(account, Decimal(0)), fees.get(account, Decimal(0)), held
        )
        for account, held in sorted(wallet.items())
    }


def differences(ours: Mapping[str, AccountFigures], theirs: Mapping[str, AccountFigures]) -> list[str]:
    """Where our record and the exchange's ledger disagree, one sentence each."""
    found = []
    for account in sorted({*ours, *theirs}):
        mine, venue = ours.get(account), theirs.get(account)
        if mine != venue:
            found.append(f"{account}: the store says {mine}, the exchange {venue}")
    return found
