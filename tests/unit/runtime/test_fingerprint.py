"""The same code has the same fingerprint, other code another one."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nexus_common.runtime import fingerprint
from nexus_common.runtime.fingerprint import code_fingerprint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that is all of the code."""
    root = tmp_path / "nexus_for_a_test"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "rules.py").write_text("LIMIT = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fingerprint, "PACKAGES", (root.name, "nexus_that_is_not_installed"))
    yield root
    sys.modules.pop(root.name, None)


def taken_anew() -> str:
    anew: Callable[[], str] = code_fingerprint.__wrapped__
    return anew()


def test_it_is_a_hash_and_stays_what_it_is() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", code_fingerprint())
    assert code_fingerprint() == taken_anew()


def test_other_code_and_other_names_have_another_one(package: Path) -> None:
    before = taken_anew()
    assert taken_anew() == before
    (package / "rules.py").write_text("LIMIT = 2\n")
    changed = taken_anew()
    (package / "rules.py").write_text("LIMIT = 1\n")
    assert taken_anew() == before
    (package / "rules.py").rename(package / "other_rules.py")
    assert len({before, changed, taken_anew()}) == 3


def test_what_is_no_python_does_not_count(package: Path) -> None:
    before = taken_anew()
    (package / "notes.txt").write_text("nothing of importance")
    assert taken_anew() == before
