"""The regime model in the running system, from the command line: two cortex processes, a kill, a replay."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.rig import Played, generated
from modelling.handmade import always, id_of
from nexus_common.contracts.model import ModelPromoted, ModelRolledBack, ShadowSet
from nexus_common.contracts.signal import RegimeRead
from nexus_cortex.artefact import MODEL
from nexus_ops import cli
from nexus_ops.access import connected
from nexus_ops.composition import cortex_reactor, settings_for
from nexus_ops.decisions import events_of
from nexus_ops.replay import Outcome, replay
from nexus_ops.stack.house import House

SYMBOLS = ("BTCUSDT", "ETHUSDT")  # one with each of two replicas
# A close of 15m every second and a half.
MARKET = generated(4_000, NEXUS__INGEST__SPEED="600", NEXUS__INGEST__SYMBOLS=",".join(SYMBOLS))
PATIENCE_SECONDS = 60.0
A, B = id_of(always("trend")), id_of(always("grid"))

Said = tuple[int, str, str]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    home = tmp_path / "home"
    home.mkdir()
    with House(home, MARKET.environment, cortex_replicas=2) as running:
        running.start()
        yield running


@pytest.fixture
def nexus(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs `nexus …` about the house; gives its exit code, its output and what it said on stderr."""

    def run(*arguments: object) -> Said:
        words = ["nexus", *map(str, arguments), "--home", str(house.home)]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def asked(nexus: Callable[..., Said]) -> Callable[..., str]:
    """What became of a wish."""

    def run(*arguments: object) -> str:
        code, out, err = nexus("models", *arguments, "--json")
        assert code == 0, out + err
        return str(json.loads(out)["outcome"])

    return run


def folder_of(files: dict[str, bytes], where: Path) -> Path:
    where.mkdir()
    for name, content in files.items():
        (where / name).write_bytes(content)
    return where


def recorded(house: House, *kinds: type[Any]) -> list[Any]:
    async def read() -> list[Any]:
        async with connected(house.addresses.store) as store:
            return [
                each.event
                async for each in events_of(store, ("signal", "model"))
                if isinstance(each.event, kinds)
            ]

    return asyncio.run(read())


def until_read_by(house: House, version: str, since: int = 0) -> list[RegimeRead]:
    """Wait until every instrument's regime is read by this model; returns their first readings by it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        reads = recorded(house, RegimeRead)
        last = {read.symbol: read for read in reads}
        if len(last) == len(SYMBOLS) and {read.model_version for read in last.values()} == {version}:
            return [
                next(r for r in reads[since:] if r.symbol == s and r.model_version == version)
                for s in SYMBOLS
            ]
        assert time.monotonic() < deadline, f"{version} never read the regime of all: {last}"
        time.sleep(0.3)


def replayed(house: House, played: Played) -> Outcome:
    async def run() -> Outcome:
        async with connected(house.addresses.store) as store:
            return await replay(store, cortex_reactor(settings_for(played.environment)))

    return asyncio.run(run())


def pid_of(house: House, name: str) -> int:
    pid = next(each.pid for each in house.status() if each.name == name)
    assert pid is not None
    return pid


def until_still(house: House) -> None:
    """Wait until nothing is recorded any more."""

    async def head() -> int:
        async with connected(house.addresses.store) as store:
            return await store.head()

    before, since = -1, time.monotonic()
    while time.monotonic() - since < 1.5:
        now = asyncio.run(head())
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)


@pytest.mark.integration
@pytest.mark.xdist_group("machine")
def test_a_model_is_registered_promoted_rolled_back_and_replayed(
    house: House, nexus: Callable[..., Said], asked: Callable[..., str], tmp_path: Path
) -> None:
    until_read_by(house, "rules")
    trend, grid = (folder_of(always(name), tmp_path / name) for name in ("trend", "grid"))
    assert asked("register", trend) == f"registered: {A}"
    assert asked("register", grid) == f"registered: {B}"
    assert asked("shadow", B[:6]).startswith(f"shadow: {B} from")
    assert asked("promote", A[:6], "--reason", "it is better").startswith(f"promoted: {A} reads the regime")
    first = until_read_by(house, A)
    (promoted,) = recorded(house, ModelPromoted)
    # Two processes changed over at one close, the one that was announced.
    assert {read.candle_close for read in first} == {promoted.effective_from}
    assert promoted.reason == "it is better"
    document = json.loads(nexus("models", "list", "--json")[1])
    assert (document["champion_in_use"], document["shadow"]) == (A, B)
    assert {row["model"]: row["standing"] for row in document["models"]} == {A: "champion", B: "shadow"}

    regime = json.loads(nexus("status", "--json")[1])["regime"]
    assert (regime["champion"], regime["shadow"], set(regime["read_by"])) == (A, B, {A})

    os.kill(pid_of(house, "cortex-1"), signal.SIGKILL)
    os.kill(pid_of(house, "cortex-2"), signal.SIGKILL)
    reads = len(recorded(house, RegimeRead))
    assert asked("rollback").startswith("rolled back: the rules from")
    instead = until_read_by(house, "rules", since=reads)
    (rolled_back,) = recorded(house, ModelRolledBack)
    assert {read.candle_close for read in instead} == {rolled_back.effective_from}
    assert asked("shadow", "none").startswith("shadow: nobody from")
    assert [each.model for each in recorded(house, ShadowSet)] == [B, None]

    os.kill(pid_of(house, "ingest"), signal.SIGSTOP)
    until_still(house)
    outcome = replayed(house, MARKET)
    os.kill(pid_of(house, "ingest"), signal.SIGCONT)
    assert outcome.divergence is None
    for verb in (["models", "list"], ["models", "show", A], ["status"]):
        code, out, err = nexus(*verb)
        assert code == 0, err
        assert [line for line in out.split("\n") if len(line.rstrip()) > 80] == []

    spoilt = {**always("trend"), MODEL: always("trend")[MODEL][:-1] + b"\x00"}
    code, _, err = nexus("models", "register", folder_of(spoilt, tmp_path / "spoilt"))
    assert code == 1
    assert "model.ubj was changed: its SHA-256 is not the manifest's" in err
    code, _, err = nexus("models", "promote", "nobody")
    assert code == 2
    assert f"there is no model nobody: registered are {A}, {B}" in err
