"""Checked market data as one page without anything from elsewhere: what there is, where the holes are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from pathlib import Path

from nexus_data.checking import Checked
from nexus_data.findings import Finding, Report, Verdict, day_and_time
from nexus_data.inventory import US, Kind
from nexus_market.candles import from_millis, to_millis
from nexus_ops.data_tables import day, label, size

# Findings that are places without rows; the others are places with odd ones.
HOLES = frozenset({"gaps", "sessions", "numbering", "cut sessions"})
_PLACES_SHOWN = 12
_WIDTH = 1_000.0
_LEAST = 2.2  # a single missing bar in a year must still be seen
_ROW = 15
_TICKS = 9


def write_page(checked: Checked, path: Path) -> None:
    path.write_text(page(checked), encoding="utf-8")


def page(checked: Checked) -> str:
    """The whole page; light and dark follow the reader's system."""
    title = f"Market data in {checked.directory}"
    folders = groupby(checked.reports, key=lambda report: report.file.name.rpartition("/")[0])
    blocks = "".join(_folder(folder, list(group)) for folder, group in folders)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{_counts(checked)}{_LEGEND}"
        f"<h2>What there is, and when</h2>{_overviews(checked.reports)}<h2>File by file</h2>{blocks}</body></html>"
    )


def _counts(checked: Checked) -> str:
    chips = "".join(
        f'<span class="chip {verdict}">{checked.count(verdict)} {verdict}</span>' for verdict in Verdict
    )
    total = size(sum(report.file.size_bytes for report in checked.reports))
    rows = sum(report.rows for report in checked.reports)
    return f'<p class="counts">{chips} {len(checked.reports)} files, {rows:,} rows, {total}</p>'


# -- one axis for all ------------------------------------------------------------------------------


def _overviews(reports: Sequence[Report]) -> str:
    bars = [r for r in reports if r.file.kind is Kind.BARS and r.first is not None and r.first != r.last]
    crypto = [report for report in bars if report.file.venue != US]
    stocks = [report for report in bars if report.file.venue == US]
    return _overview("Crypto", crypto) + _overview("US stocks", stocks)


def _overview(title: str, reports: Sequence[Report]) -> str:
    """Series by symbol on one axis of time; a symbol's venues and timeframes stand under one another."""
    if not reports:
        return ""
    ordered = sorted(
        reports, key=lambda r: (r.file.symbol, r.file.venue, r.file.interval_millis or 0, r.file.name)
    )
    first = min(report.first or 0 for report in ordered)
    last = max(report.last or 0 for report in ordered)
    scale = _WIDTH / (last - first)
    rows = [
        f'<div class="row"><span class="name"><b>{escape(report.file.symbol)}</b> {escape(report.file.what)} '
        f"<i>{escape(report.file.venue)}</i></span>{_svg(_on_axis(report, first, scale))}</div>"
        for report in ordered
    ]
    axis = f'<div class="row axis"><span class="name"></span><div class="ticks">{_ticks(first, last)}</div></div>'
    return f'<h3>{title}</h3><div class="chart">{axis}{"".join(rows)}</div>'


def _on_axis(report: Report, first: int, scale: float) -> Iterator[str]:
    assert report.first is not None
    assert report.last is not None
    left, right = (report.first - first) * scale, (report.last - first) * scale
    # At this scale nights and weekends would only blur what is there.
    yield from _fills(
        [1.0 if share is None else share for share in report.filled], left, max(right - left, _LEAST)
    )
    yield from _marks(report.findings, first, scale)


def _ticks(first: int, last: int) -> str:
    begin, end = from_millis(first).year, from_millis(last).year
    step = max(1, (end - begin + 1) // _TICKS)
    marks = []
    for year in range(begin + 1, end + 1, step):
        left = (to_millis(datetime(year, 1, 1, tzinfo=UTC)) - first) / (last - first)
        marks.append(f'<span style="left:{left:.2%}">{year}</span>')
    return "".join(marks)


# -- each on its own axis --------------------------------------------------------------------------


def _folder(folder: str, reports: Sequence[Report]) -> str:
    return f'<h3>{escape(folder)}</h3><div class="files">{"".join(map(_file, reports))}</div>'


def _file(report: Report) -> str:
    span = f"{day(report.first)} … {day(report.last)}" if report.first is not None else ""
    strip = ""
    if report.first is not None and report.last is not None and report.filled:
        scale = _WIDTH / max(report.last - report.first, 1)
        parts = [*_fills(report.filled, 0, _WIDTH), *_marks(report.findings, report.first, scale)]
        strip = _svg(parts)
    told = "".join(_told(finding) for finding in report.findings)
    return (
        f'<div class="file {report.verdict}"><span class="chip {report.verdict}">{report.verdict}</span>'
        f'<span class="name" title="{escape(report.file.name)}"><b>{escape(label(report.file))}</b> '
        f"{escape(report.file.span)}</span>"
        f'<span class="span">{span}</span><span class="rows">{report.rows:,}</span>{strip or "<span></span>"}'
        f'<div class="told">{told}</div></div>'
    )


def _told(finding: Finding) -> str:
    mark = "hole" if finding.check in HOLES else "odd"
    words = f'<span class="{mark}">●</span> {escape(finding.words)}'
    if finding.count < 2 or not finding.places:
        return f"<p>{words}</p>"
    shown = finding.places[:_PLACES_SHOWN]
    places = "".join(f"<li>{_place(*place)}</li>" for place in shown)
    rest = finding.count - len(shown)
    more = f"<li>and {rest:,} more</li>" if rest > 0 else ""
    return f"<details><summary>{words}</summary><ul>{places}{more}</ul></details>"


def _place(first: int, last: int) -> str:
    return day_and_time(first) if first == last else f"{day_and_time(first)} … {day_and_time(last)}"


# -- drawing ---------------------------------------------------------------------------------------


def _svg(parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_ROW}" preserveAspectRatio="none" role="img">{"".join(parts)}</svg>'
    )


