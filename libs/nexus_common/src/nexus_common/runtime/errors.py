"""What can go wrong, sorted by what the reader does next.

NexusError
├── ConfigurationError      refuse to start: say what was wrong and what to do (exit code 2)
├── DependencyMissing       a server or program is not there (exit code 3)
├── StoreError
│   ├── WrongExpectedVersion    somebody appended first: load again, decide again
│   ├── LeaseLost               another instance took over: stop at once
│   ├── StoreUnavailable        try again later; nothing new may leave meanwhile
│   └── SchemaMismatch          the store belongs to another release: migrate, or run that release
└── BusError
    └── BusUnavailable          the bus is transport: carry on when it is back
"""

from __future__ import annotations


class NexusError(Exception):
    """Base of every error of Nexus; the text says what was wrong, with which input, and what to do."""


class ConfigurationError(NexusError):
    """A setting or an argument cannot be used as it is."""


class DependencyMissing(NexusError):
    """Something this program needs is not installed or not running."""


class StoreError(NexusError):
    """The event store refused."""


class WrongExpectedVersion(StoreError):
    """Somebody appended first: reload the stream and decide again."""


class LeaseLost(StoreError):
    """Another instance holds this partition now: stop, it goes on there."""


class StoreUnavailable(StoreError):
    """The event store does not answer: nothing may leave until it does."""


class SchemaMismatch(StoreError):
    """The store was written by another release: run `nexus up` of that release, or migrate."""


class BusError(NexusError):
    """The bus refused."""


class BusUnavailable(BusError):
    """The bus does not answer; committed events are published when it is back."""
