"""The verb that trains a regime model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nexus_common.contracts.values import Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_ops.commands import options
from nexus_ops.output import columns, console, parse_instant, print_json, progress, stderr

if TYPE_CHECKING:
    from nexus_ops.training.dataset import Dataset, Span
    from nexus_ops.training.run import Training


def register(app: typer.Typer) -> None:
    app.command("train")(train_model)


def train_model(
    data: Annotated[Path, typer.Option("--data", help="directory of recorded markets")],
    out: Annotated[Path, typer.Option("--out", help="folder for the artefact and report.html")] = Path(
        "model"
    ),
    symbols: Annotated[
        str | None, typer.Option("--symbols", help="instruments, by comma; absent: all crypto there is")
    ] = None,
    venue: options.Venue = None,
    start: options.From = None,
    end: options.To = None,
    seed: Annotated[int, typer.Option("--seed", help="of what each tree is shown")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="processor cores to use")] = 2,
    as_json: options.Json = False,
) -> None:
    """Train a regime model on recorded markets, and report how it does on later folds."""
    from nexus_ops.training.dataset import Span
    from nexus_ops.training.fitting import Recipe
    from nexus_ops.training.folds import FOLDS
    from nexus_ops.training.run import train

    _check_folder(out)
    span = Span(parse_instant(start) if start else None, parse_instant(end) if end else None)
    dataset, notes = _dataset(data, _symbols(symbols), venue, span)
    with progress("training", FOLDS + 1) as advance:
        training = train(dataset, Recipe(seed=seed, threads=threads), advance)
    _write(out, training, notes)
    if as_json:
        print_json(_document(training, out, notes))
    else:
        _show(training, out, notes)


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file: give a folder for the model with --out")


def _symbols(text: str | None) -> list[Symbol] | None:
    return None if text is None else [Symbol(part.strip()) for part in text.split(",") if part.strip()]


def _dataset(
    directory: Path, symbols: list[Symbol] | None, venue: str | None, span: Span
) -> tuple[Dataset, list[str]]:
    from nexus_data.data_directory import DataDirectory
    from nexus_ops.training.dataset import build_dataset
    from nexus_ops.training.recordings import choose_recordings

    recordings, notes = choose_recordings(DataDirectory(directory), symbols, venue)
    with progress("reading series", len(recordings)) as advance:
        dataset = build_dataset(directory, recordings, span, advance)
    if dataset.unusable:
        notes.append(f"{dataset.unusable} closes were left out: a feature is no number there")
    return dataset, notes


def _write(out: Path, training: Training, notes: list[str]) -> None:
    from nexus_ops.training.page import report_page

    out.mkdir(parents=True, exist_ok=True)
    for name, content in training.files.items():
        (out / name).write_bytes(content)
    (out / "report.html").write_text(report_page(training, notes), encoding="utf-8")


def _document(training: Training, out: Path, notes: list[str]) -> dict[str, Any]:
    manifest = training.artefact.manifest
    shown = ("rows", "span", "trees", "metrics", "folds", "recipe", "labels", "xgboost")
    return {
        "model": training.artefact.model,
        "digest": training.artefact.digest,
        "instruments": training.artefact.instruments,
        **{name: manifest[name] for name in shown},
        "folder": str(out),
        "notes": notes,
    }


def _show(training: Training, out: Path, notes: list[str]) -> None:
    from nexus_ops.training.page import signed

    headings = (
        "fold",
        ">tested",
        ">accuracy",
        ">log loss",
        ">R model",
        ">R used",
        ">R rules",
        ">confident",
        ">R there",
    )
    table = columns(*headings)
    for result in training.folds:
        measures, earned = result.measures, result.measures.earned
        table.add_row(
            str(result.fold.number),
            f"{measures.rows:,}",
            f"{measures.accuracy:.3f}",
            f"{measures.log_loss:.3f}",
            f"{earned.always:+.3f}",
            f"{earned.used:+.3f}",
            f"{earned.rules:+.3f}",
            f"{earned.confident / measures.rows:.1%}",
            signed(earned.confident_model),
        )
    for note in notes:
        stderr.print(note, style="yellow", markup=False)
    console.print(table)
    means = training.metrics
    console.print(
        f"always saying how often each class occurred: accuracy {means['base_accuracy']:.3f}, "
        f"log loss {means['base_log_loss']:.3f}; R is the mean of a close, net, on folds later than the training"
    )
    console.print(f"model {training.artefact.model} in {out}; register it with: nexus models register {out}")
