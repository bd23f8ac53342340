"""A model's files are taken whole and unchanged, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.envelope import canonical
from nexus_cortex.artefact import (
    FILES,
    LISTED,
    MANIFEST,
    MODEL,
    SCALER,
    SCHEMA,
    SIZE_MAX,
    ArtefactRefused,
    check_apart,
    load_artefact,
    manifest_of,
)
from nexus_cortex.domain.model_features import FEATURES, schema_hash
from nexus_cortex.domain.outcomes import CLASSES

ROWS = np.random.default_rng(5).normal(size=(240, len(FEATURES)))


def trained(features: int = len(FEATURES), classes: int = len(CLASSES)) -> bytes:
    import xgboost

    labels = np.arange(len(ROWS)) % classes
    data = xgboost.DMatrix(ROWS[:, :features] + labels[:, None], label=labels)
    parameters = {"objective": "multi:softprob", "num_class": classes, "nthread": 1, "max_depth": 3}
    return bytes(xgboost.train(parameters, data, 3).save_raw("ubj"))


def documents() -> dict[str, Any]:
    return {
        SCALER: {"centre": [0.5] * len(FEATURES), "scale": [2.0] * len(FEATURES)},
        SCHEMA: {
            "schema_hash": schema_hash(),
            "features": list(FEATURES),
            "classes": list(CLASSES),
            "timeframe": "15m",
            "instruments": ["BTCUSDT"],
        },
    }


def sealed(model: bytes, changes: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, bytes]:
    """An artefact whose hashes are right, whatever it holds."""
    files = {MODEL: model}
    for name, document in documents().items():
        files[name] = json.dumps({**document, **(changes or {}).get(name, {})}).encode()
    return {**files, MANIFEST: manifest_of(files, {"rows": 240, "metrics": {"accuracy": 0.5}})}


GOOD = sealed(trained())


def test_a_model_is_named_by_its_digest_and_gives_probabilities() -> None:
    artefact = load_artefact(GOOD)

    probabilities = artefact.predict(ROWS)

    assert artefact.model == artefact.digest[:12]
    assert artefact.instruments == ("BTCUSDT",)
    assert artefact.manifest["rows"] == 240
    assert probabilities.shape == (240, len(CLASSES))
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert load_artefact(GOOD, artefact.digest).model == artefact.model


def test_a_row_alone_gives_the_bits_it_gives_within_a_block() -> None:
    artefact = load_artefact(GOOD)

    whole = artefact.predict(ROWS)

    for row in range(0, len(ROWS), 7):
        assert artefact.predict(ROWS[row : row + 1]).tobytes() == whole[row : row + 1].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_row_that_is_no_number_gets_no_prediction_and_the_others_do(value: float) -> None:
    rows = ROWS[:3].copy()
    rows[1, 4] = value

    probabilities = load_artefact(GOOD).predict(rows)

    assert np.isnan(probabilities[1]).all()
    assert np.isfinite(probabilities[[0, 2]]).all()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FILES), st.floats(0.0, 1.0, exclude_max=True), st.integers(1, 255))
def test_any_byte_changed_in_any_file_is_refused(name: str, where: float, mask: int) -> None:
    content = bytearray(GOOD[name])
    content[int(where * len(content))] ^= mask

    with pytest.raises(ArtefactRefused):
        load_artefact({**GOOD, name: bytes(content)})


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_or_with_something_behind_it_or_away_is_refused(name: str) -> None:
    content = GOOD[name]
    for changed in (b"", content[:-1], content[: len(content) // 2], content + b" ", content + b"\n"):
        with pytest.raises(ArtefactRefused):
            load_artefact({**GOOD, name: changed})
    with pytest.raises(ArtefactRefused, match=f"{name} is missing"):
        load_artefact({each: GOOD[each] for each in FILES if each != name})


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (SCHEMA, {"schema_hash": "0" * 64}, "other features"),
        (SCHEMA, {"features": [*FEATURES[1:], FEATURES[0]]}, "other features"),
        (SCHEMA, {"classes": [*CLASSES, "another"]}, "other classes"),
        (SCHEMA, {"timeframe": "1h"}, "timeframe 1h"),
        (SCHEMA, {"instruments": None}, "instruments"),
        (SCALER, {"centre": [0.0] * (len(FEATURES) - 1)}, "centre"),
        (SCALER, {"centre": [None] * len(FEATURES)}, "centre"),
        (SCALER, {"centre": 7}, "centre"),
        (SCALER, {"scale": [0.0] * len(FEATURES)}, "scale is not above 0"),
        (SCALER, {"scale": ["1"] * len(FEATURES)}, "scale"),
    ],
)
def test_an_artefact_made_for_something_else_is_refused_though_its_hashes_are_right(
    name: str, change: Mapping[str, Any], reason: str
) -> None:
    with pytest.raises(ArtefactRefused, match=reason):
        load_artefact(sealed(trained(), {name: change}))


def test_a_scaler_with_nan_in_it_is_refused() -> None:
    files = {name: GOOD[name] for name in LISTED}
    files[SCALER] = json.dumps(
        {"centre": [float("nan")] * len(FEATURES), "scale": [1.0] * len(FEATURES)}
    ).encode()

    with pytest.raises(ArtefactRefused, match=r"scaler.json"):
        load_artefact({**files, MANIFEST: manifest_of(files, {})})


@pytest.mark.parametrize("model", [trained(features=len(FEATURES) - 1), trained(classes=3)])
def test_a_model_of_another_shape_is_refused(model: bytes) -> None:
    with pytest.raises(ArtefactRefused, match="no classifier"):
        load_artefact(sealed(model))


def test_another_model_than_the_one_registered_is_refused() -> None:
    with pytest.raises(ArtefactRefused, match="another model"):
        load_artefact(GOOD, "0" * 64)


def test_a_file_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(ArtefactRefused, match="too large"):
        load_artefact({**GOOD, SCALER: b" " * (SIZE_MAX[SCALER] + 1)})


def test_a_manifest_spelled_differently_is_refused() -> None:
    manifest = json.loads(GOOD[MANIFEST])

    assert canonical(manifest).encode() == GOOD[MANIFEST]
    with pytest.raises(ArtefactRefused, match="changed"):
        load_artefact({**GOOD, MANIFEST: json.dumps(manifest, indent=1).encode()})


def test_what_ends_a_process_that_loads_it_is_found_in_a_process_of_its_own() -> None:
    check_apart(GOOD)
    with pytest.raises(ArtefactRefused, match=r"model\.ubj"):
        check_apart(sealed(b""))
    with pytest.raises(ArtefactRefused, match="was changed"):
        check_apart({**GOOD, MODEL: b"{"})


def test_a_machine_that_has_no_room_to_try_a_model_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(ArtefactRefused, match="process of its own"):
        check_apart(GOOD)


def test_the_process_that_tries_a_model_is_told_no_addresses_and_no_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spy = tmp_path / "python"
    spy.write_text("#!/bin/sh\nenv | grep -c NEXUS >&2\nexit 1\n")
    spy.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(spy))
    monkeypatch.setenv("NEXUS__STORE__URL", "postgresql://nexus:secret@store/nexus")
    with pytest.raises(ArtefactRefused, match=r"^0$"):
        check_apart(GOOD)
