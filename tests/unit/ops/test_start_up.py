"""What the `nexus` command need not wait for before it knows what it is asked."""

from __future__ import annotations

import subprocess
import sys

LATER = (
    "alembic",
    "ccxt",
    "pybit",
    "alpaca",
    "xgboost",
    "sklearn",
    "matplotlib",
    "nexus_simvenue.market.dialects",
)


def test_slow_libraries_are_imported_by_the_verbs_that_need_them() -> None:
    code = "import sys, nexus_ops.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(LATER) & set(done.stdout.split()) == set()
