"""`nexus data` as people and programs call it."""

from __future__ import annotations

import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from nexus_common.runtime.errors import ConfigurationError
from nexus_data.checking import check_directory
from nexus_ops.cli import app
from nexus_ops.data_page import page
from nexus_ops.data_tables import coverage, size
from nexus_ops.public_archive import import_archives

ZERO = 1_757_894_400_000
MINUTE = 60_000
HEADINGS = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
KLINE = "{time},100.5,101,100,100.75,12.5,{close},1256.1,40,6.1,615.2,0"


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)


def write_bars(directory: Path, rows: list[int], low: float = 99.0) -> Path:
    path = directory / "ohlcv/binance_um/BTCUSDT-1m.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(rows)
    columns = {"open": 100.0, "high": 101.0, "low": low, "close": 100.5, "volume": 1.0}
    times = {"open_time": [ZERO + row * MINUTE for row in rows]}
    pl.DataFrame({**times, **{name: [value] * count for name, value in columns.items()}}).write_parquet(path)
    return path


def test_list_says_span_rows_holes_and_size(tmp_path: Path) -> None:
    write_bars(tmp_path, [0, 1, 2, 5])
    shown = call("list", tmp_path)
    assert shown.exit_code == 0
    assert re.search(
        r"ohlcv/binance_um\s+BTCUSDT 1m\s+2025-09-15\s+2025-09-15\s+4\s+2\s+\d+ k?B", shown.stdout
    )
    (file,) = json.loads(call("list", tmp_path, "--json").stdout)["files"]
    assert (file["venue"], file["symbol"], file["interval"]) == ("binance_um", "BTCUSDT", "1m")
    assert (file["first"], file["last"], file["rows"], file["missing"]) == (
        "2025-09-15 00:00",
        "2025-09-15 00:05",
        4,
        2,
    )


def test_check_shows_the_hole_and_passes(tmp_path: Path) -> None:
    write_bars(tmp_path, [*range(100), *range(150, 200)])
    shown = call("check", tmp_path)
    assert shown.exit_code == 0
    assert "1 gap, 50 bars; largest 50 bars (50 min) from 2025-09-15 01:40" in shown.stdout
    assert re.search(r"look +BTCUSDT 1m .* 150 █+[▓▒░·]+█+", shown.stdout)


def test_check_fails_where_something_is_broken_and_says_it_as_json(tmp_path: Path) -> None:
    write_bars(tmp_path, [0, 1, 2], low=100.25)
    shown = call("check", tmp_path, "--json")
    assert shown.exit_code == 1
    document = json.loads(shown.stdout)
    assert (document["verdict"], document["counts"]) == ("broken", {"ok": 0, "look": 0, "broken": 1})
    assert document["files"][0]["findings"][0]["check"] == "high and low"


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a directory"):
        call("check", tmp_path / "nowhere")


