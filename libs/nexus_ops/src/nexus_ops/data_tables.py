"""Market data as people see it in a terminal: one line a file, holes at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from nexus_data.findings import Report, Verdict
from nexus_data.inventory import DataFile
from nexus_market.candles import from_millis
from nexus_ops.output import columns

CELLS_MIN, CELLS_MAX = 12, 60
# Verdict, span, rows, and the spaces between.
_LEFT = 44
STYLES = {Verdict.OK: "green", Verdict.LOOK: "yellow", Verdict.BROKEN: "bold red"}
# From nothing to everything; read without colours too.
_LEVELS = (
    (1.0, "█", "green"),
    (0.9, "▓", "yellow"),
    (0.5, "▒", "yellow"),
    (1e-12, "░", "red"),
    (0.0, "·", "red"),
)
_UNITS = ("B", "kB", "MB", "GB")


def size(count: float) -> str:
    """`726 kB`, `1.4 MB`: about three digits and a unit."""
    for unit in _UNITS:
        if count < 1_000 or unit == _UNITS[-1]:
            break
        count /= 1_000
    return f"{count:.1f} {unit}" if unit in _UNITS[2:] else f"{count:.0f} {unit}"


def day(millis: int | None) -> str:
    return "" if millis is None else f"{from_millis(millis):%Y-%m-%d}"


def label(file: DataFile) -> str:
    """What a file is among those of its folder: `BTCUSDT 1m`."""
    return " ".join(word for word in (file.symbol or file.venue, file.what) if word)


def coverage(filled: Sequence[float | None], cells: int) -> Text:
    """How full each part of a span is; a single missing bar shows in its cell."""
    bar = Text()
    if not filled:
        return bar
    for cell in range(cells):
        begin = cell * len(filled) // cells
        end = max((cell + 1) * len(filled) // cells, begin + 1)
        known = [share for share in filled[begin:end] if share is not None]
        if not known:
            bar.append("─", "dim")
            continue
        share = sum(known) / len(known)
        glyph, style = next((glyph, style) for least, glyph, style in _LEVELS if share >= least)
        bar.append(glyph, style)
    return bar


def listing(reports: Iterable[Report]) -> Table:
    """Every file with its span and size."""
    table = columns("where", "series", "from", "to", ">rows", ">missing", ">size")
    last = ""
    for report in reports:
        folder = report.file.name.rpartition("/")[0]
        table.add_row(
            folder if folder != last else "",
            label(report.file),
            day(report.first),
            day(report.last),
            f"{report.rows:,}" if report.rows else "",
            f"{report.missing:,}" if report.missing else "",
            size(report.file.size_bytes),
        )
        last = folder
    return table


def findings(reports: Sequence[Report], width: int) -> Iterator[Text]:
    """A line a file, folder by folder, and below each what was found; the coverage fills what `width` leaves."""
    name_width = max((len(label(report.file)) for report in reports), default=0)
    cells = max(min(width - name_width - _LEFT, CELLS_MAX), CELLS_MIN)
    for folder, group in groupby(reports, key=lambda report: report.file.name.rpartition("/")[0]):
        yield Text(folder, "bold")
        for report in group:
            yield _line(report, name_width, cells)
            for finding in report.findings:
                style = STYLES[Verdict.BROKEN] if finding.verdict is Verdict.BROKEN else "dim"
                yield Text(f"         {finding.words}", style)
        yield Text()


def _line(report: Report, name_width: int, cells: int) -> Text:
    span = f"{day(report.first)}…{day(report.last)}" if report.first is not None else ""
    line = Text("  ")
    line.append(f"{report.verdict:<6}", STYLES[report.verdict])
    line.append(f" {label(report.file):<{name_width}} {span:<21} {report.rows:>9,} ")
    return line.append_text(coverage(report.filled, cells))
