"""Deciding a recorded run again, and checking and folding its events."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import Any, Final

from benchmarks.house import market
from benchmarks.measuring import Figure, alternate
from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.envelope import content_hash, decode
from nexus_common.contracts.market import CandlesBackfilled
from nexus_common.contracts.values import format_instant
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.store.rows import StoredEvent
from nexus_common.runtime.store.verify_chain import Verifier
from nexus_cortex import bootstrap as cortex
from nexus_cortex.domain.signals import SIGNALS
from nexus_ingest import bootstrap as ingest
from nexus_ingest.domain.candle_stream import MARKET
from nexus_ops.composition import LocalHouse, settings_for
from nexus_ops.deciders import DECIDERS
from nexus_ops.replay import replay

REPETITIONS: Final = 5
FOLDED: Final[dict[str, AnyDecider]] = {**DECIDERS, SIGNALS.category: SIGNALS, MARKET.category: MARKET}


def run() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    settings = settings_for(market())
    house = LocalHouse(settings, ingest.market(settings.ingest), store=MemoryStore())
    await house.open()
    for step in ingest.market(settings.ingest).steps():
        await house.step(step)
    # Backfills of a thousand bars each are no measure of events in a second.
    everything = await house.store.read_raw(0, 10_000_000)
    record = [each for each in everything if each.type != CandlesBackfilled.type]
    begun = time.perf_counter()
    outcome = await replay(house.store, cortex.reactor(settings))
    seconds = time.perf_counter() - begun
    if outcome.divergence is not None:
        raise AssertionError(f"the replay differs: {outcome.divergence.describe()}")
    candles = outcome.candles / seconds
    check = _Check(record)
    verified = await alternate(check.verified, check.hashed, REPETITIONS)
    folded = await alternate(check.folded, check.hashed, REPETITIONS)
    bare = "SHA-256 of the same bytes, twice"
    size = f"{len(record)} events, {sum(len(each.body) for each in record) // len(record)} bytes each"
    return [
        Figure(
            "re-execution, strategies included",
            round(candles),
            "candles/s",
            goal="at least 20,000",
            met=candles >= 20_000,
        ),
        Figure("re-execution, events decided again", round(outcome.events / seconds), "events/s"),
        Figure(
            "events verified (hashes and chain)",
            round(verified.value),
            "events/s",
            round(verified.bare),
            bare,
            round(verified.ratio, 2),
            "at least 300,000",
            verified.value >= 300_000,
            size,
        ),
        Figure(
            "events decoded, checked and folded",
            round(folded.value),
            "events/s",
            round(folded.bare),
            bare,
            round(folded.ratio, 2),
            "at least 150,000",
            folded.value >= 150_000,
            size,
        ),
    ]


class _Check:
    """Three ways through the same record; each gives events in a second."""

    def __init__(self, record: list[StoredEvent]) -> None:
        self._record = record

    async def verified(self) -> float:
        begun = time.perf_counter()
        verifier = Verifier()
        for stored in self._record:
            verifier.check(
                stored.position,
                stored.stream,
                stored.stream_position,
                format_instant(stored.recorded_at),
                stored.fingerprint,
                stored.body,
                stored.content_hash,
                stored.chain_hash,
            )
        if verifier.finish():
            raise AssertionError(f"the record is not whole: {verifier.findings[:3]}")
        return len(self._record) / (time.perf_counter() - begun)

    async def folded(self) -> float:
        begun = time.perf_counter()
        states: dict[str, Any] = {}
        for stored in self._record:
            if content_hash(stored.body) != stored.content_hash:
                raise AssertionError(f"event {stored.position} does not fit its hash")
            envelope = decode(stored.body)
            decider = FOLDED.get(stored.category)
            if decider is not None:
                state = states.get(stored.stream, decider.initial)
                states[stored.stream] = decider.evolve(state, envelope.event)
        return len(self._record) / (time.perf_counter() - begun)

    async def hashed(self) -> float:
        begun = time.perf_counter()
        for stored in self._record:
            body = stored.body.encode()
            sha256(body).digest()
            sha256(stored.chain_hash + body).digest()
        return len(self._record) / (time.perf_counter() - begun)
