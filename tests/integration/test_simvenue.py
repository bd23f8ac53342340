"""The exchange server keeps its own memory: killed at any moment, it stands where it stood."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nexus_common.runtime.exchange_client import (
    ExchangeClient,
    ExchangeDown,
    ExchangeError,
    ExchangeUnanswered,
)
from nexus_market.exchange import Ohlcv
from nexus_market.exchange.wire import encode_step

pytestmark = pytest.mark.integration

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FLAT = Ohlcv(*map(Decimal, ("100", "100", "100", "100", "100000")))
CRASH = Ohlcv(*map(Decimal, ("100", "100", "94", "95", "100000")))


class Program:
    """The server as a process; started again, it listens on the same port."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.port = 0
        self.start()

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "nexus_simvenue", "--journal", str(self.journal)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.url = self.ready["address"]
        self.port = int(self.url.rpartition(":")[2])

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def page(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.ready["control"] + path, timeout=5) as answer:
            content: dict[str, Any] = json.load(answer)
            return content


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    running = Program(tmp_path / "exchange" / "journal.jsonl")
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


async def step(client: ExchangeClient, minute: int, bar: Ohlcv = FLAT) -> dict[str, Any]:
    bars = {"SOLUSDT": bar}
    return await client.call("step", encode_step(NOON + minute * MINUTE, bars, {"SOLUSDT": FLAT}, {}))


async def open_account(client: ExchangeClient, epoch: int = 1) -> dict[str, Any]:
    params = {"account": "a", "epoch": epoch, "currency": "USDT", "balance": "10000"}
    return await client.call("open_account", params)


async def submit(client: ExchangeClient, name: str, epoch: int = 1, **order: Any) -> dict[str, Any]:
    fields = {"symbol": "SOLUSDT", "side": "buy", "kind": "market", "quantity": "1", **order}
    params = {"account": "a", "epoch": epoch, "order": {"client_order_id": name, **fields}}
    return await client.call("submit", params)


async def stand(client: ExchangeClient) -> dict[str, Any]:
    """Everything the exchange says about itself."""
    ledger = await client.call("ledger")
    orders = await client.call("open_orders", {"account": "a"})
    positions = await client.call("positions", {"account": "a"})
    updates = await client.call("updates", {"account": "a", "after": 0})
    return {"ledger": ledger, "orders": orders, "positions": positions, "updates": updates}


async def test_killed_the_exchange_comes_back_where_it_stood(program: Program) -> None:
    client = ExchangeClient(program.url)
    assert await open_account(client) == {"wallet": "10000"}
    await step(client, 0)
    entry = await submit(client, "in")
    await submit(client, "s", side="sell", kind="stop", trigger_price="95", reduce_only=True)
    await step(client, 1)
    before = await stand(client)

    program.end(signal.SIGKILL)
    with pytest.raises((ExchangeDown, ExchangeUnanswered)):
        await client.call("status")
    program.start()
    assert program.ready["recovered"] == 5
    assert await stand(client) == before
    assert await submit(client, "in") == entry  # sent again, it is still one order
    assert await step(client, 1) == {"at": "2025-06-01T12:01:00.000000Z", "fills": 0, "records": 5}

    await step(client, 2, CRASH)
    ledger = (await stand(client))["ledger"]
    assert ledger["totals"][0]["fills"] == 2
    assert ledger["duplicates"] == []
    assert ledger["resubmissions"] == 1
    await client.close()


async def test_kills_at_every_request_lose_and_double_nothing(program: Program) -> None:
    client = ExchangeClient(program.url)
    await open_account(client)
    for minute in range(4):
        await step(client, minute)
        await submit(client, f"o{minute}")
        program.end(signal.SIGKILL)
        program.start()
        with pytest.raises(ExchangeUnanswered):
            await client.call("status")
        assert (await submit(client, f"o{minute}"))["accepted"] == f"x{minute + 1}"
    positions = await client.call("positions", {"account": "a"})
    assert positions["positions"][0]["quantity"] == "4"
    assert [u["sequence"] for u in (await stand(client))["updates"]["updates"]] == [1, 2, 3, 4]
    await client.close()