def _fills(filled: Sequence[float | None], left: float, width: float) -> Iterator[str]:
    """Stretches of one shade: whole, thin, empty, or not expected to hold anything."""
    part = width / max(len(filled), 1)
    shades = [_shade(share) for share in filled]
    start = 0
    for shade, group in groupby(shades):
        count = len(list(group))
        yield f'<rect class="{shade}" x="{left + start * part:.1f}" y="3" width="{count * part:.1f}" height="9"/>'
        start += count


def _shade(share: float | None) -> str:
    if share is None:
        return "shut"
    if share >= 0.999:
        return "whole"
    return "thin" if share > 0 else "empty"


def _marks(findings: Sequence[Finding], first: int, scale: float) -> Iterator[str]:
    for finding in findings:
        if finding.verdict is Verdict.OK:
            continue
        is_hole = finding.check in HOLES
        for begin, end in finding.places:
            left, width = (begin - first) * scale, max((end - begin) * scale, _LEAST)
            words = escape(f"{finding.check}: {_place(begin, end)}")
            box = 'y="1" height="13" class="hole"' if is_hole else 'y="11" height="4" class="odd"'
            yield f'<rect {box} x="{left:.1f}" width="{width:.1f}"><title>{words}</title></rect>'


_LEGEND = (
    '<p class="legend"><svg viewBox="0 0 24 15"><rect class="whole" y="3" width="24" height="9"/></svg> all there '
    '<svg viewBox="0 0 24 15"><rect class="thin" y="3" width="24" height="9"/></svg> some missing '
    '<svg viewBox="0 0 24 15"><rect class="hole" x="10" y="1" width="4" height="13"/></svg> a hole '
    '<svg viewBox="0 0 24 15"><rect class="odd" x="8" y="8" width="8" height="5"/></svg> odd rows '
    '<svg viewBox="0 0 24 15"><rect class="shut" y="3" width="24" height="9"/></svg> market shut. '
    "Times are UTC; point at a mark to read its time.</p>"
)
_STYLE = """
:root{--back:#fff;--text:#1b1f24;--soft:#667079;--line:#e3e6ea;--whole:#2f7fb8;--thin:#9cc4e0;--empty:#f3d3cf;
--shut:#eceff2;--hole:#d0342c;--odd:#e08a00;--ok:#2c7a4b;--look:#9a6200;--broken:#c0281f}
@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ec;--soft:#98a2ac;--line:#2a3037;
--whole:#4a9bd6;--thin:#2f5f85;--empty:#4a2623;--shut:#22272d;--hole:#ff6b5e;--odd:#ffb547;--ok:#5fc48a;
--look:#f0b450;--broken:#ff7a70}}
body{background:var(--back);color:var(--text);font:14px/1.45 system-ui,'DejaVu Sans',sans-serif;margin:2rem auto;
max-width:1180px;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .4rem}h2{font-size:1.15rem;margin:2rem 0 .4rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
.legend,.counts{color:var(--soft)}.legend svg{width:24px;height:15px;vertical-align:-3px;margin-left:.8rem}
.chip{display:inline-block;border:1px solid currentColor;border-radius:3px;padding:0 .45rem;font-size:12px;
margin-right:.4rem;text-align:center}
.chip.ok{color:var(--ok)}.chip.look{color:var(--look)}.chip.broken{color:var(--broken);font-weight:700}
svg rect.whole{fill:var(--whole)}svg rect.thin{fill:var(--thin)}svg rect.empty{fill:var(--empty)}
svg rect.shut{fill:var(--shut)}svg rect.hole{fill:var(--hole)}svg rect.odd{fill:var(--odd)}
.row{display:grid;grid-template-columns:17rem 1fr;align-items:center;border-top:1px solid var(--line)}
.row svg,.file svg{width:100%;height:15px;display:block}
.row .name{font-size:12px;white-space:nowrap}.name i{color:var(--soft);font-style:normal}
.axis{border:0;height:1.2rem}.ticks{position:relative;height:1.2rem;font-size:12px;color:var(--soft)}
.ticks span{position:absolute;transform:translateX(-50%)}
.file{display:grid;grid-template-columns:4.4rem 15rem 12.5rem 5.5rem 1fr;gap:0 .6rem;align-items:center;
border-top:1px solid var(--line);padding:.25rem 0}
.file .name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.span{color:var(--soft);white-space:nowrap;font-size:13px}.rows{text-align:right;font-variant-numeric:tabular-nums}
.told{grid-column:2/-1;font-size:13px}.told p,.told details{margin:.1rem 0}.told summary{cursor:pointer}
.told ul{margin:.2rem 0 .4rem;columns:2;color:var(--soft)}
.told .hole{color:var(--hole)}.told .odd{color:var(--odd)}
"""
