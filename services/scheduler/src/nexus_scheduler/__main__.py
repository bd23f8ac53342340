"""Scheduler fires tasks when their time has come."""

from nexus_common.contracts.values import Service
from nexus_common.runtime.service import run
from nexus_scheduler.bootstrap import build

if __name__ == "__main__":
    run(Service.SCHEDULER, build)
