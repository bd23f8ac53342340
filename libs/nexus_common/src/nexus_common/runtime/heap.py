"""Garbage collection for services that must answer at once."""

from __future__ import annotations

import gc

YOUNG = 50_000
"""Objects more than before the young are looked through: more than a large turn makes and drops again."""


def settle() -> None:
    """Leave what lives now out of every later collection.

    A service knows its world before it takes its first turn. To look through all of it again in the middle of a
    turn, where nothing of it has become garbage, would take longer than the turn itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
