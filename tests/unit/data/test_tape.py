"""What goes on the tape comes off it again; what was changed, lost or cut short is found."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.feed import TapeDropped, TapeSealed
from nexus_common.contracts.market import Bar, SessionScheduled
from nexus_common.contracts.tick import TradeTick
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.tape import Tape, read_rows
from nexus_data.tape_format import Kind, Table, figure, ticks_table
from nexus_data.tape_segment import OpenSegment, from_micros, to_micros
from nexus_ingest.adapters import tape_writer
from nexus_ingest.adapters.tape_inputs import input_of, row_of
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.domain.readings import BookRead, MarkRead, Reading, TradeRead, UnreadableFrame
from nexus_ingest.domain.watching import (
    Answered,
    AskBars,
    Closed,
    Heard,
    Input,
    Opened,
    Refused,
    Scheduled,
    ServerTime,
    Ticks,
    TimePassed,
    Unanswered,
)
from nexus_ingest.venues.feed import RawFrame

BEGIN = datetime(2026, 11, 27, 12, tzinfo=UTC)
BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
ASK = AskBars(BTC, Timeframe.M5, 300_000, 600_000, "reconnected")
SESSION = SessionScheduled(
    venue=Venue.ALPACA, day=BEGIN.date(), opens=BEGIN, closes=None, is_early_close=True, sources=("calendar",)
)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def trade(text: str) -> TradeRead:
    return TradeRead(BTC, text, "0.1", Side.BUY, "1", 5)


def decode(venue: Venue, connection: str, frame: RawFrame) -> Sequence[Reading]:
    """Stands for the venues' readers: a frame is a price."""
    text = frame if isinstance(frame, str) else frame.decode()
    if not text.isdigit():
        raise UnreadableFrame("no price")
    return [trade(text)]


def heard(venue: Venue, seconds: float, frame: RawFrame) -> tuple[Input, RawFrame]:
    return Heard(venue, "main", decode(venue, "main", frame), at(seconds)), frame


def writer(folder: Path, minutes: int = 60, days: int = 14, *, frames: bool = True) -> TapeWriter:
    return TapeWriter(folder, Venue.BINANCE, frames=frames, segment_minutes=minutes, keep_days=days)


def written(
    folder: Path, *inputs: tuple[Input, RawFrame | None], **settings: int
) -> list[TapeSealed | TapeDropped]:
    """A tape with these inputs, closed; what was told of it."""
    tape = writer(folder, **settings)
    tape.open()
    for each, frame in inputs:
        tape.take(each, frame)
    tape.close()
    return tape.facts()


def inputs(folder: Path) -> list[Input]:
    return [input_of(venue, row, decode) for venue, row in Tape(folder).inputs()]


def hashes(facts: Sequence[TapeSealed | TapeDropped]) -> dict[str, str]:
    return {fact.name: fact.sha256 for fact in facts if isinstance(fact, TapeSealed)}


def test_every_kind_of_input_comes_back_as_it_went_in_the_order_of_all_venues(tmp_path: Path) -> None:
    bar = Bar(300_000, Decimal("1.50"), Decimal(2), Decimal(1), Decimal("1.0"), Decimal("0.00"))
    taken: list[tuple[Input, RawFrame | None]] = [
        (Opened(Venue.BYBIT, "main", at(0)), None),
        heard(Venue.BINANCE, 0.5, "100"),
        heard(Venue.BYBIT, 0.5, b"200"),
        (TimePassed(at(0.75)), None),
        (Answered(Venue.BYBIT, ASK, (bar,), at(1)), None),
        (Unanswered(Venue.BINANCE, ASK, "timed out", at(1.000001)), None),
        (Scheduled(SESSION, at(1.5)), None),
        (ServerTime(Venue.BINANCE, -12, 30, at(2)), None),
        (Refused(Venue.BYBIT, "main", "no JSON", "{\n", at(3)), "{\n\ud800"),
        (Closed(Venue.BYBIT, "main", "code 1006", at(4)), None),
        heard(Venue.BINANCE, 5, "300"),
    ]
    written(tmp_path, *taken)
    assert inputs(tmp_path) == [given for given, _ in taken]
    assert [row.sequence for _, row in Tape(tmp_path).inputs()] == list(range(1, len(taken) + 1))
    assert str(inputs(tmp_path)[4].bars[0].open) == "1.50"  # type: ignore[union-attr]


