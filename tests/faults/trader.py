"""One executor with one account at a venue, in this process, that can die at a named point and starts anew.

Its store stays; its objects are dropped and its connections closed, as a killed process leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from contract.settings import Connection, VenueHouse, VenueRow
from faults.mortal import Crash, Killed, MortalBroker, MortalStore, Point
from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded
from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import AccountSpec, SessionOpened
from nexus_common.contracts.values import AccountId, Mode, Profile, Service, Timeframe, UserId
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Batch, StreamAppend
from nexus_common.runtime.recall import recall
from nexus_common.runtime.ring import Token
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.store.memory import MemoryStore
from nexus_executor.handlers import ExecutorReactor
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.broker import Broker
from nexus_market.exchange import Ohlcv
from nexus_market.instruments import by_symbol

OWNER: Final = UserId("owner")
OWN: Final = ("account", "order", "trade")


class Trader:
    """The executor of one account; `turn` hears what others recorded and takes one turn."""

    def __init__(
        self,
        row: VenueRow,
        house: VenueHouse,
        account: AccountId,
        crash: Crash,
        timeout: float,
        others: Sequence[AccountId] = (),
    ) -> None:
        self.row, self.house, self.account, self.crash = row, house, account, crash
        self.accounts = (account, *others)
        self.store = MemoryStore(lazy=True)
        self.legs: dict[str, str] = {}
        self.deaths = 0
        self.turns: list[tuple[datetime, int]] = []  # when each turn was, and how long the store was then
        self.clock = TurnClock()
        self._timeout = timeout
        self._brokers: list[Broker] = []
        self._marks: list[tuple[int, str]] = []

    # -- the process --------------------------------------------------------------------------------

    async def start(self, at: datetime) -> None:
        listed = by_symbol(self.house.venues.exchange(self.row.venue).instruments)
        await self.tell(
            f"instrument-{self.row.venue}",
            at,
            InstrumentsListed(venue=self.row.venue, instruments=tuple(listed.values())),
        )
        specs = tuple(
            AccountSpec(
                account=account,
                venue=self.row.venue,
                paper=True,
                currency=self.row.currency,
                balance=Decimal(10_000),
            )
            for account in self.accounts
        )
        opened = SessionOpened(
            user=OWNER, mode=Mode.PILOT, profile=Profile.RONIN, strategy="auto", accounts=specs
        )
        await self.tell(f"session-{OWNER}", at, opened)
        await self._boot()

    async def _boot(self) -> None:
        store: Any = MortalStore(self.store, self.crash, self.legs)
        self.clock = TurnClock()
        self.reactor = ExecutorReactor(self._broker, clock=self.clock)
        self.desk = WorkDesk(
            store, Service.EXECUTOR.value, self.reactor.observe, await self.store.inbox("executor")
        )
        observed = await recall(self.reactor, store)
        self.seat = Seat(self.reactor, self.desk, store, OWN, observed)
        await self.reactor.resume(self.desk)
        await self.desk.commit()

    def _broker(self, spec: AccountSpec) -> Any:
        connection = Connection(self.house, spec.account, self.clock, 1 + self.deaths, self._timeout)
        made = self.row.make(connection)
        self._brokers.append(made)
        return MortalBroker(made, self.crash, self.legs, lambda: self.house.worked(spec.account))

    async def restart(self) -> None:
        """Die, and be started again."""
        while True:
            self.deaths += 1
            await self.stop()
            try:
                await self._boot()
                return
            except Killed:
                continue

    async def stop(self) -> None:
        brokers, self._brokers = self._brokers, []
        for broker in brokers:
            await broker.close()

    # -- a turn -------------------------------------------------------------------------------------

    async def turn(
        self, at: datetime, bars: dict[Any, Ohlcv], requests: Sequence[tuple[str, Event]] = ()
    ) -> None:
        """One market instant for this executor."""
        self._marks = []
        candles = tuple(Candle(symbol, Timeframe.M1, *bar) for symbol, bar in bars.items())
        closed = CandlesClosed(venue=self.row.venue, partition=0, at=at, candles=candles)
        await self.tell(f"market-{self.row.venue}.0", at, closed)
        position = self._marks[0][0]
        for stream, event in requests:
            account = AccountId(stream[5:]) if stream.startswith("risk-") else None
            await self.tell(stream, at, event, account=account)
        token = replace(Token.first(at, position, 0, tuple(self._marks)), slot=4)
        while True:
            try:
                await self._take(token, bool(requests))
                break
            except Killed:
                await self.restart()
        self.turns.append((at, await self.store.head()))

    async def _take(self, token: Token, asked: bool) -> None:
        if asked:
            self.crash.reach(Point.RESERVED, "entry")
            for recorded in await self.store.read_positions([mark for mark, _ in token.produced]):
                self.seat.hear(recorded)
            self.crash.reach(Point.PUBLISHED, "entry")
        self.crash.now = "entry" if asked else ""
        await self.seat.take(token)
        if asked:
            self.crash.reach(Point.ACKED, "entry")

    async def tell(
        self, stream: str, at: datetime, *events: Event, account: AccountId | None = None
    ) -> list[UUID]:
        """Another service records events; returns their ids."""
        known = await self.store.read_stream(stream)
        version = len(known)
        names = [f"{self.account}/{stream}/{version + n}" for n in range(len(events))]
        ids = [uuid5(UUID(int=7), name) for name in names]
        envelopes = tuple(
            Envelope(event, each, stream, version + n + 1, each, each, account, at)
            for n, (event, each) in enumerate(zip(events, ids, strict=True))
        )
        append = StreamAppend(stream, version, GENESIS, envelopes)
        recorded = await self.store.append(Batch("others", (append,)))
        assert isinstance(recorded, Sequence)
        self._marks.extend((r.global_position, r.envelope.category) for r in recorded)
        return ids

    # -- what came of it ----------------------------------------------------------------------------

    async def events(self) -> list[Recorded[Event]]:
        found: list[Recorded[Event]] = []
        while page := await self.store.read_categories(
            list(OWN), found[-1].global_position if found else 0, limit=10_000
        ):
            found.extend(page)
        return found

    def turn_of(self, position: int) -> datetime:
        """When what stands at this position of the store was recorded, in venue time."""
        return next(at for at, head in self.turns if position <= head)

    def seconds_between(self, first: int, second: int) -> float:
        return (self.turn_of(second) - self.turn_of(first)) / timedelta(seconds=1)
