"""Whole runs on real processes, somebody who kills them at the worst moment, and the judgement behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random

from nexus_common.contracts.values import Service
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.trace import Trace
from nexus_ingest import bootstrap as ingest
from nexus_ops import demo
from nexus_ops.composition import LocalHouse, cortex_reactor, settings_for
from nexus_ops.demo import DemoReport
from nexus_ops.stack.children import started_at
from nexus_ops.stack.house import House
from nexus_ops.summary import Summary, summarise

LOOK_SECONDS = 0.0001
START_SECONDS = 20.0
AIM_SECONDS = 0.3
BACK_SECONDS = 60.0
HASTE = 0.15  # the share of kills behind which nobody waits for the victim to be back
RARE = ("submit", "amend", "cancel")
RARE_SHARE = 0.3

# What a kill may be aimed at; None is any moment at all, idle or not.
AIMS: Mapping[Service, tuple[str | None, ...]] = {
    Service.INGEST: ("recording", "committing", "committed", "telling", "waiting", None),
    Service.CORTEX: ("turn", "committing", "committed", "decided", None),
    Service.SHIELD: ("turn", "committing", "committed", "decided", None),
    Service.EXECUTOR: ("turn", "submit", "committing", "committed", "starting", None),
    Service.TELEGRAM: ("turn", "committing", "committed", "resuming", None),
    Service.SCHEDULER: ("turn", "committing", "decided", None),
}
_ROUND = re.compile(r"^turn .* slot (\d+)$")


def name_of(point: str) -> str:
    """A point without what differs from step to step."""
    turn = _ROUND.match(point)
    if turn:
        return f"turn, slot {turn[1]}"
    return re.sub(r" (20\d\d-\S+|for round \d+)$", "", point)


@dataclass(frozen=True)
class Played:
    """A market as settings of the services."""

    environment: Mapping[str, str]

    @property
    def span(self) -> tuple[datetime, datetime]:
        market = ingest.market(settings_for(self.environment).ingest)
        steps = [step.at for step in market.steps()]
        return steps[0], steps[-1]


def generated(minutes: int, seed: int = 6, **more: str) -> Played:
    """An eventful drawn market: entries, stops, targets, and a crash that empties the book."""
    return Played(
        {
            "NEXUS__INGEST__SEED": str(seed),
            "NEXUS__INGEST__MINUTES": str(minutes),
            "NEXUS__INGEST__SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT,DOGEUSDT,XRPUSDT,ADAUSDT",
            "NEXUS__TELEGRAM__MODE": "pilot",
            **more,
        }
    )


def undisturbed(played: Played) -> Summary:
    """The same market in one process over memory, where nothing can go wrong."""
    return _undisturbed(tuple(sorted(played.environment.items())))


@cache
def _undisturbed(environment: tuple[tuple[str, str], ...]) -> Summary:
    return asyncio.run(_summarised(in_memory(Played(dict(environment)))))


async def _summarised(playing: Awaitable[EventStore]) -> Summary:
    return await summarise(await playing)


async def in_memory(played: Played) -> EventStore:
    """Play a market in this process; returns the store with all that was decided."""
    settings = settings_for(played.environment)
    market = ingest.market(settings.ingest)
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    return house.store


@contextmanager
def house_in(home: Path, played: Played, cortex_replicas: int = 1) -> Iterator[House]:
    home.mkdir(parents=True, exist_ok=True)
    with House(home, played.environment, cortex_replicas) as house:
        yield house


def play(house: House, played: Played, on_tick: Callable[[], None] = lambda: None) -> DemoReport:
    """Run to the market's end, then count, compare with the exchange, and replay."""
    demo.play(house, _silent, on_tick)
    return judge(house, played)


def judge(house: House, played: Played) -> DemoReport:
    async def judged() -> DemoReport:
        store = await PostgresStore.connect(house.addresses.store, fingerprint="ops", clock=WallClock())
        try:
            cortex = cortex_reactor(settings_for(played.environment))
            return await demo.judge(store, house.addresses.exchange, cortex, _silent)
        finally:
            await store.close()

    return asyncio.run(judged())


def _silent(at: float, text: str) -> None:
    """No progress is shown."""


