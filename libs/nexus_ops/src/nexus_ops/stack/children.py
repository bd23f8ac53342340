"""Child processes that do not outlive us, and how to recognise those that did.

Three nets, one below the other: `stop` in order; a death signal that the kernel sends to the child when its
parent is gone; and a pid file that the next start looks at. The pid file carries the process's start time
because the system hands pids out again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from nexus_common.runtime.errors import ConfigurationError

LOG_BYTES_MAX = 10_000_000
DISK_BYTES_MIN = 100_000_000
LOCK = "lock"


@cache
def _spawner() -> ThreadPoolExecutor:
    # The kernel counts the death of the thread that forked as the death of the parent. One thread that
    # lives as long as this process starts all children, whichever thread asks for it.
    return ThreadPoolExecutor(1, thread_name_prefix="spawner")


def spawn(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    become: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to `log`.

    `become` is a command prefix that changes who we are; the death signal is armed behind it, because a
    change of user disarms it.
    """
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return (
            _spawner()
            .submit(
                subprocess.Popen,
                [*become, *_armed(death_signal), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
            .result()
        )


def _armed(death_signal: signal.Signals) -> tuple[str, ...]:
    """The command prefix that has the kernel send a signal when we are gone; none where that is unknown."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", death_signal.name[3:], "--") if setpriv else ()


def end(
    process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]], *, group: bool = False
) -> int:
    """Send each signal in turn and wait its number of seconds; at last kill. Returns the exit code.

    `group` also kills what the program has left behind in its own session.
    """
    for number, seconds in (*signals, (signal.SIGKILL, 10.0)):
        if process.poll() is not None:
            break
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    if group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait(10.0)


def started_at(pid: int) -> str | None:
    """When a process started, in a spelling that is only compared; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return found.stdout.strip() or None
    return None if fields[0] in "ZX" else fields[19]


def write_pid(path: Path, pid: int) -> None:
    path.write_text(f"{pid} {started_at(pid)}\n")


def end_leftover(path: Path, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Stop the process that a pid file names, if it is still the same one, and remove the file."""
    try:
        pid_text, _, birth = path.read_text().strip().partition(" ")
        pid = int(pid_text)
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
        return
    if birth and started_at(pid) == birth:
        end_foreign(pid, birth, signals)
    path.unlink(missing_ok=True)


def end_foreign(pid: int, birth: str, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Stop a process that is not our child: signals in turn, at last kill."""
    for number, seconds in (*signals, (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if started_at(pid) != birth:
                return
            time.sleep(0.01)
    raise ConfigurationError(
        f"process {pid}, left over from an earlier run, cannot be stopped: end it by hand"
    )


class FolderLock:
    """A folder belongs to one supervising process at a time; the kernel drops the lock with the process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: int | None = None

    def acquire(self) -> None:
        """Raises ConfigurationError when another process holds the folder."""
        if self._file is not None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 20).decode().strip() or "unknown"
            os.close(file)
            raise ConfigurationError(
                f"the data folder {self._path.parent} is in use by process {holder}: "
                "stop it, or choose another data folder"
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    @property
    def is_held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def prepare_folder(folder: Path) -> Path:
    """Make a private folder; raises ConfigurationError when it cannot be written or its disk is full."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {folder} cannot be written ({error.strerror}): "
            "give it write permission, free its disk, or choose another folder"
        ) from error
    if free < DISK_BYTES_MIN:
        raise ConfigurationError(
            f"the disk that holds the data folder {folder} has {free // 1_000_000} MB left, "
            f"{DISK_BYTES_MIN // 1_000_000} MB are needed: free some space, or choose another folder"
        )
    return folder.resolve()


def tail(log: Path, size: int = 1500) -> str:
    """The end of a log file, for an error message."""
    try:
        return log.read_bytes()[-size:].decode(errors="replace").strip()
    except OSError:
        return "(no log)"
