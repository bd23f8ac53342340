"""What several files say of one market: folds between timeframes, two venues, and who else saw an outlier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from nexus_data.bar_checks import level_shifts, outliers
from nexus_data.findings import Report, Span, Verdict, counted, day_and_time
from nexus_data.inventory import US
from nexus_data.sessions import us_sessions
from nexus_market.candles import from_millis

_PRICES = ("open", "high", "low", "close")
_VOLUME_SHARE = 1e-9
_DAY = 86_400_000
# Perpetuals of two venues agree within about 0.01 %; spot and perpetual differ by their basis, some 0.05 %.
_VENUES_DIFFER = 0.005
_TYPICAL_TIMES = 20.0
_WITNESS_AGREES = 0.01
_STORM = 1.1
_STORM_MARKETS = 3
_SPLIT_TOLERANCE = 0.06

Frames = Mapping[str, pl.DataFrame]


def check_together(reports: Sequence[Report], frames: Frames) -> None:
    """`frames` are the sound bars of each file by its name; findings go to the report they concern."""
    by_symbol: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        if report.file.name in frames and not frames[report.file.name].is_empty():
            by_symbol[report.file.symbol].append(report)
    stormy = _storms([each for same in by_symbol.values() for each in same], frames)
    for same in by_symbol.values():
        for one, other in combinations(same, 2):
            _pair(one, other, frames)
        for report in same:
            clean = frames[report.file.name]
            others = [other for other in same if other is not report]
            _outliers(report, clean, others, frames, stormy[_slot(report)])
            _levels(report, clean, stormy[_slot(report)])


def _storms(reports: Sequence[Report], frames: Frames) -> Mapping[int, frozenset[int]]:
    """By length of bar: the open times at which several markets moved far, so that none of them stands alone."""
    moved: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for report in reports:
        frame = frames[report.file.name]
        for time in frame.filter(pl.col("high") > pl.col("low") * _STORM)["open_time"].to_list():
            moved[_slot(report)][time].add(report.file.symbol)
    return defaultdict(
        frozenset,
        {
            slot: frozenset(time for time, symbols in times.items() if len(symbols) >= _STORM_MARKETS)
            for slot, times in moved.items()
        },
    )


def _pair(one: Report, other: Report, frames: Frames) -> None:
    if not _overlap(one, other):
        return
    fine, coarse = sorted((one, other), key=_slot)
    if one.file.venue == other.file.venue:
        if _slot(fine) == _slot(coarse):
            _told_by_two_files(fine, coarse)
        elif _slot(coarse) % _slot(fine) == 0 and _slot(coarse) < _DAY:
            _fold(fine, coarse, frames)
    elif _slot(coarse) % _slot(fine) == 0 and _slot(coarse) < _DAY:
        _two_venues(fine, coarse, frames)


def _slot(report: Report) -> int:
    slot = report.file.interval_millis
    assert slot is not None
    return slot


def _span(report: Report) -> Span:
    assert report.first is not None
    assert report.last is not None
    return report.first, report.last + _slot(report)


def _overlap(one: Report, other: Report) -> bool:
    (begins, ends), (starts, stops) = _span(one), _span(other)
    return begins < stops and starts < ends


def _told_by_two_files(one: Report, other: Report) -> None:
    first = max(_span(one)[0], _span(other)[0])
    last = min(_span(one)[1], _span(other)[1])
    words = f"overlaps {one.file.name} from {day_and_time(first)}: cut one of them"
    other.add("overlap", Verdict.BROKEN, words, [(first, last)])


def _fold(fine: Report, coarse: Report, frames: Frames) -> None:
    """The coarse bars against what the fine ones fold to, where all of these are there (for stocks: any)."""
    slot, step = _slot(coarse), _slot(fine)
    first, last = _span(fine)
    folded = (
        frames[fine.file.name]
        .lazy()
        .group_by(pl.col("open_time") // slot * slot, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            bars=pl.len(),
        )
        .filter((pl.col("open_time") >= first) & (pl.col("open_time") + slot <= last))
    )
    if fine.file.venue != US:
        folded = folded.filter(pl.col("bars") == slot // step)
    both = folded.join(frames[coarse.file.name].lazy(), on="open_time", suffix="_told").sort("open_time")
    prices = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_told") for name in _PRICES)
    volume = (pl.col("volume") - pl.col("volume_told")).abs() > pl.col("volume_told").abs() * _VOLUME_SHARE
    seen = both.select("open_time", prices=prices, volume=volume).collect()
    wrong = seen.filter(pl.col("prices") | pl.col("volume"))
    if wrong.is_empty():
        return
    places = [(time, time + slot) for time in wrong["open_time"].to_list()]
    words = f"{len(places)} of {counted(len(seen), 'bar')} not what {fine.file.what} folds to"
    words += f" ({int(wrong['prices'].sum())} in prices), first {day_and_time(places[0][0])}"
    coarse.add("folds", Verdict.LOOK, words, places)


def _two_venues(one: Report, other: Report, frames: Frames) -> None:
    """Closes at one time on two venues: far apart is more than half a percent, and many times what is usual."""
    closes = [
        frames[each.file.name].select("close", at=pl.col("open_time") + _slot(each)) for each in (one, other)
    ]
    both = closes[0].join(closes[1], on="at", suffix="_other", maintain_order="left")
    if both.is_empty():
        return
    apart = (both["close"] / both["close_other"] - 1).abs().to_numpy()
    limit = max(_VENUES_DIFFER, _TYPICAL_TIMES * float(np.median(apart)))
    wrong = both["at"].to_numpy()[apart > limit]
    if not len(wrong):
        return
    slot = _slot(other)
    places = [(int(time) - slot, int(time)) for time in wrong]
    words = f"{len(wrong)} of {counted(len(both), 'close')} more than {limit:.1%} from {one.file.venue} {one.file.what}"
    words += f" (up to {apart.max():.1%}), first {day_and_time(places[0][0])}"
    other.add("two venues", Verdict.LOOK, words, places)


def _outliers(
    report: Report,
    clean: pl.DataFrame,
    others: Sequence[Report],
    frames: Frames,
    stormy: frozenset[int],
) -> None:
    """Closes that stand alone, unless another series closed at the same time and place, or all markets moved."""
    slot = _slot(report)
    places = []
    for row in outliers(clean):
        time, close = int(clean["open_time"][row]), float(clean["close"][row])
        if time in stormy or not _is_regular(report, time):
            continue
        if not any(_agrees(frames[each.file.name], _slot(each), time + slot, close) for each in others):
            places.append((time, time + slot))
    if places:
        words = f"{counted(len(places), 'close')} far from those before and after"
        report.add("outliers", Verdict.LOOK, f"{words}, first {day_and_time(places[0][0])}", places)


def _is_regular(report: Report, time: int) -> bool:
    """Before and after its session a stock's single trades stand where they like."""
    return report.file.venue != US or us_sessions().is_open(from_millis(time))


