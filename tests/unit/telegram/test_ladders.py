"""What people are shown of a ladder: its levels, what it holds, what it has come to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import Ladder
from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_common.contracts.trade import (
    ExitReason,
    LadderFilled,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeProposed,
)
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Direction,
    Origin,
    Side,
    Symbol,
    Timeframe,
    TradeId,
    UserId,
    Venue,
)
from nexus_common.runtime.projection import Amend, Drop, Put
from nexus_telegram.projections.positions import OpenPositions
from nexus_telegram.render.answers import positions, why
from nexus_telegram.telling import notices_of
from nexus_telegram.view import View

D = Decimal
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRADE = TradeId("0a1b2c3d-0000-4000-8000-000000000000")
ACCOUNT = AccountId("anna.binance.paper")
LADDER = Ladder(
    plan=LadderPlan(centre=D(60_000), spacing=D(160), levels=5, stop_beyond=D(400)), level_quantity=D("0.01")
)
WHOSE: dict[str, Any] = {
    "trade_id": TRADE,
    "account": ACCOUNT,
    "user": UserId("anna"),
    "verdict_id": NEXUS,
    "venue": Venue.BINANCE,
    "symbol": Symbol("BTCUSDT"),
    "direction": Direction.LONG,
    "strategy": "grid",
    "quantity": D("0.05"),
    "price": D(60_010),
    "ladder": LADDER,
}


def admitted() -> TradeAdmitted:
    plan = ExitPlan(
        stop_distance=D(1200),
        target_distance=D(160),
        trail_distance=D(160),
        trail_after_r=D(1),
        time_stop_bars=96,
    )
    return TradeAdmitted(
        **WHOSE,
        origin=Origin.SIGNAL,
        timeframe=Timeframe.H1,
        leverage=5,
        plan=plan,
        atr=D(400),
        equity=D(10_000),
        entry_order=ClientOrderId("nx1"),
        approved_by="pilot",
        signal_id=NEXUS,
    )


def filled(direction: Direction, quantity: str, average: str | None, earned: str) -> LadderFilled:
    return LadderFilled(
        trade_id=TRADE,
        account=ACCOUNT,
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        strategy="grid",
        rung=1,
        side=Side.SELL,
        price=D(60_160),
        direction=direction,
        quantity=D(quantity),
        average_price=None if average is None else D(average),
        margin=D("120.32") if average else D(0),
        stop=D(61_200) if average else None,
        earned=D(earned),
        fees=D("0.24"),
        opened_at=NOON,
    )


def closed() -> TradeClosed:
    return TradeClosed(
        **{name: value for name, value in WHOSE.items() if name not in ("verdict_id", "price", "ladder")},
        timeframe=Timeframe.H1,
        reason=ExitReason.SIGNAL,
        entry_price=D(59_900),
        exit_price=D(60_100),
        gross_profit=D(10),
        fees=D(1),
        funding=D(0),
        net_profit=D(9),
        r_multiple=D("0.25"),
        return_on_margin=D("0.0075"),
        return_on_equity=D("0.0009"),
        opened_at=NOON,
        closed_at=NOON + timedelta(hours=2),
        atr=D(400),
    )


def envelope(event: Event) -> Envelope[Event]:
    cause = derived(NEXUS, event.model_dump_json())
    return Envelope(event, cause, f"trade-{TRADE}", 1, NEXUS, NEXUS, ACCOUNT, NOON)


def told(*events: Event) -> tuple[View, list[str]]:
    view, texts = View(), list[str]()
    for event in events:
        view.observe(envelope(event))
        texts += [notice.text for notice in notices_of(envelope(event), view)]
    return view, texts


def shown(*events: Event) -> str:
    view, _ = told(*events)
    return positions([trade for trade in view.trades.values() if trade.is_out])


@pytest.mark.parametrize(
    "asked",
    [
        TradeAlerted(**WHOSE, stop=D(58_800)),
        TradeProposed(
            **WHOSE, stop=D(58_800), atr=D(400), expires_at=NOON + timedelta(minutes=5), drift_limit=D(200)
        ),
    ],
)
def test_who_is_asked_hears_of_levels_and_both_stops(asked: Event) -> None:
    _, (text,) = told(asked)
    assert "ladder BTCUSDT" in text
    assert _has(text, "centre 60,000", "levels 5 a side, 160 apart", "quantity 0.01 a level")
    assert _has(text, "stops 58,800 and 61,200")


def test_it_is_told_when_it_begins_and_when_it_ends_not_at_each_rung() -> None:
    fills = [filled(Direction.SHORT, "0.01", "60160", "0"), filled(Direction.LONG, "0", None, "1.6")]
    _, texts = told(admitted(), *fills, closed())
    assert [text.split("\n")[0] for text in texts] == [
        "LADDER  BTCUSDT",
        "CLOSED  ladder BTCUSDT by signal",
    ]
    assert _has(texts[1], "bought at 59,900", "sold at 60,100", "net +9.00")


def test_it_is_shown_from_its_first_order_to_its_last() -> None:
    assert _has(shown(admitted()), "ladder BTCUSDT 0", "5 levels a side of 0.01, 160 apart around 60,000")
    held = shown(admitted(), filled(Direction.SHORT, "0.02", "60240", "1.6"))
    assert _has(held, "0.02 short 60,240 61,200 120.32 grid", "earned +1.60, fees -0.24")
    assert _has(shown(admitted(), filled(Direction.LONG, "0", None, "3.2")), "earned +3.20")
    assert shown(admitted(), filled(Direction.LONG, "0", None, "3.2"), closed()) == "No open positions."


def test_why_says_what_it_has_come_to() -> None:
    view, _ = told(admitted(), filled(Direction.SHORT, "0.02", "60240", "1.6"))
    text = why(view.trades[TRADE])
    assert _has(text, "WHY ladder BTCUSDT", "ladder ordered: 10 rungs of 0.01", "earned +1.60")


def test_its_row_says_what_it_holds_now() -> None:
    table = OpenPositions()
    changes = [
        change
        for event in (admitted(), filled(Direction.SHORT, "0.02", "60240", "1.6"), closed())
        for change in table.apply(envelope(event))
    ]
    put, amend, drop = changes
    assert isinstance(put, Put)
    assert isinstance(amend, Amend)
    assert isinstance(drop, Drop)
    row = {**put.data, **amend.data}
    assert [row[name] for name in ("phase", "direction", "quantity", "stop", "earned")] == [
        "open",
        "short",
        D("0.02"),
        D(61_200),
        D("1.6"),
    ]


def _has(text: str, *parts: str) -> bool:
    """Whether they stand there, however many blanks are between the words."""
    plain = " ".join(text.split())
    return _all(plain, parts)


def _all(text: str, parts: Sequence[str]) -> bool:
    missing = [part for part in parts if part not in text]
    assert not missing, f"{missing} not in {text}"
    return True


def test_averages_over_fills_are_rounded() -> None:
    seventh = closed().model_copy(update={"entry_price": D("105069.0285714285714285714286")})
    _, texts = told(admitted(), seventh)
    assert "105,069.03" in texts[-1]
    assert "105,069.028" not in texts[-1]
