"""Faults planted in the code on purpose, each of which must turn the suite red: `make test-planted`.

Each is a change of source text, made in a copy of the tree, and the tests that must notice it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from faults.plants import PLANTS, Plant

ROOT: Final = Path(__file__).parents[2]
REPORT: Final = ROOT / "docs" / "planted-faults.md"
_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Result:
    """`red`: the test that failed first, or None when nothing noticed."""

    plant: Plant
    red: str | None


def plant_in(root: Path, plant: Plant) -> None:
    """Change the source; raises ValueError when its text is not there exactly once."""
    path = root / plant.file
    text = path.read_text()
    count = text.count(plant.old)
    if count != 1:
        raise ValueError(f"{plant.name}: its text is {count} times in {plant.file}, must be once")
    path.write_text(text.replace(plant.old, plant.new))


def copy_tree(target: Path) -> None:
    """What the tests need, without caches."""
    for name in ("libs", "services", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in ("pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, target)


def run_tests(root: Path, tests: Sequence[str]) -> str | None:
    """Run them on the sources of that tree; the name of the first that failed, or None."""
    sources = sorted(str(path) for part in ("libs", "services") for path in (root / part).glob("*/src"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not long", *tests]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    return failed[0].split(" ", 1)[1].split(" - ")[0] if failed else f"pytest ended with {done.returncode}"


def try_plant(plant: Plant) -> Result:
    """Plant it in a copy and run its tests."""
    with TemporaryDirectory(prefix="planted-") as folder:
        root = Path(folder)
        copy_tree(root)
        plant_in(root, plant)
        return Result(plant, run_tests(root, plant.tests))


def report(results: Sequence[Result]) -> str:
    """The table that the documentation shows."""
    lines = [
        "# Planted faults",
        "",
        "Each of these is put into the code on purpose, and the suite must turn red. Made by `make test-planted`.",
        "",
        "| # | planted | where | turned red |",
        "|---|---|---|---|",
    ]
    for number, result in enumerate(results, start=1):
        red = "**nothing**" if result.red is None else f"`{result.red}`"
        where = result.plant.file.rpartition("/src/")[2]
        lines.append(f"| {number} | {result.plant.name} | `{where}` | {red} |")
    caught = sum(1 for result in results if result.red is not None)
    lines += ["", f"{caught} of {len(results)} were noticed."]
    return "\n".join(lines) + "\n"


def red_already(plants: Sequence[Plant]) -> str | None:
    """A test that fails without any plant: then red would say nothing."""
    tests = sorted({test for plant in plants for test in plant.tests})
    with TemporaryDirectory(prefix="planted-") as folder:
        copy_tree(Path(folder))
        return run_tests(Path(folder), tests)


def main(names: Sequence[str]) -> int:
    """Try all, or those whose names hold one of the words given; writes the report when all were tried."""
    chosen = [plant for plant in PLANTS if not names or any(name in plant.name for name in names)]
    broken = red_already(chosen)
    if broken is not None:
        sys.stdout.write(f"{broken} is red before anything is planted\n")
        return 1
    results = []
    for plant in chosen:
        result = try_plant(plant)
        results.append(result)
        sys.stdout.write(f"{'red  ' if result.red else 'GREEN'} {plant.name}: {result.red}\n")
        sys.stdout.flush()
    if len(chosen) == len(PLANTS):
        REPORT.write_text(report(results))
    return 0 if all(result.red for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
