"""A small world around shield: builders with plain figures, and a play that can be cut at any point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid5

import pytest

from nexus_common.contracts.account import BalanceChanged
from nexus_common.contracts.assessment import EntryContext, EntryRequest
from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded
from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.ids import NEXUS
from nexus_common.contracts.instrument import Group, Instrument, InstrumentKind, InstrumentsListed
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.market import Bar, Candle, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import AssessEntry, EntryApproved, PositionNoted, ResultNoted
from nexus_common.contracts.session import AccountSpec, SessionOpened
from nexus_common.contracts.signal import Action, ExitPlan, SignalRaised
from nexus_common.contracts.trade import TradeAdmitted, TradeClosed, TradeEntered
from nexus_common.contracts.values import (
    Direction,
    Mode,
    Origin,
    Profile,
    Timeframe,
    Venue,
)
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Batch, StreamAppend, Turn
from nexus_common.runtime.recall import recall
from nexus_common.runtime.store.memory import MemoryStore
from nexus_shield.handlers import ShieldReactor

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
D = Decimal


def number(name: str) -> UUID:
    return uuid5(NEXUS, f"test/{name}")


def instrument(symbol: str = "BTCUSDT", **changes: Any) -> Instrument:
    """A perpetual with tick 0.1, step 0.001, 20 × at most, fees 0.02 / 0.05 %, maintenance 0.4 %."""
    fields: dict[str, Any] = {
        "venue": Venue.BINANCE,
        "symbol": symbol,
        "kind": InstrumentKind.PERPETUAL,
        "base": symbol.removesuffix("USDT"),
        "quote": "USDT",
        "group": Group.MAJOR,
        "tick_size": D("0.1"),
        "step_size": D("0.001"),
        "min_quantity": D("0.001"),
        "min_notional": D("5"),
        "max_leverage": 20,
        "maker_fee": D("0.0002"),
        "taker_fee": D("0.0005"),
        "maintenance_margin": D("0.004"),
    }
    return Instrument(**{**fields, **changes})


def plan(stop: str = "10", target: str = "20", trail: str = "15") -> ExitPlan:
    return ExitPlan(
        stop_distance=D(stop),
        target_distance=D(target),
        trail_distance=D(trail),
        trail_after_r=D(1),
        time_stop_bars=96,
    )


def request(name: str = "first", **changes: Any) -> EntryRequest:
    """A trend signal to go long at 1000 with its stop 1 % away."""
    fields: dict[str, Any] = {
        "request_id": number(name),
        "origin": Origin.SIGNAL,
        "venue": Venue.BINANCE,
        "symbol": "BTCUSDT",
        "direction": Direction.LONG,
        "strategy": "trend",
        "timeframe": Timeframe.M15,
        "price": D(1000),
        "price_at": NOON,
        "price_age_limit_seconds": 10,
        "atr": D(8),
        "atr_mean": D(8),
        "plan": plan(),
        "confidence": D("0.7"),
        "leverage": None,
        "within_regime": True,
        "valid_until": NOON + timedelta(minutes=15),
    }
    return EntryRequest(**{**fields, **changes})


def context(**changes: Any) -> EntryContext:
    """Ann's account of 10,000 with profile Nexus and strategy auto; nothing is wrong in the world."""
    fields: dict[str, Any] = {
        "owner": "ann",
        "asked_by": "ann",
        "profile": Profile.NEXUS,
        "strategy": "auto",
        "strategies_off": (),
        "settings": RiskSettings(),
        "instrument": instrument(),
        "equity": D(10_000),
        "unpriced": (),
        "feed_lost": None,
        "guard": GuardStanding(),
        "peers": (),
    }
    return EntryContext(**{**fields, **changes})


def assess(at: datetime = NOON, request: EntryRequest | None = None, **changes: Any) -> AssessEntry:
    return AssessEntry("ann-binance", request or globals()["request"](), context(**changes), at)


def approved(name: str, symbol: str = "BTCUSDT", margin: str = "500", **changes: Any) -> EntryApproved:
    """An entry approved earlier, which is a reservation until something else follows."""
    fields: dict[str, Any] = {
        "request_id": number(name),
        "origin": Origin.SIGNAL,
        "venue": Venue.BINANCE,
        "symbol": symbol,
        "direction": Direction.LONG,
        "strategy": "trend",
        "timeframe": Timeframe.M15,
        "quantity": D(1),
        "leverage": 5,
        "margin": D(margin),
        "notional": D(margin) * 5,
        "price": D(1000),
        "stop": D(990),
        "plan": plan(),
        "atr": D(8),
        "risk": D(10),
        "equity": D(10_000),
        "confidence": D("0.7"),
        "checks": (),
        "valid_until": NOON + timedelta(minutes=15),
    }
    return EntryApproved(**{**fields, **changes})


