"""What people, venues and other services do in a play."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from contract.settings import VenueHouse
from faults.cells import Cell, Deed
from faults.judge import HAND
from nexus_common.contracts.guard import AmberRaised, FallEvidence, FallMeasure
from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.values import AccountId, Direction, Origin, Symbol, Timeframe, Venue
from nexus_market.instruments import by_symbol, floor_quantity, round_price


def a_verdict(
    instrument: Instrument, direction: Direction, price: Decimal, quantity: Decimal, at: datetime
) -> EntryApproved:
    """An approved entry with its stop 1 % and its target 2 % away."""
    distance = round_price(price / 100, instrument)
    leverage = min(5, instrument.max_leverage)
    return EntryApproved(
        request_id=UUID(int=1),
        origin=Origin.SIGNAL,
        venue=instrument.venue,
        symbol=instrument.symbol,
        direction=direction,
        strategy="trend",
        timeframe=Timeframe.M15,
        quantity=quantity,
        leverage=leverage,
        margin=quantity * price / leverage,
        notional=quantity * price,
        price=price,
        stop=price - direction.sign * distance,
        plan=ExitPlan(
            stop_distance=distance,
            target_distance=distance * 2,
            trail_distance=distance,
            trail_after_r=Decimal(1),
            time_stop_bars=96,
        ),
        atr=round_price(price / 125, instrument),
        risk=quantity * distance,
        equity=Decimal(10_000),
        confidence=Decimal("0.8"),
        checks=(),
        valid_until=at + timedelta(hours=8),
    )


def amber(at: datetime) -> AmberRaised:
    evidence = FallEvidence(
        measure=FallMeasure.CANDLE_OPEN,
        reference_price=Decimal(100),
        reference_at=at,
        price=Decimal(98),
        price_at=at,
        fall_percent=Decimal(2),
        confirmed_by="bybit",
    )
    symbol = Symbol("BTCUSDT")
    until = at.replace(hour=23)
    return AmberRaised(venue=Venue.BINANCE, symbol=symbol, evidence=evidence, longs_blocked_until=until)


def do(house: VenueHouse, cell: Cell, account: AccountId, deed: Deed) -> bool:
    """Do to the account what people and venues do; whether it had an effect."""
    method, fields, symbol = deed.method, dict(deed.fields), cell.symbol
    exchange = house.venues.exchange(cell.row.venue)
    if method == "flag":
        house.ask("flag", account=account, **fields)
        return True
    if method == "take_over":
        return bool(house.ask("take_over", account=account, symbol=symbol, **fields)["done"])
    if method == "vanish":
        stops = [o for o in exchange.open_orders(account) if o.kind is OrderKind.STOP]
        return any(
            house.ask("vanish", account=account, client_order_id=o.ticket.client_order_id)["done"]
            for o in stops[:1]
        )
    held = exchange.account(account).held(symbol)
    quantity = floor_quantity(abs(held * Decimal(fields["share"])), by_symbol(exchange.instruments)[symbol])
    if not quantity:
        return False
    buys = (held > 0) == (Decimal(fields["share"]) > 0)
    order = {
        "client_order_id": f"{HAND}{deed.turn}",
        "symbol": symbol,
        "side": "buy" if buys else "sell",
        "kind": "market",
        "quantity": str(quantity),
        "reduce_only": Decimal(fields["share"]) < 0,
    }
    return "accepted" in house.ask("by_hand", account=account, order=order)