@dataclass
class Kills:
    """What kills interrupted: (service, point) and how often; `idle` ones found no work in hand."""

    by_point: Counter[tuple[str, str]] = field(default_factory=Counter)
    idle: int = 0
    seconds_away: list[float] = field(default_factory=list)

    @property
    def counted(self) -> int:
        return sum(self.by_point.values())

    @property
    def services(self) -> set[str]:
        return {service for service, _ in self.by_point}

    def hit(self, service: Service, point: str) -> int:
        """How many kills interrupted work at points that begin so."""
        return sum(n for (name, at), n in self.by_point.items() if name == service and at.startswith(point))

    def table(self) -> str:
        lines = [
            f"{count:5}  {service:10} {point}" for (service, point), count in sorted(self.by_point.items())
        ]
        away = sorted(self.seconds_away) or [0.0]
        return "\n".join(
            [
                "kills  service    what it was doing",
                *lines,
                f"{self.counted:5}  in all with work in hand; {self.idle} more found nothing to interrupt",
                f"back at work after {away[len(away) // 2]:.2f} s (median), {away[-1]:.2f} s (longest)",
            ]
        )


class Mishaps:
    """Things that happen to the house once the market has come as far as a share of its span (0 to 1)."""

    def __init__(
        self, house: House, played: Played, mishaps: Sequence[tuple[float, Callable[[], object]]]
    ) -> None:
        start, end = played.span
        self._house = house
        self._due = [(start + (end - start) * share, mishap) for share, mishap in mishaps]
        self.happened = 0

    def __call__(self) -> None:
        """To be called now and then."""
        at = market_time(self._house)
        while at is not None and self._due and at >= self._due[0][0]:
            self._due.pop(0)[1]()
            self.happened += 1


