"""The run's own stream: what ran with which settings, and the heads of the streams that moved."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.guard import ReleaseGuard
from nexus_common.contracts.ids import derived
from nexus_common.contracts.message import Event
from nexus_common.contracts.run import HeadsRecorded, RunStarted, RunStopped
from nexus_common.contracts.values import Service
from nexus_common.runtime import run_log as run_logs
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.fingerprint import code_fingerprint
from nexus_common.runtime.leases import Leases
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.run_log import RunLog
from nexus_common.runtime.settings import load
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.small_service import CAUSE, ECHO, NOON, Readings, ignore
from nexus_common.testing.store_contract import FixedClock

PASSWORD = "hunter2"


class Run:
    """A shield that runs over memory."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        store: Any = MemoryStore(clock=self.clock)
        self.store: MemoryStore = store
        self.bus = MemoryBus()
        self.settings = load(
            environment={
                "NEXUS__STORE__URL": f"postgresql://nexus:{PASSWORD}@db/nexus",
                "NEXUS__INGEST__SEED": "7",
            }
        )
        self.leases = Leases(store, Service.SHIELD, 1, 1, 1)
        relay = Relay(store, self.bus, ("risk", "guard"))
        self.log = RunLog(store, relay, self.clock, Service.SHIELD, self.settings, self.leases)
        self.desk = WorkDesk(store, "shield", ignore)

    async def say(self, word: str, key: str = "crypto") -> None:
        self.desk.begin(())
        await self.desk.handle(ECHO, key, ReleaseGuard(word, NOON), cause=derived(CAUSE, word))
        await self.desk.commit()

    async def notes(self) -> list[Recorded[Event]]:
        return list(await self.store.read_stream("run-shield"))

    async def heads(self) -> list[list[tuple[str, int]]]:
        return [
            [(head.stream, head.position) for head in note.event.heads]
            for note in await self.notes()
            if isinstance(note.event, HeadsRecorded)
        ]


@pytest.fixture
def run() -> Run:
    return Run()


async def test_a_start_is_noted_with_code_settings_and_epoch_but_no_secrets(run: Run) -> None:
    await run.leases.take()
    await run.log.started()
    (note,) = await run.notes()
    started = note.event
    assert isinstance(started, RunStarted)
    assert (started.service, started.code, started.epoch) == (Service.SHIELD, code_fingerprint(), 1)
    assert started.settings_hash == run.settings.settings_hash()
    assert started.settings["ingest.seed"] == "7"
    assert PASSWORD not in note.body


async def test_heads_of_our_streams_are_noted_when_they_moved(run: Run) -> None:
    await Readings(run.store).add(1)
    await run.say("one")
    await run.say("two", "stocks")
    await run.say("three")
    await run.log.record_heads()
    assert await run.heads() == [[("guard-crypto", 2), ("guard-stocks", 1)]]
    run.clock.at = NOON.replace(minute=1)
    await run.log.record_heads()
    await run.say("four")
    run.clock.at = NOON.replace(minute=2)
    await run.log.record_heads()
    assert (await run.heads())[-1] == [("guard-crypto", 3)]


async def test_a_head_is_the_chain_hash_of_its_last_event(run: Run) -> None:
    await run.say("one")
    await run.say("two")
    await run.log.record_heads()
    last = (await run.store.read_stream("guard-crypto"))[-1]
    (note,) = await run.notes()
    assert isinstance(note.event, HeadsRecorded)
    assert note.event.heads[0].chain_hash == last.chain_hash.hex()
    assert note.event.up_to >= last.global_position


async def test_where_nothing_moved_no_head_is_noted(run: Run) -> None:
    await run.log.record_heads()
    assert await run.heads() in ([], [[]])


async def test_many_heads_are_noted_in_several_events(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "HEADS_MAX", 2)
    for number in range(5):
        await run.say(str(number), f"k{number}")
    await run.log.record_heads()
    assert [len(heads) for heads in await run.heads()] == [2, 2, 1]


async def test_a_stop_is_noted_behind_the_last_heads(run: Run) -> None:
    await run.say("one")
    await run.log.stopped("asked to stop")
    notes = [note.event for note in await run.notes()]
    assert isinstance(notes[0], HeadsRecorded)
    assert notes[-1] == RunStopped(service=Service.SHIELD, instance="shield-1", reason="asked to stop")


async def test_notes_go_to_the_bus_and_no_command_is_kept(run: Run) -> None:
    await run.log.started()
    assert await run.bus.last_position(["run"]) == 1
    assert await run.store.commands() == []
