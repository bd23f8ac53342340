"""The registry on a real Postgres: wishes are taken once, replicas change over at one close, bad bytes are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from modelling.handmade import always, by_feature, id_of
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.model import (
    DriftMeasured,
    ModelDeclined,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ModelRolledBack,
    ShadowScored,
)
from nexus_common.contracts.signal import RegimeRead
from nexus_common.contracts.values import ModelId, Symbol, Timeframe
from nexus_common.runtime.bus.topology import partition_of
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Turn
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_cortex.adapters.clerk import NOTHING, Clerk
from nexus_cortex.adapters.wish_box import WishBox, WishKind
from nexus_cortex.artefact import MODEL
from nexus_cortex.domain import scoreboard
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.modelled import ModelledCortex
from nexus_cortex.models_in_use import STREAM, ModelsInUse
from nexus_data.generated_market import GeneratedMarket

pytestmark = pytest.mark.integration

# Of two replicas each has one of these.
SYMBOLS = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
MARKET = GeneratedMarket(9, SYMBOLS, minutes=1_800)
BEFORE = tuple(MARKET.warmup())
QUARTER = timedelta(minutes=15)
TREND, GRID = always("trend"), always("grid")
A, B = ModelId(id_of(TREND)), ModelId(id_of(GRID))


class Replica:
    """One cortex with its own connections; it owns the even partitions or the odd ones, or all."""

    def __init__(
        self, store: PostgresStore, box: WishBox, number: int, of: int, *, promotes: bool = False
    ) -> None:
        def owns(key: str) -> bool:
            return partition_of(key) % of == number % of

        self.store = store
        self.number = number
        self.models = ModelsInUse(store)
        self.clerk = Clerk(box, store, WallClock(), lambda: owns("regime"))
        cortex = CortexReactor(owns=owns)
        self.reactor = ModelledCortex(
            cortex, self.models, self.clerk, lambda: owns("regime"), promotes=promotes
        )
        self.desk = WorkDesk(store, "cortex", self.reactor.observe, reader=f"cortex-{number}")

    async def turn(self, at: datetime, position: int) -> None:
        self.desk.begin([])
        await self.reactor.react(Turn(at, position, 1, 1, 2), [], self.desk)
        await self.desk.commit()


class Town:
    """A market with some replicas of cortex at it, on one database."""

    def __init__(self, url: str, closing: AsyncExitStack) -> None:
        self.url = url
        self.box = WishBox(url)
        self._closing = closing
        self._heard: list[Envelope[Event]] = []
        self._steps = MARKET.steps()
        self.at = MARKET.start
        self._positions = 0
        self.replicas: list[Replica] = []

    async def open(self, count: int, *, promotes: bool = False) -> None:
        """Start as many replicas, which hear everything again that was ever heard."""
        self.replicas.clear()
        for number in range(1, count + 1):
            store = await PostgresStore.connect(self.url, fingerprint="test", clock=WallClock())
            self._closing.push_async_callback(store.close)
            replica = Replica(store, self.box, number, count, promotes=promotes)
            self.replicas.append(replica)
            for envelope in (*self._heard, *(r.envelope for r in await store.read_stream(STREAM))):
                replica.reactor.observe(envelope)
            await replica.reactor.resume(replica.desk)
        if not self._heard:
            for event in BEFORE:
                self._hear(event)

    async def quarters(self, count: int) -> datetime:
        """Go on until so many 15m candles have closed and were judged; returns the last close."""
        for step in self._steps:
            for event in step.closed:
                self._hear(event)
            self.at = step.at
            if step.at.timestamp() % Timeframe.M15.seconds == 0:
                for replica in self.replicas:
                    await replica.turn(step.at, self._positions)
                count -= 1
            if count == 0:
                return step.at
        raise AssertionError("the market is over")

    async def wish(self, kind: WishKind, model: ModelId | None = None) -> str:
        """Ask, let the clerks look, let everybody have a turn at the next close, and hear what became of it."""
        number = await self.box.ask(kind, model, "owner", "a test", WallClock().now())
        for replica in self.replicas:
            await replica.clerk.look()
        await self.quarters(1)
        for replica in self.replicas:
            await replica.clerk.look()
        wish = await self.box.get(number)
        assert wish is not None
        return str(wish.outcome)

    async def register(self, files: dict[str, bytes]) -> str:
        await self.replicas[0].store.keep_artefact(ModelId(id_of(files)), files)
        return await self.wish(WishKind.REGISTER, ModelId(id_of(files)))

    async def recorded(self, *kinds: type[Event]) -> list[Event]:
        found = await self.replicas[0].store.read_categories(["model", "signal"], limit=100_000)
        return [each.event for each in found if isinstance(each.event, kinds)]

    async def read_by(self) -> dict[Symbol, str]:
        """Who reads the regime of each instrument, by the last of each on record."""
        return {
            each.symbol: each.model_version
            for each in await self.recorded(RegimeRead)
            if isinstance(each, RegimeRead)
        }

    def tamper(self, model: ModelId) -> None:
        """What nobody but the owner of the tables can do: flip a byte of an artefact."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER TABLE models DISABLE TRIGGER append_only")
            connection.execute(
                "UPDATE models SET content = set_byte(content, 300, get_byte(content, 300) # 1) "
                "WHERE model = %s AND file = %s",
                (model, MODEL),
            )

    def _hear(self, event: Event) -> None:
        self._positions += 1
        number = UUID(int=self._positions)
        envelope = Envelope(
            event, number, f"market-binance.{self._positions}", 1, number, number, None, self.at
        )
        self._heard.append(envelope)
        for replica in self.replicas:
            replica.reactor.observe(envelope)


