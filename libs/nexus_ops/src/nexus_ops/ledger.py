"""Reads the simulated exchange's own ledger, which judges a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_ops.summary import AccountFigures


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the exchange says: its accounts, repeated orders, and the longest time a position had no stop."""

    accounts: dict[str, AccountFigures]
    duplicate_orders: int
    unprotected_seconds_max: float


async def fetch_ledger(url: str) -> Ledger:
    client = ExchangeClient(url, name="judge", timeout=60.0)
    try:
        answer = await client.call("ledger", {"limit": 0})
    finally:
        await client.close()
    by_account: dict[str, AccountFigures] = {
        account: AccountFigures(0, Decimal(0), Decimal(0), Decimal(wallet))
        for account, wallet in answer["wallets"].items()
    }
    for total in answer["totals"]:
        known = by_account[total["account"]]
        by_account[total["account"]] = replace(
            known,
            fills=known.fills + int(total["fills"]),
            quantity=known.quantity + Decimal(total["quantity"]),
            fees=known.fees + Decimal(total["fees"]),
        )
    return Ledger(
        accounts=by_account,
        duplicate_orders=len(answer["duplicates"]),
        unprotected_seconds_max=max(
            (float(span["wall_seconds"]) for span in answer["unprotected"]), default=0.0
        ),
    )
