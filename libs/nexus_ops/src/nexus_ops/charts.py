"""Pictures of signals: candles with what the strategy looks at, where it enters, and how it means to leave.

Matplotlib is imported by whoever draws, so that the command starts without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final

import numpy as np

from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_cortex.domain.strategies.mean_reversion import DIVERGENCE_BARS
from nexus_market.candles import from_millis
from nexus_market.indicators import Floats
from nexus_ops.chart_window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RISING, FALLING, INK, STOP, TARGET = "#2a9d64", "#c8443f", "#333333", "#c8443f", "#2a9d64"
LINES: Final = {"ema20": "#e08a00", "ema50": "#3366cc", "ema200": "#8844aa", "bb_middle": "#999999"}
BANDS: Final = ("bb_upper", "bb_lower")
_NAMES: Final = {"rsi14": "RSI", "adx14": "ADX", "plus_di14": "+DI", "minus_di14": "-DI"}
WIDTH, HEIGHT, PANEL, DPI = 7.0, 3.6, 1.2, 80


def draw(path: Path, windows: Sequence[Window]) -> None:
    """Write a PNG with the windows side by side; all are of one strategy."""
    from matplotlib.figure import Figure

    panels = _panels(windows[0])
    figure = Figure(
        figsize=(WIDTH * len(windows), HEIGHT + PANEL * len(panels) + 0.9), layout="constrained", dpi=DPI
    )
    axes = figure.subplots(
        1 + len(panels),
        len(windows),
        squeeze=False,
        sharex="col",
        height_ratios=[HEIGHT, *(PANEL for _ in panels)],
    )
    for column, window in enumerate(windows):
        _prices(axes[0][column], window)
        for number, panel in enumerate(panels, start=1):
            panel(axes[number][column], window)
        _times(axes[-1][column], window)
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    """With a palette, a chart of lines takes a third of the bytes."""
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(buffer) as picture:
        picture.convert("RGB").quantize(48).save(path, optimize=True)


def _prices(axes: Axes, window: Window) -> None:
    bars, at = window.bars, np.arange(len(window.bars))
    colours = np.where(bars.close >= bars.open, RISING, FALLING).tolist()
    axes.vlines(at, bars.low, bars.high, colors=colours, linewidth=0.8)
    axes.vlines(
        at, np.minimum(bars.open, bars.close), np.maximum(bars.open, bars.close), colors=colours, linewidth=3
    )
    for name, colour in LINES.items():
        if name in window.lines:
            axes.plot(at, window.lines[name], color=colour, linewidth=1.1, label=name)
    for name in BANDS:
        if name in window.lines:
            axes.plot(at, window.lines[name], color="#999999", linewidth=0.8, linestyle="--", label=name)
    _plan(axes, window)
    if window.strategy.name == "mean_reversion":
        _divergence(axes, window, window.bars.low if _sign(window) > 0 else window.bars.high)
    low, high = _reach(window)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", fontsize=7, ncols=3, frameon=False)
    axes.set_title(_title(window), fontsize=8, loc="left")
    _grid(axes)


def _reach(window: Window) -> tuple[float, float]:
    """The prices to show: all candles, the stop, and the first target."""
    signal, bars = window.signal, window.bars
    shown = [float(bars.low.min()), float(bars.high.max())]
    if signal.plan is not None and signal.ladder is None:
        price, sign = float(signal.price), _sign(window)
        shown += [
            price - sign * float(signal.plan.stop_distance),
            price + sign * float(signal.plan.target_distance),
        ]
    return min(shown), max(shown)


def _sign(window: Window) -> int:
    return window.signal.action.direction.sign


def _title(window: Window) -> str:
    signal = window.signal
    head = (
        f"{signal.strategy} {signal.action.replace('_', ' ')}  {signal.symbol} {signal.timeframe}  "
        f"{signal.candle_close:%Y-%m-%d %H:%M}  confidence {signal.confidence:.2f}"
    )
    return "\n".join((head, *(fill(reason, 105) for reason in signal.reasons)))


def _plan(axes: Axes, window: Window) -> None:
    signal, row = window.signal, window.row
    axes.axvline(row, color=INK, linewidth=0.6, linestyle=":")
    axes.plot([row], [float(signal.price)], marker="o", color=INK, markersize=5, markerfacecolor="none")
    if signal.ladder is not None:
        _ladder(axes, window, signal.ladder)
    elif signal.plan is not None:
        _exits(axes, window, signal.plan)


def _exits(axes: Axes, window: Window, plan: ExitPlan) -> None:
    sign, price = _sign(window), float(window.signal.price)
    target = float(plan.target_distance)
    prices = (
        (price - sign * float(plan.stop_distance), STOP),
        (price + sign * target, TARGET),
        (price + sign * 1.5 * target, TARGET),
    )
    last = min(window.row + plan.time_stop_bars, len(window.bars) - 1)
    for level, colour in prices:
        axes.hlines(level, window.row, last, colors=colour, linewidth=1.2)


def _ladder(axes: Axes, window: Window, ladder: LadderPlan) -> None:
    last = len(window.bars) - 1
    centre, spacing = float(ladder.centre), float(ladder.spacing)
    axes.hlines(centre, window.row, last, colors=LINES["ema200"], linewidth=1.2)
    for number in range(1, ladder.levels + 1):
        for sign, colour in ((1, FALLING), (-1, RISING)):
            axes.hlines(centre + sign * number * spacing, window.row, last, colors=colour, linewidth=0.8)
    for sign in (1, -1):
        axes.hlines(
            centre + sign * float(ladder.reach), window.row, last, colors=STOP, linewidth=1.2, linestyles="--"
        )


def _divergence(axes: Axes, window: Window, values: Floats) -> None:
    """A line from the deepest of the 20 bars before to the signal's own bar."""
    row = window.row
    first = max(0, row - DIVERGENCE_BARS)
    extremes = window.bars.low if _sign(window) > 0 else -window.bars.high
    before = first + int(np.argmin(extremes[first:row]))
    axes.plot([before, row], [values[before], values[row]], color=INK, linewidth=1.2, marker=".")


