"""Scripted failures: what the exchange shall do wrong, to which requests or messages, how often.

A rule speaks of requests in the words of the exchange's own protocol (`submit`, `cancel`, `amend`, `lookup`,
`open_orders`, `positions`, `trades`, `time`, `account`, `leverage`, …), into which every venue's dialect sorts
its requests; messages of private streams are `stream`, and their kind (`accepted`, `fill`, `canceled`,
`triggered`, `balance`, …) takes the place of the order's kind. `*` is any method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    # requests
    LOSE_REPLY = "lose_reply"  # the request is worked on, then the connection breaks
    LOSE_REQUEST = "lose_request"  # the connection breaks, nothing is worked on
    REFUSE = "refuse"  # refused with `code`, nothing is worked on
    HANG = "hang"  # worked on, and never answered: the connection stays open for `seconds`
    HANG_UNWORKED = "hang_unworked"  # as hang, but nothing is worked on
    STATUS = "status"  # worked on, answered with HTTP `status` and `body`
    STATUS_UNWORKED = "status_unworked"  # answered with HTTP `status` and `body`, nothing is worked on
    GARBAGE = "garbage"  # worked on, answered 200 with something that is no JSON
    TRUNCATE = "truncate"  # worked on, half of the answer is sent, then the connection breaks
    LATE = "late"  # worked on and answered, but queries do not find the order for `seconds` of venue time
    LIMIT = "limit"  # 429 (or `status`: 418, 403) with Retry-After `seconds`, nothing is worked on
    # messages of a private stream
    DUPLICATE = "duplicate"  # sent `count` times
    SHUFFLE = "shuffle"  # held until `count` are there, then sent in another order
    DROP = "drop"  # not sent
    STALL = "stall"  # from here on nothing is sent, though the socket lives and pings are answered
    CUT = "cut"  # the sockets of the account are closed instead
    MALFORMED = "malformed"  # something unreadable is sent before it
    UNKNOWN_FRAME = "unknown_frame"  # a message of a kind that nobody knows is sent before it


STREAM_FAULTS = frozenset(
    (
        Fault.DUPLICATE,
        Fault.SHUFFLE,
        Fault.DROP,
        Fault.STALL,
        Fault.CUT,
        Fault.MALFORMED,
        Fault.UNKNOWN_FRAME,
    )
)


@dataclass(slots=True)
class Rule:
    """Applies to `method` (and, where given, order kind, account, venue) after `skip` such, `times` times.

    `label` is kept in the list of what fired.
    """

    method: str
    fault: Fault
    order_kind: str | None = None
    account: str | None = None
    venue: str | None = None
    skip: int = 0
    times: int = 1
    code: str = "-1001"
    status: int = 503
    body: str = ""
    seconds: float = 1.0
    count: int = 2
    label: str = ""

    def fits(self, call: Call) -> bool:
        return (
            self.times > 0
            and self.method in ("*", call.method)
            and self.account in (None, call.account)
            and self.order_kind in (None, call.order_kind)
            and self.venue in (None, call.venue)
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A request or message, as far as rules look at it."""

    method: str
    order_kind: str | None = None
    account: str | None = None
    venue: str | None = None


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that happened."""

    fault: Fault
    call: Call
    label: str


class FaultScript:
    """The rules in force; the first that fits is used up by one."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self.fired: list[Fired] = []

    @property
    def done(self) -> int:
        return len(self.fired)

    def replace(self, rules: list[dict[str, Any]]) -> int:
        """Take new rules; raises TypeError or ValueError for what is no rule."""
        self._rules = [Rule(**{**rule, "fault": Fault(rule["fault"])}) for rule in rules]
        return len(self._rules)

    def next(self, call: Call) -> Rule | None:
        """The rule that applies to this call now, if any; it counts as fired."""
        for rule in self._rules:
            if not rule.fits(call):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            rule.times -= 1
            self.fired.append(Fired(rule.fault, call, rule.label))
            return rule
        return None


def call_of(method: str, params: Mapping[str, Any]) -> Call:
    """A request of the exchange's own protocol."""
    order, account = params.get("order"), params.get("account")
    kind = order.get("kind") if isinstance(order, dict) else None
    return Call(method, kind, account if isinstance(account, str) else None)
