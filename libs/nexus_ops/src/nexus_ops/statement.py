"""The venue's own statement of an account, and where our ledger differs from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.values import AccountId, Symbol
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_executor.venues.facts import StatementKind, StatementRow
from nexus_ops.book import ZERO, AccountBook

# Venues book amounts in units of 1e-8.
UNIT = Decimal("0.00000001")
Sums = dict[tuple[StatementKind, Symbol | None], Decimal]


def compare(book: AccountBook, statement: Iterable[StatementRow]) -> list[str]:
    """Where our ledger and the venue's statement disagree, a sentence for each kind and instrument.

    Sums are compared: a venue may write as one row what another writes as two.
    """
    ours = _sums((entry.kind, entry.symbol, entry.amount) for entry in book.entries)
    theirs = _sums((row.kind, row.symbol, row.amount) for row in statement)
    found = []
    for kind, symbol in sorted({*ours, *theirs}, key=lambda key: (key[1] or "", key[0])):
        mine, venue = ours.get((kind, symbol), ZERO), theirs.get((kind, symbol), ZERO)
        if abs(mine - venue) >= UNIT:
            what = f"{symbol} {kind}" if symbol else f"{kind}"
            found.append(
                f"{book.account}: {what} is {mine:f} in our ledger and {venue:f} in the venue's statement, "
                f"{venue - mine:+f} apart"
            )
    if abs(book.unexplained) >= UNIT:
        found.append(f"{book.account}: {book.unexplained:+f} of its wallet has no entry in our ledger")
    return found


def _sums(amounts: Iterable[tuple[StatementKind, Symbol | None, Decimal]]) -> Sums:
    sums: Sums = {}
    for kind, symbol, amount in amounts:
        # Paid in or out, and by the venue for reasons of its own: words differ, the sum may not. A liquidation's
        # remainder is the account's, whatever the venue notes beside it.
        kind = StatementKind.TRANSFER if kind is StatementKind.OTHER else kind
        whole = kind in (StatementKind.LIQUIDATION, StatementKind.TRANSFER)
        key = (kind, None if whole else symbol)
        sums[key] = sums.get(key, ZERO) + amount
    return sums


async def exchange_statement(url: str) -> dict[AccountId, list[StatementRow]]:
    """What the simulated exchange's own ledger says of each account, as its statement."""
    client = ExchangeClient(url, name="statement", timeout=60.0)
    try:
        answer = await client.call("ledger", {})
    finally:
        await client.close()
    return statement_of(answer["records"])


def statement_of(records: Sequence[Mapping[str, Any]]) -> dict[AccountId, list[StatementRow]]:
    """Records of the exchange's ledger in the words of a statement."""
    rows: dict[AccountId, list[StatementRow]] = {}
    for record in records:
        for kind, amount in _amounts(record):
            symbol = None if record["symbol"] is None else Symbol(record["symbol"])
            at = datetime.fromisoformat(record["at"])
            row = StatementRow(at, kind, amount, f"{record['n']}/{kind}", symbol)
            rows.setdefault(AccountId(record["account"]), []).append(row)
    return rows


def _amounts(record: Mapping[str, Any]) -> Sequence[tuple[StatementKind, Decimal]]:
    match record["kind"]:
        case "fill":
            return [
                (StatementKind.REALISED, Decimal(record["realised"])),
                (StatementKind.FEE, -Decimal(record["fee"])),
            ]
        case "liquidation":
            return [
                (StatementKind.REALISED, Decimal(record["realised"])),
                (StatementKind.LIQUIDATION, -Decimal(record["fee"])),
            ]
        case "funding":
            return [(StatementKind.FUNDING, Decimal(record["change"]))]
        case "transfer":
            return [(StatementKind.TRANSFER, Decimal(record["change"]))]
        case _:
            return []
