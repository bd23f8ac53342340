"""Alpaca's assets as instruments.

Source: Trading API, `GET /v2/assets`. It lists over ten thousand stocks; those that are asked for are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Final

from nexus_common.contracts.instrument import Instrument, InstrumentKind, InstrumentStatus, Terms
from nexus_common.contracts.values import Venue
from nexus_ingest.venues.feed import Listing
from nexus_ingest.venues.listing import (
    Listed,
    OutsideNexus,
    Row,
    UnreadableRow,
    gather,
    number,
    our_symbol,
    text,
)
from nexus_market.instruments import DEFAULT_INSTRUMENTS, FEES, group_of

NAMED: Final = frozenset(str(instrument.symbol) for instrument in DEFAULT_INSTRUMENTS[Venue.ALPACA])
# Reg NMS Rule 612: a cent from one dollar up. FINRA Rule 4210: a quarter of the market value.
_TICK: Final = Decimal("0.01")
_MAINTENANCE: Final = Decimal("0.25")
_CLASS: Final = "us_equity"


def read_listing(assets: Iterable[Row], symbols: Collection[str] = NAMED) -> Listing:
    """Those of `symbols` among the stocks of an answer to assets."""
    return gather(assets, "symbol", lambda row: _read(row, symbols))


def _read(row: Row, symbols: Collection[str]) -> Listed:
    kind = row.get("class", row.get("asset_class"))
    if kind != _CLASS:
        raise OutsideNexus(f"class {kind}")
    symbol = text(row, "symbol")
    if symbol not in symbols:
        raise OutsideNexus("not among the stocks asked for")
    maker_fee, taker_fee = FEES[Venue.ALPACA]
    instrument = Instrument(
        venue=Venue.ALPACA,
        symbol=our_symbol(symbol),
        kind=InstrumentKind.STOCK,
        base=symbol,
        quote="USD",
        group=group_of(symbol, InstrumentKind.STOCK),
        tick_size=_TICK,
        step_size=Decimal(1),
        min_quantity=Decimal(1),
        min_notional=Decimal(1),
        max_leverage=1,
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        maintenance_margin=_maintenance(row),
    )
    terms = Terms(
        status=_status(row),
        shortable=_flag(row, "shortable"),
        fractionable=_flag(row, "fractionable"),
    )
    return Listed(instrument, terms)


def _status(row: Row) -> InstrumentStatus:
    if text(row, "status") != "active":
        return InstrumentStatus.STOPPED
    return InstrumentStatus.TRADING if _flag(row, "tradable") else InstrumentStatus.PAUSED


def _flag(row: Row, field: str) -> bool:
    value = row.get(field)
    if not isinstance(value, bool):
        raise UnreadableRow(f"{field} is {value!r}, neither true nor false")
    return value


def _maintenance(row: Row) -> Decimal:
    """The venue's own requirement in percent where it says one, at least the rule's quarter."""
    if row.get("margin_requirement_long") in (None, ""):
        return _MAINTENANCE
    return max(_MAINTENANCE, min(number(row, "margin_requirement_long") / 100, Decimal(1)))
