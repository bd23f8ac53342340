"""The ledger of our accounts: what was realised, charged, paid and transferred, from our own fills.

Rows of the read model `ledger` are gone through in order. A position's profit is realised against its average
cost, as the venues do; what is bought is on record with the venue's own price and fee.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from nexus_common.contracts.values import AccountId, Symbol, Venue, format_decimal, format_instant
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.projection import Put
from nexus_executor.projections.ledger import Ledger
from nexus_executor.venues.facts import StatementKind
from nexus_market.exchange.model import money
from nexus_ops.decisions import events_of

ZERO = Decimal(0)
UNKNOWN_STRATEGY = "-"
BY_HAND = "by hand"
# A wallet stated for one of these says nothing that its own row does not; `wallet` is stated without a reason.
TAKEN_OVER: Final = frozenset({"liquidation", "adl", "settlement"})
FOLLOWING: Final = frozenset({"fill", "funding", "wallet"}) | TAKEN_OVER


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of a wallet; `amount` is signed, positive came in. Fills carry their size in `volume`."""

    at: datetime
    account: AccountId
    kind: StatementKind
    amount: Decimal
    symbol: Symbol | None = None
    strategy: str = UNKNOWN_STRATEGY
    fills: int = 0
    volume: Decimal = ZERO


@dataclass(slots=True)
class _Position:
    """Signed quantity, and what it cost; a part that is sold takes its share of the cost with it."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO

    def take(self, signed: Decimal, price: Decimal) -> Decimal:
        """Take a fill (buys positive), through zero if need be, and return what it realised."""
        closing = ZERO
        if self.quantity * signed < 0:
            closing = max(signed, -self.quantity) if signed < 0 else min(signed, -self.quantity)
        realised = ZERO
        if closing:
            whole = closing == -self.quantity
            cost = self.cost if whole else money(self.cost * abs(closing / self.quantity))
            self.quantity, self.cost = self.quantity + closing, self.cost - cost
            realised = -closing * price - cost
        opening = signed - closing
        self.quantity, self.cost = self.quantity + opening, self.cost + opening * price
        return realised


@dataclass(slots=True)
class AccountBook:
    """What is known of one account; `wallet` as its venue stated it last."""

    account: AccountId
    venue: Venue
    currency: str
    opened_at: datetime
    opening: Decimal
    wallet: Decimal
    entries: list[Entry] = field(default_factory=list)
    positions: dict[Symbol, _Position] = field(default_factory=dict)
    strategies: dict[Symbol, str] = field(default_factory=dict)
    _seized: Decimal | None = None

    @property
    def unexplained(self) -> Decimal:
        """What the wallet holds beyond the opening balance and all entries; 0 when all is on record."""
        return self.wallet - self.opening - sum((entry.amount for entry in self.entries), ZERO)

    def add(self, row: Mapping[str, Any], strategy: str) -> None:
        at = datetime.fromisoformat(row["at"])
        match row["kind"]:
            case "fill":
                self._fill(row, at, strategy)
            case "funding":
                symbol = Symbol(row["symbol"])
                self._note(at, StatementKind.FUNDING, -Decimal(row["amount"]), symbol)
            case "liquidation":
                self._liquidation(row, at)
            case "balance":
                self._balance(row, at)
            case _:
                pass

    def _fill(self, row: Mapping[str, Any], at: datetime, strategy: str) -> None:
        symbol, quantity, price = Symbol(row["symbol"]), Decimal(row["quantity"]), Decimal(row["price"])
        self.strategies[symbol] = strategy
        signed = quantity if row["side"] == "buy" else -quantity
        realised = self.positions.setdefault(symbol, _Position()).take(signed, price)
        self.entries.append(
            Entry(
                at,
                self.account,
                StatementKind.REALISED,
                realised,
                symbol,
                strategy,
                fills=1,
                volume=quantity * price,
            )
        )
        self._note(at, StatementKind.FEE, -Decimal(row["fee"]), symbol)

    def _liquidation(self, row: Mapping[str, Any], at: datetime) -> None:
        symbol = Symbol(row["symbol"])
        position = self.positions.setdefault(symbol, _Position())
        taken = min(Decimal(row["quantity"]), abs(position.quantity))
        realised = position.take(-taken if position.quantity > 0 else taken, Decimal(row["price"]))
        self._note(at, StatementKind.REALISED, realised, symbol)
        self._seized = realised

    def _balance(self, row: Mapping[str, Any], at: datetime) -> None:
        self.wallet = Decimal(row["wallet"])
        reason, change = row["reason"], Decimal(row["change"])
        if reason in TAKEN_OVER and self._seized is not None:
            # Whatever left the wallet beside the realised loss, the venue kept.
            self._note(at, StatementKind.LIQUIDATION, change - self._seized, None)
            self._seized = None
        elif reason not in FOLLOWING:
            kind = StatementKind.TRANSFER if reason == "transfer" else StatementKind.OTHER
            self._note(at, kind, change, None)

    def _note(self, at: datetime, kind: StatementKind, amount: Decimal, symbol: Symbol | None) -> None:
        if amount:
            strategy = UNKNOWN_STRATEGY if symbol is None else self.strategies.get(symbol, UNKNOWN_STRATEGY)
            self.entries.append(Entry(at, self.account, kind, amount, symbol, strategy))


def books_of(rows: Iterable[Mapping[str, Any]]) -> dict[AccountId, AccountBook]:
    """The books of all accounts, from the rows of the read model in their order."""
    listed = list(rows)
    strategies = {row["trade"]: row["strategy"] for row in listed if row["kind"] == "trade"}
    books: dict[AccountId, AccountBook] = {}
    for row in listed:
        if row["kind"] == "opened":
            wallet, account = Decimal(row["wallet"]), AccountId(row["account"])
            books[account] = AccountBook(
                account,
                Venue(row["venue"]),
                row["currency"],
                datetime.fromisoformat(row["at"]),
                wallet,
                wallet,
            )
        elif row["kind"] != "trade" and row["account"] in books:
            trade = row.get("trade")
            strategy = BY_HAND if trade is None else strategies.get(trade, UNKNOWN_STRATEGY)
            books[row["account"]].add(row, strategy)
    return books


async def books_on_record(store: EventStore) -> dict[AccountId, AccountBook]:
    """The books of all accounts from the events themselves, without the read model."""
    projection, rows = Ledger(), []
    async for recorded in events_of(store, projection.categories):
        for change in projection.apply(recorded.envelope):
            if isinstance(change, Put):
                at = change.data.get("at")
                rows.append({**change.data, "at": None if at is None else format_instant(at)})
    return books_of(rows)


class Grouping(StrEnum):
    """What `nexus ledger` can be broken down by."""

    STRATEGY = "strategy"
    INSTRUMENT = "instrument"
    DAY = "day"


_KEYS: Mapping[Grouping | None, Callable[[Entry], str]] = {
    None: lambda entry: "",
    Grouping.STRATEGY: lambda entry: entry.strategy,
    Grouping.INSTRUMENT: lambda entry: entry.symbol or "-",
    Grouping.DAY: lambda entry: f"{entry.at:%Y-%m-%d}",
}


@dataclass(slots=True)
class Figures:
    """Sums of a group of entries. Fees and funding: positive was paid. `net` is without transfers."""

    fills: int = 0
    volume: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    liquidation: Decimal = ZERO
    transfers: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return self.realised - self.fees - self.funding - self.liquidation

    def add(self, entry: Entry) -> None:
        self.fills += entry.fills
        self.volume += entry.volume
        match entry.kind:
            case StatementKind.REALISED:
                self.realised += entry.amount
            case StatementKind.FEE:
                self.fees -= entry.amount
            case StatementKind.FUNDING:
                self.funding -= entry.amount
            case StatementKind.LIQUIDATION:
                self.liquidation -= entry.amount
            case StatementKind.TRANSFER | StatementKind.OTHER:
                self.transfers += entry.amount

    def to_json(self) -> dict[str, Any]:
        amounts = {
            name: format_decimal(getattr(self, name))
            for name in ("volume", "realised", "fees", "funding", "liquidation", "net", "transfers")
        }
        return {"fills": self.fills, **amounts}


def grouped(book: AccountBook, by: Grouping | None) -> dict[str, Figures]:
    """The figures of each group, in the order of the groups' names."""
    key, groups = _KEYS[by], dict[str, Figures]()
    for entry in book.entries:
        groups.setdefault(key(entry), Figures()).add(entry)
    if by is None and not groups:
        groups[""] = Figures()
    return dict(sorted(groups.items()))
