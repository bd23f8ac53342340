"""Signs that the private stream has left something out: a second opinion on what it told.

A stream can be cut, skip a frame, or stay silent while its socket lives. What the venue says elsewhere
(answers to our orders, an order's own sum of its executions, a position asked for) must fit what was told.
"""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal

from nexus_common.contracts.values import Symbol
from nexus_executor.venues.bybit.messages import signed_size, symbol_of
from nexus_executor.venues.bybit.reading import Row, number_of, text_of

_REMEMBERED = 5_000
_ZERO = Decimal(0)


class Witness:
    """Compares. Everything is forgotten at a new connection, which is followed by a backfill."""

    def __init__(self) -> None:
        self._orders: OrderedDict[str, Decimal] = OrderedDict()
        self._executed: OrderedDict[str, Decimal] = OrderedDict()
        self._executions: OrderedDict[str, None] = OrderedDict()
        self._expected: set[str] = set()
        self._stop_frames: dict[Symbol, int] = {}
        self._awaited_stops: dict[Symbol, int] = {}
        self._sizes: dict[Symbol, Decimal] = {}
        self._torn: str | None = None
        self.is_silent = False

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]

    # -- what the stream told -------------------------------------------------------------------------

    def heard_order(self, row: Row) -> None:
        identity = text_of(row, "orderId")
        self._expected.discard(identity)
        filled = number_of(row, "cumExecQty")
        _remember(self._orders, identity, max(filled, self._orders.get(identity, _ZERO)))
        self._stop_frames[symbol_of(row)] = self._stop_frames.get(symbol_of(row), 0) + 1

    def heard_execution(self, row: Row) -> None:
        execution = text_of(row, "execId")
        if execution in self._executions or row.get("execType") != "Trade":
            return
        self._executions[execution] = None
        if len(self._executions) > _REMEMBERED:
            self._executions.popitem(last=False)
        identity = text_of(row, "orderId")
        total = self._executed.get(identity, _ZERO) + number_of(row, "execQty")
        _remember(self._executed, identity, total)

    def heard_position(self, row: Row) -> None:
        symbol, size = signed_size(row)
        self._sizes[symbol] = size
        self._stop_frames[symbol] = self._stop_frames.get(symbol, 0) + 1

    # -- what was said elsewhere ----------------------------------------------------------------------

    def accepted_order(self, identity: str) -> None:
        """An order was accepted: the stream tells of it before it tells the next pong."""
        if identity not in self._orders:
            self._expected.add(identity)

    def frames_of(self, symbol: Symbol) -> int:
        """How many frames were about a symbol; to be asked before its trading stop is set."""
        return self._stop_frames.get(symbol, 0)

    def changed_stop(self, symbol: Symbol, frames_before: int) -> None:
        """A trading stop was set: the stream tells of it."""
        self._awaited_stops[symbol] = frames_before

    def agrees_on(self, symbol: Symbol, size: Decimal) -> bool:
        """Whether a position that was asked for is the one that the stream told last, if it told any."""
        return self._sizes.get(symbol, size) == size

    def sizes(self) -> dict[Symbol, Decimal]:
        return dict(self._sizes)

    def torn(self, reason: str) -> None:
        """A row could not be read; what it said may be asked for."""
        self._torn = reason

    def hole(self) -> str | None:
        """Why something must be missing, after everything sent so far was read; None when all fits."""
        if self._torn is not None:
            return self._torn
        if self._expected:
            return "an accepted order that the stream never told of"
        for symbol, before in list(self._awaited_stops.items()):
            if self._stop_frames.get(symbol, 0) <= before:
                return "a trading stop that the stream never told of"
            del self._awaited_stops[symbol]
        for identity, filled in self._orders.items():
            if filled > self._executed.get(identity, _ZERO):
                return "an order filled more than its executions"
        return None

    def asked_for_it(self) -> None:
        """What was missing has been asked for elsewhere; what the stream still owes, it owes."""
        self._torn = None
        self._executed.update(self._orders)


def _remember(table: OrderedDict[str, Decimal], key: str, value: Decimal) -> None:
    table[key] = value
    if len(table) > _REMEMBERED:
        table.popitem(last=False)
