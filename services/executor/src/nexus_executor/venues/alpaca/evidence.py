"""What Alpaca's answers prove, as a table.

docs.alpaca.markets, "Orders" and the error pages: what is refused is answered with a 4xx and a code; a 5xx
(504 above all) and silence say nothing about the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Proof(StrEnum):
    REFUSED = "refused"  # it will never be executed
    UNKNOWN = "unknown"  # nobody knows


# Everything that is not here is UNKNOWN.
BY_STATUS: Final[Mapping[int, Proof]] = MappingProxyType(
    {
        400: Proof.REFUSED,  # the body is not a request
        401: Proof.REFUSED,  # the keys are not good
        403: Proof.REFUSED,  # buying power, held shares, wash trade, blocked account
        404: Proof.REFUSED,  # no such thing
        405: Proof.REFUSED,
        418: Proof.REFUSED,  # banned: turned away before it is read
        422: Proof.REFUSED,  # the order breaks a rule
        429: Proof.REFUSED,  # too many requests: turned away before it is read
    }
)

DUPLICATE_ID: Final = "40010001"
NOT_FOUND: Final = "40410000"
UNPROCESSABLE: Final = "42210000"
RATE_LIMIT: Final = "42910000"
NOT_CHANGED: Final = "order parameters are not changed"


def proof_of(status: int) -> Proof:
    return BY_STATUS.get(status, Proof.UNKNOWN)
