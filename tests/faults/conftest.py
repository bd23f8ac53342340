"""Which cell of the fault matrix to play alone."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cell", help="the name of one cell of the fault matrix")
