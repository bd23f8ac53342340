"""A taped session is watched again: the same events follow, and what was tampered with is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args

import msgspec
import orjson
import polars as pl
import pytest

from nexus_common.contracts.feed import StartFeed
from nexus_common.contracts.ids import timer_id
from nexus_common.contracts.market import Bar, CandleCorrected, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.store.memory import MemoryStore
from nexus_data.data_directory import DataDirectory
from nexus_data.side_series import funding_file, read_funding
from nexus_data.tape import Tape
from nexus_data.tape_format import Table, figure
from nexus_ingest.adapters import tape_writer
from nexus_ingest.adapters.tape_watch import Conditions, Standing
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.domain.candle_truth import SeriesTruth
from nexus_ingest.domain.feed import FEED
from nexus_ingest.domain.readings import UnreadableFrame
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watching import (
    Answered,
    Ask,
    Closed,
    Heard,
    Input,
    Opened,
    Refused,
    Ticks,
    TimePassed,
)
from nexus_ingest.live.recording import Known, record_step
from nexus_ingest.venues.binance.frames import BinanceTalk
from nexus_ops.tape_import import import_tape
from nexus_ops.tape_replay import replay_tape

BTC = Symbol("BTCUSDT")
BEGIN = datetime(2025, 6, 2, 11, 58, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1_000)
MINUTES = 8
MISSED, CORRECTED = 3, 5


def slot(minute: int) -> int:
    return BEGIN_MS + minute * 60_000


def figures(minute: int) -> tuple[str, str, str, str, str]:
    return (
        f"{100 + minute}.0",
        f"{101 + minute}.5",
        f"{99 + minute}.5",
        f"{101 + minute}.0",
        f"{minute + 1}.25",
    )


def bar(minute: int) -> Bar:
    return Bar(slot(minute), *map(Decimal, figures(minute)))


def kline(minute: int, *, closed: bool, close: str | None = None) -> str:
    opened, high, low, last, volume = figures(minute)
    candle = {
        "t": slot(minute),
        "i": "1m",
        "o": opened,
        "h": high,
        "l": low,
        "c": close or last,
        "v": volume,
        "x": closed,
    }
    return frame("kline", E=slot(minute) + 59_000, s=BTC, k=candle)


def trade(number: int, at: int, price: str) -> str:
    return frame("trade", E=at, s=BTC, t=number, p=price, q="0.020", T=at, m=True, X="MARKET")


def mark(at: int, due: int) -> str:
    return frame("markPriceUpdate", E=at, s=BTC, p="101.5", i="101.4", r="0.0001", T=due)


def frame(kind: str, **fields: object) -> str:
    data = {"e": kind, **fields}
    return orjson.dumps({"stream": f"{BTC.lower()}@{kind}", "data": data}).decode()


class Session:
    """Ingest in small: what a feed hears goes to the tape and the watch, what follows goes on record."""

    def __init__(self, store: MemoryStore, folder: Path) -> None:
        self.store = store
        self.tape = TapeWriter(folder, Venue.BINANCE, frames=True, segment_minutes=3, keep_days=9)
        self.desk = WorkDesk(store, "ingest", lambda envelope: None)
        self.talk = BinanceTalk({BTC: BTC})
        self.ends = 0  # REST has the bars of the minutes before

    async def begin(self, at: datetime, known: int) -> None:
        self.desk.begin(())
        start = StartFeed(BEGIN, Venue.BINANCE, {BTC: "binance live"}, (), BEGIN, None)
        await self.desk.handle(FEED, Venue.BINANCE, start, cause=timer_id("open", at))
        await self.desk.commit()
        conditions = Conditions(
            head=await self.store.head(),
            rules=WatchRules(),
            venues=(WatchedVenue(Venue.BINANCE, (BTC,), (Timeframe.M1,)),),
            known=((Series(Venue.BINANCE, BTC, Timeframe.M1), slot(known)),),
            readers={Venue.BINANCE: "binance"},
        )
        self.conditions = conditions
        self.tape.open()
        self.tape.started(at, conditions)
        self.watch = conditions.watch()
        await self.take(Opened(Venue.BINANCE, "main", at))

    async def hear(self, at: datetime, text: str) -> None:
        try:
            readings = self.talk.hear(text)
        except UnreadableFrame as error:
            await self.take(Refused(Venue.BINANCE, "main", str(error), text[:200], at), text)
        else:
            await self.take(Heard(Venue.BINANCE, "main", readings, at), text)

    async def end_part(self) -> None:
        """What the tape's thread and the live service do every few seconds."""
        self.tape._write_part()
        if self.tape.wants_state:
            head = await self.store.head()
            conditions = msgspec.structs.replace(self.conditions, head=head, known=())
            standing = Standing(conditions, self.watch.state(), {})
            self.tape.stands(self.newest, standing.encoded())

    async def take(self, given: Input, text: str | None = None) -> None:
        while (due := self.watch.deadline()) is not None and due < given.at:
            await self._give(TimePassed(due))
        await self._give(given, text)

    async def _give(self, given: Input, text: str | None = None) -> None:
        self.newest = given.at
        self.tape.take(given, text)
        outputs = self.watch.take(given)
        for output in outputs:
            if isinstance(output, Ticks):
                self.tape.take_ticks(output)
        known = [output for output in outputs if isinstance(output, get_args(Known))]
        if known:
            self.desk.begin(())
            await record_step(given.at, known, self.desk)
            await self.desk.commit()
        for ask in [output for output in outputs if isinstance(output, Ask)]:
            wanted = [
                minute for minute in range(self.ends) if ask.bars.first <= slot(minute) <= ask.bars.last
            ]
            bars = tuple(map(bar, wanted))
            await self._give(Answered(Venue.BINANCE, ask.bars, bars, given.at + timedelta(milliseconds=40)))


