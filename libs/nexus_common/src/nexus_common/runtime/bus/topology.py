"""Who owns which events, and what everything on the bus is called. The one table of names.

nexus.<category>.<event>.<partition>[.<venue>.<symbol>]    an event, on EVENTS
nexus.turn.<service>                                       the right to take a turn, on EVENTS
nexus.tick.<venue>.<symbol>                                prices, on TICKS, gone after minutes
nexus.parked.<durable>                                     what a consumer could not read, on PARKED
nexus.nudge                                                a step is wanted now; kept nowhere
nexus.ask.price.<venue>                                    a question to ingest and its answer; kept nowhere
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zlib import crc32

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service, Symbol, Venue

PARTITIONS: Final = 16
ROOT: Final = "nexus"

# The single writer of each category of streams. `run-{service}` belongs to that service on top of these.
OWNED: Final[Mapping[Service, tuple[str, ...]]] = {
    Service.INGEST: ("beat", "market", "feed", "instrument", "macro", "news"),
    Service.CORTEX: ("signal", "model"),
    Service.SHIELD: ("risk", "guard"),
    Service.EXECUTOR: ("trade", "order", "account"),
    Service.TELEGRAM: ("session", "access", "notice"),
    Service.SCHEDULER: ("schedule", "brief"),
}
RUN: Final = "run"
_OWNERS: Final = {category: service for service, categories in OWNED.items() for category in categories}

POSITION_HEADER: Final = "Nexus-Position"
RECORDED_AT_HEADER: Final = "Nexus-Recorded-At"


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream. Beyond `age_seconds` (0: never) messages go; the store still has the events."""

    name: str
    subjects: tuple[str, ...]
    age_seconds: int


EVENTS: Final = Stream(
    "EVENTS",
    tuple(f"{ROOT}.{category}.>" for category in (*_OWNERS, RUN, "turn")),
    age_seconds=7 * 24 * 3_600,
)
TICKS: Final = Stream("TICKS", (f"{ROOT}.tick.>",), age_seconds=600)
PARKED: Final = Stream("PARKED", (f"{ROOT}.parked.>",), age_seconds=0)
STREAMS: Final = (EVENTS, TICKS, PARKED)
NUDGE: Final = f"{ROOT}.nudge"


def owned_by(service: Service) -> tuple[str, ...]:
    """The categories that only this service writes; its `run-{service}` is not among them."""
    return OWNED[service]


def owner_of(category: str) -> Service:
    """The single writer of a category; raises KeyError for `run`, of which each service has a stream."""
    return _OWNERS[category]


def run_stream(service: Service) -> str:
    return f"{RUN}-{service}"


def partition_of(key: str) -> int:
    """Where a key belongs among 16; the same on every machine and in every release."""
    return crc32(key.encode()) % PARTITIONS


def subject_for(recorded: Recorded[Event]) -> str:
    """The subject of an event. Its partition is that of its stream's key, so its producer's."""
    envelope = recorded.envelope
    event = envelope.event
    venue, symbol = getattr(event, "venue", None), getattr(event, "symbol", None)
    place = f".{venue}.{escaped(symbol)}" if venue and symbol else ""
    return f"{ROOT}.{event.type}.{_stream_partition(envelope.stream)}{place}"


@lru_cache(65_536)
def _stream_partition(stream: str) -> int:
    return partition_of(stream.partition("-")[2])


def turn_subject(service: Service) -> str:
    return f"{ROOT}.turn.{service}"


def tick_subject(venue: Venue, symbol: Symbol) -> str:
    return f"{ROOT}.tick.{venue}.{escaped(symbol)}"


def price_question(venue: Venue) -> str:
    return f"{ROOT}.ask.price.{venue}"


def parked_subject(durable: str) -> str:
    return f"{ROOT}.parked.{durable}"


def category_subject(category: str) -> str:
    """All events of a category."""
    return f"{ROOT}.{category}.>"


def subjects_of(service: Service, listens: Iterable[str]) -> tuple[str, ...]:
    """What a service hears: the categories of others that it listens to, and its own turns."""
    foreign = sorted(set(listens) - set(OWNED[service]))
    return (turn_subject(service), *(category_subject(category) for category in foreign))


def durable(service: Service, instance: int | str) -> str:
    """The name under which the bus remembers how far a replica has come."""
    return f"{service}-{instance}"


def escaped(symbol: str) -> str:
    """A symbol as one token of a subject: `BRK.B` becomes `BRK%2EB`."""
    return _escaped(symbol)


@lru_cache(4_096)
def _escaped(symbol: str) -> str:
    plain = symbol.isascii() and symbol.replace("-", "").replace("_", "").isalnum()
    if plain:
        return symbol
    safe = b"-_"
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in safe else f"%{byte:02X}"
        for byte in symbol.encode()
    )