def _panels(window: Window) -> list[_Panel]:
    return [panel for name, panel in _PANELS.items() if name in window.lines]


class _Panel:
    """A figure below the prices, with the levels that rules speak of."""

    def __init__(self, names: tuple[str, ...], levels: tuple[float, ...]) -> None:
        self._names, self._levels = names, levels

    def __call__(self, axes: Axes, window: Window) -> None:
        at = np.arange(len(window.bars))
        for name, colour in zip(self._names, (INK, RISING, FALLING), strict=False):
            if name in window.lines:
                axes.plot(at, window.lines[name], color=colour, linewidth=1.0)
        for level in self._levels:
            axes.axhline(level, color="#999999", linewidth=0.6, linestyle="--")
        if "rsi14" in self._names and window.strategy.name == "mean_reversion":
            _divergence(axes, window, window.lines["rsi14"])
        axes.axvline(window.row, color=INK, linewidth=0.6, linestyle=":")
        shown = [name for name in self._names if name in window.lines]
        axes.set_ylabel(", ".join(_NAMES[name] for name in shown), fontsize=7)
        _grid(axes)


class _Volume(_Panel):
    def __call__(self, axes: Axes, window: Window) -> None:
        at = np.arange(len(window.bars))
        axes.bar(at, window.bars.volume, color="#aaaaaa", width=0.8)
        axes.plot(at, 1.5 * window.lines["volume_sma20"], color=INK, linewidth=1.0)
        axes.axvline(window.row, color=INK, linewidth=0.6, linestyle=":")
        axes.set_ylabel("volume, 1.5 × SMA20", fontsize=7)
        _grid(axes)


_PANELS: Final = {
    "rsi14": _Panel(("rsi14",), (30.0, 70.0)),
    "adx14": _Panel(("adx14", "plus_di14", "minus_di14"), (25.0,)),
    "volume_sma20": _Volume((), ()),
}


def _grid(axes: Axes) -> None:
    axes.grid(color="#eeeeee", linewidth=0.6)
    axes.tick_params(labelsize=7)


def _times(axes: Axes, window: Window) -> None:
    step = max(1, len(window.bars) // 6)
    rows = list(range(window.row % step, len(window.bars), step))
    closed = window.bars.open_time + window.signal.timeframe.seconds * 1_000
    axes.set_xticks(rows, [f"{from_millis(int(closed[row])):%m-%d %H:%M}" for row in rows])
