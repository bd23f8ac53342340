"""How each feature was spread over the rows a model learned from: what later closes are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_cortex.domain.model_features import FEATURES
from nexus_market.indicators import Floats

_TENTHS = np.arange(1, 10) / 10.0


def drift_reference(features: Floats) -> dict[str, dict[str, Any]]:
    """For each feature the inner edges of its tenths, fewer where values repeat, and the share of rows in each bin.

    A value belongs to the bin behind the last edge that is not above it.
    """
    reference = {}
    for number, name in enumerate(FEATURES):
        values = features[:, number]
        edges = np.unique(np.quantile(values, _TENTHS))
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        reference[name] = {"edges": edges.tolist(), "shares": (counts / len(values)).tolist()}
    return reference
