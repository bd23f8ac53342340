"""Bybit V5 linear metadata as instruments.

Source: V5, `GET /v5/market/instruments-info` (pages of at most 1000; only trading ones unless `status` asks for
PreLaunch or Delivering) and `GET /v5/market/risk-limit` (pages by cursor).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from nexus_common.contracts.instrument import Bracket, InstrumentStatus, Terms
from nexus_common.contracts.values import Venue
from nexus_ingest.venues.feed import Listing
from nexus_ingest.venues.listing import (
    Listed,
    OutsideNexus,
    Row,
    UnreadableRow,
    brackets_in_order,
    gather,
    known_default,
    moment,
    number,
    part,
    perpetual,
    positive,
    text,
)

QUOTE: Final = "USDT"
_STATUS: Final[Mapping[str, InstrumentStatus]] = {
    "Trading": InstrumentStatus.TRADING,
    "PreLaunch": InstrumentStatus.ANNOUNCED,
    "Delivering": InstrumentStatus.STOPPED,
    "Closed": InstrumentStatus.STOPPED,
}


def read_listing(pages: Iterable[Row], risk_limit_pages: Iterable[Row] = ()) -> Listing:
    """The USDT perpetuals of all pages of instruments-info (their `result`s), with those of risk-limit.

    Raises:
        UnreadableRow: a page has no list.
    """
    limits: dict[str, list[Row]] = defaultdict(list)
    for page in risk_limit_pages:
        for row in _rows(page):
            limits[str(row.get("symbol"))].append(row)
    rows = [
        {"category": page.get("category", "linear"), **row} if isinstance(row, Mapping) else row
        for page in pages
        for row in _rows(page)
    ]
    return gather(rows, "symbol", lambda row: _read(row, limits.get(str(row.get("symbol")), [])))


def _rows(page: Row) -> list[Row]:
    rows = page.get("list")
    if not isinstance(rows, list):
        raise UnreadableRow("a page has no list")
    return rows


def _read(row: Row, limits: list[Row]) -> Listed:
    _refuse_other_markets(row)
    leverage, lot = part(row, "leverageFilter"), part(row, "lotSizeFilter")
    spelled = text(row, "symbol")
    terms = Terms(
        # A word of tomorrow is paused: known, and not traded.
        status=_STATUS.get(text(row, "status"), InstrumentStatus.PAUSED),
        listed_at=moment(row, "launchTime"),
        ends_at=moment(row, "deliveryTime"),
        max_market_quantity=positive(lot, "maxMktOrderQty") if lot.get("maxMktOrderQty") else None,
        brackets=read_brackets(limits),
    )
    max_leverage = positive(leverage, "maxLeverage")
    known = known_default(Venue.BYBIT, spelled)
    return perpetual(
        Venue.BYBIT,
        spelled,
        text(row, "baseCoin"),
        QUOTE,
        terms,
        tick_size=positive(part(row, "priceFilter"), "tickSize"),
        step_size=positive(lot, "qtyStep"),
        min_quantity=positive(lot, "minOrderQty"),
        min_notional=number(lot, "minNotionalValue"),
        max_leverage=max_leverage,
        # The lowest risk limit asks for half of what the highest leverage puts in.
        maintenance_margin=known.maintenance_margin if known else 1 / (2 * max_leverage),
    )


def _refuse_other_markets(row: Row) -> None:
    if row["category"] != "linear":
        raise OutsideNexus(f"category {row['category']}")
    kind = row.get("contractType")
    if kind != "LinearPerpetual":
        raise OutsideNexus(f"contract type {kind}" if kind else "no contract")
    quote, settle = row.get("quoteCoin"), row.get("settleCoin")
    if quote != QUOTE or settle != QUOTE:
        raise OutsideNexus(f"quoted in {quote}")


def read_brackets(rows: Iterable[Row]) -> tuple[Bracket, ...]:
    """The risk limits of one symbol: each holds up to its value, from the one before up.

    Older answers give the maintenance margin in percent (0.5 at leverage 100), newer ones as a fraction (0.005):
    what would be more than the margin of the highest leverage itself is percent.
    """
    ordered = sorted(rows, key=lambda row: positive(row, "riskLimitValue"))
    brackets: list[Bracket] = []
    for row in ordered:
        leverage, maintenance = positive(row, "maxLeverage"), number(row, "maintenanceMargin")
        if maintenance * leverage > 1:
            maintenance /= 100
        floor = brackets[-1].cap if brackets else Decimal(0)
        brackets.append(Bracket(floor, positive(row, "riskLimitValue"), leverage, maintenance))
    return brackets_in_order(brackets)
