"""What can be wrong beside the bars: ticks, quotes, funding, daily readings of the whole market."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import polars as pl

from nexus_data.bar_checks import PARTS, read_frame
from nexus_data.findings import Report, Span, Verdict, counted, day_and_time
from nexus_data.tape_format import Kind as TapeKind
from nexus_data.tape_format import Table
from nexus_market.candles import Millis, to_millis

_MINUTE = 60_000
_HOUR = 3_600_000
_DAY = 86_400_000
_NANOS = 1_000_000
_TICKS_A_PART = 50
# Venues cap the rate of one settlement at 2 to 4 %.
_FUNDING_MAX = 0.04
_SENTIMENT_RANGES = {
    "btc_dominance": (0.0, 100.0),
    "value": (0.0, 100.0),
    "total_market_cap_usd": (1.0, 1e16),
}


def density(times: Millis) -> list[float | None]:
    """How evenly ticks came: 1 where any came within a part of the span, 0 where none did."""
    if len(times) == 0:
        return []
    edges = np.linspace(times.min(), times.max() + 1, min(PARTS, max(len(times) // _TICKS_A_PART, 1)) + 1)
    present, _ = np.histogram(times, edges)
    return [float(count > 0) for count in present]


# -- ticks -----------------------------------------------------------------------------------------


def check_ticks(report: Report) -> None:
    """Trades, book tops and marks in columns; raw frames line by line; other layouts are named and left."""
    file = report.file
    if file.path.suffix == ".parquet":
        layout = {"trades": _trades, "bookticker": _book_tops, "marks": _marks}.get(file.what)
        if layout is None:
            report.add("not checked", Verdict.OK, f"{file.what}: a layout that is not known")
        else:
            layout(report)
    elif file.path.suffix in (".gz", ".jsonl"):
        _raw_lines(report)
    else:
        report.add("not checked", Verdict.OK, f"{file.path.suffix} files of ticks are listed only")


def _trades(report: Report) -> None:
    frame = read_frame(report.file.path, report, ("trade_ms", "trade_id", "price", "qty"))
    if frame is None:
        return
    times = frame["trade_ms"]
    ids = frame["trade_id"]
    _ticks_seen(report, times.drop_nulls().cast(pl.Int64).to_numpy())
    _ordered(report, times, "trade_ms", times)
    step = ids.diff()
    _mark(report, "duplicates", Verdict.BROKEN, times, step == 0, "trade told twice")
    _mark(report, "order", Verdict.BROKEN, times, step < 0, "trade with a number below the one before")
    _number_holes(report, times, step)
    _impossible(report, frame, times, ("price", "qty"))


def _number_holes(report: Report, times: pl.Series, step: pl.Series) -> None:
    holes = step.fill_null(1) > 1
    if holes.any():
        lost = int((step.filter(holes) - 1).sum())
        places = [(time, time) for time in times.filter(holes).drop_nulls().to_list()]
        words = f"{counted(lost, 'trade')} missing in {counted(int(holes.sum()), 'hole')} of the numbering"
        report.add("numbering", Verdict.LOOK, words, places, lost)


def _book_tops(report: Report) -> None:
    frame = read_frame(report.file.path, report, ("local_ns", "bid", "ask"))
    if frame is None:
        return
    times = frame["local_ns"] // _NANOS
    _ticks_seen(report, times.drop_nulls().to_numpy())
    _ordered(report, frame["local_ns"], "local_ns", times)
    if "update_id" in frame.columns:
        _mark(
            report,
            "order",
            Verdict.LOOK,
            times,
            frame["update_id"].diff() < 0,
            "update with a number below the one before",
        )
    _mark(
        report,
        "crossed",
        Verdict.BROKEN,
        times,
        frame["bid"] >= frame["ask"],
        "update with bid at or above ask",
    )
    _impossible(report, frame, times, ("bid", "ask"))


def _marks(report: Report) -> None:
    frame = read_frame(report.file.path, report, ("event_ms", "mark_price"))
    if frame is None:
        return
    times = frame["event_ms"]
    _ticks_seen(report, times.drop_nulls().to_numpy())
    _ordered(report, times, "event_ms", times)
    _impossible(report, frame, times, ("mark_price",))


def _ticks_seen(report: Report, times: Millis) -> None:
    if len(times):
        report.first, report.last = int(times.min()), int(times.max())
        report.filled = density(times)


def _ordered(report: Report, values: pl.Series, name: str, times: pl.Series) -> None:
    _mark(
        report,
        "order",
        Verdict.LOOK,
        times,
        values.diff() < 0,
        f"row with {name} before that of the row above",
    )


def _impossible(report: Report, frame: pl.DataFrame, times: pl.Series, names: tuple[str, ...]) -> None:
    for name in names:
        figures = frame[name].cast(pl.Float64)
        # ~(x > 0) holds for NaN and for nothing at all as well.
        wrong = ~((figures > 0) & figures.is_finite()).fill_null(value=False)
        _mark(report, name, Verdict.BROKEN, times, wrong, f"row whose {name} is no number above 0")


def _mark(
    report: Report, check: str, verdict: Verdict, times: pl.Series, wrong: pl.Series, words: str
) -> None:
    """`words` begin with what one of them is called."""
    wrong = wrong.fill_null(value=False)
    count = int(wrong.sum())
    if count:
        places: list[Span] = [(time, time) for time in times.filter(wrong).drop_nulls().to_list()]
        one, _, rest = words.partition(" ")
        first = f", first {day_and_time(places[0][0])}" if places else ""
        report.add(check, verdict, f"{counted(count, one)} {rest}{first}", places, count)


def _raw_lines(report: Report) -> None:
    """Frames as they came: each line ends in a JSON document, `local_ns` before it rises where it is given."""
    stamps: list[int] = []
    broken = late = 0
    try:
        for line in _lines(report.file.path):
            report.rows += 1
            stamp, space, document = line.partition(b" ")
            has_stamp = bool(space) and stamp.isdigit()
            try:
                orjson.loads(document if has_stamp else line)
            except orjson.JSONDecodeError:
                broken += 1
            if has_stamp:
                late += bool(stamps) and int(stamp) < stamps[-1]
                stamps.append(int(stamp))
    except (OSError, EOFError) as error:
        report.add("unreadable", Verdict.BROKEN, f"cannot be read to its end: {error}")
    _ticks_seen(report, np.array(stamps, dtype=np.int64) // _NANOS)
    if broken:
        report.add("frames", Verdict.LOOK, f"{counted(broken, 'line')} that are no JSON", count=broken)
    if late:
        report.add("order", Verdict.LOOK, f"{counted(late, 'line')} earlier than the one before", count=late)


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        yield from stream


def check_quote_bars(report: Report) -> None:
    """Quotes exist only where somebody quoted, so missing ones are no finding."""
    frame = read_frame(report.file.path, report, ("open_time", "bid_close", "ask_close"))
    slot = report.file.interval_millis
    if frame is None or slot is None:
        return
    times = frame["open_time"]
    _ticks_seen(report, times.drop_nulls().to_numpy())
    _mark(report, "order", Verdict.BROKEN, times, times.diff() <= 0, "bar not later than the one before")
    _mark(report, "grid", Verdict.BROKEN, times, times % slot != 0, f"bar off the {report.file.what} grid")
    crossed = frame["bid_close"] > frame["ask_close"]
    _mark(report, "crossed", Verdict.LOOK, times, crossed, "bar that closes with bid above ask")


# -- funding ---------------------------------------------------------------------------------------


def check_funding(report: Report) -> None:
    """Settlements on a grid of hours, some milliseconds late as venues stamp them, none left out."""
    frame = read_frame(report.file.path, report, ("funding_time", "funding_rate"))
    if frame is None:
        return
    times = (frame["funding_time"].cast(pl.Int64) + _MINUTE // 2) // _MINUTE * _MINUTE
    rates = frame["funding_rate"].cast(pl.Float64)
    known = times.drop_nulls().to_numpy()
    if not len(known):
        return
    report.first, report.last = int(known.min()), int(known.max())
    step = times.diff()
    _mark(report, "duplicates", Verdict.BROKEN, times, step == 0, "settlement told twice")
    _mark(report, "order", Verdict.BROKEN, times, step < 0, "settlement earlier than the one before")
    _mark(report, "grid", Verdict.LOOK, times, times % _HOUR != 0, "settlement off the full hour")
    not_known = ~rates.is_finite().fill_null(value=False)
    _mark(report, "not finite", Verdict.BROKEN, times, not_known, "rate that is no number")
    _mark(report, "rates", Verdict.LOOK, times, rates.abs() > _FUNDING_MAX, "rate beyond 4 %")
    known = np.unique(known)
    usual = int(np.median(np.diff(known))) if len(known) > 1 else _HOUR
    _missing_steps(report, known, usual, "settlement")


def _missing_steps(report: Report, times: Millis, usual: int, one: str) -> None:
    """Rows that should stand between two that are further apart than usual."""
    steps = np.diff(times)
    places = [(int(times[i]), int(times[i + 1])) for i in np.flatnonzero(steps > usual)]
    report.missing = sum((last - first) // usual - 1 for first, last in places)
    if places:
        words = f"{counted(report.missing, one)} missing in {counted(len(places), 'place')}"
        report.add("gaps", Verdict.LOOK, f"{words}, first after {day_and_time(places[0][0])}", places)
    edges = np.linspace(times[0], times[-1] + usual, min(PARTS, len(times)) + 1)
    absent = [np.arange(first + usual, last, usual) for first, last in places]
    lost, _ = np.histogram(np.concatenate(absent) if absent else np.array([]), edges)
    present, _ = np.histogram(times, edges)
    pairs = zip(present.tolist(), lost.tolist(), strict=True)
    report.filled = [None if p + m == 0 else p / (p + m) for p, m in pairs]


# -- daily readings --------------------------------------------------------------------------------


def check_sentiment(report: Report) -> None:
    """One row a day, figures within what they can be."""
    try:
        with report.file.path.open(newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        report.add("unreadable", Verdict.BROKEN, f"cannot be read as CSV: {error}")
        return
    report.rows = len(rows)
    days = [_day(row.get("date")) for row in rows]
    unreadable = sum(day is None for day in days)
    if unreadable:
        report.add(
            "dates", Verdict.BROKEN, f"{counted(unreadable, 'row')} without a readable date", count=unreadable
        )
    known = np.array([day for day in days if day is not None], dtype=np.int64)
    if not len(known):
        report.add("empty", Verdict.BROKEN, "holds no days")
        return
    report.first, report.last = int(known.min()), int(known.max())
    for check, wrong, words in (
        ("duplicates", np.diff(known) == 0, "told twice"),
        ("order", np.diff(known) < 0, "earlier than the one before"),
    ):
        if wrong.any():
            places = [(int(day), int(day)) for day in known[1:][wrong]]
            report.add(check, Verdict.BROKEN, f"{counted(len(places), 'day')} {words}", places)
    _sentiment_figures(report, rows)
    _missing_steps(report, np.unique(known), _DAY, "day")


def _day(text: str | None) -> int | None:
    try:
        return to_millis(datetime.fromisoformat(text or "").replace(tzinfo=UTC))
    except ValueError:
        return None


def _sentiment_figures(report: Report, rows: list[dict[str, str]]) -> None:
    for name, (lowest, highest) in _SENTIMENT_RANGES.items():
        texts = [row[name] for row in rows if row.get(name)]
        wrong = sum(not lowest <= _figure(text) <= highest for text in texts)
        if wrong:
            words = f"{counted(wrong, 'row')} with an impossible {name}"
            report.add("figures", Verdict.BROKEN, words, count=wrong)


def _figure(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


# -- tape ------------------------------------------------------------------------------------------


def check_tape(report: Report) -> None:
    """A sealed file of the tape: it opens, was received in order, and lost nothing. Hashes are `nexus verify`'s."""
    frame = read_frame(report.file.path, report, ("received",))
    if frame is None:
        return
    times = frame["received"] // 1_000
    _ticks_seen(report, times.drop_nulls().to_numpy())
    _ordered(report, frame["received"], "received", times)
    if report.file.what == Table.FRAMES:
        _mark(
            report,
            "numbering",
            Verdict.BROKEN,
            times,
            frame["sequence"].diff() <= 0,
            "input not numbered upward",
        )
        _mark(
            report,
            "lost",
            Verdict.LOOK,
            times,
            frame["kind"] == TapeKind.LOST,
            "place where inputs were not taped",
        )
