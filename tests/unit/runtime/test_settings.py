"""Settings come from four places, and whatever is wrong in any of them is named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from nexus_common.contracts.values import Mode
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import NexusSettings, describe, load

CANARY = "canary-7f3a-never-shown"


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _complaint(**environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(environment=environment)
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    settings = load(environment={})
    assert settings == NexusSettings()
    assert settings.telegram.mode is Mode.WATCHER
    assert settings.telegram.paper_usdt == 10_000


def test_the_environment_sets_nested_values_and_lists() -> None:
    settings = load(
        environment={
            "NEXUS__INGEST__SYMBOLS": "BTCUSDT, ETHUSDT",
            "NEXUS__INGEST__START": "2021-05-19",
            "NEXUS__CORTEX__PARAMETERS__TREND__ADX_MIN": "30",
            "NEXUS__SHIELD__RISK__MARGIN_FRACTION": "0.02",
            "NEXUS__TELEGRAM__VENUES": '["binance", "alpaca"]',
        }
    )
    assert settings.ingest.symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.ingest.start == datetime(2021, 5, 19, tzinfo=UTC)
    assert settings.cortex.parameters == {"trend": {"adx_min": Decimal(30)}}
    assert settings.shield.risk.margin_fraction == Decimal("0.02")
    assert [venue.value for venue in settings.telegram.venues] == ["binance", "alpaca"]


def test_the_processs_own_environment_is_read_when_none_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS__INGEST__SEED", "77")
    assert load().ingest.seed == 77


def test_arguments_beat_the_environment_which_beats_the_file_which_beats_a_programs_defaults(
    tmp_path: Path,
) -> None:
    (tmp_path / "nexus.toml").write_text("[ingest]\nseed = 2\nminutes = 20\n[telegram]\nowner = 'toml'\n")
    settings = load(
        {"ingest": {"seed": 4}},
        defaults={"ingest": {"seed": 1, "minutes": 10}, "telegram": {"owner": "program", "mode": "pilot"}},
        environment={"NEXUS__INGEST__SEED": "3"},
    )
    assert settings.ingest.seed == 4
    assert settings.ingest.minutes == 20
    assert settings.telegram.owner == "toml"
    assert settings.telegram.mode is Mode.PILOT
    assert load(environment={"NEXUS__INGEST__SEED": "3"}).ingest.seed == 3


def test_a_decimal_in_the_file_keeps_its_digits(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[cortex.parameters.trend]\nstop_atr = 1.7\n")
    settings = load(environment={"NEXUS_CONFIG": "other.toml"})
    assert settings.cortex.parameters["trend"]["stop_atr"] == Decimal("1.7")


def test_an_unknown_variable_is_named_with_the_nearest_one() -> None:
    complaint = _complaint(NEXUS__INGEST__SYMBOL="BTCUSDT")
    assert "NEXUS__INGEST__SYMBOL is not known; did you mean NEXUS__INGEST__SYMBOLS?" in complaint


def test_an_unknown_section_is_named() -> None:
    assert "NEXUS__INJEST__SEED is not known; did you mean NEXUS__INGEST__SEED?" in _complaint(
        NEXUS__INJEST__SEED="1"
    )


def test_an_unknown_key_of_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text("[shield.risk]\nmargin_fracton = 0.02\n")
    complaint = _complaint()
    assert (
        "shield.risk.margin_fracton in nexus.toml is not known; did you mean shield.risk.margin_fraction?"
        in complaint
    )


def test_every_wrong_key_and_value_is_listed_at_once() -> None:
    complaint = _complaint(
        NEXUS__INGEST__SEEED="1",
        NEXUS__INGEST__SPEED="-1",
        NEXUS__TELEGRAM__MODE="pilto",
        NEXUS__SHIELD__RISK__RISK_FRACTION="0.5",
        NEXUS__STORE="postgres",
    )
    for name in ("INGEST__SEEED", "INGEST__SPEED", "TELEGRAM__MODE", "SHIELD__RISK__RISK_FRACTION", "STORE"):
        assert f"NEXUS__{name}" in complaint
    assert len(complaint.splitlines()) == 6


def test_variables_of_others_are_left_alone() -> None:
    assert load(environment={"NEXUSX": "1", "PATH": "/bin"}) == NexusSettings()


def test_an_empty_variable_counts_as_unset() -> None:
    assert (
        load(environment={"NEXUS__SHIELD__RISK__LEVERAGE": "", "NEXUS__INGEST__DATA_DIR": ""})
        == NexusSettings()
    )


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{CANARY}\n")
    settings = load(environment={"NEXUS__TELEGRAM__TOKEN__FILE": str(secret)})
    assert settings.telegram.token is not None
    assert settings.telegram.token.get_secret_value() == CANARY


def test_a_secrets_file_that_is_missing_is_named() -> None:
    assert "NEXUS__STORE__URL__FILE names /nowhere" in _complaint(NEXUS__STORE__URL__FILE="/nowhere")


def test_a_value_and_a_file_for_it_contradict_each_other(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://a/b")
    complaint = _complaint(NEXUS__STORE__URL="postgresql://c/d", NEXUS__STORE__URL__FILE=str(secret))
    assert "both set" in complaint


def test_a_broken_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text("[ingest\n")
    assert "nexus.toml is not valid TOML" in _complaint()
    assert "NEXUS_CONFIG names gone.toml" in _complaint(NEXUS_CONFIG="gone.toml")


def test_secrets_stay_out_of_the_dump_the_hash_the_text_and_the_complaints() -> None:
    settings = load(
        environment={
            "NEXUS__STORE__URL": f"postgresql://nexus:{CANARY}@db/nexus",
            "NEXUS__TELEGRAM__TOKEN": f"123:{CANARY}",
        }
    )
    assert CANARY not in str(settings.public_dump())
    assert CANARY not in repr(settings)
    assert settings.settings_hash() == NexusSettings().settings_hash()
    assert settings.secret_values() == (CANARY, f"123:{CANARY}")
    assert CANARY not in _complaint(NEXUS__STORE__URLS=CANARY, NEXUS__INGEST__SEED=CANARY)


def test_the_hash_tells_what_decides_and_not_where_it_runs() -> None:
    here = load(environment={"NEXUS__RUNTIME__HEALTH_PORT": "8080", "NEXUS__EXCHANGE__URL": "http://x:1"})
    other = load(environment={"NEXUS__SHIELD__RISK__LOSING_STREAK": "4"})
    assert here.settings_hash() == NexusSettings().settings_hash()
    assert other.settings_hash() != NexusSettings().settings_hash()


def test_the_dump_is_flat_text() -> None:
    dump = load({"cortex": {"parameters": {"trend": {"adx_min": 30}}}}, environment={}).public_dump()
    assert dump["cortex.parameters.trend.adx_min"] == "30"
    assert dump["ingest.symbols"].startswith("BTCUSDT,ETHUSDT")
    assert dump["shield.risk.kelly"] == "false"
    assert list(dump) == sorted(dump)


def test_settings_cannot_be_changed() -> None:
    settings = load(environment={})
    with pytest.raises(ValidationError):
        settings.ingest.seed = 5  # type: ignore[misc]


def test_every_setting_is_described_and_its_shown_default_gives_the_default() -> None:
    described = describe()
    assert all(name.startswith("NEXUS__") for name, _, _ in described)
    assert len({name for name, _, _ in described}) == len(described)
    assert load(environment={name: default for name, default, _ in described}) == NexusSettings()
