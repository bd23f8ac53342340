"""Check an export of the event store: `python3 tools/verify_chain.py EXPORT.jsonl`. Needs no package installed."""

import runpy
from pathlib import Path

STORE = Path(__file__).resolve().parents[1] / "libs/nexus_common/src/nexus_common/runtime/store"
runpy.run_path(str(STORE / "verify_chain.py"), run_name="__main__")
