"""`nexus models` says what is wrong before it asks anybody."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelling.handmade import always
from nexus_cortex.artefact import MANIFEST, MODEL
from nexus_ops import cli

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `nexus models …` where nothing runs; gives its exit code and what it said on stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        words = ["nexus", "models", *map(str, arguments), "--home", str(tmp_path / "home")]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), capsys.readouterr().err

    return run


def folder_of(files: dict[str, bytes], where: Path) -> Path:
    where.mkdir()
    for name, content in files.items():
        (where / name).write_bytes(content)
    return where


@pytest.mark.parametrize(
    "words", [["list"], ["show", "x"], ["promote", "x"], ["rollback"], ["shadow", "none"]]
)
def test_without_a_stack_there_is_nobody_to_ask(models: Run, words: list[str]) -> None:
    code, said = models(*words)
    assert code == 3
    assert "holds no run: start one with `nexus up`" in said


def test_with_a_stack_that_was_stopped_nobody_decides(models: Run, tmp_path: Path) -> None:
    (tmp_path / "home" / "postgres").mkdir(parents=True)
    code, said = models("promote", "x")
    assert code == 3
    assert "is not running: start it with `nexus up`, then ask again" in said


def test_what_is_no_folder_cannot_be_registered(models: Run, tmp_path: Path) -> None:
    code, said = models("register", tmp_path / "nowhere")
    assert code == 2
    assert "is no folder: name the one that `nexus train` wrote" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({MODEL: always("trend")[MODEL][:-200]}, "model.ubj was changed"),
        ({MANIFEST: b"{}"}, "manifest.json was changed"),
        ({MODEL: None}, "model.ubj is missing"),
    ],
    ids=["truncated", "another manifest", "a file less"],
)
def test_a_spoilt_model_is_refused_before_anybody_is_asked(
    models: Run, tmp_path: Path, change: dict[str, bytes | None], sentence: str
) -> None:
    files = {name: content for name, content in {**always("trend"), **change}.items() if content is not None}
    code, said = models("register", folder_of(files, tmp_path / "model"))
    assert code == 1
    assert "cannot be used: " in said
    assert sentence in said
