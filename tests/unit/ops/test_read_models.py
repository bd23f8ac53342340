"""Read models follow from events, whatever the order in which news of an order comes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from nexus_common.contracts.account import AccountOpened, FundingPaid
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import (
    Leg,
    Liquidity,
    OrderFilled,
    OrderIntentRecorded,
    OrderKind,
    SubmitAccepted,
)
from nexus_common.contracts.schedule import TaskCanceled, TaskDue, TaskKind, TaskScheduled
from nexus_common.contracts.session import ModeChanged, Role, RoleGranted, RoleRevoked
from nexus_common.contracts.values import AccountId, ClientOrderId, Mode, Side, Symbol, TradeId, UserId, Venue
from nexus_common.runtime.following import Together
from nexus_common.runtime.projection import Amend, Change, Drop, Put
from nexus_executor.projections import read_models as of_executor
from nexus_scheduler.projections import read_models as of_scheduler
from nexus_telegram.projections import read_models as of_telegram
from nexus_telegram.projections.users import Users

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA, ORDER, TRADE, BTC = UserId("anna"), ClientOrderId("nx1a"), TradeId("t1"), Symbol("BTCUSDT")
NOBODY = UUID(int=0)


def folded(models: Together, *happened: tuple[str, Event]) -> dict[tuple[str, str], dict[str, Any]]:
    """Documents by table and key, as the database would hold them."""
    documents: dict[tuple[str, str], dict[str, Any]] = {}
    for stream, event in happened:
        for change in applied(models, stream, event):
            at = (f"{change.table.name}", change.key)
            match change:
                case Put():
                    documents[at] = dict(change.data)
                case Amend() if at in documents:
                    documents[at] |= change.data
                case Drop():
                    documents.pop(at, None)
    return documents


def applied(models: Together, stream: str, event: Event) -> Sequence[Change]:
    return models.apply(Envelope(event, NOBODY, stream, 1, NOBODY, NOBODY, None, NOON))


def an_intent() -> tuple[str, Event]:
    return f"order-{ORDER}", OrderIntentRecorded(
        client_order_id=ORDER,
        trade_id=TRADE,
        account=AccountId("anna.binance.paper"),
        venue=Venue.BINANCE,
        symbol=BTC,
        leg=Leg.ENTRY,
        side=Side.BUY,
        kind=OrderKind.MARKET,
        quantity=Decimal(1),
    )


def a_fill() -> tuple[str, Event]:
    return f"order-{ORDER}", OrderFilled(
        client_order_id=ORDER,
        trade_id=TRADE,
        leg=Leg.ENTRY,
        symbol=BTC,
        side=Side.BUY,
        fill_id="1",
        quantity=Decimal(1),
        price=Decimal(100),
        fee=Decimal(0),
        liquidity=Liquidity.TAKER,
        complete=True,
    )


def test_an_answer_that_comes_behind_the_fill_changes_nothing_about_the_end() -> None:
    answer = f"order-{ORDER}", SubmitAccepted(client_order_id=ORDER, venue_order_id="7")
    early = folded(of_telegram(), an_intent(), answer, a_fill())
    late = folded(of_telegram(), an_intent(), a_fill(), answer)
    assert early == late
    row = late["orders", ORDER]
    assert (row["answer"], row["ended"]) == ("accepted", "filled")


def test_whoever_has_lost_his_role_is_no_user() -> None:
    granted = "access-anna", RoleGranted(user=ANNA, role=Role.ADMIN, by="owner")
    revoked = "access-anna", RoleRevoked(user=ANNA, by="owner")
    assert folded(of_telegram(), granted)["users", "anna"]["role"] == "admin"
    assert folded(of_telegram(), granted, revoked) == {}


def test_what_was_chosen_in_no_session_leaves_no_row() -> None:
    assert folded(of_telegram(), ("session-anna", ModeChanged(user=ANNA, mode=Mode.PILOT))) == {}


def test_a_task_leaves_with_its_time_or_its_cancellation() -> None:
    task = TaskScheduled(
        user=ANNA, task="t1", kind=TaskKind.REMINDER, cron=None, next_due=NOON, text="drink water"
    )
    due = TaskDue(
        user=ANNA, task="t1", kind=TaskKind.REMINDER, due=NOON, next_due=None, missed=0, text="drink water"
    )
    canceled = TaskCanceled(user=ANNA, task="t1", reason="asked to")
    again = due.model_copy(update={"next_due": NOON})
    stream = "schedule-anna"
    assert folded(of_scheduler(), (stream, task), (stream, due)) == {}
    assert folded(of_scheduler(), (stream, task), (stream, canceled)) == {}
    assert folded(of_scheduler(), (stream, task), (stream, again))["scheduled_tasks", "anna/t1"]["last_due"]


def test_the_ledger_has_a_row_for_every_fact_that_money_follows_from() -> None:
    account = AccountId("anna.binance.paper")
    opened = AccountOpened(
        account=account, user=ANNA, venue=Venue.BINANCE, paper=True, currency="USDT", wallet=Decimal(100)
    )
    paid = FundingPaid(account=account, symbol=BTC, rate=Decimal("0.0001"), amount=Decimal("0.01"))
    stream = f"account-{account}"
    for event, kind in ((opened, "opened"), (paid, "funding")):
        ((_, row),) = folded(of_executor(), (stream, event)).items()
        assert (row["kind"], row["account"]) == (kind, account)
    ((_, fill),) = folded(of_executor(), a_fill()).items()
    assert (fill["kind"], fill["trade"], fill["side"], fill["price"]) == ("fill", TRADE, "buy", Decimal(100))
    assert folded(of_executor(), an_intent()) == {}


def test_two_projections_never_share_a_table() -> None:
    with pytest.raises(ValueError, match="more than one projection of x writes users"):
        Together("x", [Users(), Users()])
