"""The embedded servers keep what was committed and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import psycopg
import pytest

from nexus_common.runtime.errors import ConfigurationError
from nexus_ops.stack import EmbeddedNats, EmbeddedPostgres, Program, Supervisor, free_port, unprivileged
from nexus_ops.stack.children import started_at

pytestmark = pytest.mark.integration

SUPERVISING = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from nexus_ops.stack import EmbeddedNats, EmbeddedPostgres
    postgres, nats = EmbeddedPostgres(Path(sys.argv[1]) / "pg"), EmbeddedNats(Path(sys.argv[1]) / "nats")
    postgres.start(); nats.start()
    print(postgres.dsn, postgres.pid, nats.url, nats.pid, flush=True)
    time.sleep(600)
""")


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "pg")
    yield server
    server.stop()


@pytest.fixture
def nats_apart(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats")
    yield server
    server.stop()


def run(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    return started_at(pid) is None


def test_rows_and_servers_survive_a_killed_postmaster(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    run(postgres.dsn, "CREATE TABLE t AS SELECT 7 AS n")
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.wait()
    postgres.start()
    assert run(postgres.dsn, "SELECT n FROM t") == [(7,)]


def test_killing_the_supervising_process_ends_its_servers_and_loses_no_row(tmp_path: Path) -> None:
    supervising = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert supervising.stdout is not None
    dsn, postgres_pid, _, nats_pid = supervising.stdout.readline().split()
    run(dsn, "CREATE TABLE t AS SELECT 7 AS n")
    supervising.kill()
    supervising.communicate()
    eventually(lambda: gone(int(nats_pid)))

    postgres, nats_again = EmbeddedPostgres(tmp_path / "pg"), EmbeddedNats(tmp_path / "nats")
    try:
        postgres.start()  # whether or not the old one has finished its shutdown
        nats_again.start()
        assert gone(int(postgres_pid))
        assert run(postgres.dsn, "SELECT n FROM t") == [(7,)]
    finally:
        postgres.stop()
        nats_again.stop()


def test_a_postmaster_left_running_is_stopped_before_the_next_start(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    unarmed = "from nexus_ops.stack import children; children._armed = lambda number: ()\n"
    child = subprocess.Popen(
        [sys.executable, "-c", unarmed + SUPERVISING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    dsn, postgres_pid, _, nats_pid = child.stdout.readline().split()
    run(dsn, "CREATE TABLE t AS SELECT 7 AS n")
    child.kill()
    child.communicate()
    assert not gone(int(postgres_pid))

    postgres.start()
    assert gone(int(postgres_pid))
    assert run(postgres.dsn, "SELECT n FROM t") == [(7,)]
    nats_again = EmbeddedNats(tmp_path / "nats")
    nats_again.start()
    assert gone(int(nats_pid))
    nats_again.stop()


def test_a_pid_file_that_names_a_stranger_does_not_prevent_the_start(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.wait()
    pid_file = postgres.directory / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres.start()
    assert run(postgres.dsn, "SELECT 1") == [(1,)]


def test_a_folder_has_one_supervising_process(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}"):
        EmbeddedPostgres(postgres.directory).start()
    assert run(postgres.dsn, "SELECT 1") == [(1,)]


def test_several_stacks_run_side_by_side(tmp_path: Path) -> None:
    postgres = [EmbeddedPostgres(tmp_path / f"pg{n}") for n in range(2)]
    brokers = [EmbeddedNats(tmp_path / f"nats{n}") for n in range(2)]
    with Supervisor() as supervisor:
        supervisor.start(*postgres, *brokers)
        for number, server in enumerate(postgres):
            run(server.dsn, f"CREATE TABLE t AS SELECT {number} AS n")
        assert [run(server.dsn, "SELECT n FROM t") for server in postgres] == [[(0,)], [(1,)]]
        assert len({*(server.port for server in postgres), *(server.port for server in brokers)}) == 4
        pids = [each.pid for each in supervisor.status() if each.pid]
    assert len(pids) == 4
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedNats])
def test_a_busy_port_is_refused_in_a_sentence(
    server: type[EmbeddedPostgres] | type[EmbeddedNats], tmp_path: Path
) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127.0.0.1:{port} .*another port"):
            server(tmp_path, port).start()


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedNats])
def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(
    server: type[EmbeddedPostgres] | type[EmbeddedNats], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        server(tmp_path / "file" / "data").start()


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedNats])
def test_a_full_disk_is_refused_in_a_sentence(
    server: type[EmbeddedPostgres] | type[EmbeddedNats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "nexus_ops.stack.children.shutil.disk_usage", lambda path: usage._replace(free=5_000_000)
    )
    with pytest.raises(ConfigurationError, match="has 5 MB left"):
        server(tmp_path).start()


def test_strangers_on_this_machine_need_the_password(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://nexus@127.0.0.1:{postgres.port}/nexus")
    assert ((postgres.directory / "password").stat().st_mode & 0o077) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces_becomes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "NAMESPACE", ("false",))
    server = EmbeddedPostgres(tmp_path / "pg")
    try:
        server.start()
        assert server.pid is not None
        assert Path(f"/proc/{server.pid}").stat().st_uid == unprivileged.NOBODY
        run(server.dsn, "CREATE TABLE t AS SELECT 7 AS n")
        server.stop()
        server.start()
        assert run(server.dsn, "SELECT n FROM t") == [(7,)]
        home = Path(f"/proc/{server.pid}/cwd").readlink().parent
    finally:
        server.stop()
    if not home.is_relative_to(tmp_path):
        shutil.rmtree(home)


async def test_streams_survive_a_killed_server_and_a_wipe_loses_them(nats_apart: EmbeddedNats) -> None:
    nats_apart.start()
    url = nats_apart.url

    async def streams() -> list[str | None]:
        client = await nats.connect(url)
        try:
            return [info.config.name for info in await client.jetstream().streams_info()]
        finally:
            await client.close()

    client = await nats.connect(url)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    await client.close()
    assert nats_apart.pid is not None
    os.kill(nats_apart.pid, signal.SIGKILL)
    nats_apart.wait()
    nats_apart.start()
    assert nats_apart.url == url
    assert await streams() == ["S"]
    nats_apart.wipe()
    assert nats_apart.url == url
    assert await streams() == []


def service(tmp_path: Path, name: str, code: str) -> Program:
    return Program(
        name, [sys.executable, "-c", textwrap.dedent(code)], tmp_path / f"{name}.log", stop_seconds=1
    )


def test_a_dead_program_is_back_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    program = service(tmp_path, "sleeper", "import time; time.sleep(600)")
    with Supervisor() as supervisor:
        supervisor.start(program)
        first = program.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        begun = time.monotonic()
        eventually(lambda: program.pid not in (None, first))
        assert time.monotonic() - begun < 1.0  # a pause of 0.05 s; the rest is for a busy machine
        (status,) = supervisor.status()
        assert (status.restarts, status.last_exit) == (1, -signal.SIGKILL)


def test_a_program_that_dies_at_once_is_restarted_with_growing_pauses(tmp_path: Path) -> None:
    program = service(tmp_path, "dying", "raise SystemExit(2)")
    with Supervisor() as supervisor:
        supervisor.start(program)
        eventually(lambda: supervisor.status()[0].restarts >= 3)
        begun = time.monotonic()
        eventually(lambda: supervisor.status()[0].restarts >= 4)
        assert time.monotonic() - begun > 0.2
        assert supervisor.status()[0].last_exit == 2


def test_the_supervisor_brings_killed_servers_back_on_their_addresses(tmp_path: Path) -> None:
    postgres, broker = EmbeddedPostgres(tmp_path / "pg"), EmbeddedNats(tmp_path / "nats")
    with Supervisor() as supervisor:
        supervisor.start(postgres, broker)
        addresses = (postgres.dsn, broker.url)
        run(postgres.dsn, "CREATE TABLE t AS SELECT 7 AS n")
        for server in (postgres, broker):
            old = server.pid
            assert old is not None
            os.kill(old, signal.SIGKILL)
            eventually(lambda server=server, old=old: server.pid not in (None, old))  # type: ignore[misc]
        eventually(lambda: [each.restarts for each in supervisor.status()] == [1, 1])
        eventually(lambda: _answers(postgres.dsn))
        assert (postgres.dsn, broker.url) == addresses
        assert run(postgres.dsn, "SELECT n FROM t") == [(7,)]


def _answers(dsn: str) -> bool:
    try:
        return bool(run(dsn, "SELECT 1"))
    except psycopg.OperationalError:
        return False


def test_stop_kills_who_does_not_listen_and_what_programs_have_started(tmp_path: Path) -> None:
    marks = tmp_path / "grandchild"
    stubborn = service(
        tmp_path,
        "stubborn",
        f"""
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(marks)!r}, "w").write(str(child.pid))
        time.sleep(600)
        """,
    )
    with Supervisor() as supervisor:
        supervisor.start(stubborn)
        eventually(lambda: marks.exists() and marks.read_text() != "")
        pid = stubborn.pid
        assert pid is not None
    assert gone(pid)
    eventually(lambda: gone(int(marks.read_text())))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from nexus_ops.stack import EmbeddedNats, Program, Supervisor
        with Supervisor() as supervisor:
            folder = Path(sys.argv[1])
            sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
            sleeper = Program("sleeper", sleeping, folder / "sleeper.log")
            supervisor.start(EmbeddedNats(folder / "nats"))
            supervisor.start(sleeper)
            print(*(each.pid for each in supervisor.status()), flush=True)
            supervisor.wait_until_stop_is_wanted()
    """)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert all(gone(pid) for pid in pids)


def test_free_ports_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
