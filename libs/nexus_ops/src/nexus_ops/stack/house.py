"""The whole of Nexus on one machine: Postgres, NATS, the simulated exchange and six services as processes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nexus_common.contracts.values import Service, Venue
from nexus_common.runtime.store.migrate import upgrade
from nexus_ops.stack.children import FolderLock, prepare_folder
from nexus_ops.stack.nats import EmbeddedNats
from nexus_ops.stack.ports import LOOPBACK, free_ports, wait_for_port
from nexus_ops.stack.postgres import EmbeddedPostgres
from nexus_ops.stack.processes import Program, Status, Supervisor

EXCHANGE = "simvenue"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the running stack answers. The first two hold passwords: not for logs.

    `venues` are those where the exchange speaks a venue's own protocol, `others` where it stands for the
    services that tell of markets.
    """

    store: str
    bus: str
    exchange: str
    venues: Mapping[Venue, str]
    others: Mapping[str, str]

    def to_json(self) -> dict[str, str]:
        return {
            "store": self.store,
            "bus": self.bus,
            "exchange": self.exchange,
            **{f"{venue}": url for venue, url in self.venues.items()},
            **self.others,
        }


class House:
    """Starts everything in a home folder and stops it; a later start goes on with the same data.

    `market` are settings of the services, as environment variables. `replicas` of cortex share its partitions.
    `plays` are the exchange's arguments for a market of its own, which the services then follow live.
    """

    def __init__(
        self,
        home: Path,
        market: Mapping[str, str],
        cortex_replicas: int = 1,
        plays: Sequence[str] = (),
    ) -> None:
        from nexus_simvenue.market.dialects import ADDRESSES  # every venue's dialect, which takes a while

        self.home = home
        self._market = dict(market)
        self._plays = tuple(plays)
        self._replicas = {Service.CORTEX: cortex_replicas}
        self._postgres = EmbeddedPostgres(home / "postgres")
        self._nats = EmbeddedNats(home / "nats")
        self._supervisor = Supervisor()
        self._lock = FolderLock(home)
        self._exchange_port = 0
        self._ports = dict.fromkeys(ADDRESSES, 0)

    def __enter__(self) -> House:
        self._supervisor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.__exit__(None, None, None)
        if self._lock.is_held:
            (self.home / "stack.json").unlink(missing_ok=True)
        self._lock.release()

    @property
    def supervisor(self) -> Supervisor:
        return self._supervisor

    @property
    def nats(self) -> EmbeddedNats:
        return self._nats

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            self._postgres.dsn,
            self._nats.url,
            f"tcp://{LOOPBACK}:{self._exchange_port}",
            {venue: self._url(venue) for venue in Venue},
            {name: self._url(name) for name in self._ports if name not in tuple(Venue)}
            if self._plays
            else {},
        )

    def _url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports[name]}"

    @property
    def traces(self) -> Path:
        return self.home / "traces"

    def start(self) -> None:
        """Start the servers, bring the schema up to date, then the exchange and the services.

        Raises:
            ConfigurationError: a folder, port or store cannot be used; says which, and what to do.
            DependencyMissing: the servers' programs are not installed.
        """
        # Before anything else: whoever starts the exchange ends what an earlier run has left of it.
        prepare_folder(self.home)
        self._lock.acquire()
        for folder in (self.home / "logs", self.traces, self.home / "exchange"):
            prepare_folder(folder)
        # Fixed for the life of the house: an exchange that is started again answers where it did.
        self._exchange_port, *others = free_ports(1 + len(self._ports))
        self._ports = dict(zip(self._ports, others, strict=True))
        exchange = self._program(EXCHANGE, self._exchange_argv())
        with ThreadPoolExecutor(2) as pool:
            servers = pool.submit(self._supervisor.start, self._postgres, self._nats)
            pool.submit(self._supervisor.start, exchange).result()
            servers.result()
        asyncio.run(_migrate(self._postgres.dsn))
        wait_for_port(self._exchange_port)
        self._supervisor.start(*self._services())
        self.write_status()

    def status(self) -> list[Status]:
        return self._supervisor.status()

    def write_status(self) -> None:
        """Leave word of addresses and process ids for `nexus status` and others in this home."""
        word = {
            "addresses": self.addresses.to_json(),
            "processes": {each.name: each.pid for each in self.status()},
            "restarts": {each.name: each.restarts for each in self.status()},
        }
        path = self.home / "stack.json"
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(word, indent=2))
        fresh.replace(path)

    def _services(self) -> list[Program]:
        programs = []
        for service in Service:
            replicas = self._replicas.get(service, 1)
            for instance in range(1, replicas + 1):
                name = service.value if replicas == 1 else f"{service}-{instance}"
                env = {
                    "NEXUS__RUNTIME__INSTANCE": str(instance),
                    "NEXUS__RUNTIME__REPLICAS": str(replicas),
                }
                programs.append(self._program(name, [sys.executable, "-m", f"nexus_{service}"], env))
        return programs

    def _exchange_argv(self) -> list[str]:
        journal = str(self.home / "exchange" / "journal.jsonl")
        ports = [("--port", self._exchange_port)]
        ports += [(f"--{name}-port", port) for name, port in self._ports.items()]
        given = [word for option, port in ports for word in (option, str(port))]
        return [sys.executable, "-m", "nexus_simvenue", "--journal", journal, *given, *self._plays]

    def _program(self, name: str, argv: list[str], env: Mapping[str, str] | None = None) -> Program:
        addresses = {}
        if name != EXCHANGE:
            addresses = {
                "NEXUS__STORE__URL": self.addresses.store,
                "NEXUS__BUS__URL": self.addresses.bus,
                "NEXUS__EXCHANGE__URL": self.addresses.exchange,
                **exchange_variables(self.addresses.venues),
                **(market_variables(self.addresses) if self._plays else {}),
                "NEXUS__RUNTIME__TRACE_DIR": str(self.traces),
                **self._market,
            }
        return Program(name, argv, self.home / "logs" / f"{name}.log", {**addresses, **(env or {})})


def exchange_variables(venues: Mapping[Venue, str]) -> dict[str, str]:
    """The settings that say where the exchange speaks each venue's own protocol."""
    return {f"NEXUS__EXCHANGE__{venue.upper()}_URL": url for venue, url in venues.items()}


def market_variables(addresses: Addresses) -> dict[str, str]:
    """The settings that have feeds read at the exchange what they would read at the venues."""
    variables = {}
    for venue, url in addresses.venues.items():
        variables[f"NEXUS__VENUES__{venue.upper()}__REST_URL"] = url
        variables[f"NEXUS__VENUES__{venue.upper()}__STREAM_URL"] = _streams(url)
    stocks, others = addresses.venues[Venue.ALPACA], addresses.others
    return variables | {
        "NEXUS__FEEDS__ALPACA_DATA_URL": stocks,
        "NEXUS__FEEDS__ALPACA_STREAM_URL": _streams(stocks),
        "NEXUS__FEEDS__POLYGON_URL": others["polygon"],
        "NEXUS__FEEDS__POLYGON_STREAM_URL": _streams(others["polygon"]),
        "NEXUS__FEEDS__COINMARKETCAP_URL": others["coinmarketcap"],
        "NEXUS__FEEDS__FEAR_GREED_URL": others["fear_greed"],
    }


def _streams(url: str) -> str:
    return url.replace("http", "ws", 1)


async def _migrate(url: str) -> None:
    upgrade(url)
