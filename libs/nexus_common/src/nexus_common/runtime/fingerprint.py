"""Which code runs: a hash over the sources of every Nexus package."""

from __future__ import annotations

import importlib.util
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGES = (
    "nexus_common",
    "nexus_market",
    "nexus_data",
    "nexus_ingest",
    "nexus_cortex",
    "nexus_shield",
    "nexus_executor",
    "nexus_telegram",
    "nexus_scheduler",
)


@cache
def code_fingerprint() -> str:
    """SHA-256 in hex over the installed packages' Python files, in order of their names."""
    digest = sha256()
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue  # an image holds only the packages of its own service
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(root).as_posix()}".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
