"""Runs programs side by side: starts them in tiers, brings the dead ones back, stops all in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from nexus_common.runtime.errors import NexusError
from nexus_ops.stack.children import end, end_leftover, prepare_folder, spawn, write_pid

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 3.0  # who has run this long has recovered: its pauses begin anew
STOP_SECONDS = 10.0


class Managed(Protocol):
    """What a supervisor runs: a program, or a server that knows more about its own start and end."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    def start(self) -> None: ...

    def wait(self) -> int: ...

    def stop(self) -> None: ...


@dataclass
class Program:
    """A command line with its environment and log file. What an earlier run left behind is ended first."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = STOP_SECONDS
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it; `env` adds to our own environment. On a running program nothing happens."""
        if self.pid is not None:
            return
        self.stop()
        prepare_folder(self.log.parent)
        pid_file = self.log.with_suffix(".pid")
        end_leftover(pid_file, ((signal.SIGTERM, self.stop_seconds),))
        self._process = spawn(self.argv, self.log, env={**os.environ, **self.env})
        write_pid(pid_file, self._process.pid)

    def wait(self) -> int:
        """Wait for its end and return the exit code, negative when a signal ended it."""
        process = self._process
        return 0 if process is None else process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when its time has run out; what it started itself is killed."""
        process, self._process = self._process, None
        if process is not None:
            end(process, ((signal.SIGTERM, self.stop_seconds),), group=True)
            self.log.with_suffix(".pid").unlink(missing_ok=True)


def python_service(name: str, *, logs: Path, env: Mapping[str, str]) -> Program:
    """The service `name` as a process of this interpreter, logging to `{logs}/{name}.log`."""
    return Program(name, [sys.executable, "-m", f"nexus_{name}"], logs / f"{name}.log", env)


@dataclass(frozen=True, slots=True)
class Status:
    """`pid` is None between death and restart; `problem` is why the last restart failed."""

    name: str
    pid: int | None
    restarts: int
    last_exit: int | None
    problem: str | None


class _Watched:
    """One managed program, and the thread that brings it back."""

    def __init__(self, managed: Managed, stopping: threading.Event) -> None:
        self.managed = managed
        self.restarts = 0
        self.last_exit: int | None = None
        self.problem: str | None = None
        self._stopping = stopping
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{managed.name}", daemon=True)

    def start(self) -> None:
        self.managed.start()
        self._thread.start()

    def stop(self) -> None:
        with self._starting:
            self.managed.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        for pause in self._deaths():
            if self._stopping.wait(pause):
                return
            with self._starting:
                if self._stopping.is_set():
                    return
                self._restart()

    def _deaths(self) -> Iterator[float]:
        """The pause before each restart; it doubles while the program does not live long."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            begun = time.monotonic()
            if self.managed.pid is not None or self.problem is None:
                self.last_exit = self.managed.wait()
            if time.monotonic() - begun > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            yield pause
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    def _restart(self) -> None:
        self.restarts += 1
        try:
            self.managed.start()
        except (NexusError, OSError) as error:
            self.problem = str(error)
        else:
            self.problem = None


class Supervisor:
    """Keeps programs running until it is told to stop; safe to use from any thread.

    Each `start` adds a tier; `stop` ends the tiers in reverse, the members of a tier at the same time.
    """

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._tiers: list[list[_Watched]] = []
        self._handlers: dict[signal.Signals, Any] = {}

    def start(self, *tier: Managed) -> None:
        """Start programs that may run together; the error of one that cannot start is passed on."""
        if self._stopping.is_set():
            raise RuntimeError("this supervisor has been stopped")
        watched = [_Watched(managed, self._stopping) for managed in tier]
        self._tiers.append(watched)
        with ThreadPoolExecutor(max(len(watched), 1)) as pool:
            list(pool.map(_Watched.start, watched))

    def stop(self) -> None:
        """End everything; returns when no process of ours is left."""
        self._stopping.set()
        for tier in reversed(self._tiers):
            with ThreadPoolExecutor(max(len(tier), 1)) as pool:
                list(pool.map(_Watched.stop, tier))
        self._wanted.set()

    def status(self) -> list[Status]:
        """One line for each program, in the order of their start."""
        return [
            Status(each.managed.name, each.managed.pid, each.restarts, each.last_exit, each.problem)
            for tier in self._tiers
            for each in tier
        ]

    def wait_until_stop_is_wanted(self, timeout: float | None = None) -> bool:
        """Wait for the end of `stop` or, within `with`, a signal that asks to end. False after `timeout`."""
        return self._wanted.wait(timeout)

    def __enter__(self) -> Supervisor:
        """From here on SIGINT, SIGTERM and SIGHUP ask to stop (where we are the main thread)."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._handlers[number] = signal.signal(number, lambda *_: self._wanted.set())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
