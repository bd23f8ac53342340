"""The two great falls on record, with longs and shorts put on by hand just before: who leaves, who stays, who waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.guard import BlackSwanDeclared, GuardReleased
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryApproved, EntryRefused
from nexus_common.contracts.trade import ExitReason, TradeClosed, TradeEntered
from nexus_common.contracts.values import Direction, Origin, Symbol
from nexus_ops.composition import LocalHouse, cortex_reactor, rehearsed
from nexus_ops.decisions import events_of
from nexus_ops.replay import replay

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded markets are not beside this checkout")
LONGS, SHORTS = ("BTCUSDT", "ETHUSDT"), ("ADAUSDT", "DOGEUSDT")
# So that what is held is still there when the fall is seen, and the targets of shorts are out of its reach.
WIDE = (
    *("/risk max_stop_fraction 0.1", "/risk correlated_positions 5", "/risk per_cluster 0.4"),
    *("/risk manual_target_atr 20", "/risk manual_trail_atr 10"),
)


@dataclass(frozen=True)
class Fall:
    """A stretch of a recorded market with a fall in it; `entered` is when the positions are put on."""

    source: str
    begin: datetime
    entered: datetime
    earliest: datetime
    latest: datetime

    def environment(self, folder: Path) -> dict[str, str]:
        later = self.latest + timedelta(hours=1)
        allowed = self.latest + timedelta(hours=4, minutes=10)
        wishes = [
            *((self.begin, setting) for setting in WIDE),
            *((self.entered, f"/long {symbol} 9.5%") for symbol in LONGS),
            *((self.entered, f"/short {symbol} 9.5%") for symbol in SHORTS),
            (later, "/long ETHUSDT 4%"),
            (allowed, "/long ETHUSDT 4%"),
        ]
        script = folder / "script.txt"
        script.write_text("".join(f"{at:%Y-%m-%dT%H:%MZ} {command}\n" for at, command in wishes))
        return {
            "NEXUS__INGEST__DATA_DIR": str(DATA),
            "NEXUS__INGEST__SOURCES": self.source,
            "NEXUS__INGEST__SYMBOLS": ",".join((*LONGS, *SHORTS)),
            "NEXUS__INGEST__START": f"{self.begin:%Y-%m-%dT%H:%M:%SZ}",
            "NEXUS__INGEST__END": f"{allowed + timedelta(minutes=20):%Y-%m-%dT%H:%M:%SZ}",
            "NEXUS__TELEGRAM__MODE": "pilot",
            "NEXUS__TELEGRAM__SCRIPT": str(script),
        }


FALLS = {
    "May 2021, minutes": Fall(
        "binance_spot",
        datetime(2021, 5, 19, 11, tzinfo=UTC),
        datetime(2021, 5, 19, 11, 29, tzinfo=UTC),
        datetime(2021, 5, 19, 11, 31, tzinfo=UTC),
        datetime(2021, 5, 19, 11, 33, tzinfo=UTC),
    ),
    "October 2025, five minutes": Fall(
        "binance_um",
        datetime(2025, 10, 10, 20, tzinfo=UTC),
        datetime(2025, 10, 10, 21, 15, tzinfo=UTC),
        datetime(2025, 10, 10, 21, 10, tzinfo=UTC),
        datetime(2025, 10, 10, 21, 20, tzinfo=UTC),
    ),
}


@needs_data
@pytest.mark.parametrize("name", FALLS)
async def test_every_long_leaves_shorts_stay_and_longs_wait_for_four_hours(name: str, tmp_path: Path) -> None:
    fall = FALLS[name]
    _, settings, market = rehearsed(fall.environment(tmp_path))
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    events = [recorded async for recorded in events_of(house.store, ())]

    declared = next(each for each in events if isinstance(each.event, BlackSwanDeclared))
    at = declared.envelope.occurred_at
    assert fall.earliest <= at <= fall.latest
    longs = {(Symbol(symbol), Direction.LONG) for symbol in LONGS}
    shorts = {(Symbol(symbol), Direction.SHORT) for symbol in SHORTS}
    assert held_at(events, at) >= longs | shorts
    assert left_for(events, ExitReason.BLACK_SWAN) >= longs
    held = held_at(events, at + timedelta(minutes=1))
    assert held >= shorts
    assert not any(direction is Direction.LONG for _, direction in held)

    released = next(each for each in events if isinstance(each.event, GuardReleased))
    assert released.envelope.occurred_at == at + timedelta(hours=4)
    assert entries_between(events, at, released.envelope.occurred_at) == set()
    assert refusals_by_hand(events) == ["black_swan"]
    assert (Symbol("ETHUSDT"), Direction.LONG) in entries_between(
        events, released.envelope.occurred_at, at + timedelta(days=1)
    )
    assert (await replay(house.store, cortex_reactor(settings))).equal


Held = set[tuple[Symbol, Direction]]


def held_at(events: list[Recorded[Event]], at: datetime) -> Held:
    """What was held right before an instant's own events."""
    held: dict[str, tuple[Symbol, Direction]] = {}
    for recorded in events:
        if recorded.envelope.occurred_at >= at:
            break
        match recorded.event:
            case TradeEntered(trade_id=trade, symbol=symbol, direction=direction):
                held[trade] = (symbol, direction)
            case TradeClosed(trade_id=trade):
                held.pop(trade, None)
            case _:
                pass
    return set(held.values())


def left_for(events: list[Recorded[Event]], reason: ExitReason) -> Held:
    closed = (each.event for each in events)
    return {
        (each.symbol, each.direction)
        for each in closed
        if isinstance(each, TradeClosed) and each.reason is reason
    }


def entries_between(events: list[Recorded[Event]], after: datetime, before: datetime) -> Held:
    """Longs that were approved."""
    return {
        (each.event.symbol, each.event.direction)
        for each in events
        if isinstance(each.event, EntryApproved)
        and each.event.direction is Direction.LONG
        and after <= each.envelope.occurred_at < before
    }


def refusals_by_hand(events: list[Recorded[Event]]) -> list[str]:
    """By which checks what was asked for by hand was refused."""
    return [
        check.name
        for each in events
        if isinstance(each.event, EntryRefused) and each.event.origin is Origin.MANUAL
        for check in each.event.checks
        if not check.passed
    ]