def test_a_frame_that_can_no_longer_be_read_is_a_refused_one(tmp_path: Path) -> None:
    written(tmp_path, (Heard(Venue.BINANCE, "main", [trade("7")], at(0)), "seven"))
    (refused,) = inputs(tmp_path)
    assert isinstance(refused, Refused)
    assert refused.reason == "no price"


def test_what_is_heard_has_to_come_with_its_frame() -> None:
    with pytest.raises(ValueError, match="has to be taped with its text"):
        row_of(1, Heard(Venue.BINANCE, "main", [], at(0)), None)


READINGS: list[Reading] = [
    TradeRead(BTC, "61837.63000000", "0.02", Side.SELL, "3735683259", 1_000),
    TradeRead(ETH, "2500", "1", Side.BUY, "a-uuid", 1_001),
    TradeRead(BTC, "61838.5", "12", None, "3735683260", 1_002),
    BookRead(BTC, "61837.6", "3", "61837.7", "1.5", 1_003),
    MarkRead(BTC, "61837.64", None, "-0.00010000", 28_800_000, 1_004),
    MarkRead(BTC, "61837.65", "61830", None, None, 1_005),
]


def test_ticks_are_columns_of_whole_numbers_and_read_as_what_the_venue_wrote(tmp_path: Path) -> None:
    tape = writer(tmp_path)
    tape.open()
    tape.take_ticks(Ticks(Venue.BINANCE, READINGS, at(0)))
    tape.close()
    trades = Tape(tmp_path).ticks(Venue.BINANCE, Table.TRADES)
    assert trades is not None
    rows = trades.select(
        "symbol", "taker_buys", "number", "at", figure("price"), figure("quantity"), "price_scale"
    ).collect()
    assert rows.rows() == [
        ("BTCUSDT", False, 3735683259, 1_000, 61837.63, 0.02, 2),
        ("BTCUSDT", None, 3735683260, 1_002, 61838.5, 12.0, 2),
        ("ETHUSDT", True, None, 1_001, 2500.0, 1.0, 0),
    ]
    assert trades.collect()["price"].dtype == pl.Int64
    book = Tape(tmp_path).ticks(Venue.BINANCE, Table.BOOK)
    marks = Tape(tmp_path).ticks(Venue.BINANCE, Table.MARKS)
    assert book is not None
    assert marks is not None
    assert book.select(figure("bid"), figure("ask_quantity")).collect().rows() == [(61837.6, 1.5)]
    assert marks.select(figure("index_price"), figure("funding_rate"), "next_funding").collect().rows() == [
        (None, -0.0001, 28_800_000),
        (61830.0, None, None),
    ]
    assert Tape(tmp_path).ticks(Venue.BYBIT, Table.BOOK) is None


@given(
    st.lists(
        st.decimals(0, 10**9, places=8, allow_nan=False).map(lambda number: f"{number:f}"),
        min_size=1,
        max_size=30,
    )
)
def test_a_figure_of_the_columns_is_the_float_that_its_text_reads_as(texts: list[str]) -> None:
    rows = [(0, BTC, TradeTick(text, "1", None, "1", 0)) for text in texts]
    units = ticks_table(Table.TRADES, rows)
    for row, text in zip(units.iter_rows(named=True), texts, strict=True):
        assert Decimal(row["price"]).scaleb(-row["price_scale"]) == Decimal(text)


def test_a_figure_that_is_no_plain_number_leaves_its_row_out_and_no_other() -> None:
    texts = ["1.5", "1e-7", "nonsense", "0." + "1" * 30, "2"]
    rows = [(0, Symbol(f"S{n}"), TradeTick(text, "1", None, "1", 0)) for n, text in enumerate(texts)]
    assert ticks_table(Table.TRADES, rows)["symbol"].to_list() == ["S0", "S4"]


def test_segments_are_sealed_as_their_time_is_over_and_told_with_their_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = by_hand(tmp_path, monkeypatch, minutes=1)
    for minute in range(3):
        for second in (0, 30):
            tape.take(*heard(Venue.BINANCE, minute * 60 + second, f"{minute}{second}"))
        tape.write()
    assert [fact.rows for fact in tape.sealed()] == [2, 2]
    tape.finish()
    facts = tape.sealed()
    assert [fact.rows for fact in facts] == [2, 2, 2]
    first = facts[0]
    assert first.name == "binance/frames/20261127T120000Z-000000000001.parquet"
    assert (first.first, first.last) == (at(0), at(30))
    assert first.size_bytes == (tmp_path / first.name).stat().st_size
    assert Tape(tmp_path).check(hashes(facts)) == []
    assert len(inputs(tmp_path)) == 6


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path, heard(Venue.BINANCE, 0, "1"), heard(Venue.BYBIT, 1, "2"))
    written(tmp_path, heard(Venue.BINANCE, 2, "3"))
    assert [row.sequence for _, row in Tape(tmp_path).inputs()] == [1, 2, 3]


