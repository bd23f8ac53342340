"""Reads the simulated exchange's own ledger, which judges a run."""

from __future__ import annotations

from dataclasses import dataclass
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
        answer = await client.call("ledger")
    finally:
        await client.close()
    return Ledger(
        accounts={
            name: AccountFigures(
                int(figures["fills"]),
                Decimal(figures["quantity"]),
                Decimal(figures["fees"]),
                Decimal(figures["wallet"]),
            )
            for name, figures in answer["accounts"].items()
        },
        duplicate_orders=int(answer["duplicate_orders"]),
        unprotected_seconds_max=float(answer["unprotected_seconds_max"]),
    )
