"""A feed on tape: what its connections heard is read again as they read it, from the beginning or from the middle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from contract.feeds.recipients import Recipient
from contract.feeds.scripts import BEGIN, Script
from contract.feeds.serving import serving
from contract.feeds.test_feeds import BTC, IMPATIENT, TRIED, running
from nexus_common.contracts.values import Side, Timeframe, Venue
from nexus_data.tape import Tape
from nexus_data.tape_format import Kind, Table, TapeRow, frames_table
from nexus_data.tape_segment import OpenSegment, from_micros, segment_name
from nexus_ingest.adapters.tape_watch import Conditions, Happened, Standing, TapeWatch
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.domain.readings import BookRead, MarkRead, Reading, TradeRead
from nexus_ingest.domain.watch_rules import WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Closed, Heard, Input, Opened, Output, Refused
from nexus_ingest.venues.feed import RawFrame, ReadBy
from nexus_ingest.venues.perpetuals import PerpetualsFeed
from nexus_simvenue.market.happenings import Happening, Mark, Print, Top

BYBIT = TRIED["bybit"]
CONDITIONS = Conditions(
    head=0,
    rules=WatchRules(),
    venues=(WatchedVenue(Venue.BYBIT, (BTC,), tuple(Timeframe)),),
    known=(),
    readers={Venue.BYBIT: "bybit"},
)
MOMENTS, APART_MS, MIDDLE = 900, 50, 600


def happenings() -> Iterator[Happening]:
    """Now the bid moves and now the ask, so that most books are told as the change of one side."""
    for number in range(MOMENTS):
        at = BEGIN + number * APART_MS
        bid, ask = f"{114_200 + number // 2 % 5}", f"{114_210 + (number + 1) // 2 % 7}"
        yield Print(ask, "0.012", Side.BUY, number, at)
        yield Top(bid, "1.5", ask, "0.3", number, at)
        if number % 3 == 0:
            yield Mark(f"{114_205 + number % 4}", "114201.5", "0.0001", BEGIN + 3_600_000, at)


class TapedRecipient(Recipient):
    """Watches what it hears and puts it on tape; in the middle also what the watch and the connections remember."""

    def __init__(self, tape: TapeWriter) -> None:
        super().__init__()
        self.newest = 0
        self.outputs: list[Sequence[Output]] = []
        self.readers: set[str] = set()
        self.partly = 0
        self.middle: int | None = None
        self.feed: PerpetualsFeed | None = None
        self._tape = tape
        self._watch = CONDITIONS.watch()

    def opened(self, venue: Venue, connection: str, received_ns: int) -> None:
        self._take(Opened(venue, connection, from_micros(received_ns // 1_000)))
        super().opened(venue, connection, received_ns)

    def closed(self, venue: Venue, connection: str, reason: str, received_ns: int) -> None:
        self._take(Closed(venue, connection, reason, from_micros(received_ns // 1_000)))
        super().closed(venue, connection, reason, received_ns)

    def heard(
        self,
        venue: Venue,
        connection: str,
        frame: RawFrame,
        readings: Sequence[Reading],
        received_ns: int,
        read_by: ReadBy | None = None,
    ) -> None:
        assert read_by is not None
        self.readers.add(read_by.reader)
        self.partly += read_by.counts is not None
        self._take(Heard(venue, connection, readings, from_micros(received_ns // 1_000)), frame, read_by)
        self.newest = max([self.newest, *(reading.at for reading in readings)])
        super().heard(venue, connection, frame, readings, received_ns, read_by)

    def refused(self, venue: Venue, connection: str, frame: RawFrame, reason: str, received_ns: int) -> None:
        self._take(Refused(venue, connection, reason, "", from_micros(received_ns // 1_000)), frame)
        super().refused(venue, connection, frame, reason, received_ns)

    def _take(self, given: Input, frame: RawFrame | None = None, read_by: ReadBy | None = None) -> None:
        self._tape.take(given, frame, read_by)
        self.outputs.append(self._watch.take(given))
        if self.middle is None and len(self.outputs) >= MIDDLE and self.partly:
            assert self.feed is not None
            self.middle = len(self.outputs)
            standing = Standing(CONDITIONS, self._watch.state(), {Venue.BYBIT: dict(self.feed.memories())})
            self._tape.stands(given.at, standing.encoded())


async def test_connections_that_overlap_are_read_again_each_by_itself(tmp_path: Path) -> None:
    """Bybit tells books and tickers as changes: a frame can be read only behind those of its own connection."""
    writer = TapeWriter(tmp_path / "tape", Venue.BYBIT, frames=True, segment_minutes=60, keep_days=14)
    recipient = TapedRecipient(writer)
    async with serving(score=Script(Venue.BYBIT, BTC, list(happenings())), speed=30) as market:
        feed = recipient.feed = BYBIT.feed(market, (BTC,), replace(IMPATIENT, rotation=0.4, overlap=0.2))
        writer.open()
        writer.started(from_micros(0), CONDITIONS)
        async with running(feed, recipient):
            await market.heard("bybit", {f"orderbook.1.{BTC}", f"tickers.{BTC}"})
            await market.play()
            await recipient.until(lambda: recipient.newest >= BEGIN + (MOMENTS - 1) * APART_MS)
        writer.close()
    assert len(recipient.readers) > 4
    assert recipient.partly > 0
    assert recipient.readings.keys() == {TradeRead, BookRead, MarkRead}
    assert recipient.times("closed") == 0
    tape = Tape(tmp_path / "tape")
    assert followed(tape) == recipient.outputs
    assert recipient.middle is not None
    assert followed(from_the_middle(tape, tmp_path / "rest")) == recipient.outputs[recipient.middle :]


def followed(tape: Tape) -> list[Sequence[Output]]:
    return [step.outputs for step in TapeWatch(tape).run() if isinstance(step, Happened)]


def from_the_middle(tape: Tape, folder: Path) -> Tape:
    """What is left of a tape when all before the state of the watch is gone."""
    rows: list[TapeRow] = [row for _, row in tape.inputs()]
    [place] = [place for place, row in enumerate(rows) if row.kind == Kind.STATE]
    segment = OpenSegment(folder, segment_name(from_micros(rows[place].received), rows[place].sequence))
    segment.write(Venue.BYBIT, Table.FRAMES, frames_table(rows[place:]))
    segment.seal()
    return Tape(folder)
