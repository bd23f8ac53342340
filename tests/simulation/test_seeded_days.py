"""Whole days from a seed, judged by the store, the exchange's ledger and a replay; undisturbed and with deaths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import Leg, OrderFilled, OrderIntentRecorded
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.trade import ExitReason, LadderFilled, TradeAdmitted, TradeClosed, TradeEntered
from nexus_market.exchange import duplicate_orders, totals, unprotected_spans
from nexus_ops.composition import cortex_reactor
from nexus_ops.decisions import decisions_hash, events_of
from nexus_ops.replay import replay
from nexus_ops.summary import AccountFigures, differences, store_book

Played = Callable[..., Awaitable[Any]]
E = TypeVar("E", bound=Event)
BUSY = Path(__file__).with_name("busy_day.txt")
DAYS: Mapping[str, Mapping[str, Any]] = {
    "falling": {"seed": 42, "minutes": 500},
    "quiet": {"seed": 7, "minutes": 400},
    "long": {"seed": 1, "minutes": 700},
    "copilot": {"seed": 3, "minutes": 400, "mode": "copilot"},
    "busy": {"seed": 42, "minutes": 500, "script": BUSY},
    "laddered": {"seed": 2, "minutes": 480, "strategy": "grid"},
    "laddered, then left": {"seed": 4, "minutes": 400, "strategy": "grid"},
}


@pytest.fixture(params=DAYS)
async def day(request: pytest.FixtureRequest, played: Played) -> Any:
    return await played(**DAYS[request.param])


async def history(day: Any) -> list[Recorded[Event]]:
    return [recorded async for recorded in events_of(day.store)]


def of_type(events: list[Recorded[Event]], kind: type[E]) -> list[E]:
    return [recorded.event for recorded in events if isinstance(recorded.event, kind)]


async def test_every_order_belongs_to_an_approved_verdict_and_none_has_two_entries(day: Any) -> None:
    events = await history(day)
    verdicts: dict[UUID, EntryApproved] = {
        r.envelope.event_id: r.event for r in events if isinstance(r.event, EntryApproved)
    }
    admitted = {trade.trade_id: trade for trade in of_type(events, TradeAdmitted)}
    intents = of_type(events, OrderIntentRecorded)
    assert {intent.trade_id for intent in intents} <= set(admitted)
    assert {trade.verdict_id for trade in admitted.values()} <= set(verdicts)
    entries = [admitted[intent.trade_id].verdict_id for intent in intents if intent.leg is Leg.ENTRY]
    assert len(entries) == len(set(entries))
    for intent in intents:
        if intent.leg is Leg.ENTRY:
            verdict = verdicts[admitted[intent.trade_id].verdict_id]
            assert (intent.symbol, intent.quantity) == (verdict.symbol, verdict.quantity)


async def test_the_exchange_took_each_order_once_and_only_orders_that_are_on_record(day: Any) -> None:
    assert duplicate_orders(day.records) == []
    taken = {record["client"] for record in day.records if record["kind"] == "order"}
    assert taken <= {intent.client_order_id for intent in of_type(await history(day), OrderIntentRecorded)}


async def test_the_fills_on_record_are_those_of_the_exchange(day: Any) -> None:
    ours = Counter(
        (fill.client_order_id, fill.fill_id, fill.quantity, fill.price, fill.fee)
        for fill in of_type(await history(day), OrderFilled)
    )
    theirs = Counter(
        (r["client"], r["fill"], Decimal(r["quantity"]), Decimal(r["price"]), Decimal(r["fee"]))
        for r in day.records
        if r["kind"] == "fill"
    )
    assert ours == theirs


async def test_wallets_fees_and_quantities_are_those_of_the_exchange(day: Any) -> None:
    sums, wallets = totals(day.records)
    theirs = {
        account: AccountFigures(
            sum(total.fills for (name, _), total in sums.items() if name == account),
            sum((total.quantity for (name, _), total in sums.items() if name == account), Decimal(0)),
            sum((total.fees for (name, _), total in sums.items() if name == account), Decimal(0)),
            wallet,
        )
        for account, wallet in wallets.items()
    }
    assert differences(await store_book(day.store), theirs) == []


async def test_positions_by_our_fills_are_those_that_the_exchange_holds(day: Any) -> None:
    held: dict[tuple[str, str], Decimal] = {}
    for recorded in await history(day):
        fill = recorded.event
        if isinstance(fill, OrderFilled):
            key = (str(recorded.envelope.account), fill.symbol)
            signed = fill.quantity if fill.side.value == "buy" else -fill.quantity
            held[key] = held.get(key, Decimal(0)) + signed
    theirs = {
        (account, position.symbol): position.quantity
        for account in sorted({account for account, _ in held})
        for exchange in day.exchanges.values()
        for position in exchange.positions(account)
    }
    assert {key: quantity for key, quantity in held.items() if quantity} == theirs


async def test_every_position_has_its_stop_in_the_instant_it_is_entered(day: Any) -> None:
    entered = {trade.trade_id for trade in of_type(await history(day), TradeEntered)}
    spans = unprotected_spans(day.records)
    assert len(spans) >= len(entered)
    assert [span for span in spans if span.start != span.end] == []


async def test_deciding_everything_again_gives_the_same(day: Any) -> None:
    outcome = await replay(day.store, cortex_reactor(day.settings))
    assert outcome.equal, outcome.divergence.describe() if outcome.divergence else ""
    assert outcome.commands > 0


@pytest.mark.parametrize("name", ["falling", "busy"])
async def test_one_seed_gives_one_day(played: Played, name: str) -> None:
    once, again = await played(**DAYS[name]), await played(**DAYS[name], kills=-1)
    assert once is not again
    assert await decisions_hash(once.store) == await decisions_hash(again.store)
    assert once.records == again.records


async def test_the_days_are_eventful_enough_to_judge_by(played: Played) -> None:
    events = [r.event.type for r in await history(await played(**DAYS["busy"]))]
    for kind in (
        "trade.closed",
        "trade.declined",
        "trade.exit_ordered",
        "trade.reduced",
        "order.cancel_started",  # a stop at Binance is moved by another one that takes its place
        "risk.entry_refused",
        "risk.entries_halted",
        "guard.black_swan_declared",
        "schedule.task_due",
        "signal.raised",
    ):
        assert kind in events


async def test_a_ladders_day_is_one_trade_of_many_fills(played: Played) -> None:
    events = await history(await played(**DAYS["laddered"]))
    (admitted,), (closed,) = of_type(events, TradeAdmitted), of_type(events, TradeClosed)
    rungs = of_type(events, LadderFilled)
    assert admitted.ladder is not None
    assert closed.reason is ExitReason.STOP
    assert len(rungs) > 10
    assert 0 < max(rung.quantity for rung in rungs) <= admitted.quantity
    left = await played(**DAYS["laddered, then left"])
    (closed,) = of_type(await history(left), TradeClosed)
    assert closed.reason in (ExitReason.SIGNAL, ExitReason.BLACK_SWAN)
    assert [
        account.resting for exchange in left.exchanges.values() for account in exchange.accounts.values()
    ] == [{}]


DEATHS = {
    "falling": {"kills": 1, "between_turns": 0.02, "at_writes": 0.2},
    "quiet": {"kills": 2, "between_turns": 0.01, "at_writes": 0.4},
    "long": {"kills": 3, "between_turns": 0.05, "at_writes": 0.1},
    "copilot": {"kills": 4, "between_turns": 0.0, "at_writes": 0.4},
    "busy": {"kills": 5, "between_turns": 0.02, "at_writes": 0.3},
    "laddered": {"kills": 6, "between_turns": 0.02, "at_writes": 0.3},
}
WRITES = {
    *(f"{service} {when} commit" for service in ("executor", "shield") for when in ("before", "after")),
    *("executor before submit", "executor after submit"),
}


@pytest.fixture(params=DEATHS)
async def twins(request: pytest.FixtureRequest, played: Played) -> Any:
    """The same day undisturbed and with deaths."""
    name = request.param
    return await played(**DAYS[name]), await played(**DAYS[name], **DEATHS[name])


async def test_killed_anywhere_the_services_decide_the_same(twins: Any) -> None:
    undisturbed, disturbed = twins
    assert len(disturbed.kills) > 20
    assert set(disturbed.kills) & WRITES
    left, right = await _bodies(undisturbed), await _bodies(disturbed)
    different = [key for key in sorted({*left, *right}) if left.get(key) != right.get(key)]
    assert different == []
    assert await decisions_hash(undisturbed.store) == await decisions_hash(disturbed.store)


async def test_killed_anywhere_the_exchange_sees_the_same_orders_once(twins: Any) -> None:
    undisturbed, disturbed = twins
    assert duplicate_orders(disturbed.records) == []
    assert [span for span in unprotected_spans(disturbed.records) if span.start != span.end] == []
    assert _orders(disturbed) == _orders(undisturbed)
    outcome = await replay(disturbed.store, cortex_reactor(disturbed.settings))
    assert outcome.equal


async def test_the_deaths_are_everywhere_a_write_is(played: Played) -> None:
    assert set((await played(**DAYS["busy"], **DEATHS["busy"])).kills) >= WRITES


async def _bodies(day: Any) -> dict[tuple[str, int], str]:
    return {(r.envelope.stream, r.envelope.position): r.body for r in await history(day)}


def _orders(day: Any) -> list[tuple[Any, ...]]:
    """What was ordered, filled and held, without the repeats that the exchange answered."""
    plain = ("at", "kind", "account", "symbol", "client", "quantity", "price", "trigger")
    return [tuple(r.get(key) for key in plain) for r in day.records if r["kind"] != "resubmission"]
