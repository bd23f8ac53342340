"""Cortex reads the market and says what its strategies want, with reasons."""

from nexus_common.contracts.values import Service
from nexus_common.runtime.service import run
from nexus_cortex.bootstrap import build

if __name__ == "__main__":
    run(Service.CORTEX, build)
