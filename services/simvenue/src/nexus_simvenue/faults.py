"""Scripted failures: what the exchange shall do wrong, to which requests, how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    LOSE_REPLY = "lose_reply"  # the request is worked on, then the connection breaks
    LOSE_REQUEST = "lose_request"  # the connection breaks, nothing is worked on
    REFUSE = "refuse"  # refused with `code`, nothing is worked on


@dataclass(slots=True)
class Rule:
    """Applies to `method` (and, for orders, `order_kind`) after `skip` such requests, `times` times."""

    method: str
    fault: Fault
    order_kind: str | None = None
    account: str | None = None
    skip: int = 0
    times: int = 1
    code: str = "-1001"

    def fits(self, method: str, params: Mapping[str, Any]) -> bool:
        if method != self.method or self.times <= 0:
            return False
        if self.account is not None and params.get("account") != self.account:
            return False
        order = params.get("order")
        kind = order.get("kind") if isinstance(order, dict) else None
        return self.order_kind is None or kind == self.order_kind


class FaultScript:
    """The rules in force; the first that fits is used up by one."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self.done = 0

    def replace(self, rules: list[dict[str, Any]]) -> int:
        """Take new rules; raises TypeError or ValueError for what is no rule."""
        self._rules = [Rule(**{**rule, "fault": Fault(rule["fault"])}) for rule in rules]
        return len(self._rules)

    def next(self, method: str, params: Mapping[str, Any]) -> Rule | None:
        for rule in self._rules:
            if not rule.fits(method, params):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            rule.times -= 1
            self.done += 1
            return rule
        return None
