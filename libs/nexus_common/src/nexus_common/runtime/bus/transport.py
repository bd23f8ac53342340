"""What the relay and the operator ask of a bus beyond what services ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nexus_common.runtime.ports import Bus

REASON_HEADER = "Nexus-Reason"
SUBJECT_HEADER = "Nexus-Subject"
DURABLE_HEADER = "Nexus-Durable"

Message = tuple[str, bytes, Mapping[str, str], str]
"""Subject, data, headers, message id. An empty id: repeats are not dropped."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that a consumer could not handle. `sequence` names it for `release`."""

    sequence: int
    durable: str
    subject: str
    reason: str
    data: bytes
    headers: Mapping[str, str]


class Transport(Bus, Protocol):
    """A bus that can be refilled after a loss."""

    async def incarnation(self) -> int:
        """Grows each time events that were acknowledged to us are found to be gone.

        After a reconnection the streams are looked at before this answers; raises BusUnavailable.
        """

    async def last_position(self, categories: Sequence[str]) -> int:
        """The highest global position among the newest events of these categories on the bus; 0: none."""

    async def parked(self) -> Sequence[Parked]:
        """What lies aside, oldest first."""

    async def release(self, sequence: int) -> None:
        """Publish a parked message again where it came from; raises LookupError when it is not there."""


def parked_headers(durable: str, subject: str, reason: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers under which a message is put aside: its own and where it comes from."""
    line = " ".join(reason.split())[:500]
    return {**headers, DURABLE_HEADER: durable, SUBJECT_HEADER: subject, REASON_HEADER: line or "unknown"}


def parked_from(sequence: int, data: bytes, headers: Mapping[str, str]) -> Parked:
    """A parked message with its own headers only."""
    own = {
        name: value
        for name, value in headers.items()
        if name not in (DURABLE_HEADER, SUBJECT_HEADER, REASON_HEADER) and not name.startswith("Nats-")
    }
    return Parked(
        sequence, headers[DURABLE_HEADER], headers[SUBJECT_HEADER], headers[REASON_HEADER], data, own
    )