async def play(session: Session, first: int, last: int) -> None:
    """Minutes with trades, marks, half-made candles and closed ones; one that never comes, one told again."""
    session.ends = last
    await session.begin(BEGIN + timedelta(minutes=first), first - 1)
    for minute in range(first, last):
        begins = BEGIN + timedelta(minutes=minute)
        for second in range(1, 60, 3):
            at = begins + timedelta(seconds=second)
            price = f"{100 + minute}.{second:02d}"
            await session.hear(at, trade(minute * 100 + second, slot(minute) + second * 1_000, price))
            await session.hear(
                at + timedelta(milliseconds=1),
                mark(slot(minute) + second * 1_000, slot(2 if minute < 2 else 482)),
            )
            await session.hear(at + timedelta(milliseconds=2), kline(minute, closed=False, close="100.25"))
            if second == 31:
                await session.end_part()
        if minute == CORRECTED:
            await session.hear(begins + timedelta(seconds=59.5), '{"stream":"btcusdt@trade","data":{"e":"tra')
        if minute != MISSED:
            await session.hear(begins + timedelta(seconds=60.02), kline(minute, closed=True))
        if minute == CORRECTED:
            await session.hear(begins + timedelta(seconds=61), kline(minute, closed=True, close="104.75"))
    at = BEGIN + timedelta(minutes=last, seconds=30)
    await session.take(Closed(Venue.BINANCE, "main", "code 1006", at))
    await session.take(TimePassed(at + timedelta(minutes=2)))


