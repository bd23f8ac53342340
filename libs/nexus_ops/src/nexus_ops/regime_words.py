"""A reading of the regime in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal


def read_by(model: str, fallback: str, inputs: Mapping[str, Decimal]) -> Iterator[str]:
    """Who read a regime, why not the model, and the figures it rests on."""
    yield f"read by {model}" + (f", because {fallback}" if fallback else "")
    if inputs:
        yield "figures: " + "  ".join(f"{name} {value:.4g}" for name, value in sorted(inputs.items()))
