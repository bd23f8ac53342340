"""The report's charts, as SVG text that is the same for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_cortex.domain.classifier import CONFIDENCE_MIN
from nexus_cortex.domain.outcomes import CLASSES
from nexus_market.candles import from_millis
from nexus_market.indicators import Floats, Ints
from nexus_ops.training.dataset import Dataset
from nexus_ops.training.measures import Measures, calibration, follow
from nexus_ops.training.run import FoldResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL_COLOUR, USED_COLOUR, RULES_COLOUR, SINGLE_COLOUR = "#2a78d6", "#1baf7a", "#eb6834", "#898781"
_INK, _MUTED, _GRID = "#0b0b0b", "#52514e", "#e1e0d9"
_FEATURES_SHOWN = 20


def confusion_chart(folds: Sequence[FoldResult]) -> str:
    """Of the closes whose best family was the row's, the share that the model called the column's."""
    counts = np.sum([np.array(result.measures.confusion) for result in folds], axis=0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(6.4, 4.8)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares[row, column] > 0.5 else _INK
        axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=colour)
    names = [f"{name} ({total:,})" for name, total in zip(CLASSES, counts.sum(axis=1), strict=True)]
    axes.set_xticks(range(len(CLASSES)), CLASSES, rotation=30, ha="right")
    axes.set_yticks(range(len(CLASSES)), names)
    axes.set_xlabel("said by the model")
    axes.set_ylabel("was best (closes)")
    axes.grid(visible=False)
    return _svg(figure)


def calibration_chart(dataset: Dataset, folds: Sequence[FoldResult]) -> str:
    """How sure the model was against how often it was right, all folds together."""
    probabilities = np.concatenate([result.probabilities for result in folds])
    label = dataset.label[np.concatenate([result.fold.test for result in folds])]
    bins, error = calibration(probabilities.max(axis=1), probabilities.argmax(axis=1) == label)
    figure, axes = _figure(6.4, 4.8)
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle="--", label="as sure as right")
    axes.plot(
        [each.confidence for each in bins],
        [each.right for each in bins],
        *("o-",),
        color=MODEL_COLOUR,
        label=f"the model (error {error:.3f})",
    )
    for each in bins:
        axes.annotate(
            f"{each.rows:,}",
            (each.confidence, each.right),
            textcoords="offset points",
            xytext=(7, -12),
            fontsize=8,
            color=_MUTED,
        )
    axes.axvline(
        CONFIDENCE_MIN, color=RULES_COLOUR, linewidth=1, label=f"believed from {CONFIDENCE_MIN:.2f} on"
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share right (closes beside the points)")
    axes.legend(frameon=False, loc="upper left")
    return _svg(figure)


def importance_chart(importance: Mapping[str, float]) -> str:
    """The share of each feature in all the loss saved, of the final model."""
    ranked = sorted(importance.items(), key=lambda each: (-each[1], each[0]))[:_FEATURES_SHOWN][::-1]
    figure, axes = _figure(6.4, 5.6)
    axes.barh([name for name, _ in ranked], [share * 100 for _, share in ranked], color=MODEL_COLOUR)
    axes.set_xlabel("share of the gain of all splits, %")
    axes.grid(axis="y", visible=False)
    return _svg(figure)


def earned_chart(measures: Sequence[Measures]) -> str:
    """Mean R a close by fold: the model always, the model where confident and rules elsewhere, rules, one family."""
    shown = (
        ("model always", MODEL_COLOUR, [each.earned.always for each in measures]),
        ("model if confident, else rules", USED_COLOUR, [each.earned.used for each in measures]),
        ("rules", RULES_COLOUR, [each.earned.rules for each in measures]),
        ("best single family before", SINGLE_COLOUR, [each.earned.single for each in measures]),
    )
    figure, axes = _figure(6.4, 4.8)
    places = np.arange(len(measures))
    for number, (name, colour, values) in enumerate(shown):
        axes.bar(places + (number - 1.5) * 0.2, values, 0.18, color=colour, label=name)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xticks(places, [f"fold {number + 1}" for number in places])
    axes.set_ylabel("mean R a close, net")
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def cumulative_chart(dataset: Dataset, folds: Sequence[FoldResult]) -> str:
    """Mean R over the instruments of each instant, added up over all tested instants."""
    figure, axes = _figure(13.2, 4.4)
    begun, sums = 0, {"model always": 0.0, "model if confident, else rules": 0.0, "rules": 0.0}
    colours = dict(zip(sums, (MODEL_COLOUR, USED_COLOUR, RULES_COLOUR), strict=True))
    ticks = []
    for result in folds:
        test = result.fold.test
        by = follow(dataset, test, result.probabilities)
        first = int(dataset.time[test[0]])
        ticks.append((begun, f"{from_millis(first):%Y-%m-%d}"))
        for name, earned in zip(sums, (by.model, by.used, by.rules), strict=True):
            curve = sums[name] + np.cumsum(_by_instant(dataset.time[test], earned))
            label = name if result is folds[0] else None
            # The model in use runs close to the rules: drawn broad, it shows beneath them.
            width = 3.0 if earned is by.used else 1.2
            axes.plot(begun + np.arange(len(curve)), curve, color=colours[name], linewidth=width, label=label)
            sums[name] = float(curve[-1])
        begun += len(curve)
    for place, _ in ticks:
        axes.axvline(place, color=_GRID, linewidth=1)
    axes.set_xticks([place for place, _ in ticks], [day for _, day in ticks])
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_ylabel("R added up")
    axes.set_xlabel("tested closes; a line where a fold begins")
    axes.legend(frameon=False, loc="lower left")
    return _svg(figure)


def _by_instant(time: Ints, values: Floats) -> Floats:
    """The mean of the values of each instant, in order."""
    _, place, count = np.unique(time, return_inverse=True, return_counts=True)
    means: Floats = np.bincount(place, weights=values) / count
    return means


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_MUTED)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    text = StringIO()
    with rc_context({"svg.hashsalt": "nexus", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
