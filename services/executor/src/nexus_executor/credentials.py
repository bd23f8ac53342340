"""The keys of live accounts: a TOML file that its owner alone may read.

["owner.binance.live"]
key = "…"
secret = "…"
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexus_common.contracts.values import AccountId
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.log import redaction

VARIABLE = "NEXUS__EXECUTOR__CREDENTIALS_FILE"
_FIELDS = ("key", "secret")


@dataclass(frozen=True, slots=True)
class Keys:
    """An API key and its secret; neither is ever logged."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


def keys_of(account: AccountId, path: Path | None) -> Keys:
    """The keys of one account.

    Raises:
        ConfigurationError: there is no file, others may read it, or it does not hold this account.
    """
    if path is None:
        raise ConfigurationError(
            f"{account} is a live account and has no keys: write them to a file as\n"
            f'  ["{account}"]\n  key = "…"\n  secret = "…"\n'
            f"give it the mode 600, and name it in {VARIABLE}"
        )
    found = read_credentials(path).get(account)
    if found is None:
        raise ConfigurationError(
            f'{path} has no keys of {account}: add a table ["{account}"] with `key` and `secret`'
        )
    return found


def read_credentials(path: Path) -> Mapping[AccountId, Keys]:
    """The keys in a file, by account; from here on no log shows them.

    Raises:
        ConfigurationError: it cannot be read, others may read it, or a table is not what it should be.
    """
    refuse_if_shared(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} with the keys of live accounts cannot be read: {error}") from error
    except tomllib.TOMLDecodeError:
        # Its own text may quote a line with a secret in it.
        raise ConfigurationError(f"{path} with the keys of live accounts is not valid TOML") from None
    keys = dict(_tables(path, document, ()))
    for each in keys.values():
        redaction.register(each.key)
        redaction.register(each.secret)
    return keys


def refuse_if_shared(path: Path) -> None:
    """Raises ConfigurationError when anybody but its owner may read or write the file."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ConfigurationError(
            f"{VARIABLE} names {path}, which cannot be read: {error.strerror}"
        ) from error
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{VARIABLE} names {path}, which is not a file")
    if stat.S_IMODE(mode) not in (0o600, 0o400):
        raise ConfigurationError(
            f"{path} holds keys and has the mode {stat.S_IMODE(mode):o}: only its owner may read it, "
            f"run `chmod 600 {path}`; if others could read it, make new keys at the venue"
        )


def _tables(path: Path, tree: Mapping[str, Any], name: tuple[str, ...]) -> Iterator[tuple[AccountId, Keys]]:
    """Accounts' names hold dots, so a table's name means the same with quotes and without."""
    if name and not any(isinstance(value, dict) for value in tree.values()):
        yield AccountId(".".join(name)), _keys(path, ".".join(name), tree)
        return
    for key, value in tree.items():
        if not isinstance(value, dict):
            raise ConfigurationError(
                f"{path}: {'.'.join((*name, key))} stands outside of an account's table: begin it with "
                '["owner.binance.live"]'
            )
        yield from _tables(path, value, (*name, key))


def _keys(path: Path, account: str, table: Mapping[str, Any]) -> Keys:
    for name in _FIELDS:
        if not isinstance(table.get(name), str) or not table[name].strip():
            raise ConfigurationError(f"{path}: the table of {account} lacks `{name}`")
    other = sorted(set(table) - set(_FIELDS))
    if other:
        raise ConfigurationError(
            f"{path}: the table of {account} holds {', '.join(other)}; only `key` and `secret` belong there"
        )
    return Keys(table["key"].strip(), table["secret"].strip())
