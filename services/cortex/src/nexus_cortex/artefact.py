"""A trained regime model as files: read, checked, and asked. Never a pickle.

XGBoost trusts what it parses: a manipulated model can end the process, or read beyond its memory. So every byte
is compared with the manifest before anything is parsed, and who takes a model from outside loads it once in a
process of its own (`check_apart`).
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from nexus_common.contracts.envelope import canonical
from nexus_common.contracts.values import ModelId, Symbol, Timeframe
from nexus_common.runtime.errors import NexusError
from nexus_cortex.domain.model_features import FEATURES, TIMEFRAME, schema_hash
from nexus_cortex.domain.outcomes import CLASSES
from nexus_market.indicators import Floats

MODEL, SCALER, SCHEMA, MANIFEST = "model.ubj", "scaler.json", "schema.json", "manifest.json"
LISTED: Final = (MODEL, SCALER, SCHEMA)
FILES: Final = (*LISTED, MANIFEST)
SIZE_MAX: Final = {MODEL: 64 * 2**20, SCALER: 2**20, SCHEMA: 2**20, MANIFEST: 4 * 2**20}
ID_LENGTH: Final = 12
_CHECK_SECONDS: Final = 120


class ArtefactRefused(NexusError):
    """The files cannot be used as a model; the text says which one and why."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model that was checked and can be asked.

    `manifest` is what its training recorded: span, rows, metrics, and under `reference` each feature's bin edges
    and shares, against which drift is measured.
    """

    model: ModelId
    digest: str
    schema_hash: str
    timeframe: Timeframe
    features: tuple[str, ...]
    classes: tuple[str, ...]
    instruments: tuple[Symbol, ...]
    manifest: Mapping[str, Any]
    _centre: Floats
    _scale: Floats
    _booster: Any

    def predict(self, matrix: Floats) -> Floats:
        """The probability of each class, rows by `classes`; NaN for a row that holds NaN or an infinity.

        The same bits for a row alone and within a block.
        """
        scaled = scaled_by(matrix, self._centre, self._scale)
        usable = np.isfinite(scaled).all(axis=1)
        probabilities = np.full((len(matrix), len(self.classes)), np.nan)
        if usable.any():
            probabilities[usable] = self._booster.inplace_predict(scaled[usable])
        return probabilities


def scaled_by(matrix: Floats, centre: Floats, scale: Floats) -> Any:
    """As XGBoost is given them, float32; what is too large for that becomes an infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        return ((matrix - centre) / scale).astype(np.float32)


