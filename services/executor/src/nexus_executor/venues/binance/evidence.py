"""What an answer to a request that changes something proves.

Source: USDⓈ-M Futures, General Info (HTTP return codes) and Error Codes. What is not listed as open and came
with a code is definite: the order was checked and refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.exact_json import exact_json


class Proof(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    OPEN = "open"  # it may have been carried out


class Raw(NamedTuple):
    """An HTTP answer as it came."""

    status: int
    text: str
    headers: dict[str, str]


class Verdict(NamedTuple):
    """`row` is the answer where it is DONE; `code` and `reason` say why not elsewhere."""

    proof: Proof
    code: str
    reason: str
    row: Row


# "Unknown error", "Internal error", "unexpected response", "timeout": execution status unknown. "ClientOrderId is
# duplicated": an order of this id has arrived.
OPEN_CODES: Final = frozenset(("-1000", "-1001", "-1006", "-1007", "-4116"))
# 5xx leaves the outcome open, but for these: throttled before it was looked at, and "Service Unavailable.".
REFUSED_CODES_OF_5XX: Final = frozenset(("-1008",))
FAILED_TEXT: Final = "Service Unavailable."
LIMIT_STATUSES: Final = frozenset((403, 418, 429))
TIMEOUT_STATUS: Final = 408

NO_SUCH_ORDER: Final = frozenset(("-2013",))
UNKNOWN_ORDER_SENT: Final = "-2011"
TIMESTAMP: Final = frozenset(("-1021", "-5028"))
HEDGE_MODE: Final = "-4061"
NOTHING_TO_CHANGE: Final = frozenset(("-4046", "-4059"))


def verdict(raw: Raw) -> Verdict:
    """Sort an answer; never raises."""
    row = _row(raw.text)
    code, reason = _refusal(row, raw)
    if raw.status == 200:
        if row is None:
            return Verdict(Proof.OPEN, "200", "an answer that cannot be read", {})
        if not code.startswith("-"):
            return Verdict(Proof.DONE, "", "", row)
    if code in OPEN_CODES or raw.status == TIMEOUT_STATUS:
        return Verdict(Proof.OPEN, code, reason, {})
    if 500 <= raw.status < 600:
        failed = code in REFUSED_CODES_OF_5XX or raw.text.strip() == FAILED_TEXT
        return Verdict(Proof.REFUSED if failed else Proof.OPEN, code, reason, {})
    if code.startswith("-") or 400 <= raw.status < 500:
        return Verdict(Proof.REFUSED, code, reason, {})
    return Verdict(Proof.OPEN, code, reason, {})


def _row(text: str) -> Row | None:
    try:
        found = exact_json(text)
    except UnreadableFrame:
        return None
    return found if isinstance(found, dict) else {}


def _refusal(row: Row | None, raw: Raw) -> tuple[str, str]:
    """The venue's own code and words, else the HTTP status and the beginning of the text."""
    code = (row or {}).get("code")
    if isinstance(code, int | str) and not isinstance(code, bool) and str(code).lstrip("-").isdigit():
        return str(code), str((row or {}).get("msg", ""))[:300]
    return str(raw.status), f"HTTP {raw.status} {raw.text[:200]}".strip()
