"""One JSON line a record on stderr; repeats are counted, secrets never appear.

    log = get_logger(__name__)
    log.info("order submitted", order=order.id, venue=order.venue)

Service, instance and whatever `bound(correlation=…)` puts around a piece of work stand in every record. A
terminal gets plain text instead of JSON.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from nexus_common.contracts.values import format_instant
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.ports import Clock
from nexus_common.runtime.redaction import Redaction

# A repeat differs from the first one in these at most.
_VOLATILE = frozenset(
    {"at", "correlation", "event_id", "position", "sequence", "attempt", "seconds", "milliseconds"}
)
_FRAME = frozenset({"at", "level", "event", "module", "exception"})
_KINDS_MAX = 10_000

redaction = Redaction()


def get_logger(name: str | None = None) -> FilteringBoundLogger:
    """A logger; usable before `configure`, which it obeys from then on. `name` stands in its records."""
    initial = {} if name is None else {"module": name}
    return cast(FilteringBoundLogger, structlog.get_logger(**initial))


def bound(**fields: Any) -> AbstractContextManager[None]:
    """Fields that stand in every record of this task while the block runs: `with bound(correlation=…):`."""
    return structlog.contextvars.bound_contextvars(**fields)


def configure(
    service: str,
    instance: str | int = "",
    level: str = "info",
    *,
    clock: Clock | None = None,
    stream: TextIO | None = None,
    repeat_seconds: float = 5.0,
    secrets: Iterable[str] = (),
    console: bool | None = None,
) -> Lines:
    """Set up logging for this process; libraries' own records come out the same way.

    `secrets` are values that must never appear (settings' `secret_values()`); `console` forces plain text or
    JSON. Returns what writes the lines: its `flush` at the end tells of repeats not yet told.
    """
    target = stream or sys.stderr
    for value in secrets:
        redaction.register(value)
    lines = Lines(clock or WallClock(), repeat_seconds, plain=target.isatty() if console is None else console)
    lines.target = target
    identity = {"service": service, **({"instance": str(instance)} if instance != "" else {})}
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _Identity(identity),
        _redact,
        lines,
    ]
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries()], level=max(number, logging.WARNING), force=True)
    return lines


class _Identity:
    """Puts who speaks in front of what is said."""

    def __init__(self, identity: dict[str, str]) -> None:
        self._identity = identity

    def __call__(self, _logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
        return {**self._identity, **record}


def _redact(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    return redaction.clean(record)


class _Libraries(logging.Handler):
    """Hands records of Python's own logging to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)


class Lines:
    """The last processor: counts repeats and writes lines.

    The same record (event, level and fields, but for times and numbers of messages) within `repeat_seconds`
    of the last one written is counted. The count is told once, as `repeated`, after that time: with the next
    such record, or before the next record of another kind.
    """

    target: TextIO

    def __init__(self, clock: Clock, repeat_seconds: float, *, plain: bool) -> None:
        self._clock = clock
        self._repeat_seconds = repeat_seconds
        self._plain = plain
        self._open: dict[str, _Kind] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, record: EventDict) -> str:
        moment = self._clock.now()
        now = moment.timestamp()
        record = {"at": format_instant(moment), **record}
        key = _key(record)
        lines = self._close(until=now - self._repeat_seconds, but=key)
        kind = self._open.get(key)
        if kind is not None and now - kind.since < self._repeat_seconds:
            kind.last = record
            kind.count += 1
        else:
            if kind is not None and kind.count:
                record["repeated"] = kind.count + 1
            self._open.pop(key, None)  # opened again at the end: kinds stand in the order of their times
            if self._repeat_seconds > 0 and len(self._open) < _KINDS_MAX:
                self._open[key] = _Kind(now)
            lines.append(self._line(record))
        if not lines:
            raise structlog.DropEvent
        return "\n".join(lines)

    def flush(self) -> None:
        """Tell of all repeats that were counted and not told yet."""
        lines = self._close(until=None, but=None)
        if lines:
            self.target.write("\n".join(lines) + "\n")
            self.target.flush()

    def _close(self, until: float | None, but: str | None) -> list[str]:
        """What is to be told of kinds whose time ran out, except one that is about to be told anyway."""
        told: list[str] = []
        for key, kind in list(self._open.items()):
            if until is not None and kind.since > until:
                break
            if key == but:
                continue
            del self._open[key]
            if kind.last is not None:
                told.append(self._line({**kind.last, "repeated": kind.count}))
        return told

    def _line(self, record: EventDict) -> str:
        if self._plain:
            return _plain(record)
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class _Kind:
    """Records that are the same but for time."""

    __slots__ = ("count", "last", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.last: EventDict | None = None


def _key(record: EventDict) -> str:
    return repr(sorted((name, str(value)) for name, value in record.items() if name not in _VOLATILE))


def _plain(record: EventDict) -> str:
    fields = " ".join(f"{name}={value}" for name, value in record.items() if name not in _FRAME)
    line = f"{record['at'][11:23]} {record.get('level', ''):<8} {record.get('event', '')}  {fields}".rstrip()
    exception = record.get("exception")
    return line if exception is None else f"{line}\n{exception}"
