"""Ingest records what happens at the venues, and plays recorded markets."""

from nexus_common.contracts.values import Service
from nexus_common.runtime.service import run
from nexus_ingest.bootstrap import build

if __name__ == "__main__":
    run(Service.INGEST, build)
