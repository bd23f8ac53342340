"""Writes the golden samples that are missing. Run by hand, when a message or a version of one is new.

    python tests/contract/make_golden.py

A sample that is there is never touched: it stands for what old stores hold. The first occurrence in a generated
day is taken where there is one of moderate size, else an instance with a fixed value for each field.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nexus_common.contracts.envelope import (
    Envelope,
    SealedCommand,
    canonical,
    content_hash,
    encode,
    seal_command,
)
from nexus_common.contracts.ids import NEXUS, command_id, derived, event_id
from nexus_common.contracts.message import COMMANDS, EVENTS, Event
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.bus import topology
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.generators import NOON, fixed
from nexus_ingest import bootstrap as ingest
from nexus_ops.composition import LocalHouse, settings_for

HERE: Final = Path(__file__).parent
GOLDEN: Final = HERE / "golden"
SCRIPT: Final = HERE.parent / "simulation" / "busy_day.txt"
BYTES_MAX: Final = 8_000
CAUSE: Final = derived(NEXUS, "golden")
ACCOUNT: Final = AccountId("owner.binance.paper")
DAY: Final = {
    "NEXUS__INGEST__SEED": "42",
    "NEXUS__INGEST__MINUTES": "500",
    "NEXUS__INGEST__SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT,DOGEUSDT,XRPUSDT,ADAUSDT",
    "NEXUS__TELEGRAM__MODE": "pilot",
    "NEXUS__TELEGRAM__SCRIPT": str(SCRIPT),
}


def event_path(type_name: str, version: int) -> Path:
    return GOLDEN / f"{type_name}.v{version}.json"


def command_path(type_name: str) -> Path:
    return GOLDEN / "commands" / f"{type_name}.json"


async def played() -> MemoryStore:
    settings = settings_for(DAY)
    market = ingest.market(settings.ingest)
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    return house.store


async def events_and_commands() -> tuple[dict[str, str], dict[str, SealedCommand]]:
    """The first body of each event type, and the first command of each type, of a generated day."""
    store = await played()
    events: dict[str, str] = {}
    commands: dict[str, SealedCommand] = {}
    for recorded in await store.read_categories([], limit=1_000_000):
        if len(recorded.body) <= BYTES_MAX:
            events.setdefault(recorded.event.type, recorded.body)
    for _, sealed in await store.commands(limit=1_000_000):
        if len(sealed.body) <= BYTES_MAX:
            commands.setdefault(sealed.type, sealed)
    return events, commands


def built_event(cls: type[Event]) -> str:
    category = cls.type.partition(".")[0]
    consumer = "shield" if category == topology.RUN else topology.owner_of(category).value
    stream = f"{category}-golden"
    identity = event_id(CAUSE, consumer, stream, 0)
    return encode(Envelope(fixed(cls), identity, stream, 1, identity, CAUSE, ACCOUNT, NOON))


def built_command(type_name: str, cls: type[Any]) -> SealedCommand:
    category = type_name.partition(".")[0]
    consumer = topology.owner_of(category).value
    stream = f"{category}-golden"
    return seal_command(
        fixed(cls),
        command_id(CAUSE, consumer, stream),
        stream,
        CAUSE,
        consumer=consumer,
        correlation_id=CAUSE,
        account=ACCOUNT,
    )


def missing_events() -> Iterator[type[Event]]:
    for name, cls in sorted(EVENTS.items()):
        if (
            name.partition(".")[0] in (*_CATEGORIES, topology.RUN)
            and not event_path(name, cls.version).exists()
        ):
            yield cls


_CATEGORIES: Final = tuple(category for owned in topology.OWNED.values() for category in owned)


async def main() -> None:
    (GOLDEN / "commands").mkdir(parents=True, exist_ok=True)
    events, commands = await events_and_commands()
    for cls in missing_events():
        body = events.get(cls.type) or built_event(cls)
        origin = "a generated day" if cls.type in events else "built"
        sample = {"origin": origin, "content_hash": content_hash(body).hex(), "body": body}
        _write(event_path(cls.type, cls.version), sample)
    for name, command in sorted(COMMANDS.items()):
        if command_path(name).exists():
            continue
        sealed = commands.get(name) or built_command(name, command)
        origin = "a generated day" if name in commands else "built"
        sample = {
            "origin": origin,
            "command_id": str(sealed.command_id),
            "stream": sealed.stream,
            "causation_id": str(sealed.causation_id),
            "body": sealed.body,
        }
        _write(command_path(name), sample)


def _write(path: Path, sample: dict[str, str]) -> None:
    assert canonical(json.loads(sample["body"])) == sample["body"]
    path.write_text(json.dumps(sample, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"written: {path.relative_to(HERE)} ({sample['origin']})\n")


if __name__ == "__main__":
    asyncio.run(main())