@pytest.fixture
async def town(fresh_database: str) -> AsyncIterator[Town]:
    async with AsyncExitStack() as closing:
        made = Town(fresh_database, closing)
        closing.push_async_callback(made.box.close)
        yield made


async def test_a_promotion_is_in_force_at_all_replicas_from_the_same_close_on(town: Town) -> None:
    await town.open(2)
    await town.quarters(1)
    assert set((await town.read_by()).values()) == {"rules"}
    assert await town.register(TREND) == f"registered: {A}"
    promoted = await town.wish(WishKind.PROMOTE, A)
    (event,) = await town.recorded(ModelPromoted)
    assert isinstance(event, ModelPromoted)
    assert event.effective_from == town.at + QUARTER
    assert promoted.startswith(f"promoted: {A} reads the regime from {event.effective_from:%Y-%m-%d %H:%M}")

    await town.quarters(2)
    assert await town.read_by() == dict.fromkeys(SYMBOLS, A)
    changed = [
        each
        for each in await town.recorded(RegimeRead)
        if isinstance(each, RegimeRead) and each.model_version == A
    ]
    assert {each.candle_close for each in changed} == {event.effective_from}
    assert {each.strategy for each in changed} == {"trend"}
    owners = {partition_of(f"binance.{symbol}") % 2 for symbol in SYMBOLS}
    assert owners == {0, 1}, "the instruments have to lie with both replicas for this to say anything"


async def test_rolling_back_leads_to_the_champion_before_and_to_rules(town: Town) -> None:
    await town.open(1)
    for files in (TREND, GRID):
        await town.register(files)
    await town.wish(WishKind.PROMOTE, A)
    await town.wish(WishKind.PROMOTE, B)
    await town.quarters(1)
    assert set((await town.read_by()).values()) == {B}
    assert (await town.wish(WishKind.ROLL_BACK)).startswith(f"rolled back: {A} from")
    await town.quarters(1)
    assert set((await town.read_by()).values()) == {A}
    assert (await town.wish(WishKind.ROLL_BACK)).startswith("rolled back: the rules from")
    await town.quarters(1)
    assert set((await town.read_by()).values()) == {"rules"}
    assert (await town.wish(WishKind.ROLL_BACK)).startswith("declined: no model is in use")
    assert len(await town.recorded(ModelRolledBack)) == 2


async def test_a_restart_keeps_the_champion_and_takes_no_wish_twice(town: Town) -> None:
    await town.open(1)
    await town.register(TREND)
    number = await town.box.ask(WishKind.PROMOTE, A, "owner", "a test", WallClock().now())
    await town.replicas[0].clerk.look()
    await town.quarters(2)
    # It dies before its clerk could note what became of the wish.
    await town.open(1)
    assert len(await town.box.open()) == 1
    await town.replicas[0].clerk.look()
    wish = await town.box.get(number)
    assert wish is not None
    assert str(wish.outcome).startswith("promoted: ")
    await town.quarters(2)
    assert set((await town.read_by()).values()) == {A}
    assert len(await town.recorded(ModelPromoted)) == 1


async def test_what_is_so_already_or_cannot_be_is_answered(town: Town) -> None:
    await town.open(1)
    await town.register(TREND)
    await town.wish(WishKind.PROMOTE, A)
    assert await town.wish(WishKind.PROMOTE, A) == NOTHING
    assert await town.register(TREND) == NOTHING
    assert "it is not registered" in await town.wish(WishKind.PROMOTE, ModelId("nobody"))
    assert "it is the champion" in await town.wish(WishKind.SHADOW, A)
    assert len(await town.recorded(ModelDeclined)) == 2
    assert len(await town.recorded(ModelRegistered)) == 1


