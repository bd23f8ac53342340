"""What can be set is what `.env.example` lists, and what the containers pass on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from nexus_common.runtime.settings import describe, load

ROOT = Path(__file__).parents[3]
# Where programs in containers stand is for the compose file to say.
SET_BY_COMPOSE = {
    "NEXUS__STORE__URL",
    "NEXUS__BUS__URL",
    "NEXUS__EXCHANGE__URL",
    "NEXUS__EXCHANGE__BINANCE_URL",
    "NEXUS__EXCHANGE__BYBIT_URL",
    "NEXUS__EXCHANGE__ALPACA_URL",
    "NEXUS__RUNTIME__INSTANCE",
    "NEXUS__RUNTIME__REPLICAS",
    "NEXUS__RUNTIME__HEALTH_HOST",
    "NEXUS__RUNTIME__HEALTH_PORT",
    "NEXUS__RUNTIME__TRACE_DIR",
    "NEXUS__INGEST__DATA_DIR",
    "NEXUS__INGEST__SPEED",
    "NEXUS__TELEGRAM__MODE",
}


def test_the_example_lists_every_setting_with_its_default() -> None:
    listed = re.findall(r"^# (NEXUS__\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert listed == [(variable, default) for variable, default, _ in describe()]


def test_the_example_is_what_its_tool_writes() -> None:
    """Otherwise: `.venv/bin/python tools/env_example.py > .env.example`."""
    tool = [sys.executable, str(ROOT / "tools" / "env_example.py")]
    written = subprocess.run(tool, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert (ROOT / ".env.example").read_text() == written


def test_the_example_uncommented_changes_nothing() -> None:
    example = (ROOT / ".env.example").read_text()
    assert load(environment=dict(re.findall(r"^# (NEXUS__\w+)=(.*)$", example, re.MULTILINE))) == load(
        environment={}
    )


def test_the_compose_file_passes_on_every_setting_that_it_does_not_set_itself() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    passed_on = re.findall(r"^  (NEXUS__\w+):$", compose, re.MULTILINE)
    assert passed_on == [variable for variable, _, _ in describe() if variable not in SET_BY_COMPOSE]
