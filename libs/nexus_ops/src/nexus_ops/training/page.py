"""The report of a training as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

import numpy as np

from nexus_cortex.domain.classifier import CONFIDENCE_MIN
from nexus_cortex.domain.outcomes import CLASSES, FAMILIES, HORIZON, WORTH_R
from nexus_ops.training import plots
from nexus_ops.training.run import Training, fold_facts

_STYLE = """
:root { color-scheme: light; --ink: #0b0b0b; --muted: #52514e; --line: #e1e0d9; --page: #f9f9f7; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 24px; }
h1 { font-size: 21px; margin: 0 0 4px; } h2 { font-size: 15px; margin: 0 0 2px; }
.muted { color: var(--muted); font-size: 13px; margin: 0 0 8px; }
.grid { display: grid; grid-template-columns: repeat(2, 1fr); gap: 12px; }
.card { background: #fcfcfb; border: 1px solid rgba(11,11,11,.10); border-radius: 10px; padding: 14px 16px;
        margin: 0 0 12px; overflow-x: auto; }
.grid .card { margin: 0; } .grid { margin-bottom: 12px; }
svg { width: 100%; height: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 500; } th.n, td.n { text-align: right; }
th, td { padding: 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
tfoot td { font-weight: 600; border-bottom: 0; }
@media (max-width: 800px) { .grid { grid-template-columns: 1fr; } }
"""
_COLUMNS = (
    ("fold", "number"),
    ("learned rows", "rows_learned"),
    ("until", "learned_until"),
    ("tested from", "tested_from"),
    ("to", "tested_to"),
    ("tested rows", "rows"),
    ("trees", "trees"),
    ("accuracy", "accuracy"),
    ("log loss", "log_loss"),
    ("calibration error", "calibration_error"),
)


def report_page(training: Training, notes: Sequence[str]) -> str:
    artefact, dataset = training.artefact, training.dataset
    said = f"{len(dataset):,} closes of {len(dataset.symbols)} instruments, {_span(training)}. {_rule()}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Regime model {artefact.model}</title><style>{_STYLE}</style></head><body><main>
<h1>Regime model {artefact.model}</h1>
<p class="muted">{said}</p>
{"".join(_sections(training, notes))}
</main></body></html>
"""


def _sections(training: Training, notes: Sequence[str]) -> Iterator[str]:
    dataset = training.dataset
    yield _card(
        "Figures",
        "Tested on later folds alone; in brackets whoever always says how often each class occurred.",
        _fold_table(training),
    )
    yield _card("Expected R", _earned_words(), _earned_table(training))
    yield f'<div class="grid">{"".join(_charts(training))}</div>'
    yield _card(
        "R added up",
        "Neighbouring closes share most of their bars: this compares, it is no account.",
        plots.cumulative_chart(dataset, training.folds),
    )
    yield _card(
        "Labels",
        "How often each family was best, and what it earned where it would have traded.",
        _label_table(training),
    )
    yield _card("Instruments", ", ".join(dataset.symbols), "")
    if notes:
        yield _card("Notes", "", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>")


def _charts(training: Training) -> Iterator[str]:
    yield _card(
        "R by fold",
        "What following each would have earned a close, net of costs.",
        plots.earned_chart([result.measures for result in training.folds]),
    )
    yield _card(
        "Calibration",
        "On the line, the model is right as often as it says. Beside each point: closes.",
        plots.calibration_chart(training.dataset, training.folds),
    )
    yield _card(
        "Confusion", "Shares of each row, tested folds together.", plots.confusion_chart(training.folds)
    )
    yield _card("Feature importance", "Of the final model.", plots.importance_chart(training.importance))


def _span(training: Training) -> str:
    span = training.artefact.manifest["span"]
    return f"{span['from'][:10]} to {span['to'][:10]}"


def _rule() -> str:
    return (
        f"A close is labelled with the family that earned most within {HORIZON} bars, if more than {WORTH_R} R. "
        f"Between what is learned and what is tested lie {HORIZON} bars."
    )


def _earned_words() -> str:
    return (
        f"Mean R a close, net. Confident: the model's confidence is {CONFIDENCE_MIN:.2f} or more; there it is used, "
        "elsewhere the rules. One family: the one that was best on the rows learned from."
    )


def _card(title: str, words: str, body: str) -> str:
    said = f'<p class="muted">{escape(words)}</p>' if words else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{said}{body}</section>'


def _fold_table(training: Training) -> str:
    rows = []
    for result in training.folds:
        facts, measures = fold_facts(training.dataset, result), result.measures
        cells = [_cell(facts[name]) for _, name in _COLUMNS]
        cells[7] += f" ({measures.base_accuracy:.3f})"
        cells[8] += f" ({measures.base_log_loss:.3f})"
        rows.append(cells)
    means = training.metrics
    foot = [
        *("mean", "", "", "", "", "", ""),
        f"{means['accuracy']:.3f} ({means['base_accuracy']:.3f})",
        f"{means['log_loss']:.3f} ({means['base_log_loss']:.3f})",
        f"{means['calibration_error']:.3f}",
    ]
    return _table([heading for heading, _ in _COLUMNS], rows, foot)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)[:16].replace("T", " ")


def _earned_table(training: Training) -> str:
    headings = [
        "fold",
        "model always",
        "model if confident, else rules",
        "rules",
        "one family",
        "confident closes",
    ]
    headings += ["there: model", "there: rules", "best in hindsight"]
    rows = []
    for result in training.folds:
        earned = result.measures.earned
        rows.append(
            [
                str(result.fold.number),
                f"{earned.always:+.3f}",
                f"{earned.used:+.3f}",
                f"{earned.rules:+.3f}",
                f"{earned.single:+.3f} ({earned.single_family})",
                f"{earned.confident:,} ({earned.confident / result.measures.rows:.1%})",
                signed(earned.confident_model),
                signed(earned.confident_rules),
                f"{earned.hindsight:+.3f} ({earned.hindsight_family})",
            ]
        )
    means = training.metrics
    foot = ["mean", *(f"{means[name]:+.3f}" for name in ("r_always", "r_used", "r_rules", "r_single"))]
    foot += [f"{means['confident_share']:.1%}", signed(means.get("r_confident_model"))]
    foot += [signed(means.get("r_confident_rules")), ""]
    return _table(headings, rows, foot)


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _label_table(training: Training) -> str:
    dataset = training.dataset
    shares = np.bincount(dataset.label, minlength=len(CLASSES)) / len(dataset)
    rows = []
    for number, name in enumerate(CLASSES):
        traded = dataset.earned[:, number] if number < len(FAMILIES) else np.empty(0)
        traded = traded[~np.isnan(traded)]
        share = f"{len(traded) / len(dataset):.1%}" if number < len(FAMILIES) else "–"
        rows.append(
            [name, f"{shares[number]:.1%}", share, signed(float(traded.mean()) if len(traded) else None)]
        )
    return _table(["class", "best at", "would have traded at", "mean R where it traded"], rows, None)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], foot: Sequence[str] | None) -> str:
    """The first column holds names, the others figures."""
    head = "".join(f"<th{_right(i)}>{escape(text)}</th>" for i, text in enumerate(headings))
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    end = "" if foot is None else f"<tfoot><tr>{_cells(foot)}</tr></tfoot>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>{end}</table>"


def _cells(row: Sequence[str]) -> str:
    return "".join(f"<td{_right(i)}>{escape(text)}</td>" for i, text in enumerate(row))


def _right(column: int) -> str:
    return ' class="n"' if column else ""
