"""A home folder's life: whose run it holds, whether to go on with it, and putting it aside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from nexus_common.runtime.errors import ConfigurationError
from nexus_ops.stack.children import LOCK, FolderLock

NOT_OF_THE_MARKET = ("NEXUS__INGEST__SPEED", "NEXUS__RUNTIME__LOG_LEVEL")


def prepare_home(home: Path, environment: Mapping[str, str], *, fresh: bool) -> None:
    """Make the folder ready for a run with these settings.

    A folder with an unfinished run of the same market is gone on with. With `fresh` what it holds is put
    aside as `previous`.

    Raises:
        ConfigurationError: the folder holds a run of another market, one that is still running, or something that
            is not ours.
    """
    wanted = {k: v for k, v in environment.items() if k not in NOT_OF_THE_MARKET}
    word = home / "market.json"
    if home.exists() and not home.is_dir():
        raise ConfigurationError(f"{home} is no folder: choose another with --home")
    if home.exists() and any(home.iterdir()) and not word.exists() and not (home / "previous").exists():
        raise ConfigurationError(f"{home} holds files that are not ours: choose another folder with --home")
    if home.exists():
        _refuse_while_in_use(home)
    if fresh or (home / "ended").exists():
        put_aside(home)
    elif word.exists() and json.loads(word.read_text()) != wanted:
        raise ConfigurationError(
            f"{home} holds a run of another market: use --fresh to put it aside, or another --home"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        word.write_text(json.dumps(wanted, indent=2))
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {home} cannot be written ({error.strerror}): choose another with --home"
        ) from error


def _refuse_while_in_use(home: Path) -> None:
    try:
        lock = FolderLock(home)
        lock.acquire()
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {home} cannot be written ({error.strerror}): choose another with --home"
        ) from error
    lock.release()


def put_aside(home: Path) -> None:
    """Move a run to `previous` inside its home, in place of an older one."""
    if not home.exists():
        return
    previous = home / "previous"
    shutil.rmtree(previous, ignore_errors=True)
    kept = [path for path in home.iterdir() if path not in (previous, home / LOCK)]
    if kept:
        previous.mkdir()
        for path in kept:
            path.rename(previous / path.name)
