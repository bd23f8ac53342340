"""The stack of docker-compose.yml, under a project of its own that leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BASE_IMAGES = ("python:3.11-slim-bookworm", "postgres:18-bookworm", "nats:2.15.1-alpine")
# A script that makes images of these names where no registry can be reached.
STAND_IN = os.environ.get("NEXUS_STANDIN_IMAGES", str(ROOT / "../shared/tools/standin-images.sh"))


def run(*argv: str, env: dict[str, str] | None = None, check: bool = True) -> str:
    """The standard output of a program; what it said when it failed."""
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(argv)} failed with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-8000:]}"
        )
    return done.stdout.strip()


def succeeds(*argv: str) -> bool:
    return shutil.which(argv[0]) is not None and subprocess.run(argv, capture_output=True).returncode == 0


class Stack:
    """What one would type, against one project."""

    def __init__(self, project: str, folder: Path, settings: dict[str, str]) -> None:
        self.project = project
        compose = ["docker", "compose"] if succeeds("docker", "compose", "version") else ["docker-compose"]
        no_dotenv = folder / "dotenv"
        no_dotenv.touch()
        self._compose = [*compose, "--env-file", str(no_dotenv), "-p", project]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NEXUS_", "COMPOSE_"))}
        self._env = {**inherited, **settings, "NEXUS_SECRETS_DIR": str(folder / "secrets")}
        run("sh", "deploy/secrets.sh", str(folder / "secrets"))

    def compose(self, *argv: str, check: bool = True) -> str:
        return run(*self._compose, *argv, env=self._env, check=check)

    def eventually(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds; the containers' last words when it does not."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                said = self.compose("logs", "--tail", "15", check=False)
                pytest.fail(f"within {seconds:g} s it did not come true that {what}\n{said[-12000:]}")
            time.sleep(0.2)

    def nexus(self, *argv: str) -> dict[str, Any]:
        """The JSON that the `nexus` command answers with, run as a container beside the stack."""
        answer: dict[str, Any] = json.loads(self.compose("run", "--rm", "-T", "nexus", *argv, "--json"))
        return answer

    def ask(self, query: str) -> list[list[str]]:
        """Rows of the store."""
        rows = self.compose(
            *("exec", "-T", "postgres", "psql", "-h", "/var/run/postgresql", "-U", "nexus", "-Atc", query),
            check=False,
        )
        return [line.split("|") for line in rows.splitlines()]

    def count(self, kind: str) -> int:
        """How many events there are of a type, or of all types of a family (`order.%`)."""
        rows = self.ask(f"SELECT count(*) FROM events WHERE type LIKE '{kind}'")
        return int(rows[0][0]) if rows else 0

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def inspect(self, container: str, what: str) -> str:
        return run("docker", "inspect", "-f", f"{{{{.{what}}}}}", container)

    def kill(self, service: str) -> None:
        """SIGKILL to whatever runs in the service's first container. `docker kill` would keep it from coming back."""
        container = self.containers(service)[0]
        restarts = int(self.inspect(container, "RestartCount"))
        run("docker", "exec", container, "sh", "-c", "kill -9 -1", check=False)
        self.eventually(
            f"{service} was started again",
            lambda: (
                int(self.inspect(container, "RestartCount")) > restarts
                and self.inspect(container, "State.Health.Status") == "healthy"
            ),
            seconds=60,
        )

    def leftovers(self) -> list[str]:
        """Containers, volumes and networks of the project."""
        mine = f"label=com.docker.compose.project={self.project}"
        lists = (["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q"])
        return [found for words in lists for found in run("docker", *words, "--filter", mine).split()]


def base_images() -> None:
    """Have the base images here: pulled, or made by the stand-in script."""
    missing = [image for image in BASE_IMAGES if not succeeds("docker", "image", "inspect", image)]
    if all([succeeds("docker", "pull", image) for image in missing]):
        return
    if not Path(STAND_IN).is_file():
        pytest.fail(
            f"{', '.join(missing)} cannot be pulled: reach a registry, or name a script that makes stand-ins "
            "in NEXUS_STANDIN_IMAGES"
        )
    run("bash", STAND_IN)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, started from nothing on a generated market."""
    if not succeeds("docker", "info"):
        pytest.fail("no Docker engine answers: start one, or run .ci/docker-engine")
    base_images()
    # Slow enough that the market outlasts all that is done to the stack while it is open.
    market = {"NEXUS__INGEST__MINUTES": "720", "NEXUS__INGEST__SPEED": "360", "NEXUS__INGEST__SEED": "5"}
    started = Stack(f"nexus-test-{os.getpid()}", tmp_path_factory.mktemp("compose"), market)
    started.compose("--profile", "ops", "build")  # here, so that `run` prints nothing but what it ran
    try:
        started.compose("up", "-d")
        yield started
    finally:
        if os.environ.get("NEXUS_KEEP_STACK") is None:
            started.compose("down", "-v", "--remove-orphans", check=False)
