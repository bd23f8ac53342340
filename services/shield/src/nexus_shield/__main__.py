"""Shield decides whether a signal may become an order, and how large."""

from nexus_common.contracts.values import Service
from nexus_common.runtime.service import run
from nexus_shield.bootstrap import build

if __name__ == "__main__":
    run(Service.SHIELD, build)