class Reader(HTMLParser):
    """Tags that are open, places with a title, and addresses elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.elsewhere += [
            value or "" for name, value in attrs if name in ("src", "href") and value != "data:,"
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


def test_the_page_stands_alone_and_marks_each_hole(tmp_path: Path) -> None:
    write_bars(tmp_path, [*range(100), *range(101, 200), *range(250, 300)])
    reader = Reader()
    reader.feed(page(check_directory(tmp_path)))
    assert (reader.open, reader.elsewhere) == ([], [])
    marks = [title for title in reader.titles if title.startswith("gaps")]
    # Once on the axis of all, once on its own.
    assert (
        marks
        == ["gaps: 2025-09-15 01:40 … 2025-09-15 01:41", "gaps: 2025-09-15 03:20 … 2025-09-15 04:10"] * 2
    )


def test_the_page_is_written_beside_the_words(tmp_path: Path) -> None:
    write_bars(tmp_path, [0, 1])
    assert call("check", tmp_path, "--html", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_names_from_files_are_no_markup(tmp_path: Path) -> None:
    path = write_bars(tmp_path, [0, 1])
    path.rename(path.with_name("<b>[red]-1m.parquet"))
    assert "<b>[red]" not in page(check_directory(tmp_path))
    assert "<b>[red] 1m" in call("check", tmp_path).stdout


@pytest.mark.parametrize(
    ("filled", "cells", "shown"),
    [
        ([1.0] * 8, 4, "████"),
        ([1.0, 1.0, 0.0, 0.0], 2, "█·"),
        ([1.0] * 99 + [0.0], 1, "▓"),
        ([None, None, 1.0, 1.0], 2, "─█"),
        ([1.0], 3, "███"),
        ([], 3, ""),
    ],
)
def test_coverage_shows_a_single_hole_in_its_cell(filled: list[float | None], cells: int, shown: str) -> None:
    assert coverage(filled, cells).plain == shown


@pytest.mark.parametrize(("count", "words"), [(12, "12 B"), (726_400, "726 kB"), (1_426_000, "1.4 MB")])
def test_sizes_are_told_in_about_three_digits(count: int, words: str) -> None:
    assert size(count) == words


# -- the public archive ----------------------------------------------------------------------------


def klines(rows: range, unit: int = 1) -> str:
    lines = [
        KLINE.format(time=(ZERO + row * MINUTE) * unit, close=(ZERO + (row + 1) * MINUTE) * unit - 1)
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def nothing(done: int, total: int, name: str) -> None:
    pass


def test_archives_of_klines_become_one_series(tmp_path: Path) -> None:
    """Zipped or not, with a line of headings or without, overlapping, in micro- or milliseconds."""
    source, target = tmp_path / "source", tmp_path / "data"
    source.mkdir()
    with zipfile.ZipFile(source / "BTCUSDT-1m-2025-09-15.zip", "w") as archive:
        archive.writestr("BTCUSDT-1m-2025-09-15.csv", HEADINGS + klines(range(60)))
    (source / "BTCUSDT-1m-2025-09-16.csv").write_text(klines(range(50, 120), unit=1_000))
    rows = import_archives([source], target, "binance_spot", nothing)
    name = "ohlcv/binance_spot/BTCUSDT-1m.parquet"
    assert rows == {name: 120}
    frame = pl.read_parquet(target / name)
    assert frame.columns == ["open_time", "open", "high", "low", "close", "volume"]
    assert frame["open_time"].to_list() == [ZERO + row * MINUTE for row in range(120)]
    assert frame.row(0)[1:] == (100.5, 101.0, 100.0, 100.75, 12.5)
    assert import_archives([source], target, "binance_spot", nothing) == {name: 0}


def test_trades_of_one_millisecond_are_all_kept(tmp_path: Path) -> None:
    source = tmp_path / "BTCUSDT-aggTrades-2025-09-15.csv"
    source.write_text(f"7,100.5,0.25,9,9,{ZERO},true\n8,100.4,1,10,12,{ZERO},False\n")
    import_archives([source], tmp_path, "binance_um", nothing)
    frame = pl.read_parquet(tmp_path / "ticks/binance_um/BTCUSDT-trades.2025-09-15.parquet")
    assert frame.select("trade_id", "trade_ms", "price", "qty", "buyer_is_maker").rows() == [
        (7, ZERO, 100.5, 0.25, True),
        (8, ZERO, 100.4, 1.0, False),
    ]


def test_funding_is_imported_by_the_command(tmp_path: Path) -> None:
    source = tmp_path / "BTCUSDT-fundingRate-2025-09.csv"
    source.write_text(f"calc_time,funding_interval_hours,last_funding_rate\n{ZERO},8,0.0001\n")
    shown = call("import", source, "--to", tmp_path / "data", "--json")
    assert json.loads(shown.stdout)["new_rows"] == {"funding/binance_um/BTCUSDT.parquet": 1}


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("notes.txt", "", "no file of the archive"),
        ("BTCUSDT-bookDepth-2025-09-15.csv", "1,2", "neither a timeframe"),
        ("BTCUSDT-1m-2025-09-15.csv", "1,2,3", "has 3 columns"),
        ("BTCUSDT-1m-2025-09-15.csv", "1,a,b,c,d,e", "cannot be read"),
        ("BTCUSDT-1m-2025-09-15.csv", "", "cannot be read"),
        ("BTCUSDT-1m-2025-09-15.zip", "no zip", "cannot be read"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=complaint):
        import_archives([tmp_path / name], tmp_path / "data", "binance_um", nothing)
    assert not (tmp_path / "data").exists()


def test_import_wants_files_or_a_tape(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="one of the two"):
        call("import", "--to", tmp_path)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--timeframes", "7m"), "choose among 1m, 5m"),
        (("--to", "2024-01-01"), "is not before"),
    ],
)
def test_a_download_that_cannot_be_is_refused_before_anybody_is_asked(
    tmp_path: Path, words: tuple[str, str], complaint: str
) -> None:
    asked = ("--venue", "binance", "--symbols", "BTC", "--from", "2025-01-01", "--to-dir", tmp_path)
    with pytest.raises(ConfigurationError, match=complaint):
        call("download", *asked, *words)