async def test_a_wish_of_a_kind_that_a_newer_version_knows_holds_up_nobody(town: Town) -> None:
    await town.open(1)
    await town.quarters(1)
    with psycopg.connect(town.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO model_wishes (kind, asked_by, reason, asked_at) VALUES ('retrain', 'owner', '', now())"
        )
    assert await town.register(TREND) == f"registered: {A}"


async def test_a_flipped_byte_is_refused_when_registered(town: Town) -> None:
    await town.open(1)
    await town.replicas[0].store.keep_artefact(A, TREND)
    town.tamper(A)
    assert await town.wish(WishKind.REGISTER, A) == (
        "refused: model.ubj was changed: its SHA-256 is not the manifest's"
    )
    assert "it was refused" in await town.wish(WishKind.PROMOTE, A)
    await town.quarters(1)
    assert set((await town.read_by()).values()) == {"rules"}


async def test_a_byte_flipped_behind_a_champions_back_is_refused_at_the_next_load_and_rules_go_on(
    town: Town,
) -> None:
    await town.open(1)
    await town.register(TREND)
    await town.wish(WishKind.PROMOTE, A)
    await town.quarters(1)
    town.tamper(A)
    await town.open(1)
    await town.quarters(1)
    last = [each for each in await town.recorded(RegimeRead) if isinstance(each, RegimeRead)][-1]
    assert last.model_version == "rules"
    assert last.fallback == "artefact: model.ubj was changed: its SHA-256 is not the manifest's"
    (refused,) = await town.recorded(ModelRefused)
    assert isinstance(refused, ModelRefused)
    assert refused.by == "cortex"
    await town.quarters(2)
    assert len(await town.recorded(ModelRefused)) == 1


async def test_rows_of_models_can_be_added_and_not_changed(town: Town) -> None:
    await town.open(1)
    await town.replicas[0].store.keep_artefact(A, TREND)
    with psycopg.connect(town.url, autocommit=True) as connection:
        for statement in ("UPDATE models SET content = ''", "DELETE FROM models", "TRUNCATE models"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="models is append-only"):
                connection.execute(statement.encode())


async def test_a_day_is_scored_once_also_by_a_process_that_was_not_there(town: Town) -> None:
    """Half of the closes up, half down: the model that follows RSI is the shadow of the one that does not."""
    await town.open(1)
    follower = by_feature("rsi", "mean_reversion", "trend", at=50.0)
    await town.register(TREND)
    await town.register(follower)
    await town.wish(WishKind.PROMOTE, A)
    await town.wish(WishKind.SHADOW, ModelId(id_of(follower)))
    await until_measured(town)
    (first,) = await town.recorded(ShadowScored)
    assert isinstance(first, ShadowScored)
    assert {score.contender.value: score.model for score in first.scores} == {
        "champion": A,
        "shadow": id_of(follower),
        "rules": None,
    }
    assert len({score.closes for score in first.scores}) == 1
    assert first.scores[0].closes > 0
    (drift,) = await town.recorded(DriftMeasured)
    assert isinstance(drift, DriftMeasured)
    assert drift.rows >= 500
    assert "adx" in drift.drifted, "the reference is not of this market"

    await town.open(1)
    await town.quarters(4)
    assert len(await town.recorded(ShadowScored, DriftMeasured)) == 2


async def test_a_shadow_that_meets_the_rule_is_promoted_where_the_settings_say_so(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule's thresholds are another test's business: here any score is enough."""
    for threshold, value in {"CLOSES_MIN": 1, "DAYS_MIN": timedelta(0), "LEAD_MIN": Decimal(-9)}.items():
        monkeypatch.setattr(scoreboard, threshold, value)
    await town.open(1, promotes=True)
    await town.register(TREND)
    await town.wish(WishKind.SHADOW, A)
    while not await town.recorded(ModelPromoted):
        await town.quarters(1)
    (promoted,) = await town.recorded(ModelPromoted)
    assert isinstance(promoted, ModelPromoted)
    assert (promoted.model, promoted.by) == (A, "the rule for shadows")
    assert promoted.reason.startswith("led the rules by ")
    await town.quarters(1)
    assert set((await town.read_by()).values()) == {A}


async def until_measured(town: Town) -> None:
    """Past midnight, to the turn in which the day before is on record."""
    while not await town.recorded(DriftMeasured):
        await town.quarters(1)