def _agrees(frame: pl.DataFrame, slot: int, closed_at: int, close: float) -> bool:
    row = frame["open_time"].search_sorted(closed_at - slot)
    if row == len(frame) or frame["open_time"][row] != closed_at - slot:
        return False
    return abs(float(frame["close"][row]) / close - 1) <= _WITNESS_AGREES


def _levels(report: Report, clean: pl.DataFrame, stormy: frozenset[int]) -> None:
    splits: list[tuple[Span, float]] = []
    jumps: list[tuple[Span, float]] = []
    for place, ratio in level_shifts(clean):
        if place[1] in stormy:
            continue
        (splits if report.file.venue == US and _is_split(ratio) else jumps).append((place, ratio))
    for found, check, word in (
        (splits, "splits", "like a split"),
        (jumps, "jumps", "to another level at once"),
    ):
        if found:
            told = ", ".join(f"{day_and_time(place[1])[:10]} (× {ratio:.3g})" for place, ratio in found[:5])
            words = f"{counted(len(found), 'jump')} {word}: {told}"
            report.add(check, Verdict.LOOK, words, [place for place, _ in found])


def _is_split(ratio: float) -> bool:
    """Two, three, seven for one, or the other way round; whatever the market did over night comes on top."""
    times = max(ratio, 1 / ratio)
    return round(times) >= 2 and abs(times / round(times) - 1) < _SPLIT_TOLERANCE
