"""What can be wrong with one file of bars: its form, its times, its figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nexus_data.bar_file import COLUMNS, FIGURES
from nexus_data.findings import Report, Span, Verdict, counted, day_and_time, duration
from nexus_data.inventory import US
from nexus_data.sessions import NEW_YORK, us_sessions
from nexus_market.candles import Floats, Millis, from_millis, to_millis

Mask = NDArray[np.bool_]

PARTS = 400
_DAY = 86_400_000
_MINUTE = 60_000
# A stock that says nothing for longer was not only shut.
_LONGEST_SHUT = 7 * _DAY
_QUIET = 30 * _MINUTE
_ZERO_VOLUME_RUN = 3
# A session is cut short if its first or last bar is this far inside.
_EDGE = timedelta(minutes=30)
# A close is an outlier if it stands this many typical moves (robust standard deviations of the bars around it)
# from the closes on both sides, and comes back.
_OUTLIER_MOVES = 20.0
_OUTLIER_SHARE = 0.005
_AROUND = 97
_LEVEL = 0.55
_MAD_TO_DEVIATION = 1.4826


def read_frame(path: Path, report: Report, wanted: Sequence[str]) -> pl.DataFrame | None:
    """The columns of a Parquet file; what cannot be read is a finding."""
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        report.add("unreadable", Verdict.BROKEN, f"cannot be read as Parquet: {str(error).splitlines()[0]}")
        return None
    missing = [name for name in wanted if name not in frame.columns]
    texts = [name for name in wanted if name in frame.columns and not frame[name].dtype.is_numeric()]
    if missing or texts:
        words = [f"no column {', '.join(missing)}"] * bool(missing)
        words += [f"no numbers in {', '.join(texts)}"] * bool(texts)
        report.add("columns", Verdict.BROKEN, "; ".join(words))
        return None
    report.rows = len(frame)
    if frame.is_empty():
        report.add("empty", Verdict.BROKEN, "holds no rows")
        return None
    return frame


def check_bars(report: Report) -> pl.DataFrame | None:
    """Check a file by itself; the clean part of it (sorted, unique, whole), for comparing it with others."""
    slot = report.file.interval_millis
    frame = read_frame(report.file.path, report, COLUMNS)
    if frame is None:
        return None
    if slot is None:
        report.add("interval", Verdict.BROKEN, f"{report.file.what!r} is no interval")
        return None
    _empty_cells(frame, report)
    whole = frame.drop_nulls(list(COLUMNS))
    times = whole["open_time"].cast(pl.Int64).to_numpy()
    columns = {name: whole[name].cast(pl.Float64).to_numpy() for name in FIGURES}
    if len(times) == 0:
        return None
    report.first, report.last = int(times.min()), int(times.max())
    _times(times, slot, report)
    sound = _figures(times, columns, slot, report)
    clean = whole.filter(pl.Series(sound)).select(COLUMNS).unique("open_time", keep="first").sort("open_time")
    clean = clean.with_columns(
        pl.col("open_time").cast(pl.Int64), *(pl.col(n).cast(pl.Float64) for n in FIGURES)
    )
    if not clean.is_empty():
        _holes(clean["open_time"].to_numpy(), slot, report)
        _quiet(clean, slot, report)
    return clean


def _empty_cells(frame: pl.DataFrame, report: Report) -> None:
    """Columns that nobody decides on may have holes; all those with the same ones are told together."""
    alike: dict[tuple[Verdict, tuple[int, ...]], list[str]] = {}
    for name in frame.columns:
        if frame[name].null_count():
            verdict = Verdict.BROKEN if name in COLUMNS else Verdict.LOOK
            rows = tuple(frame[name].is_null().arg_true().to_list())
            alike.setdefault((verdict, rows), []).append(name)
    for (verdict, rows), names in alike.items():
        times = frame["open_time"][list(rows)].drop_nulls().to_list()
        words = f"{counted(len(rows), 'row')} without {', '.join(names)}"
        report.add("empty cells", verdict, words, [(time, time) for time in times], len(rows))


def _times(times: Millis, slot: int, report: Report) -> None:
    steps = np.diff(times)
    _tell(report, "duplicates", Verdict.BROKEN, times[1:], steps == 0, "told twice")
    _tell(report, "order", Verdict.BROKEN, times[1:], steps < 0, "earlier than the one before")
    off = _off_grid(times, slot, report.file.venue)
    _tell(report, "grid", Verdict.BROKEN, times, off, f"off the {report.file.what} grid")


def _off_grid(times: Millis, slot: int, venue: str) -> Mask:
    if slot < _DAY or venue != US:
        return np.asarray(times % slot != 0)
    # Days of US stocks begin at midnight in New York: 04:00 or 05:00 UTC.
    return np.asarray([from_millis(int(t)).astimezone(NEW_YORK).time().hour != 0 for t in times], dtype=bool)


def _figures(times: Millis, columns: dict[str, Floats], slot: int, report: Report) -> Mask:
    """Tell what figures cannot be; which rows are sound."""
    sound = np.ones(len(times), dtype=bool)
    prices = [columns[name] for name in FIGURES[:-1]]
    top, bottom = np.maximum(columns["open"], columns["close"]), np.minimum(columns["open"], columns["close"])
    with np.errstate(invalid="ignore"):
        wrong = {
            "not finite": (~np.isfinite(np.array([*columns.values()]))).any(axis=0),
            "price": np.array([price <= 0 for price in prices]).any(axis=0),
            "volume": columns["volume"] < 0,
            "high and low": (columns["high"] < top) | (columns["low"] > bottom),
        }
    words = {
        "not finite": "with NaN or infinite figures",
        "price": "with a price of 0 or below",
        "volume": "with a volume below 0",
        "high and low": "whose high or low is inside open and close",
    }
    for check, mask in wrong.items():
        _tell(report, check, Verdict.BROKEN, times, mask, words[check], slot)
        sound &= ~mask
    return sound


def _tell(
    report: Report,
    check: str,
    verdict: Verdict,
    times: Millis,
    wrong: Mask,
    words: str,
    slot: int = 0,
    one: str = "row",
) -> None:
    if not wrong.any():
        return
    places = [(int(time), int(time) + slot) for time in times[wrong]]
    report.add(
        check, verdict, f"{counted(len(places), 'row')} {words}, first {day_and_time(places[0][0])}", places
    )


# -- what is missing -------------------------------------------------------------------------------


def _holes(times: Millis, slot: int, report: Report) -> None:
    if report.file.venue == US:
        # Quiet minutes are no holes; half an hour without a trade is worth seeing.
        grain = max(slot, _QUIET) if slot < _DAY else 1
        report.filled = _filled(times // grain * grain, _us_expected(times, slot, grain, report))
    else:
        report.filled = _filled(times, _grid_holes(times, slot, report))


def _grid_holes(times: Millis, slot: int, report: Report) -> Millis:
    """Markets that never close have a bar in each slot of the grid."""
    steps = np.diff(times)
    at = np.flatnonzero(steps > slot)
    places = [(int(times[i]) + slot, int(times[i + 1])) for i in at]
    report.missing = sum((last - first) // slot for first, last in places)
    if places:
        largest = max(places, key=lambda place: place[1] - place[0])
        size = (largest[1] - largest[0]) // slot
        words = f"{counted(len(places), 'gap')}, {counted(report.missing, 'bar')}"
        words += f"; largest {counted(size, 'bar')} ({duration(size * slot)}) from {day_and_time(largest[0])}"
        report.add("gaps", Verdict.LOOK, words, places)
    return np.arange(times[0], times[-1] + slot, slot, dtype=np.int64)


def _us_expected(times: Millis, slot: int, grain: int, report: Report) -> Millis:
    """Minutes without a trade miss nothing, sessions without a bar do. The instants, by `grain`, to be covered.

    Before the first session that the calendar knows, what is there is all there is to be.
    """
    places = [
        (int(times[i]), int(times[i + 1]))
        for i in np.flatnonzero(np.diff(times) > max(_LONGEST_SHUT, 2 * slot))
    ]
    if places:
        longest = max(places, key=lambda place: place[1] - place[0])
        words = f"{counted(len(places), 'hole')} longer than a week; the longest {duration(longest[1] - longest[0])}"
        report.add("gaps", Verdict.LOOK, f"{words} from {day_and_time(longest[0])}", places)
    first, last = (from_millis(int(t)).astimezone(NEW_YORK).date() for t in (times[0], times[-1]))
    sessions = us_sessions().between(first, last)
    if not sessions:
        return np.unique(times // grain * grain)
    opens = np.array([to_millis(each.opens) for each in sessions], dtype=np.int64)
    closes = np.array([to_millis(each.closes) for each in sessions], dtype=np.int64)
    if slot >= _DAY:
        # The bar of a day begins at midnight in New York, at most half a day before its session.
        starts = np.searchsorted(times, opens - _DAY // 2)
        there = np.searchsorted(times, opens) > starts
        _missing_sessions(opens, closes, ~there, report)
        known = [times[times < opens[0]], times[_in_a_session(times, opens)], opens[~there]]
        return np.unique(np.concatenate(known))
    begins, ends = np.searchsorted(times, opens - slot + 1), np.searchsorted(times, closes)
    _missing_sessions(opens, closes, begins == ends, report)
    _cut_sessions(times, opens, closes, begins, ends, slot, report)
    _outside_sessions(times, opens, closes, slot, report)
    before = np.unique(times[times < opens[0] // grain * grain] // grain * grain)
    grids = [np.arange(o // grain * grain, c, grain) for o, c in zip(opens, closes, strict=True)]
    return np.concatenate([before, *grids])


def _in_a_session(times: Millis, opens: Millis) -> Mask:
    """Which daily bars belong to one of the sessions."""
    at = np.searchsorted(opens, times)
    before = opens[np.minimum(at, len(opens) - 1)] - times
    return np.asarray((before >= 0) & (before < _DAY // 2))


def _missing_sessions(opens: Millis, closes: Millis, missing: Mask, report: Report) -> None:
    places = [(int(o), int(c)) for o, c in zip(opens[missing], closes[missing], strict=True)]
    report.missing = len(places)
    if places:
        words = (
            f"{len(places)} of {len(opens)} sessions without a bar, first {day_and_time(places[0][0])[:10]}"
        )
        report.add("sessions", Verdict.LOOK, words, places)


def _cut_sessions(
    times: Millis,
    opens: Millis,
    closes: Millis,
    begins: NDArray[np.intp],
    ends: NDArray[np.intp],
    slot: int,
    report: Report,
) -> None:
    edge = max(_EDGE // timedelta(milliseconds=1), slot)
    places = []
    for o, c, i, j in zip(opens, closes, begins, ends, strict=True):
        if i < j and (times[i] > o + edge or times[j - 1] + slot < c - edge):
            places.append((int(o), int(c)))
    if places:
        words = f"{counted(len(places), 'session')} that begin late or end early"
        report.add("cut sessions", Verdict.LOOK, f"{words}, first {day_and_time(places[0][0])[:10]}", places)


def _outside_sessions(times: Millis, opens: Millis, closes: Millis, slot: int, report: Report) -> None:
    known = times[(times >= opens[0]) & (times < closes[-1])]
    at = np.searchsorted(closes, known, side="right")
    outside = known + slot <= opens[np.minimum(at, len(opens) - 1)]
    count = int(outside.sum())
    if count:
        words = f"{counted(count, 'bar')} before or after the session (extended hours)"
        report.add("extended hours", Verdict.OK, words, [(int(t), int(t) + slot) for t in known[outside]])


def _filled(times: Millis, expected: Millis, parts: int = PARTS) -> list[float | None]:
    """The share of expected bars that are there, in equal parts of the span; None where none is expected."""
    if len(expected) == 0:
        return []
    edges = np.linspace(times[0], times[-1] + 1, parts + 1)
    wanted, _ = np.histogram(expected, edges)
    present, _ = np.histogram(np.intersect1d(times, expected), edges)
    return [
        None if w == 0 else min(1.0, p / w) for p, w in zip(present.tolist(), wanted.tolist(), strict=True)
    ]


# -- what is odd -----------------------------------------------------------------------------------


def _quiet(clean: pl.DataFrame, slot: int, report: Report) -> None:
    """Runs of bars without volume: the market stood still, or its recorder did."""
    times = clean["open_time"].to_numpy()
    empty = (clean["volume"] == 0).to_numpy()
    edges = np.diff(np.concatenate([[False], empty, [False]]).astype(np.int8))
    runs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    places = [(int(times[i]), int(times[j - 1]) + slot) for i, j in runs if j - i >= _ZERO_VOLUME_RUN]
    if places:
        count = sum((last - first) // slot for first, last in places)
        words = f"{counted(count, 'bar')} in {counted(len(places), 'run')} without volume"
        report.add("no volume", Verdict.LOOK, f"{words}, first {day_and_time(places[0][0])}", places)


def outliers(clean: pl.DataFrame) -> list[int]:
    """Rows (by index) whose close stands far from the closes before and after it, which agree with one another.

    Far is many robust standard deviations of the moves around (median absolute move × 1.4826, over 97 bars),
    and at least half a percent: a crash that stays, or a fast market, is none.
    """
    close = np.log(clean["close"].to_numpy())
    if len(close) < _AROUND:
        return []
    moves = pl.Series(np.abs(np.diff(close, prepend=close[0])))
    typical = (
        moves.rolling_median(_AROUND, center=True, min_samples=_AROUND // 4).to_numpy() * _MAD_TO_DEVIATION
    )
    limit = np.maximum(_OUTLIER_MOVES * typical, _OUTLIER_SHARE)[1:-1]
    before, after = close[1:-1] - close[:-2], close[1:-1] - close[2:]
    returned = np.abs(close[2:] - close[:-2]) < np.minimum(np.abs(before), np.abs(after)) / 2
    far = (np.abs(before) > limit) & (np.abs(after) > limit)
    return [int(row) + 1 for row in np.flatnonzero(far & returned)]


def level_shifts(clean: pl.DataFrame) -> list[tuple[Span, float]]:
    """Where the price goes to another level at once (by more than 45 % between two closes), and to how many times."""
    close, times = clean["close"].to_numpy(), clean["open_time"].to_numpy()
    ratio = close[1:] / close[:-1]
    at = np.flatnonzero((ratio < _LEVEL) | (ratio > 1 / _LEVEL))
    return [((int(times[i]), int(times[i + 1])), float(ratio[i])) for i in at]
