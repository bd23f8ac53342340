"""Keys of live accounts: read from a file that nobody else may read, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_common.contracts.values import AccountId
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.log import redaction
from nexus_executor.credentials import keys_of, read_credentials

LIVE = AccountId("owner.binance.live")
GOOD = f'["{LIVE}"]\nkey = "key-of-the-owner"\nsecret = "secret-of-the-owner"\n'


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_are_found_by_account_and_never_logged(tmp_path: Path) -> None:
    keys = keys_of(LIVE, written(tmp_path, GOOD))
    assert (keys.key, keys.secret) == ("key-of-the-owner", "secret-of-the-owner")
    assert "owner" not in repr(keys)
    assert "secret-of-the-owner" not in str(redaction.clean({"event": "sent secret-of-the-owner"}))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_table_may_be_named_without_quotes(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, GOOD.replace('"owner.binance.live"', LIVE), mode)
    assert list(read_credentials(path)) == [LIVE]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o700])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, GOOD, mode)
    with pytest.raises(ConfigurationError, match=f"has the mode {mode:o}: .*run `chmod 600 {path}`"):
        keys_of(LIVE, path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no keys of owner.binance.live"),
        (GOOD.replace("binance", "bybit"), "has no keys of owner.binance.live"),
        ("key = 5", "key stands outside of an account's table"),
        (f'["{LIVE}"]\nkey = "k"\n', "the table of owner.binance.live lacks `secret`"),
        (f'["{LIVE}"]\nkey = "k"\nsecret = ""\n', "lacks `secret`"),
        (GOOD + 'password = "x"\n', "holds password; only `key` and `secret` belong there"),
        ("[owner\nsecret = 'let nobody see me'", "is not valid TOML$"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_its_secrets(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        keys_of(LIVE, written(tmp_path, text))
    assert "let nobody see me" not in str(refused.value)
    assert "TOML" not in str(refused.value) or refused.value.__suppress_context__


def test_without_a_file_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give it the mode 600, and name it in NEXUS__EXECUTOR__"):
        keys_of(LIVE, None)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        keys_of(LIVE, tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="which is not a file"):
        keys_of(LIVE, tmp_path)
