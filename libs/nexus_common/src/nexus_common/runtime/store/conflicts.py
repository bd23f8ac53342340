"""What a refused append says; the same words from every store."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope, SealedCommand
from nexus_common.contracts.message import Event
from nexus_common.runtime.errors import LeaseLost, WrongExpectedVersion
from nexus_common.runtime.ports import Lease
from nexus_common.runtime.store.rows import Tail


def lease_lost(lease: Lease | None) -> LeaseLost:
    assert lease is not None
    return LeaseLost(
        f"{lease.holder} held {lease.partition} under epoch {lease.epoch}, which is not the newest: "
        "another instance works it now"
    )


def taken(envelope: Envelope[Event]) -> WrongExpectedVersion:
    return WrongExpectedVersion(
        f"{envelope.stream} has an event at position {envelope.position} already: load it and decide again"
    )


def repeated_event(envelope: Envelope[Event]) -> WrongExpectedVersion:
    return WrongExpectedVersion(
        f"event id {envelope.event_id} is stored already; it was to be {envelope.stream} "
        f"position {envelope.position}: load the stream, it has been decided before"
    )


def repeated_command(command: SealedCommand) -> WrongExpectedVersion:
    return WrongExpectedVersion(
        f"command id {command.command_id} is stored already; it was for {command.stream}: "
        "load the stream, it has been decided before"
    )


def moved(tails: Sequence[Tail]) -> WrongExpectedVersion:
    places = ", ".join(f"{tail.stream} position {tail.position}" for tail in tails)
    return WrongExpectedVersion(
        f"the store has no such event with the given chain hash to append behind: {places}; load and decide again"
    )