def test_what_was_sealed_and_never_told_is_told_at_the_next_start(tmp_path: Path) -> None:
    told = written(tmp_path, heard(Venue.BINANCE, 0, "1"))
    again = writer(tmp_path)
    again.open(noted=())
    again.close()
    assert again.facts() == told
    known = writer(tmp_path)
    known.open(noted=hashes(told))
    known.close()
    assert known.facts() == []


CRASHING = """
import sys
from pathlib import Path
from nexus_ingest.adapters import tape_writer
sys.path.insert(0, sys.argv[2])
import test_tape as t
tape_writer.PART_SECONDS = 0.02
tape = t.writer(Path(sys.argv[1]))
tape.open()
number = 0
while True:
    number += 1
    tape.take(*t.heard(t.Venue.BINANCE, number / 1000, str(number)))
    if number % 1000 == 0:
        print(number, flush=True)
        import time; time.sleep(0.02)
"""


def test_a_crash_loses_the_last_moments_alone_and_the_next_start_seals_the_rest(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 10_000:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    before = [row.sequence for _, row in Tape(tmp_path).inputs()]
    assert before == list(range(1, len(before) + 1))
    assert len(before) >= 5_000
    facts = written(tmp_path, heard(Venue.BINANCE, 1_000, "999"))
    after = [row.sequence for _, row in Tape(tmp_path).inputs()]
    assert after == [*before, len(before) + 1]
    assert Tape(tmp_path).check(hashes(facts)) == []
    assert not list((tmp_path / "open").iterdir())


def test_a_part_that_cannot_be_read_is_left_out_of_the_sealed_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = by_hand(tmp_path, monkeypatch, minutes=60)
    for number in range(3):
        tape.take(*heard(Venue.BINANCE, number, str(number)))
        tape.write()
    second = sorted((tmp_path / "open").glob("*/*.parquet"))[1]
    second.write_bytes(second.read_bytes()[:40])
    tape.let_go()
    facts = written(tmp_path)
    assert [fact.rows for fact in facts if isinstance(fact, TapeSealed)] == [2]
    assert [row.sequence for _, row in Tape(tmp_path).inputs()] == [1, 3]


def test_one_changed_byte_is_found_a_missing_file_and_a_foreign_one_too(tmp_path: Path) -> None:
    noted = hashes(written(tmp_path, heard(Venue.BINANCE, 0, "1"), heard(Venue.BYBIT, 0, "2")))
    assert Tape(tmp_path).check(noted) == []
    binance, bybit = sorted(noted)
    data = bytearray((tmp_path / binance).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / binance).write_bytes(data)
    foreign = bybit.replace("20261127T12", "20261127T11")
    (tmp_path / bybit).rename(tmp_path / foreign)
    assert {finding.name: finding.problem.split(":")[0] for finding in Tape(tmp_path).check(noted)} == {
        binance: "was changed",
        bybit: "is missing",
        foreign: "no event knows it",
    }


def test_what_was_sealed_last_may_not_have_been_told_yet(tmp_path: Path) -> None:
    noted = hashes(written(tmp_path, heard(Venue.BINANCE, 0, "1")))
    later = hashes(written(tmp_path, heard(Venue.BINANCE, 60, "2"))).keys() - noted.keys()
    assert Tape(tmp_path).check(noted) == []
    assert {file.name for file in Tape(tmp_path).untold(noted)} == later


def test_segments_beyond_their_days_are_dropped_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86_400
    tape = by_hand(tmp_path, monkeypatch, minutes=60, days=2)
    for number in range(5):
        tape.take(*heard(Venue.BINANCE, number * day, str(number)))
        tape.write()
    dropped = [fact for fact in tape.facts if isinstance(fact, TapeDropped)]
    assert [fact.name for fact in dropped] == [fact.name for fact in tape.sealed()[:2]]
    assert {fact.reason for fact in dropped} == {"retention"}
    assert not any((tmp_path / fact.name).exists() for fact in dropped)
    tape.finish()


def test_a_disk_that_cannot_follow_costs_inputs_which_are_counted_on_the_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_writer, "WAITING_MAX", 3)
    tape = by_hand(tmp_path, monkeypatch, minutes=60)
    for number in range(5):
        tape.take(*heard(Venue.BINANCE, number, str(number)))
    assert tape.writer.health["lost"] == 2
    tape.write()
    tape.take(*heard(Venue.BINANCE, 9, "9"))
    tape.finish()
    rows = [row for _, row in Tape(tmp_path).inputs()]
    assert [row.kind for row in rows] == ["text", "text", "text", "lost", "text"]
    assert rows[3].payload == b"2"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_tape as t