def recorded(folder: Path, *spans: tuple[int, int]) -> MemoryStore:
    """A store and a tape of one run a span."""
    store = MemoryStore()

    async def run() -> None:
        for first, last in spans:
            session = Session(store, folder)
            await play(session, first, last)
            session.tape.close()

    asyncio.run(run())
    return store


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the tape are written where a session says so."""
    monkeypatch.setattr(tape_writer, "PART_SECONDS", 3_600)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return recorded(tmp_path, (0, MINUTES))


def events(store: MemoryStore) -> list[Event]:
    return [each.event for each in asyncio.run(store.read_categories((), limit=10_000))]


def rewrite(folder: Path, change: Callable[[dict[str, object]], dict[str, object] | None]) -> None:
    """Change the rows of all frames on a tape; None takes one out."""
    for file in Tape(folder).sealed(Table.FRAMES):
        rows = [change(row) for row in pl.read_parquet(file.path).iter_rows(named=True)]
        kept = [row for row in rows if row is not None]
        pl.DataFrame(kept, schema=pl.read_parquet_schema(file.path)).write_parquet(file.path)


def test_the_same_events_follow_from_the_tape(store: MemoryStore, tmp_path: Path) -> None:
    outcome = asyncio.run(replay_tape(Tape(tmp_path), store))
    assert outcome.divergence is None
    told = [event for event in events(store) if isinstance(event, CandlesClosed)]
    assert outcome.candles == sum(len(event.candles) for event in told) >= MINUTES
    assert any(isinstance(event, CandleCorrected) for event in events(store))
    assert outcome.frames > MINUTES * 60 - MINUTES
    assert {event.type for event in events(store)} >= {
        *("market.candles_closed", "market.candle_corrected", "market.funding_settled"),
        *("feed.gap_found", "feed.gap_filled", "feed.frames_refused", "feed.lost"),
    }


def test_a_second_run_on_the_tape_begins_where_the_record_stood(tmp_path: Path) -> None:
    store = recorded(tmp_path, (0, 4), (6, 10))
    outcome = asyncio.run(replay_tape(Tape(tmp_path), store))
    assert outcome.divergence is None
    assert outcome.runs == 2


def test_a_changed_frame_leads_to_another_event_which_is_named(store: MemoryStore, tmp_path: Path) -> None:
    def dearer(row: dict[str, object]) -> dict[str, object]:
        payload = row["payload"]
        assert isinstance(payload, bytes)
        if b'"x":true' in payload and f'"t":{slot(1)}'.encode() in payload:
            return {**row, "payload": payload.replace(b'"v":"2.25"', b'"v":"2.26"')}
        return row

    rewrite(tmp_path, dearer)
    divergence = asyncio.run(replay_tape(Tape(tmp_path), store)).divergence
    assert divergence is not None
    assert divergence.stream == "market-binance.0"
    assert "leads to something else" in divergence.what
    shown = divergence.to_json()
    assert "2.25" in str(shown["recorded"])
    assert "2.26" in str(shown["replayed"])


def test_an_input_that_is_missing_is_named_by_its_number(store: MemoryStore, tmp_path: Path) -> None:
    rewrite(tmp_path, lambda row: None if row["sequence"] == 50 else row)
    divergence = asyncio.run(replay_tape(Tape(tmp_path), store)).divergence
    assert divergence is not None
    assert divergence.what.startswith("inputs 50 to 50 are not on the tape")


def test_what_the_tape_no_longer_leads_to_is_missed(store: MemoryStore, tmp_path: Path) -> None:
    def unread(row: dict[str, object]) -> dict[str, object]:
        return {**row, "payload": b"{}"} if row["kind"] == "text" else row

    rewrite(tmp_path, unread)
    assert not asyncio.run(replay_tape(Tape(tmp_path), store)).equal


@pytest.mark.parametrize("dropped", [1, 2])
def test_a_run_whose_beginning_was_dropped_is_taken_up_where_a_segment_begins(
    store: MemoryStore, tmp_path: Path, dropped: int
) -> None:
    whole = asyncio.run(replay_tape(Tape(tmp_path), store))
    frames = Tape(tmp_path).sealed(Table.FRAMES)
    assert len(frames) > 2
    for file in frames[:dropped]:
        file.path.unlink()
    outcome = asyncio.run(replay_tape(Tape(tmp_path), store))
    assert outcome.divergence is None
    assert outcome.runs == 1
    assert 0 < outcome.skipped < outcome.inputs
    assert 0 < outcome.candles < whole.candles
    assert outcome.since is not None
    assert outcome.since >= frames[dropped].began
    imported = import_tape(Tape(tmp_path), tmp_path / "data")
    closing = [minute for minute in range(MINUTES) if BEGIN + timedelta(minutes=minute + 1) > outcome.since]
    assert imported.files[f"ohlcv/binance_um/{BTC}-1m.parquet"] == len(closing)
    assert [hole.split(" ")[:3] for hole in imported.holes] == [[str(outcome.skipped), "inputs", "before"]]


def test_a_changed_frame_behind_the_beginning_is_found_from_the_middle_too(
    store: MemoryStore, tmp_path: Path
) -> None:
    def dearer(row: dict[str, object]) -> dict[str, object]:
        payload = row["payload"]
        assert isinstance(payload, bytes)
        if row["kind"] == "text" and b'"x":true' in payload and f'"t":{slot(7)}'.encode() in payload:
            return {**row, "payload": payload.replace(b'"v":"8.25"', b'"v":"8.26"')}
        return row

    Tape(tmp_path).sealed(Table.FRAMES)[0].path.unlink()
    rewrite(tmp_path, dearer)
    divergence = asyncio.run(replay_tape(Tape(tmp_path), store)).divergence
    assert divergence is not None
    assert "leads to something else" in divergence.what


def test_a_watch_that_is_given_what_another_remembers_is_the_same(tmp_path: Path) -> None:
    """Attribute by attribute, so that whatever a watch comes to remember has to be in its state."""
    session = Session(MemoryStore(), tmp_path)
    asyncio.run(play(session, 0, MINUTES))
    session.tape.close()
    standing = Standing(session.conditions, session.watch.state(), {})
    again = msgspec.msgpack.decode(standing.encoded(), type=Standing)
    assert parts(again.conditions.watch(again.state)) == parts(session.watch)
    assert parts(again.conditions.watch()) != parts(session.watch)


def parts(thing: object, seen: tuple[int, ...] = ()) -> object:
    """All that an object is made of, down to plain values; methods by their names."""
    if id(thing) in seen:
        return "itself"
    seen = (*seen, id(thing))
    if isinstance(thing, dict):
        return {key: parts(value, seen) for key, value in thing.items()}
    if isinstance(thing, set) and any(isinstance(each, SeriesTruth) for each in thing):
        return {each.series for each in thing}
    if isinstance(thing, list | tuple):
        return [parts(each, seen) for each in thing]
    if callable(thing):
        return getattr(thing, "__name__", "")
    if not type(thing).__module__.startswith("nexus_ingest.domain"):
        return thing
    names = getattr(thing, "__slots__", None) or vars(thing)
    return {name: parts(getattr(thing, name), seen) for name in names}


def test_a_tape_without_frames_of_a_beginning_cannot_be_compared(store: MemoryStore, tmp_path: Path) -> None:
    rewrite(tmp_path, lambda row: None if row["kind"] in ("started", "state") else row)
    with pytest.raises(ConfigurationError, match="no run begins on this tape"):
        asyncio.run(replay_tape(Tape(tmp_path), store))
    imported = import_tape(Tape(tmp_path), tmp_path / "data")
    assert "no candles" in imported.holes[0]
    assert {name.partition("/")[0] for name in imported.files} == {"ticks"}


def test_a_taped_session_becomes_a_data_directory(store: MemoryStore, tmp_path: Path) -> None:
    to = tmp_path / "data"
    imported = import_tape(Tape(tmp_path), to)
    name = f"ohlcv/binance_um/{BTC}-1m.parquet"
    assert imported.files[name] == MINUTES
    assert imported.corrected == 1
    assert imported.holes == []
    series = DataDirectory(to).stretch_for(BTC, None, None).read()
    assert list(series.open_time) == [slot(minute) for minute in range(MINUTES)]
    closes = [float(figures(minute)[3]) for minute in range(MINUTES)]
    closes[CORRECTED] = 104.75
    assert list(series.close) == closes
    assert list(series.volume) == [float(figures(minute)[4]) for minute in range(MINUTES)]
    due = read_funding(funding_file(to, "binance_um", BTC), BEGIN, BEGIN + timedelta(hours=1))
    assert due == [(slot(2), Decimal("0.0001"))]
    trades = pl.read_parquet(next(to.glob("ticks/binance_um/BTCUSDT-trades.*.parquet")))
    assert len(trades) == MINUTES * 20
    assert trades.row(0, named=True) == {
        "trade_ms": slot(0) + 1_000,
        "trade_id": 1,
        "price": 100.01,
        "qty": 0.02,
        "buyer_is_maker": True,
        "local_ns": (slot(0) + 1_000) * 1_000_000,
    }
    with pytest.raises(ConfigurationError, match="is there already"):
        import_tape(Tape(tmp_path), to)


def test_columns_and_frames_say_the_same(store: MemoryStore, tmp_path: Path) -> None:
    trades = Tape(tmp_path).ticks(Venue.BINANCE, Table.TRADES)
    assert trades is not None
    prices = trades.select(figure("price")).collect().to_series().to_list()
    frames = [orjson.loads(row.payload)["data"] for _, row in Tape(tmp_path).inputs() if row.kind == "text"]
    said: Sequence[float] = [float(data["p"]) for data in frames if data["e"] == "trade"]
    assert prices == said
