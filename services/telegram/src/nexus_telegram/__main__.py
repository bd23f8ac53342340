"""Telegram holds the users' sessions and tells them what happens."""

from nexus_common.contracts.values import Service
from nexus_common.runtime.service import run
from nexus_telegram.bootstrap import build

if __name__ == "__main__":
    run(Service.TELEGRAM, build)
