"""The `nexus` command on a recorded run: it explains, travels in time, rebuilds, and says what is wrong."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import SignalWithheld
from nexus_common.contracts.trade import TradeClosed
from nexus_common.runtime.bus import topology
from nexus_common.runtime.following import Follower
from nexus_common.runtime.store.revision import REVISIONS
from nexus_common.runtime.store.schema import READ_MODELS
from nexus_ops import access, cli
from nexus_ops.decisions import events_of
from nexus_ops.rebuilding import READ_MODELS as PROJECTIONS

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("commands")]

MARKET = ["--seed", "6", "--minutes", "600", "--symbols", "BTCUSDT,DOGEUSDT,SOLUSDT"]
RUN = [sys.executable, "-c", "from nexus_ops.cli import main; main()"]
BY_RULE = ("regime", "once")


@dataclass(frozen=True)
class Home:
    """A folder with a run that has ended, and what the demo said about it."""

    path: Path
    report: dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [*RUN, "demo", *MARKET, "--json", "--home", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return Home(path, json.loads(done.stdout))


@pytest.fixture
def nexus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command in this process; gives its exit code, its output and what it said on stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nexus", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def ask(nexus: Callable[..., Any], home: Home) -> Callable[..., Any]:
    """The JSON document that a verb prints about the recorded run."""

    def run(*arguments: object) -> Any:
        code, out, err = nexus(*arguments, "--home", home.path, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


async def recorded(home: Home, category: str) -> list[Recorded[Event]]:
    async with access.opened_store(home.path) as store:
        return [each async for each in events_of(store, (category,))]


def test_a_backtest_decides_what_the_six_processes_decided(nexus: Callable[..., Any], home: Home) -> None:
    code, out, _ = nexus("backtest", *MARKET, "--json")
    report = json.loads(out)
    assert code == 0
    assert report["events_hash"] == home.report["decisions_hash"]
    assert report["trades"] == home.report["trades_closed"] > 0
    assert report["net_profit"] == pytest.approx(float(home.report["net_profit"]))


def test_signals_are_those_on_record(nexus: Callable[..., Any], ask: Callable[..., Any], home: Home) -> None:
    _, out, _ = nexus("signals", *MARKET, "--json", "--withheld")
    rows = json.loads(out)
    assert sum(row["withheld"] is None for row in rows) == home.report["signals"] > 0
    assert sum(row["withheld"] is not None for row in rows) == home.report["withheld"]


async def caught_up(home: Home) -> None:
    """The last half second of the run may not have been followed any more."""
    async with access.opened_models(home.path) as (store, models, _):
        for projection in PROJECTIONS.values():
            await Follower(projection(), store, models).catch_up()


def test_a_rebuild_gives_the_rows_that_grew_while_the_market_was_played(
    ask: Callable[..., Any], home: Home
) -> None:
    asyncio.run(caught_up(home))
    grown = rows_of(home)
    assert grown["trades_closed"]
    assert grown["ledger"]
    assert grown["notices"]
    assert grown["bot_state"]
    assert grown["scheduled_tasks"]
    with access.store_address(home.path) as url, psycopg.connect(url, autocommit=True) as connection:
        for table in (*grown, "snapshots", "checkpoints"):
            connection.execute(f"DELETE FROM {table}".encode())
        assert connection.execute("SELECT count(*) FROM trades_closed").fetchone() == (0,)
    for service in ("telegram", "scheduler", "executor"):
        counts = ask("rebuild", service)["documents"]
        assert counts == {table: len(grown[table]) for table in counts}
    assert rows_of(home) == grown


def rows_of(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    with access.store_address(home.path) as url, psycopg.connect(url) as connection:
        return {
            f"{table.name}": connection.execute(
                f"SELECT key, owner, data, position FROM {table.name} ORDER BY key".encode()
            ).fetchall()
            for table in READ_MODELS
        }


async def closed_trade(home: Home) -> TradeClosed:
    return next(e.event for e in await recorded(home, "trade") if isinstance(e.event, TradeClosed))


def test_time_travel_shows_what_was_held(ask: Callable[..., Any], home: Home) -> None:
    trade = asyncio.run(closed_trade(home))
    held = [row["trade_id"] for row in ask("at", trade.opened_at.isoformat(), "positions")]
    assert trade.trade_id in held
    orders = ask("at", trade.opened_at.isoformat(), "orders")
    assert any(row["trade_id"] == trade.trade_id and row["leg"] == "stop" for row in orders)
    after = [row["trade_id"] for row in ask("at", trade.closed_at.isoformat(), "positions")]
    assert trade.trade_id not in after
    risk = {row["scope"]: row for row in ask("at", trade.opened_at.isoformat(), "risk")}
    assert trade.symbol in risk[f"risk-{trade.account}"]["held"]
    assert ask("at", "2000-01-01", "sessions") == []
    assert [row["mode"] for row in ask("at", "now", "sessions")] == ["pilot"]


def test_why_not_finds_the_rule_that_failed_then(ask: Callable[..., Any], home: Home) -> None:
    withheld = [
        each.event
        for each in asyncio.run(recorded(home, "signal"))
        if isinstance(each.event, SignalWithheld) and each.event.failed_rule not in BY_RULE
    ]
    assert withheld
    for event in withheld[:2]:
        told = ask("why-not", event.symbol, "--at", event.candle_close.isoformat())
        strategy = next(each for each in told["strategies"] if each["strategy"] == event.strategy)
        action = next(each for each in strategy["actions"] if each["action"] == event.action)
        failed = next(rule for rule in action["rules"] if not rule["passed"])
        assert (failed["name"], failed["figures"]) == (event.failed_rule, event.detail)
        closes = {each["candle_close"] for each in told["withheld"]}
        assert strategy["close"] in closes
        assert strategy["timeframe"] == event.timeframe


def test_why_not_names_what_holds_entries_back(ask: Callable[..., Any], home: Home) -> None:
    trade = asyncio.run(closed_trade(home))
    told = ask("why-not", trade.symbol, "--at", trade.opened_at.isoformat())
    assert any("is held or reserved already" in hindrance for hindrance in told["hindrances"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["strategies"],
        ["signals", *MARKET, "--withheld"],
        ["backtest", *MARKET],
        ["why-not", "DOGEUSDT", "--home"],
        ["at", "2025-03-03T06:00", "positions", "--home"],
        ["at", "now", "sessions", "--home"],
        ["rebuild", "telegram", "--home"],
        ["events", "parked", "--home"],
        ["ledger", "--home"],
        ["ledger", "--by", "day", "--home"],
        ["whatif", "--set", "shield.margin_fraction=0.01", "--set", "cortex.strategy=trend", "--home"],
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_text_fits_80_columns(nexus: Callable[..., Any], home: Home, arguments: list[str]) -> None:
    where = [home.path] if arguments[-1] == "--home" else []
    code, out, err = nexus(*arguments, *where)
    assert code == 0, err
    assert out.strip()
    assert [line for line in out.split("\n") if len(line.rstrip()) > 80] == []


def test_the_story_of_a_trade_fits_80_columns(nexus: Callable[..., Any], home: Home) -> None:
    code, out, err = nexus("why", home.report["example_trade"], "--home", home.path)
    assert code == 0, err
    assert "\nVerdict\n" in out
    assert [line for line in out.split("\n") if len(line.rstrip()) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["signals", *MARKET, "--strategy", "hope"], "strategy 'hope' does not exist; choose auto, trend"),
        (["backtest", *MARKET, "--strategy", "hope"], "strategy 'hope' does not exist"),
        (["signals", "--data", "EMPTY"], "holds no bars: expected ohlcv/<venue>/"),
        (["backtest", "--data", "EMPTY/none"], "is not a directory"),
        (["backtest", "--seed", "1", "--minutes", "60", "--symbols", "NOPEUSDT"], "NOPEUSDT"),
        (["backtest", *MARKET, "--from", "tomorrow"], "'tomorrow' is no time: write 2021-05-17"),
        (["why-not", "NOPEUSDT", "--home", "HOME"], "NOPEUSDT is not among the instruments of this run"),
        (["why-not", "BTCUSDT", "--at", "noon", "--home", "HOME"], "'noon' is no time"),
        (["at", "noon", "orders", "--home", "HOME"], "'noon' is no time"),
        (["at", "now", "orders", "--home", "EMPTY"], "holds no run: start one with `nexus up`"),
        (["at", "now", "wishes", "--home", "HOME"], "'wishes' is not one of"),
        (["rebuild", "kitchen", "--home", "HOME"], "'kitchen' is not one of"),
        (["rebuild", "telegram", "--home", "EMPTY"], "holds no run"),
        (["events", "parked", "--home", "EMPTY"], "holds no run"),
        (["ledger", "--home", "EMPTY"], "holds no run"),
        (["ledger", "--account", "nobody", "--home", "HOME"], "there is no account nobody: there is owner."),
        (["ledger", "--by", "moon", "--home", "HOME"], "'moon' is not one of"),
        (["backtest", *MARKET, "--venue", "mars", "--data", "EMPTY"], "holds no bars"),
        (["demo", *MARKET, "--account-venue", "alpaca"], "cannot be played as alpaca's: choose binance"),
        (["demo", *MARKET, "--protocol", "morse"], "NEXUS__EXCHANGE__PROTOCOL"),
        (["events", "release", "99", "--home", "HOME"], "no message is parked under 99"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    nexus: Callable[..., Any], home: Home, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    places = {"EMPTY": str(tmp_path), "HOME": str(home.path), "EMPTY/none": str(tmp_path / "none")}
    code, out, err = nexus(*(places.get(argument, argument) for argument in arguments))
    assert code == 2
    assert out == ""
    assert sentence in err.replace(" │\n│ ", " ")
    assert "Traceback" not in err


async def _park(home: Home) -> None:
    async with access.opened_bus(home.path) as bus:
        await bus.publish(f"{topology.ROOT}.brief.odd.0", b"no event", {}, "")
        async for delivery in bus.deliveries("odd-1", [topology.category_subject("brief")]):
            await bus.park(delivery, "it cannot be read")
            return


def test_a_parked_message_is_listed_and_released(ask: Callable[..., Any], home: Home) -> None:
    asyncio.run(_park(home))
    (parked,) = ask("events", "parked")
    assert (parked["consumer"], parked["reason"], parked["beginning"]) == (
        "odd-1",
        "it cannot be read",
        "no event",
    )
    assert ask("events", "release", parked["sequence"]) == {"released": parked["sequence"]}
    assert ask("events", "parked") == []


def test_the_ledger_adds_up_to_the_run(ask: Callable[..., Any], home: Home) -> None:
    (account,) = ask("ledger")["accounts"]
    (total,) = account["groups"]
    assert float(account["unexplained"]) == 0
    assert total["fills"] == home.report["fills"]
    for by in ("strategy", "instrument", "day"):
        (split,) = ask("ledger", "--by", by)["accounts"]
        assert sum(float(group["net"]) for group in split["groups"]) == pytest.approx(float(total["net"]))
    strategies = {group["strategy"] for group in ask("ledger", "--by", "strategy")["accounts"][0]["groups"]}
    assert strategies >= set(home.report["trades_by_strategy"])


def test_a_run_compares_with_itself(nexus: Callable[..., Any], home: Home) -> None:
    code, out, err = nexus("compare", home.path, home.path, "--json")
    assert code == 0, err
    assert json.loads(out)["trades"] == [home.report["trades_closed"]] * 2


def test_six_processes_trade_the_same_through_the_vendors_sdk(
    nexus: Callable[..., Any], home: Home, tmp_path: Path
) -> None:
    native = tmp_path / "native"
    demo = [*RUN, "demo", *MARKET, "--protocol", "native", "--json", "--home", str(native)]
    done = subprocess.run(demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["duplicate_orders"] == 0
    code, out, err = nexus("compare", home.path, native)
    assert code == 0, err
    assert "the same trades" in out


def test_what_only_a_venue_can_say_needs_one_that_runs(
    nexus: Callable[..., Any], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = nexus("ledger", "--check", "--home", home.path)
    assert code == 3
    assert "no exchange can state its paper accounts" in err
    code, _, err = nexus("doctor", "--home", tmp_path)
    assert code == 3
    assert "no live account is set up: start `nexus up --protocol native`" in err
    monkeypatch.setenv("NEXUS__TELEGRAM__LIVE_VENUES", "binance")
    code, _, err = nexus("doctor", "--home", tmp_path)
    assert code == 2
    assert "there are no keys of owner.binance.live" in err
    code, _, err = nexus("demo", *MARKET)
    assert code == 2
    assert "are live, and this market is played, not live" in err


def test_the_simulated_venues_alone_say_where_they_answer(tmp_path: Path) -> None:
    started = [*RUN, "simvenue", *MARKET, "--speed", "max", "--json"]
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as venues:
        assert venues.stdout is not None
        lines = []
        while (line := venues.stdout.readline()) != "}\n":
            assert line, venues.stderr.read() if venues.stderr else ""
            lines.append(line)
        document = json.loads("".join([*lines, line]))
        protocols = {"binance", "bybit", "alpaca"}
        assert {*protocols, *(f"{venue}_ws" for venue in protocols), "control"} <= set(document)
        (account,) = document["accounts"]
        with urllib.request.urlopen(f"{document['control']}/ledger") as answer:
            assert json.load(answer)["wallets"] == {account["account"]: account["balance"]}
        with urllib.request.urlopen(f"{document['binance']}/fapi/v1/time") as answer:
            assert abs(json.load(answer)["serverTime"] / 1_000 - time.time()) < 60
        with urllib.request.urlopen(
            f"{document['binance']}/fapi/v1/klines?symbol=BTCUSDT&interval=4h&limit=2"
        ) as answer:
            assert len(json.load(answer)) == 2
        assert {"coinmarketcap", "fear_greed"} <= set(document)
        venues.send_signal(signal.SIGINT)
        assert venues.wait(30) == 0
        assert venues.stdout.read() == ""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """The home of a stack at work."""
    path = tmp_path / "running"
    market = ["--seed", "2", "--minutes", "20000", "--symbols", "BTCUSDT,DOGEUSDT", "--speed", "max"]
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen([*RUN, "up", *market, "--home", str(path)], stdout=log, stderr=log)
        try:
            yield path
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(60) == 0, (tmp_path / "up.log").read_text()


def test_status_of_a_running_stack_and_a_rebuild_beside_it(nexus: Callable[..., Any], running: Path) -> None:
    document = eventually_playing(nexus, running)
    assert {"postgres", "nats", "simvenue", "ingest", "telegram"} <= set(document["processes"])
    assert all(document["processes"].values())
    assert document["schema_revision"] == REVISIONS[-1]
    assert document["head"] > 0
    assert document["parked"] == 0
    assert {lease["holder"] for lease in document["leases"]} >= {"cortex-1", "executor-1"}
    assert all(lease["epoch"] >= 1 for lease in document["leases"])
    assert set(document["read_models"]) == {"telegram", "scheduler", "executor"}
    code, out, err = nexus("rebuild", "telegram", "--home", running, "--json")
    assert code == 0, err
    assert json.loads(out)["documents"]["sessions"] == 1
    for verb in ("status", "doctor"):
        code, out, err = nexus(verb, "--home", running)
        assert code == 0, out + err
        assert [line for line in out.split("\n") if len(line.rstrip()) > 80] == []
    code, out, _ = nexus("doctor", "--home", running, "--json")
    findings = json.loads(out)["accounts"]["owner.binance.paper"]
    assert {"keys", "reached", "orders", "positions"} <= {finding["check"] for finding in findings}


def eventually_playing(nexus: Callable[..., Any], home: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        code, out, err = nexus("status", "--home", home, "--json")
        document: dict[str, Any] = json.loads(out) if code == 0 else {}
        if (
            document.get("last_step")
            and document["inbox_lag"]
            and len(document["read_models"]) == len(PROJECTIONS)
        ):
            return document
        assert time.monotonic() < deadline, err
        time.sleep(0.1)


def test_without_a_stack_status_says_that_nothing_runs(nexus: Callable[..., Any], tmp_path: Path) -> None:
    code, _, err = nexus("status", "--home", tmp_path)
    assert code == 1
    assert "nothing runs in" in err
