"""Binance USDT-M metadata as instruments.

Source: USDⓈ-M Futures, `GET /fapi/v1/exchangeInfo` and `GET /fapi/v1/leverageBracket` (signed). A perpetual's
`deliveryDate` is 2100-12-25 until the venue has set the day on which it takes it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

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
_NEVER: Final = datetime(2100, 1, 1, tzinfo=UTC)
# What is in neither (BREAK, HALT, or a word of tomorrow) is paused: known, and not traded.
_STATUS: Final[Mapping[str, InstrumentStatus]] = {
    "TRADING": InstrumentStatus.TRADING,
    "PENDING_TRADING": InstrumentStatus.ANNOUNCED,
    **dict.fromkeys(
        ("PRE_DELIVERING", "DELIVERING", "DELIVERED", "PRE_SETTLE", "SETTLING", "CLOSE"),
        InstrumentStatus.STOPPED,
    ),
}
# Without a key nothing says the leverage of a contract we have no figures of: the lowest table of the venue.
_CAUTIOUS_LEVERAGE: Final = Decimal(20)
_CAUTIOUS_MARGIN: Final = Decimal("0.025")


def read_listing(exchange_info: Row, leverage_brackets: Iterable[Row] | None = None) -> Listing:
    """The USDT perpetuals of an answer to exchangeInfo, with brackets where a key could ask for them.

    Raises:
        UnreadableRow: the answer has no list of symbols.
    """
    rows = exchange_info.get("symbols")
    if not isinstance(rows, list):
        raise UnreadableRow("exchangeInfo has no list of symbols")
    brackets = {str(row.get("symbol")): row for row in leverage_brackets or () if isinstance(row, Mapping)}
    return gather(rows, "symbol", lambda row: _read(row, brackets.get(str(row.get("symbol")))))


def _read(row: Row, leverage: Row | None) -> Listed:
    kind, quote = row.get("contractType"), row.get("quoteAsset")
    if kind != "PERPETUAL":
        # Spot markets have no type, nor have contracts that are only prepared.
        raise OutsideNexus(f"contract type {kind}" if kind else "no contract")
    if quote != QUOTE or row.get("marginAsset") != QUOTE:
        raise OutsideNexus(f"quoted in {quote}")
    filters = _filters(row)
    lot, market_lot = part(filters, "LOT_SIZE"), filters.get("MARKET_LOT_SIZE")
    spelled = text(row, "symbol")
    known = known_default(Venue.BINANCE, spelled)
    ends_at = moment(row, "deliveryDate")
    terms = Terms(
        status=_STATUS.get(text(row, "status"), InstrumentStatus.PAUSED),
        listed_at=moment(row, "onboardDate"),
        ends_at=ends_at if ends_at is not None and ends_at < _NEVER else None,
        max_market_quantity=positive(market_lot, "maxQty") if market_lot else None,
        brackets=read_brackets(leverage) if leverage else (),
    )
    # One order may be of either kind, so the coarser grid of the two holds.
    both = (lot, market_lot) if market_lot else (lot,)
    return perpetual(
        Venue.BINANCE,
        spelled,
        text(row, "baseAsset"),
        QUOTE,
        terms,
        tick_size=positive(part(filters, "PRICE_FILTER"), "tickSize"),
        step_size=max(positive(each, "stepSize") for each in both),
        min_quantity=max(positive(each, "minQty") for each in both),
        min_notional=number(part(filters, "MIN_NOTIONAL"), "notional"),
        max_leverage=Decimal(known.max_leverage) if known else _CAUTIOUS_LEVERAGE,
        maintenance_margin=known.maintenance_margin if known else _CAUTIOUS_MARGIN,
    )


def _filters(row: Row) -> dict[str, Row]:
    filters = row.get("filters")
    if not isinstance(filters, list):
        raise UnreadableRow("has no list of filters")
    return {str(each.get("filterType")): each for each in filters if isinstance(each, Mapping)}


def read_brackets(row: Row) -> tuple[Bracket, ...]:
    """The leverage table of one symbol; caps are those of the account that asked (`notionalCoef` is in them)."""
    steps: Any = row.get("brackets")
    if not isinstance(steps, list):
        raise UnreadableRow("leverageBracket has no list of brackets")
    return brackets_in_order(
        [
            Bracket(
                floor=number(step, "notionalFloor"),
                cap=positive(step, "notionalCap"),
                max_leverage=positive(step, "initialLeverage"),
                maintenance_margin=number(step, "maintMarginRatio"),
            )
            for step in steps
        ]
    )
