"""What a venue says about an account itself: for `nexus doctor`, and for comparing the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from nexus_common.contracts.values import Symbol


class PositionMode(StrEnum):
    ONE_WAY = "one_way"  # what is held of an instrument is one position
    HEDGE = "hedge"  # a long and a short side beside one another


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """None means that the venue does not say.

    `clock_skew` is the venue's clock minus ours, corrected by half the time its answer took. `leverage` holds
    what is set for each instrument that has an order or a position, or was asked for.
    """

    server_time: datetime | None = None
    clock_skew: timedelta | None = None
    can_trade: bool | None = None
    can_withdraw: bool | None = None
    ip_restricted: bool | None = None
    position_mode: PositionMode | None = None
    leverage: Mapping[Symbol, int] = field(default_factory=dict)
    wallet: Decimal | None = None
    live: bool | None = None
    notes: tuple[str, ...] = ()


class StatementKind(StrEnum):
    REALISED = "realised"  # profit of a fill, before fees
    FEE = "fee"
    FUNDING = "funding"
    TRANSFER = "transfer"  # paid in or out
    LIQUIDATION = "liquidation"  # what a liquidation took beside its realised loss
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One change of the wallet as the venue's own statement has it.

    `amount` is signed, in the account's currency: positive came in. A venue that writes a fill as one row
    gives a row for the profit and one for the fee. `key` is the row's identity at the venue.
    """

    at: datetime
    kind: StatementKind
    amount: Decimal
    key: str
    symbol: Symbol | None = None
