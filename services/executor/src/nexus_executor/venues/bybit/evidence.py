"""What each of Bybit's answers proves about the request that it answers: a table.

Sources: Bybit V5 documentation, Error Codes and HTTP codes. A code says that the request was not carried
out, unless the venue itself does not know (a server error or time-out), or has seen the request before.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Proof(StrEnum):
    DONE = "done"  # it was carried out, or stands as asked for
    REFUSED = "refused"  # it will never be carried out
    UNKNOWN = "unknown"  # ask before anything else


# Codes that only say "it is so already", by the request that they answer (pybit's name of it).
ALREADY_SO: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "set_trading_stop": frozenset((34040,)),
        "set_leverage": frozenset((110043,)),
        "set_margin_mode": frozenset((110026,)),
        "switch_position_mode": frozenset((110025,)),
        "cancel_order": frozenset((110010,)),
    }
)
# Said in words only (10001): an amendment that changes nothing.
UNCHANGED: Final = ("not modified", "remains unchanged")
# Codes that do not prove a refusal.
BY_CODE: Final[Mapping[int, Proof]] = MappingProxyType(
    {
        0: Proof.DONE,
        429: Proof.UNKNOWN,  # "experiencing a high server load"
        10000: Proof.UNKNOWN,  # server time-out
        10014: Proof.UNKNOWN,  # "invalid duplicate request": an earlier one has arrived
        10016: Proof.UNKNOWN,  # server error
        10019: Proof.UNKNOWN,  # the trade service is restarting
        40004: Proof.UNKNOWN,  # modified while it was being replaced: check the order's status
        110072: Proof.UNKNOWN,  # "OrderLinkedID is duplicate": an order of this id has arrived
        110079: Proof.UNKNOWN,  # the order is being processed
        170007: Proof.UNKNOWN,  # time-out of the server behind the one that answers
        170032: Proof.UNKNOWN,  # network error
        170146: Proof.UNKNOWN,  # "order creation timeout"
        170147: Proof.UNKNOWN,  # "order cancellation timeout"
        170310: Proof.UNKNOWN,  # "order modification timeout"
        3400214: Proof.UNKNOWN,  # "server error, please try again later"
    }
)

# Families of documented refusals; a code of none of them proves nothing.
REFUSING: Final = (
    range(-2015, -2014),  # the API key has expired (spot's number)
    range(-1, 0),  # the request has expired
    range(10001, 10030),
    range(20001, 20100),
    range(30001, 34100),
    range(110001, 110200),
    range(130001, 131000),
    range(170001, 183000),
    range(3100000, 3500000),
    range(100028, 100029),
)

# HTTP statuses of requests that were turned away at the door.
TURNED_AWAY: Final = frozenset((400, 401, 403, 404, 418, 429))
# Those after which an address is to be silent for a while.
BANNED: Final = frozenset((403, 418, 429))
TIMESTAMP: Final = frozenset((10002, -1))
TOO_MANY: Final = 10006
NO_POSITION: Final = "zero position"


def proof(method: str, status: int, code: int, message: str) -> Proof:
    """What an answer with this HTTP status and retCode proves about a request."""
    if status in TURNED_AWAY:
        return Proof.REFUSED
    if code in ALREADY_SO.get(method, frozenset()):
        return Proof.DONE
    if method == "amend_order" and code == 10001 and any(words in message for words in UNCHANGED):
        return Proof.DONE
    known = BY_CODE.get(code)
    if known is not None:
        return known
    return Proof.REFUSED if any(code in family for family in REFUSING) else Proof.UNKNOWN