tape = t.writer(Path(sys.argv[1]), minutes=1)
assert tape._take_over()
def part(minute, payload):
    tape.take(*t.heard(t.Venue.BINANCE, minute * 60, payload))
    tape._guarded(tape._write_part)
part(0, "1")
part(0.5, "2")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
for minute in range(1, 4):
    part(minute, str(minute) * 9)
    assert tape.health["problem"], minute
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
part(5, "5")
assert tape.health["problem"] == "", tape.health
part(7, "7")
tape._guarded(tape._seal)
for fact in tape.facts():
    print(fact.name, fact.rows)
"""


def test_a_full_disk_costs_inputs_is_told_once_and_what_waits_is_sealed_when_there_is_room(
    tmp_path: Path,
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("cannot be written") + result.stdout.count("cannot be written") == 1
    sealed = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("binance/")]
    assert sealed == ["2", "1", "1"]
    assert [row.sequence for _, row in Tape(tmp_path).inputs()] == [1, 2, 6, 7]


def test_what_is_too_old_is_dropped_though_sealing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86_400
    tape = by_hand(tmp_path, monkeypatch, minutes=60, days=1)
    tape.take(*heard(Venue.BINANCE, 0, "1"))
    tape.finish()
    tape = by_hand(tmp_path, monkeypatch, minutes=60, days=1)
    tape.take(*heard(Venue.BINANCE, day, "2"))
    tape.write()
    with monkeypatch.context() as full:
        full.setattr(OpenSegment, "seal", refuse)
        tape.take(*heard(Venue.BINANCE, 3 * day, "3"))
        tape.write()
    assert [type(fact) for fact in tape.facts] == [TapeDropped]
    tape.finish()
    assert [fact.rows for fact in tape.sealed()] == [1, 1]


def refuse(segment: OpenSegment) -> None:
    raise OSError("no space left on device")


def test_two_processes_do_not_write_one_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one, to whom the lease went, tapes nothing until the first has let go; then it goes on."""
    monkeypatch.setattr(tape_writer, "PART_SECONDS", 0.02)
    first, second = writer(tmp_path), writer(tmp_path)
    first.open()
    second.open()
    first.take(*heard(Venue.BINANCE, 0, "1"))
    second.take(*heard(Venue.BINANCE, 1, "2"))
    assert second.health["lost"] == 1
    assert second.health["problem"] == "another process writes this tape"
    first.close()
    while second.health["problem"]:
        threading.Event().wait(0.01)
    assert second.wants_state
    second.take(*heard(Venue.BINANCE, 2, "3"))
    second.close()
    facts = [*first.facts(), *second.facts()]
    assert Tape(tmp_path).check(hashes(facts)) == []
    rows = [row for _, row in Tape(tmp_path).inputs()]
    assert [(row.kind, row.payload) for row in rows] == [("text", b"1"), ("text", b"3"), ("lost", b"1")]


def test_a_clock_that_went_back_between_runs_changes_no_order_and_no_number(tmp_path: Path) -> None:
    written(tmp_path, heard(Venue.BINANCE, 3_600, "1"), heard(Venue.BINANCE, 3_601, "2"))
    written(tmp_path, heard(Venue.BINANCE, 0, "3"))
    told = hashes(written(tmp_path, heard(Venue.BINANCE, 60, "4")))
    assert [row.payload for _, row in Tape(tmp_path).inputs()] == [b"1", b"2", b"3", b"4"]
    assert [row.sequence for _, row in Tape(tmp_path).inputs()] == [1, 2, 3, 4]
    assert Tape(tmp_path).untold(told) == []


def test_a_segment_whose_every_figure_is_left_out_has_no_file(tmp_path: Path) -> None:
    tape = writer(tmp_path)
    tape.open()
    tape.take_ticks(Ticks(Venue.BINANCE, [trade("1e5")], at(0)))
    tape.close()
    assert tape.facts() == []
    assert tape.health["problem"] == ""


