"""A ladder through each venue's own protocol and SDK, undisturbed, killed anywhere, and with answers lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from contract.settings import ROWS, VenueHouse, VenueRow, bar, flat
from faults.mortal import Crash, Point
from faults.trader import OWNER, Trader
from nexus_common.contracts.account import PositionDrifted
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import OrderFilled, OrderKind
from nexus_common.contracts.risk import EntryApproved, Ladder
from nexus_common.contracts.session import CloseRequested
from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_common.contracts.trade import LadderFilled, TradeClosed
from nexus_common.contracts.values import AccountId, Direction, Origin, Symbol, Timeframe
from nexus_market.exchange import duplicate_orders, unprotected_spans
from nexus_simvenue.faults import Fault

pytestmark = pytest.mark.faults

D = Decimal
SOL: Final = Symbol("SOLUSDT")
PLAN: Final = LadderPlan(centre=D(150), spacing=D("0.6"), levels=5, stop_beyond=D("1.5"))
VENUES: Final = ("paper-wire", "binance", "bybit")


@dataclass(slots=True)
class Stage:
    house: VenueHouse
    row: VenueRow
    trader: Trader

    @property
    def account(self) -> AccountId:
        return self.trader.account

    @property
    def exchange(self) -> Any:
        return self.house.venues.exchange(self.row.venue)

    async def minute(
        self,
        low: str,
        high: str,
        close: str,
        *requests: tuple[str, Event],
        seconds: float = 60,
        volume: str = "100000",
    ) -> None:
        closed = bar(close, high, low, close, volume)
        self.house.step(self.row.venue, {SOL: closed}, {SOL: flat(close)}, seconds)
        await self.trader.turn(self.house.at, {SOL: closed}, requests)

    async def open(self, level_quantity: str = "0.1") -> None:
        await self.minute("150", "150", "150")
        verdict = self._verdict(D(level_quantity))
        await self.minute("150", "150", "150", (f"risk-{self.account}", verdict))

    async def close(self, price: str) -> None:
        asked = CloseRequested(user=OWNER, account=self.account)
        await self.minute(price, price, price, (f"session-{OWNER}", asked))
        for _ in range(6):
            await self.minute(price, price, price, seconds=10)

    def _verdict(self, level_quantity: Decimal) -> EntryApproved:
        plan = ExitPlan(
            stop_distance=PLAN.reach,
            target_distance=PLAN.spacing,
            trail_distance=PLAN.spacing,
            trail_after_r=D(1),
            time_stop_bars=96,
        )
        return EntryApproved(
            request_id=UUID(int=1),
            origin=Origin.SIGNAL,
            venue=self.row.venue,
            symbol=SOL,
            direction=Direction.LONG,
            strategy="grid",
            timeframe=Timeframe.H1,
            quantity=5 * level_quantity,
            leverage=3,
            margin=D(50),
            notional=D(150),
            price=D(150),
            stop=D(150) - PLAN.reach,
            plan=plan,
            atr=D("1.5"),
            risk=D(5),
            equity=D(10_000),
            confidence=D("0.7"),
            checks=(),
            valid_until=self.house.at + timedelta(hours=1),
            ladder=Ladder(plan=PLAN, level_quantity=level_quantity),
        )

    # -- what came of it ----------------------------------------------------------------------------

    def rungs(self) -> list[tuple[str, Decimal]]:
        orders = self.exchange.open_orders(self.account)
        return sorted((str(o.side), o.ticket.limit_price) for o in orders if o.kind is OrderKind.LIMIT)

    def stops(self) -> list[tuple[str, Decimal]]:
        orders = self.exchange.open_orders(self.account)
        return [(str(o.side), o.trigger_price) for o in orders if o.kind is OrderKind.STOP]

    def held(self) -> Decimal:
        return sum((p.quantity for p in self.exchange.positions(self.account)), D(0))

    def records(self) -> list[dict[str, Any]]:
        return [r for r in self.house.proofs()["records"] if r["account"] == self.account]

    async def of(self, kind: type[Any]) -> list[Any]:
        return [r.event for r in await self.trader.events() if isinstance(r.event, kind)]


@asynccontextmanager
async def staged(name: str, folder: Path, crash: Crash | None = None) -> AsyncIterator[Stage]:
    house, row = VenueHouse(folder), ROWS[name]
    await house.start()
    try:
        account = AccountId(f"owner0.{row.venue}.paper")
        row.open_account(house, account)
        trader = Trader(row, house, account, crash or Crash(), 2.0)
        stage = Stage(house, row, trader)
        house.step(row.venue, {SOL: flat("150")}, {SOL: flat("150")})
        await trader.start(house.at)
        yield stage
        await trader.stop()
    finally:
        await house.stop()


WHOLE: Final = sorted(
    [
        *(("buy", D(150) - k * D("0.6")) for k in range(1, 6)),
        *(("sell", D(150) + k * D("0.6")) for k in range(1, 6)),
    ]
)


@pytest.mark.parametrize("name", VENUES)
async def test_it_rests_at_the_venue_fills_takes_its_profit_turns_round_and_goes(
    name: str, tmp_path: Path
) -> None:
    async with staged(name, tmp_path) as stage:
        await stage.open()
        assert stage.rungs() == WHOLE
        assert stage.exchange.account(stage.account).leverage[SOL] == 3
        await stage.minute("149.2", "150", "149.2")
        assert ("sell", D(150)) in stage.rungs()
        assert ("buy", D("149.4")) not in stage.rungs()
        assert (stage.stops(), stage.held()) == ([("sell", D("145.5"))], D("0.1"))
        await stage.minute("149.2", "150.1", "150.1")
        assert (stage.rungs(), stage.stops(), stage.held()) == (WHOLE, [], 0)
        await stage.minute("150.1", "151.3", "151.3")
        assert (stage.stops(), stage.held()) == ([("buy", D("154.5"))], D("-0.2"))
        await stage.close("151.3")
        assert (stage.rungs(), stage.stops(), stage.held()) == ([], [], 0)
        assert [fill.quantity for fill in await stage.of(LadderFilled)] == [D("0.1"), 0, D("0.1"), D("0.2")]
        (closed,) = await stage.of(TradeClosed)
        assert closed.net_profit == stage.exchange.account(stage.account).wallet - 10_000
        assert await stage.of(PositionDrifted) == []


@pytest.mark.parametrize("name", VENUES)
async def test_turned_round_by_one_fill_it_is_covered_on_its_other_side(name: str, tmp_path: Path) -> None:
    """A rung that filled in part is turned by the whole of the opposite one: its old stop must not take it along."""
    async with staged(name, tmp_path) as stage:
        await stage.open(level_quantity="0.2")
        await stage.minute("149.2", "149.5", "149.5", volume="1")
        assert (stage.stops(), stage.held()) == ([("sell", D("145.5"))], D("0.1"))
        await stage.minute("149.5", "150.7", "150.7")
        assert stage.held() == D("-0.2")
        for _ in range(4):
            assert stage.stops() == [("buy", D("154.5"))]
            await stage.minute("150.7", "150.7", "150.7")
        fills = await stage.of(LadderFilled)
        assert [(f.direction, f.quantity) for f in fills[:2]] == [
            (Direction.LONG, D("0.1")),
            (Direction.SHORT, D("0.1")),
        ]
        await stage.close("150.7")
        assert (stage.rungs(), stage.stops(), stage.held()) == ([], [], 0)
        assert len(await stage.of(TradeClosed)) == 1


@pytest.mark.parametrize("name", VENUES)
async def test_a_fall_ends_at_the_venues_stop(name: str, tmp_path: Path) -> None:
    async with staged(name, tmp_path) as stage:
        await stage.open()
        for close in ("149", "148", "147", "146", "145"):
            await stage.minute(close, str(D(close) + 1), close)
        for _ in range(6):
            await stage.minute("145", "145", "145", seconds=10)
        assert (stage.rungs(), stage.stops(), stage.held()) == ([], [], 0)
        (closed,) = await stage.of(TradeClosed)
        assert (closed.reason, closed.quantity) == ("stop", D("0.5"))
        assert closed.net_profit == stage.exchange.account(stage.account).wallet - 10_000


PATH: Final = (("149.2", "150", "149.2"), ("149.2", "150.1", "150.1"), ("150.1", "151.3", "151.3"))
CRASHES: Final = (
    *((point, "ladder", skip) for point in (Point.BEFORE_INTENT, Point.STARTED) for skip in (0, 6)),
    *((point, "ladder", skip) for point in (Point.ANSWERED, Point.OUTCOME) for skip in (0, 6)),
    *((point, "ladder", skip) for point in (Point.HEARD, Point.FILLED) for skip in (0, 2)),
    *((point, "stop", 0) for point in (Point.STOP_STARTED, Point.STOP_SENT, Point.STOP_ACCEPTED)),
    *((Point.SENT, leg, 0) for leg in ("ladder", "exit")),
)
SAMPLE: Final = ((Point.SENT, "ladder", 0), (Point.OUTCOME, "ladder", 6), (Point.FILLED, "ladder", 2))


async def _play(stage: Stage) -> None:
    await stage.open()
    for low, high, close in PATH:
        await stage.minute(low, high, close)
        for _ in range(4):
            # What has no answer is asked for until it is known.
            await stage.minute(close, close, close, seconds=10)
    await stage.close("151.3")


async def _has_ended_well(stage: Stage) -> None:
    assert (stage.rungs(), stage.stops(), stage.held()) == ([], [], 0)
    (closed,) = await stage.of(TradeClosed)
    assert closed.net_profit == stage.exchange.account(stage.account).wallet - 10_000
    records = stage.records()
    assert duplicate_orders(records) == []
    fills = [D(r["quantity"]) for r in records if r["kind"] == "fill"]
    assert sum(fills) == sum(fill.quantity for fill in await stage.of(OrderFilled))
    assert await stage.of(PositionDrifted) == []
    assert all(abs(D(r["quantity"])) <= D("0.5") for r in records if r["kind"] == "position")
    for span in unprotected_spans(records):
        assert span.end is not None
        assert span.end - span.start <= timedelta(seconds=10)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # a killed process closes nothing
@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize(
    ("point", "leg", "skip"),
    [pytest.param(*each, marks=() if each in SAMPLE else pytest.mark.long) for each in CRASHES],
)
async def test_killed_anywhere_it_loses_and_repeats_nothing(
    name: str, point: Point, leg: str, skip: int, tmp_path: Path
) -> None:
    crash = Crash(point, leg, skip)
    async with staged(name, tmp_path, crash) as stage:
        await _play(stage)
        assert crash.happened
        await _has_ended_well(stage)


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST])
async def test_a_lost_answer_is_found_out_and_no_rung_stands_twice(
    name: str, fault: Fault, tmp_path: Path
) -> None:
    async with staged(name, tmp_path) as stage:
        rule = {"method": "submit", "fault": str(fault), "account": stage.account}
        stage.house.faults(*({**rule, "skip": skip} for skip in (2, 9, 14)))
        await _play(stage)
        assert len(stage.house.fired()) == 3
        await _has_ended_well(stage)