def test_a_torn_last_line_is_dropped_and_other_settings_are_refused(program: Program) -> None:
    async def once() -> None:
        client = ExchangeClient(program.url)
        await open_account(client)
        await client.close()

    asyncio.run(once())
    assert program.end(signal.SIGTERM) == 0
    with program.journal.open("ab") as file:
        file.write(b'{"wall":"2025-')
    program.start()
    assert program.ready["recovered"] == 1
    program.end(signal.SIGTERM)
    command = [sys.executable, "-m", "nexus_simvenue", "--journal", str(program.journal), "--seed", "9"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode == 2
    assert "other settings" in refused.stderr


async def test_the_ledger_tells_how_long_a_position_stood_without_a_stop(program: Program) -> None:
    client = ExchangeClient(program.url)
    await open_account(client)
    await step(client, 0)
    await submit(client, "in")
    await asyncio.to_thread(program.page, "/status")
    await submit(client, "s", side="sell", kind="stop", trigger_price="95", close_position=True)
    page = await asyncio.to_thread(program.page, "/ledger")
    [span] = page["unprotected"]
    assert (span["account"], span["symbol"], span["start"]) == ("a", "SOLUSDT", span["end"])
    assert 0 < span["wall_seconds"] < 5
    assert Decimal(page["wallets"]["a"]) < 10_000
    part = await client.call("ledger", {"after": 1, "limit": 2})
    assert [record["n"] for record in part["records"]] == [2, 3]
    await client.close()


async def test_a_request_on_a_connection_given_up_cannot_arrive_late(program: Program) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
    writer.write(b'{"id": 0, "method": "hello", "params": {"name": "executor"}}\n')
    await reader.readline()
    client = ExchangeClient(program.url, name="executor")
    await open_account(client)
    await step(client, 0)
    order = (
        '{"client_order_id": "late", "symbol": "SOLUSDT", "side": "buy", "kind": "market", "quantity": "1"}'
    )
    with suppress(OSError):
        writer.write(
            b'{"id": 1, "method": "submit", "params": {"account": "a", "epoch": 1, "order": %b}}\n'
            % order.encode()
        )
        assert await reader.read() == b""
    lookup = {"account": "a", "epoch": 1, "client_order_id": "late"}
    assert await client.call("lookup", lookup) == {"order": None}
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    await client.close()


async def test_scripted_faults_lose_replies_requests_and_refuse(program: Program) -> None:
    client = ExchangeClient(program.url)
    await open_account(client)
    await step(client, 0)
    rules = [
        {"method": "submit", "fault": "lose_reply"},
        {"method": "submit", "fault": "lose_request"},
        {"method": "submit", "fault": "refuse", "order_kind": "stop", "code": "-4120", "times": 2},
    ]
    await client.call("faults", {"rules": rules})
    lookup = {"account": "a", "epoch": 1}
    with pytest.raises(ExchangeUnanswered):
        await submit(client, "done")
    assert (await client.call("lookup", {**lookup, "client_order_id": "done"}))["order"]["status"] == "filled"
    with pytest.raises(ExchangeUnanswered):
        await submit(client, "gone")
    assert (await client.call("lookup", {**lookup, "client_order_id": "gone"}))["order"] is None
    stop: dict[str, Any] = {"side": "sell", "kind": "stop", "trigger_price": "95", "reduce_only": True}
    assert (await submit(client, "s1", **stop))["refused"]["code"] == "-4120"
    assert (await submit(client, "s2", **stop))["refused"]["code"] == "-4120"
    assert "accepted" in await submit(client, "s3", **stop)
    await client.close()


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("dance", {}, "no-method"),
        ("submit", {}, "bad-request"),
        ("submit", {"account": "a", "epoch": 1, "order": {"side": "up"}}, "bad-request"),
        ("updates", {"account": "nobody", "after": 0}, "no-account"),
        ("step", {"venue": "mars"}, "no-venue"),
        ("step", {"at": "noon", "bars": {}}, "bad-request"),
        ("open_account", {"account": "a", "epoch": "1", "currency": "USDT"}, "bad-request"),
        ("open_account", {"account": "b", "epoch": 1, "currency": "USDT", "balance": "NaN"}, "bad-request"),
        ("open_account", {"account": "b", "epoch": 1, "currency": "USDT"}, "no-account"),
    ],
)
async def test_nonsense_is_answered_and_remembered_harmlessly(
    program: Program, method: str, params: dict[str, Any], code: str
) -> None:
    client = ExchangeClient(program.url)
    await open_account(client, epoch=3)
    with pytest.raises(ExchangeError) as refused:
        await client.call(method, params)
    assert refused.value.code == code
    await client.close()
    program.end(signal.SIGKILL)
    program.start()
    client = ExchangeClient(program.url)
    with pytest.raises(ExchangeError, match="fenced"):
        await open_account(client, epoch=2)
    await client.close()