def manifest_of(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """The manifest of the other three files: what training recorded, their hashes, and a digest over all of it."""
    listed = {**facts, "files": {name: _sha256(files[name]) for name in LISTED}}
    return canonical({**listed, "digest": _digest(listed)}).encode()


def load_artefact(files: Mapping[str, bytes], digest: str | None = None) -> Artefact:
    """Check the files and load the model, single-threaded; `digest` is the one it was registered with.

    Raises:
        ArtefactRefused: a file is missing, too large or changed; the model was made for other features or
            classes; a figure of the scaler is no number; XGBoost is not to be had or does not take the model.
    """
    _check_sizes(files)
    manifest = _checked_manifest(files, digest)
    schema = _checked_schema(_parsed(files, SCHEMA))
    centre, scale = _checked_scaler(_parsed(files, SCALER))
    return Artefact(
        model=ModelId(manifest["digest"][:ID_LENGTH]),
        digest=manifest["digest"],
        schema_hash=schema["schema_hash"],
        timeframe=TIMEFRAME,
        features=FEATURES,
        classes=CLASSES,
        instruments=tuple(map(Symbol, schema["instruments"])),
        manifest=manifest,
        _centre=centre,
        _scale=scale,
        _booster=_booster(files[MODEL]),
    )


def check_apart(files: Mapping[str, bytes]) -> None:
    """Load the artefact and ask it once in a process of its own, which a bad model may end without harm.

    Raises:
        ArtefactRefused: as `load_artefact`, or the process ended, took longer than two minutes or was not to be had.
    """
    try:
        ended = _loaded_apart(files)
    except subprocess.TimeoutExpired as error:
        raise ArtefactRefused(f"{MODEL} was not loaded within {_CHECK_SECONDS} s") from error
    except OSError as error:
        raise ArtefactRefused(f"{MODEL} cannot be tried in a process of its own here: {error}") from error
    if ended.returncode == 1:
        raise ArtefactRefused(ended.stderr.strip().rsplit("\n", 1)[-1])
    if ended.returncode != 0:
        raise ArtefactRefused(f"{MODEL} ended the process that tried to load it (code {ended.returncode})")


def _loaded_apart(files: Mapping[str, bytes]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            if name in FILES:
                (Path(folder) / name).write_bytes(content)
        return subprocess.run(
            [sys.executable, "-m", __name__, folder],
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            # What the model may take over is told no addresses and no keys.
            env={},
        )


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of an artefact, as far as they are there and not too large to be read at all."""
    found = {}
    for name in FILES:
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                found[name] = file.read(SIZE_MAX[name] + 1)
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(listed: Mapping[str, Any]) -> str:
    return _sha256(canonical(dict(listed)).encode())


def _check_sizes(files: Mapping[str, bytes]) -> None:
    for name in FILES:
        if name not in files:
            raise ArtefactRefused(f"{name} is missing: an artefact is {', '.join(FILES)}")
        if len(files[name]) > SIZE_MAX[name]:
            raise ArtefactRefused(f"{name} is too large: {len(files[name])} bytes, at most {SIZE_MAX[name]}")


def _parsed(files: Mapping[str, bytes], name: str) -> Mapping[str, Any]:
    try:
        document = orjson.loads(files[name])
    except orjson.JSONDecodeError as error:
        raise ArtefactRefused(f"{name} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ArtefactRefused(f"{name} is no JSON object")
    return document


def _checked_manifest(files: Mapping[str, bytes], digest: str | None) -> Mapping[str, Any]:
    """The manifest vouches for the other files, its digest for itself."""
    manifest = _parsed(files, MANIFEST)
    listed = {key: value for key, value in manifest.items() if key != "digest"}
    # One spelling only: otherwise white space could be changed without a trace.
    if manifest.get("digest") != _digest(listed) or canonical(manifest).encode() != files[MANIFEST]:
        raise ArtefactRefused(f"{MANIFEST} was changed: its digest is another one")
    if digest is not None and manifest["digest"] != digest:
        raise ArtefactRefused(f"this is another model: digest {manifest['digest']}, registered as {digest}")
    hashes = manifest.get("files")
    for name in LISTED:
        if not isinstance(hashes, dict) or hashes.get(name) != _sha256(files[name]):
            raise ArtefactRefused(f"{name} was changed: its SHA-256 is not the manifest's")
    return manifest


def _checked_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if schema.get("schema_hash") != schema_hash() or schema.get("features") != list(FEATURES):
        raise ArtefactRefused(
            f"{SCHEMA} is of other features (hash {schema.get('schema_hash')}, here {schema_hash()}): train anew"
        )
    if schema.get("classes") != list(CLASSES):
        raise ArtefactRefused(f"{SCHEMA} has other classes: {schema.get('classes')}, here {list(CLASSES)}")
    if schema.get("timeframe") != TIMEFRAME.value:
        raise ArtefactRefused(f"{SCHEMA} is of timeframe {schema.get('timeframe')}, not {TIMEFRAME}")
    instruments = schema.get("instruments")
    if not isinstance(instruments, list) or not all(isinstance(each, str) for each in instruments):
        raise ArtefactRefused(f"{SCHEMA} does not list its instruments")
    return schema


def _checked_scaler(scaler: Mapping[str, Any]) -> tuple[Floats, Floats]:
    centre, scale = _figures(scaler, "centre"), _figures(scaler, "scale")
    if (scale <= 0.0).any():
        raise ArtefactRefused(f"{SCALER}: a scale is not above 0")
    return centre, scale


def _figures(scaler: Mapping[str, Any], name: str) -> Floats:
    found = scaler.get(name)
    values = found if isinstance(found, list) else []
    numbers = [value for value in values if isinstance(value, float | int) and math.isfinite(value)]
    if len(numbers) != len(FEATURES) or len(values) != len(FEATURES):
        raise ArtefactRefused(f"{SCALER}: {name} is not one number for each of {len(FEATURES)} features")
    return np.array(numbers, dtype=np.float64)


def _booster(raw: bytes) -> Any:
    """XGBoost is loaded by whoever loads a model, and by nobody else."""
    try:
        import xgboost
    except (ImportError, OSError, ValueError) as error:
        # Its native library may lack what it needs; rules do not, and everything else goes on.
        raise ArtefactRefused(f"XGBoost cannot be loaded here: {error}") from error

    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(raw))
        learner = json.loads(booster.save_config())["learner"]
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ArtefactRefused(f"{MODEL} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    booster.set_param({"nthread": 1})
    shape = (int(learner["learner_model_param"]["num_class"]), booster.num_features())
    if shape != (len(CLASSES), len(FEATURES)) or learner["objective"]["name"] != "multi:softprob":
        raise ArtefactRefused(
            f"{MODEL} is no classifier of {len(FEATURES)} features into {len(CLASSES)} classes"
        )
    return booster


def main(folder: str) -> None:
    artefact = load_artefact(read_folder(Path(folder)))
    artefact.predict(np.zeros((1, len(FEATURES))))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ArtefactRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(1)