def test_sealing_that_was_broken_off_while_it_removed_parts_keeps_what_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill: some parts are gone, the sealed file is whole."""
    tape = by_hand(tmp_path, monkeypatch, minutes=60)
    for number in range(3):
        tape.take(*heard(Venue.BINANCE, number, str(number)))
        tape.write()
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda folder, **how: first_part_of(folder).unlink(missing_ok=True))
        tape.finish()
    again = written(tmp_path)
    assert [fact.rows for fact in again if isinstance(fact, TapeSealed)] == [3]
    assert len(inputs(tmp_path)) == 3


def first_part_of(folder: Path) -> Path:
    return min(folder.glob("*.parquet"), default=folder / "none")


def test_a_newest_file_that_cannot_be_read_stops_nobody_from_writing(tmp_path: Path) -> None:
    [fact] = written(tmp_path, heard(Venue.BINANCE, 0, "1"), heard(Venue.BINANCE, 1, "2"))
    (tmp_path / fact.name).write_bytes(b"torn")
    written(tmp_path, heard(Venue.BINANCE, 60, "3"))
    newest = Tape(tmp_path).sealed()[-1]
    [row] = read_rows(newest.path)
    assert row.sequence > 1_000_000_000
    assert [file.rows for file in Tape(tmp_path).sealed()] == [None, 1]


@pytest.mark.parametrize(
    "name", ["binance/frames/copy.parquet", "binance/notes.txt", "kraken/frames/{}", "x/y"]
)
def test_a_file_that_is_none_of_the_tape_is_found(tmp_path: Path, name: str) -> None:
    noted = hashes(written(tmp_path, heard(Venue.BINANCE, 0, "1")))
    foreign = tmp_path / name.format(Path(next(iter(noted))).name)
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_bytes(b"")
    found = [(finding.name, finding.problem) for finding in Tape(tmp_path).check(noted)]
    assert found == [(foreign.relative_to(tmp_path).as_posix(), "is no file of a tape")]


def test_frames_that_wait_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_writer, "WAITING_BYTES_MAX", 1_000)
    tape = by_hand(tmp_path, monkeypatch, minutes=60)
    for number in range(5):
        tape.take(Refused(Venue.BINANCE, "main", "oversized", "", at(number)), "x" * 300)
    assert tape.writer.health["lost"] == 2
    tape.finish()


def test_without_frames_the_ticks_are_taped_alone(tmp_path: Path) -> None:
    tape = writer(tmp_path, frames=False)
    tape.open()
    tape.take(*heard(Venue.BINANCE, 0, "1"))
    tape.take_ticks(Ticks(Venue.BINANCE, READINGS, at(0)))
    tape.close()
    assert {file.table for file in Tape(tmp_path).sealed()} == {Table.TRADES, Table.BOOK, Table.MARKS}


def test_what_the_watch_is_made_with_stands_before_its_inputs(tmp_path: Path) -> None:
    tape = writer(tmp_path)
    tape.open()
    tape.started(at(0), {"symbols": ["BTCUSDT"]})
    tape.take(*heard(Venue.BYBIT, 0, "1"))
    tape.close()
    first, second = (row for _, row in Tape(tmp_path).inputs())
    assert (first.kind, first.payload) == (Kind.STARTED, b'{"symbols":["BTCUSDT"]}')
    assert second.sequence == 2
    with pytest.raises(ValueError, match="is no input"):
        input_of(Venue.BINANCE, first, decode)


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        Tape(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        writer(tmp_path / "file").open()


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_exact_to_the_microsecond(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


class by_hand:
    """A writer whose thread is stopped: its parts are written when the test says so."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, days: int = 14) -> None:
        monkeypatch.setattr(tape_writer, "PART_SECONDS", 3_600)
        self.writer = writer(folder, minutes, days)
        assert self.writer._take_over()
        self.facts: list[TapeSealed | TapeDropped] = []
        self.take: Callable[..., None] = self.writer.take

    def write(self) -> None:
        self.writer._write_part()
        self.facts += self.writer.facts()

    def finish(self) -> None:
        self.write()
        self.writer._seal()
        self.let_go()
        self.facts += self.writer.facts()

    def let_go(self) -> None:
        assert self.writer._lock_file is not None
        self.writer._lock_file.close()

    def sealed(self) -> list[TapeSealed]:
        return [fact for fact in self.facts if isinstance(fact, TapeSealed)]
