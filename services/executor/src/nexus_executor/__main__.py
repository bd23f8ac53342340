"""Executor turns verdicts into orders, keeps positions protected, and hears the fills."""

from nexus_common.contracts.values import Service
from nexus_common.runtime.service import run
from nexus_executor.bootstrap import build

if __name__ == "__main__":
    run(Service.EXECUTOR, build)
