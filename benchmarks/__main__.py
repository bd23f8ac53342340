"""`python -m benchmarks [NAME…] [--json]`: measure, keep the figures, show them beside floors and goals."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring import RESULTS, write_result

NAMES: Final = (
    "append",
    "desk",
    "house",
    "execution",
    "replaying",
    "backtesting",
    "feeds",
    "cortex",
    "training",
    "shield",
    "swan",
)
PAGE: Final = Path(__file__).parents[1] / "BENCHMARKS.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    given = parser.parse_args(arguments)
    results = []
    for name in given.names or NAMES:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        results.append(write_result(name, importlib.import_module(f"benchmarks.{name}").run()))
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        for result in results:
            print(_table(result))
    _write_page()
    return 0


def _write_page() -> None:
    """Put the newest figures of every benchmark into BENCHMARKS.md."""
    text = PAGE.read_text()
    found = [json.loads(path.read_text()) for name in NAMES if (path := RESULTS / f"{name}.json").exists()]
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join(_table(result) for result in found)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"**{result['benchmark']}** · {result['at']} · {result['machine']} · load {result['load_before']:g}",
        "",
        "| figure | value | floor | ratio | goal | met |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(figure) for figure in result["figures"]]
    return "\n".join(lines)


def _row(figure: dict[str, Any]) -> str:
    note = f" ({figure['note']})" if figure["note"] else ""
    floor = "" if figure["floor"] is None else f"{figure['floor']:,} {figure['unit']}: {figure['floor_is']}"
    ratio = "" if figure["ratio"] is None else f"{figure['ratio']:g}"
    met = {True: "yes", False: "no", None: ""}[figure["met"]]
    cells = (
        f"{figure['what']}{note}",
        f"{figure['value']:,} {figure['unit']}",
        floor,
        ratio,
        figure["goal"],
        met,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
