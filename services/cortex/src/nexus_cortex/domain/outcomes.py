"""What each family of strategies would have earned from a 15m close on, and which one was best."""

from __future__ import annotations

from typing import Final

FAMILIES: Final = ("trend", "scalping", "mean_reversion", "grid", "shark")
NONE: Final = "none"
CLASSES: Final = (*FAMILIES, NONE)
