"""A regime model from a data directory: which rows, which folds, which figures, and an artefact that can be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nexus_common.contracts.values import Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_cortex.artefact import FILES, load_artefact, read_folder
from nexus_cortex.domain.model_features import FEATURES
from nexus_cortex.domain.outcomes import CLASSES, FAMILIES, HORIZON
from nexus_data.data_directory import DataDirectory
from nexus_market.candles import from_millis
from nexus_ops.cli import app
from nexus_ops.training.dataset import Dataset, Span, build_dataset
from nexus_ops.training.drift_reference import drift_reference
from nexus_ops.training.fitting import Recipe, class_weights
from nexus_ops.training.folds import split
from nexus_ops.training.measures import calibration, follow, log_loss, measure
from nexus_ops.training.recordings import choose_recordings

BAR = 900_000
START = 1_700_000_100_000 // BAR * BAR
BARS = 2_600


def write(folder: Path, name: str, seed: int, bars: int = BARS, start: int = START) -> None:
    """A 15m series whose moods change every 200 bars: it climbs, falls, or swings about a level."""
    random = np.random.default_rng(seed)
    mood = random.permuted(np.repeat(np.arange(3), bars // 600 + 1))[: bars // 200 + 1].repeat(200)[:bars]
    drift, noise = np.array([0.0015, -0.0015, 0.0])[mood], np.array([0.003, 0.004, 0.006])[mood]
    close = np.round(100.0 * np.cumprod(1.0 + drift + noise * random.normal(size=bars)), 4)
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + 0.002 * random.random(bars))
    low = np.minimum(opened, close) * (1.0 - 0.002 * random.random(bars))
    path = folder / "ohlcv" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"open": opened, "high": high.round(4) + 0.0001, "low": low.round(4) - 0.0001, "close": close}
    times = start + BAR * np.arange(bars, dtype=np.int64)
    pl.DataFrame({"open_time": times, **columns, "volume": random.random(bars).round(3) + 0.1}).write_parquet(
        path
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder, "binance_um/BTCUSDT-15m.parquet", seed=1)
    write(folder, "binance_um/SOLUSDT-15m.parquet", seed=2, bars=2_200, start=START + 300 * BAR)
    write(folder, "us/SPY-15m.parquet", seed=3, bars=900)
    sentiment = folder / "sentiment"
    sentiment.mkdir()
    days = [from_millis(START + day * 86_400_000).date().isoformat() for day in range(-2, 20)]
    lines = [f"{day},{40 + number % 7}" for number, day in enumerate(days)]
    (sentiment / "fear_greed_daily.csv").write_text("\n".join(["date,value", *lines]))
    return folder


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    recordings, _ = choose_recordings(DataDirectory(data), None, None)
    return build_dataset(data, recordings, Span())


def test_every_close_that_is_ready_and_whose_outcome_is_known_is_a_row(dataset: Dataset) -> None:
    warm_up = 620

    assert dataset.symbols == ("BTCUSDT", "SOLUSDT")
    assert len(dataset) == (BARS - warm_up - HORIZON) + (2_200 - warm_up - HORIZON)
    assert dataset.features.shape == (len(dataset), len(FEATURES))
    assert np.isfinite(dataset.features).all()
    assert (np.diff(dataset.time) >= 0).all()
    assert (dataset.known_at - dataset.time == HORIZON * BAR).all()
    assert np.isnan(dataset.earned[dataset.instrument == 0, FAMILIES.index("shark")]).all(), (
        "BTC is no target"
    )
    assert dataset.features[:, FEATURES.index("fear_greed_known")].mean() > 0.3
    assert len(np.unique(dataset.label)) >= 4


def test_a_span_keeps_the_closes_within_it_whose_outcome_it_holds(data: Path, dataset: Dataset) -> None:
    recordings, _ = choose_recordings(DataDirectory(data), [Symbol("BTCUSDT")], None)
    first, last = START + 1_000 * BAR, START + 1_200 * BAR

    cut = build_dataset(data, recordings, Span(from_millis(first), from_millis(last)))

    assert int(cut.time[0]) == first + BAR
    assert int(cut.known_at[-1]) == last
    within = (dataset.instrument == 0) & np.isin(dataset.time, cut.time)
    assert cut.features.tobytes() == dataset.features[within].tobytes()
    assert cut.earned.tobytes() == dataset.earned[within].tobytes()


def test_a_series_without_its_end_gives_the_same_rows_before_it(data: Path, tmp_path: Path) -> None:
    whole = pl.read_parquet(data / "ohlcv/binance_um/BTCUSDT-15m.parquet")
    (tmp_path / "ohlcv/binance_um").mkdir(parents=True)
    whole[:1_500].write_parquet(tmp_path / "ohlcv/binance_um/BTCUSDT-15m.parquet")
    symbols = [Symbol("BTCUSDT")]

    long = build_dataset(data, choose_recordings(DataDirectory(data), symbols, None)[0], Span())
    short = build_dataset(tmp_path, choose_recordings(DataDirectory(tmp_path), symbols, None)[0], Span())

    bars_only = [n for n, name in enumerate(FEATURES) if not name.startswith("fear_greed")]
    assert 0 < len(short) < len(long)
    assert np.array_equal(short.features[:, bars_only], long.features[: len(short), bars_only])
    assert np.array_equal(short.label, long.label[: len(short)])


def test_of_series_that_overlap_the_longest_is_learned_from(tmp_path: Path) -> None:
    write(tmp_path, "binance_spot/BTCUSDT-15m.parquet", seed=1, bars=900)
    write(tmp_path, "binance_um/BTCUSDT-15m.parquet", seed=2, bars=500, start=START + 200 * BAR)
    write(tmp_path, "bybit_linear/BTCUSDT-15m.parquet", seed=3, bars=400, start=START + 900 * BAR)
    write(tmp_path, "us/SPY-15m.parquet", seed=4, bars=300)

    chosen, notes = choose_recordings(DataDirectory(tmp_path), None, None)

    assert [recording.stretch.folder for recording in chosen] == ["binance_spot", "bybit_linear"]
    assert notes == ["BTCUSDT: left alone ohlcv/binance_um/BTCUSDT-15m.parquet"]
    named, _ = choose_recordings(DataDirectory(tmp_path), [Symbol("SPY")], None)
    assert [recording.stretch.folder for recording in named] == ["us"]


def test_equally_long_series_are_taken_from_the_venue_asked_first(tmp_path: Path) -> None:
    for folder in ("binance_um", "bybit_linear"):
        write(tmp_path, f"{folder}/BTCUSDT-15m.parquet", seed=1, bars=300)

    def folders(venue: str | None) -> list[str]:
        return [each.stretch.folder for each in choose_recordings(DataDirectory(tmp_path), None, venue)[0]]

    assert folders(None) == ["binance_um"]
    assert folders("bybit") == ["bybit_linear"]


def made(time: np.ndarray, known_at: np.ndarray, **columns: np.ndarray) -> Dataset:
    rows = len(time)
    usual = {
        "features": np.zeros((rows, len(FEATURES))),
        "earned": np.zeros((rows, len(FAMILIES))),
        "label": np.zeros(rows, np.int64),
        "rules": np.zeros(rows, np.int64),
        "instrument": np.zeros(rows, np.int64),
    }
    return Dataset((Symbol("BTCUSDT"),), time=time, known_at=known_at, **(usual | columns))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2_000, 2_500), st.integers(HORIZON, 90))
def test_what_is_tested_lies_behind_all_that_was_known_in_learning(
    seed: int, bars: int, longest: int
) -> None:
    """Instruments may take any time for their 48 bars, as those with sessions do."""
    random = np.random.default_rng(seed)
    time = np.repeat(np.arange(bars), 2) * BAR
    horizon = random.integers(HORIZON, longest + 1, len(time))
    dataset = made(time, time + horizon * BAR)

    folds = split(dataset)

    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5]
    for fold in folds:
        first_stopping, first_test = time[fold.stopping].min(), time[fold.test].min()
        assert dataset.known_at[fold.fit].max() <= first_stopping
        assert dataset.known_at[fold.stopping].max() <= first_test
        assert time[fold.fit].max() <= first_stopping - HORIZON * BAR
        assert time[fold.stopping].max() <= first_test - HORIZON * BAR
    tested = np.concatenate([fold.test for fold in folds])
    assert len(np.unique(tested)) == len(tested)
    assert tested[-1] == len(time) - 1


def test_too_little_to_learn_from_is_said() -> None:
    time = np.arange(1_000) * BAR

    with pytest.raises(ConfigurationError, match=r"1000 closes .* need 1152"):
        split(made(time, time + HORIZON * BAR))


def test_rare_classes_weigh_more_by_the_root_of_their_rarity() -> None:
    label = np.array([0] * 81 + [1] * 9 + [5] * 9)

    weights = class_weights(label)

    assert weights[1] / weights[0] == pytest.approx(3.0)
    assert weights[5] == weights[1]
    assert weights[2] == 0.0


def test_what_following_a_model_earned() -> None:
    """Four closes: the model is sure of trend, of none, unsure of grid; and names one that would not have traded."""
    nan = np.nan
    earned = np.array([[2.0, 0, 0, 0, 0], [1.0, -1, 0, 0, 0], [-1.0, 0, 0, 0.5, 0], [0.4, 0, 0, 0, nan]])
    rules = np.array([1, 0, 0, 0])
    time = np.arange(4) * BAR
    dataset = made(time, time, earned=earned, rules=rules, label=np.array([0, 0, 3, 0]))
    sure, unsure = 0.75, 0.5
    probabilities = np.full((4, len(CLASSES)), 0.05)
    for row, (choice, confidence) in enumerate([(0, sure), (5, sure), (3, unsure), (4, sure)]):
        probabilities[row, choice] = confidence
    everything = np.arange(4)

    by = follow(dataset, everything, probabilities)
    measures = measure(dataset, everything, everything, probabilities)

    assert by.model.tolist() == [2.0, 0.0, 0.5, 0.0]
    assert by.rules.tolist() == [0.0, 1.0, -1.0, 0.4]
    assert by.used.tolist() == [2.0, 0.0, -1.0, 0.0]
    assert measures.earned.always == pytest.approx(2.5 / 4)
    assert measures.earned.used == pytest.approx(1.0 / 4)
    assert measures.earned.rules == pytest.approx(0.4 / 4)
    assert (measures.earned.single_family, measures.earned.single) == ("trend", pytest.approx(2.4 / 4))
    assert (measures.earned.confident, measures.earned.confident_model) == (3, pytest.approx(2.0 / 3))
    assert measures.earned.confident_rules == pytest.approx(1.4 / 3)
    assert measures.accuracy == 0.5
    assert measures.base_accuracy == 0.75
    assert measures.confusion[0] == (1, 0, 0, 0, 1, 1)
    assert measures.confusion[3] == (0, 0, 0, 1, 0, 0)


def test_calibration_is_the_gap_between_confidence_and_being_right() -> None:
    confidence = np.array([0.55, 0.55, 0.55, 0.55, 0.95, 0.95, 1.0])
    right = np.array([True, True, False, False, True, True, True])

    bins, error = calibration(confidence, right)

    assert [(each.rows, each.right) for each in bins] == [(4, 0.5), (3, 1.0)]
    assert error == pytest.approx((4 * 0.05 + 3 * (1 - 2.9 / 3)) / 7)


def test_log_loss_is_the_mean_surprise() -> None:
    assert log_loss(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])) == pytest.approx(
        -(np.log(0.5) + np.log(0.75)) / 2
    )


def test_the_reference_of_drift_are_tenths_and_repeated_values_share_a_bin() -> None:
    features = np.zeros((1_000, len(FEATURES)))
    features[:, 0] = np.arange(1_000)
    features[:100, 1] = 1.0

    reference = drift_reference(features)

    assert reference[FEATURES[0]]["shares"] == pytest.approx([0.1] * 10)
    assert reference[FEATURES[0]]["edges"][0] == pytest.approx(99.9)
    assert reference[FEATURES[1]] == {"edges": [0.0, pytest.approx(0.1)], "shares": [0.0, 0.9, 0.1]}
    assert all(sum(each["shares"]) == pytest.approx(1.0) for each in reference.values())


def trained(data: Path, out: Path, *more: str) -> dict[str, object]:
    arguments = ["train", "--data", str(data), "--out", str(out), "--threads", "1", "--json", *more]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    document: dict[str, object] = json.loads(result.stdout)
    return document


def test_a_model_is_trained_reported_and_can_be_asked(data: Path, dataset: Dataset, tmp_path: Path) -> None:
    document = trained(data, tmp_path / "one")

    files = read_folder(tmp_path / "one")
    artefact = load_artefact(files)
    assert set(files) == set(FILES)
    assert document["model"] == artefact.model
    assert artefact.instruments == ("BTCUSDT", "SOLUSDT")
    assert artefact.manifest["rows"] == len(dataset)
    folds = artefact.manifest["folds"]
    assert [fold["number"] for fold in folds] == [1, 2, 3, 4, 5]
    assert all(fold["learned_until"] <= fold["tested_from"] for fold in folds)
    assert artefact.predict(dataset.features[:5]).sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    again = trained(data, tmp_path / "two")
    assert again["model"] == artefact.model
    assert read_folder(tmp_path / "two") == files
    assert trained(data, tmp_path / "three", "--seed", "2")["model"] != artefact.model
    page = (tmp_path / "one" / "report.html").read_text()
    assert page.count("<svg") == 5
    assert "src=" not in page
    assert str(artefact.model) in page
    assert page == (tmp_path / "two" / "report.html").read_text()


def test_a_table_of_the_folds_is_printed(data: Path, tmp_path: Path) -> None:
    arguments = [
        "train",
        "--data",
        str(data),
        "--out",
        str(tmp_path),
        "--symbols",
        "BTCUSDT",
        "--threads",
        "1",
    ]

    result = CliRunner().invoke(app, arguments, catch_exceptions=False)

    assert result.exit_code == 0
    assert "nexus models register" in result.stdout
    assert result.stdout.count("%") >= 5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--symbols", "NOPEUSDT"], "no bars of NOPEUSDT"),
        (["--venue", "nowhere"], "no bars of venue nowhere"),
        (["--from", "2023-11-20", "--to", "2023-11-20T10:00"], "0 closes can be learned from"),
        (["--from", "2023-11-20", "--to", "2023-11-30"], "closes can be learned from"),
        (["--symbols", "SPY"], "closes can be learned from"),
        (["--from", "yesterday"], "is no time"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_its_reason(
    data: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        CliRunner().invoke(
            app, ["train", "--data", str(data), "--out", str(tmp_path), *arguments], catch_exceptions=False
        )


def test_a_file_in_the_place_of_the_folder_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")

    with pytest.raises(ConfigurationError, match="is a file"):
        CliRunner().invoke(
            app, ["train", "--data", str(data), "--out", str(tmp_path / "model")], catch_exceptions=False
        )


def test_the_recipe_is_in_xgboosts_own_words() -> None:
    parameters = Recipe(seed=7, threads=3).parameters()

    assert (parameters["seed"], parameters["nthread"], parameters["num_class"]) == (7, 3, len(CLASSES))
    assert parameters["objective"] == "multi:softprob"