def held(trade: str, symbol: str = "BTCUSDT", margin: str = "500", **changes: Any) -> PositionNoted:
    fields: dict[str, Any] = {
        "trade_id": trade,
        "request_id": None,
        "venue": Venue.BINANCE,
        "symbol": symbol,
        "direction": Direction.LONG,
        "strategy": "trend",
        "quantity": D(margin) / 200,
        "entry_price": D(1000),
        "margin": D(margin),
        "complete": True,
    }
    return PositionNoted(**{**fields, **changes})


def result(trade: str, profit: str, streak: int, r: str = "-1", **changes: Any) -> ResultNoted:
    fields: dict[str, Any] = {
        "trade_id": trade,
        "request_id": None,
        "symbol": "BTCUSDT",
        "strategy": "trend",
        "reason": "stop",
        "net_profit": D(profit),
        "r_multiple": D(r),
        "losing_streak": streak,
        "cooldown_until": None,
        "rest_until": None,
    }
    return ResultNoted(**{**fields, **changes})


def signal(symbol: str = "BTCUSDT", at: datetime = NOON, **changes: Any) -> SignalRaised:
    fields: dict[str, Any] = {
        "venue": Venue.BINANCE,
        "symbol": symbol,
        "strategy": "trend",
        "action": Action.ENTER_LONG,
        "timeframe": Timeframe.M15,
        "candle_close": at,
        "price": D(1000),
        "atr": D(8),
        "atr_mean": D(8),
        "plan": plan(),
        "confidence": D("0.7"),
        "leverage_hint": None,
        "regime": None,
        "within_regime": True,
        "model_version": "rules",
        "features": {},
        "reasons": ("EMA20 crossed above EMA50",),
        "valid_until": at + timedelta(minutes=15),
    }
    return SignalRaised(**{**fields, **changes})


def bars(at: datetime, *rows: tuple[str, str], venue: Venue = Venue.BINANCE) -> CandlesClosed:
    """One-minute bars closing at an instant, (symbol, close), flat; at full quarters their 15m bars too."""
    timeframes = [Timeframe.M1, *([Timeframe.M15] if at.minute % 15 == 0 else [])]
    candles = tuple(
        Candle(symbol, timeframe, D(close), D(close), D(close), D(close), D(1))
        for symbol, close in rows
        for timeframe in timeframes
    )
    return CandlesClosed(venue=venue, partition=0, at=at, candles=candles)


def backfill(until: datetime, symbol: str, *closes: str) -> CandlesBackfilled:
    """15m bars before an instant, each four wide around its close."""
    first = int(until.timestamp() * 1000) - len(closes) * 900_000
    rows = tuple(
        Bar(first + i * 900_000, D(close), D(close) + 2, D(close) - 2, D(close), D(1))
        for i, close in enumerate(closes)
    )
    return CandlesBackfilled(
        venue=Venue.BINANCE, symbol=symbol, timeframe=Timeframe.M15, source="test", bars=rows
    )


def opened(
    user: str = "ann", account: str = "ann-binance", venue: Venue = Venue.BINANCE, signals: bool = True
) -> SessionOpened:
    spec = AccountSpec(account=account, venue=venue, paper=True, currency="USDT", signals=signals)
    return SessionOpened(user=user, mode=Mode.PILOT, profile=Profile.NEXUS, strategy="auto", accounts=(spec,))


def wallet(amount: str, account: str = "ann-binance") -> BalanceChanged:
    return BalanceChanged(account=account, wallet=D(amount), change=D(0), reason="test")


def admitted(trade: str, verdict: Envelope[Any], account: str = "ann-binance") -> TradeAdmitted:
    entry = verdict.event
    return TradeAdmitted(
        trade_id=trade,
        account=account,
        user="ann",
        verdict_id=verdict.event_id,
        origin=entry.origin,
        venue=entry.venue,
        symbol=entry.symbol,
        direction=entry.direction,
        strategy=entry.strategy,
        timeframe=entry.timeframe,
        quantity=entry.quantity,
        leverage=entry.leverage,
        price=entry.price,
        plan=entry.plan,
        atr=entry.atr,
        equity=entry.equity,
        entry_order="nx1",
        approved_by="pilot",
        signal_id=entry.request_id,
    )


def entered(trade: str, symbol: str = "BTCUSDT", **changes: Any) -> TradeEntered:
    fields: dict[str, Any] = {
        "trade_id": trade,
        "account": "ann-binance",
        "venue": Venue.BINANCE,
        "symbol": symbol,
        "direction": Direction.LONG,
        "strategy": "trend",
        "quantity": D("2.5"),
        "average_price": D(1000),
        "margin": D(500),
        "complete": True,
    }
    return TradeEntered(**{**fields, **changes})