def send(house: House, name: str, number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Later: a signal to a process of the house."""

    def later() -> None:
        pid = next(s.pid for s in house.status() if s.name == name)
        if pid is not None:
            os.kill(pid, number)

    return later


class Killer:
    """Kills services with SIGKILL, spread over the market, at moments drawn from a seed.

    Some kills are aimed: the victim's trace is watched until it says that the wished work is under way.
    A kill counts when the trace of the dead process ends in work begun and not finished.
    """

    def __init__(self, house: House, played: Played, kills: int, seed: int) -> None:
        self.kills = Kills()
        self.problem: BaseException | None = None
        self._house = house
        self._wanted = kills
        self._random = Random(seed)
        start, end = played.span
        spares = kills + kills * 2 // 3 + 3  # some find nothing to interrupt
        reach = (end - start).total_seconds() * 0.95
        self._due = sorted(start + timedelta(seconds=self._random.random() * reach) for _ in range(spares))
        self._victims = self._queue(spares)
        self._ended = threading.Event()
        self._grown: dict[Service, int] = {}
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def begin(self) -> None:
        if not self._thread.ident:
            self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(BACK_SECONDS)
        if self.problem is not None:
            raise self.problem

    def _queue(self, count: int) -> list[Service]:
        """Every service about as often as the others, in no order."""
        queue: list[Service] = []
        while len(queue) < count:
            queue.extend(self._random.sample(list(Service), len(Service)))
        return queue[:count]

    def _run(self) -> None:
        try:
            # The first one dies while the bars to warm up with are being handed out.
            self._strike(Service.INGEST, "opening", START_SECONDS, haste=False)
            for number, (due, victim) in enumerate(zip(self._due, self._victims, strict=True)):
                aim = self._random.choice(AIMS[victim])
                haste = self._random.random() < HASTE
                if not self._lie_in_wait(due):
                    return
                following = self._due[min(number + 1, len(self._due) - 1)]
                patience = 0.0 if self._reached(following) else AIM_SECONDS
                self._strike(victim, aim, patience, haste=haste)
                if self.kills.counted >= self._wanted and len(self.kills.services) == len(Service):
                    return
        except BaseException as error:
            self.problem = error

    def _lie_in_wait(self, due: datetime) -> bool:
        """Wait until the market is as far; who asks the venue for something meanwhile may die of it."""
        while not self._reached(due):
            trace = self._trace(Service.EXECUTOR)
            begun = time.monotonic()
            while time.monotonic() < begun + 0.02:
                point = Trace.last(trace)
                if point.startswith(RARE) and self._random.random() < RARE_SHARE:
                    self._strike(Service.EXECUTOR, None, 0.0, haste=False)
                time.sleep(LOOK_SECONDS)
            if self._ended.is_set():
                return False
        return True

    def _reached(self, due: datetime) -> bool:
        at = market_time(self._house)
        return at is not None and at >= due

    def _wait_until(self, condition: Callable[[], bool], seconds: float = 600.0) -> bool:
        deadline = time.monotonic() + seconds
        while not self._ended.is_set() and time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.002)
        return False

    def _strike(self, victim: Service, aim: str | None, patience: float, *, haste: bool) -> None:
        pid = self._pid_of(victim)
        if pid is None or self._ended.is_set():
            return
        trace = self._trace(victim)
        if aim == "starting" or aim == "resuming":
            # Dead again before it is up: the first death is only the way there.
            os.kill(pid, signal.SIGKILL)
            self._count(victim, pid)
            self._wait_until(lambda: Trace.last(trace).startswith(("starting", "resuming")), 10.0)
            pid = self._pid_of(victim) or pid
        elif aim is not None:
            _watch(trace, aim, patience)
        died = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self._count(victim, pid)
        if not haste and self._wait_until(lambda: self._is_back(victim), BACK_SECONDS):
            self.kills.seconds_away.append(time.monotonic() - died)

    def _count(self, victim: Service, pid: int) -> None:
        while started_at(pid) is not None:
            time.sleep(0.0005)
        trace = self._trace(victim)
        size = trace.stat().st_size
        point = Trace.last(trace) if size > self._grown.get(victim, 0) else "idle"
        self._grown[victim] = size
        if point == "idle":
            self.kills.idle += 1
        else:
            self.kills.by_point[victim.value, name_of(point)] += 1

    def _is_back(self, victim: Service) -> bool:
        trace = self._trace(victim)
        return trace.stat().st_size > self._grown[victim] and Trace.last(trace) not in (
            "starting",
            "resuming",
        )

    def _pid_of(self, service: Service) -> int | None:
        self._wait_until(lambda: self._living(service) is not None, BACK_SECONDS)
        return self._living(service)

    def _living(self, service: Service) -> int | None:
        return next((s.pid for s in self._house.status() if s.name == service.value), None)

    def _trace(self, service: Service) -> Path:
        return self._house.traces / f"{service}-1.trace"


def _watch(trace: Path, wished: str, seconds: float) -> None:
    """Return as soon as the wished work is under way, or in the end any work."""
    deadline = time.monotonic() + seconds
    while not trace.exists() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    file = os.open(trace, os.O_RDONLY)
    try:
        while time.monotonic() < deadline + 1.0:
            point = _last_line(file)
            late = time.monotonic() > deadline
            if point.startswith(wished) or (late and point != "idle"):
                return
            time.sleep(LOOK_SECONDS)
    finally:
        os.close(file)


def _last_line(file: int) -> str:
    end = os.fstat(file).st_size
    lines = os.pread(file, 200, max(0, end - 200)).split(b"\n")
    return lines[-2].decode() if len(lines) > 1 else ""


def market_time(house: House) -> datetime | None:
    """How far the market has been played, by what ingest is tracing."""
    return _market_time(house.traces / "ingest-1.trace")


def _market_time(trace: Path) -> datetime | None:
    try:
        with trace.open("rb") as file:
            file.seek(max(0, trace.stat().st_size - 8_000))
            found = re.findall(rb"recording (\S+)\n", file.read())
    except FileNotFoundError:
        return None
    return datetime.fromisoformat(found[-1].decode() + "+00:00") if found else None


def processes_of(home: Path) -> list[int]:
    """Processes of this machine that belong to a home folder, by environment, command line or working folder."""
    wanted = str(home).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            text += bytes((entry / "cwd").readlink())
        except OSError:
            continue
        if wanted in text and started_at(int(entry.name)) is not None:
            found.append(int(entry.name))
    return found