def closed(trade: str, at: datetime, profit: str = "-25", **changes: Any) -> TradeClosed:
    fields: dict[str, Any] = {
        "trade_id": trade,
        "account": "ann-binance",
        "user": "ann",
        "venue": Venue.BINANCE,
        "symbol": "BTCUSDT",
        "direction": Direction.LONG,
        "strategy": "trend",
        "timeframe": Timeframe.M15,
        "reason": "stop",
        "quantity": D("2.5"),
        "entry_price": D(1000),
        "exit_price": D(990),
        "gross_profit": D(profit),
        "fees": D(0),
        "funding": D(0),
        "net_profit": D(profit),
        "r_multiple": D(-1),
        "return_on_margin": D("-0.05"),
        "return_on_equity": D("-0.0025"),
        "opened_at": at - timedelta(hours=1),
        "closed_at": at,
        "atr": D(8),
        "atr_mean": D(8),
    }
    return TradeClosed(**{**fields, **changes})


class StillClock:
    def now(self) -> datetime:
        return NOON


@dataclass
class Play:
    """Shield between a store and a script of other services' events. `crash` throws its memory away."""

    recall: int = 4_000
    owns: Callable[[str], bool] = lambda account: True
    store: MemoryStore = field(default_factory=lambda: MemoryStore(fingerprint="test", clock=StillClock()))
    reactor: ShieldReactor = field(init=False)
    desk: WorkDesk = field(init=False)
    round: int = 0
    _tails: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    async def start(self) -> Play:
        self.reactor = ShieldReactor(recall=self.recall, owns=self.owns)
        inbox = await self.store.inbox("shield")
        self.desk = WorkDesk(self.store, "shield", self.reactor.observe, inbox=inbox)
        self.seen = await recall(self.reactor, self.store)
        await self.reactor.resume(self.desk)
        return self

    crash = start

    async def tell(self, stream: str, *events: Event, at: datetime, account: str | None = None) -> None:
        """Other services record events."""
        position, previous = self._tails.get(stream, (0, GENESIS))
        envelopes = tuple(
            Envelope(
                event,
                number(f"{stream}/{position + i}"),
                stream,
                position + i,
                number(stream),
                NEXUS,
                account,
                at,
            )
            for i, event in enumerate(events, start=1)
        )
        batch = Batch("others", (StreamAppend(stream, position, previous, envelopes),))
        (*_, last) = await self.store.append(batch)
        self._tails[stream] = (position + len(events), last.chain_hash)

    async def turn(self, at: datetime, since: int) -> list[Envelope[Event]]:
        """Shield's turn at an instant whose step began behind global position `since`; its new events."""
        heard = [
            r
            for r in await self.store.read_categories([], since, None, 100_000)
            if r.envelope.category in self.reactor.listens and r.envelope.category not in ("risk", "guard")
        ]
        for recorded in heard:
            if recorded.global_position > self.seen:
                self.reactor.observe(recorded.envelope)
        self.seen = max(self.seen, await self.store.head())
        self.round += 1
        batch = self.desk.begin([r.envelope for r in heard])
        await self.reactor.react(Turn(at, since + 1, 0, self.round, 1), batch, self.desk)
        await self.desk.commit()
        return [r.envelope for r in self.desk.take_recorded()]

    async def said(self) -> list[Recorded[Event]]:
        """All that shield has ever recorded."""
        return list(await self.store.read_categories(["risk", "guard"], 0, None, 100_000))

    async def act(self, at: datetime, *told: tuple[str, Event]) -> list[Event]:
        """One step: others record these events, then shield takes its turn."""
        return [envelope.event for envelope in await self.step(at, *told)]

    async def step(self, at: datetime, *told: tuple[str, Event]) -> list[Envelope[Any]]:
        since = await self.store.head()
        for stream, event in told:
            await self.tell(stream, event, at=at, account=getattr(event, "account", None))
        return await self.turn(at, since)

    async def begin(self, *symbols: str, at: datetime = NOON) -> Play:
        """Ann's session with 10,000; instruments at 1000 and their first bars."""
        names = symbols or ("BTCUSDT", "ETHUSDT", "SOLUSDT")
        await self.act(
            at - timedelta(minutes=1),
            ("session-ann", opened()),
            ("account-ann-binance", wallet("10000")),
            (
                "instrument-binance",
                InstrumentsListed(venue=Venue.BINANCE, instruments=tuple(map(instrument, names))),
            ),
            ("market-binance.0", bars(at - timedelta(minutes=1), *((name, "1000") for name in names))),
        )
        return self

    async def verdicts(self) -> list[Envelope[Any]]:
        return [r.envelope for r in await self.said() if isinstance(r.event, EntryApproved)]


@pytest.fixture
def make() -> SimpleNamespace:
    """The builders above."""
    names: Sequence[Callable[..., Any]] = (
        *(number, instrument, plan, request, context, assess, approved, held, result, signal),
        *(bars, backfill, opened, admitted, entered, closed, wallet),
    )
    return SimpleNamespace(NOON=NOON, Play=Play, **{name.__name__: name for name in names})


@pytest.fixture
async def play() -> Play:
    return await Play().start()
