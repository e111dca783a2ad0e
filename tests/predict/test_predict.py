"""Fitted models and predictions: what is used, what is imputed, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file, save_file

from prime.cohort.config import load_cohort
from prime.demo.simulate import simulate
from prime.errors import InputError
from prime.files import sha256_file
from prime.predict import predict as predict_module
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.predict import day_name, median_interval, percentile, predict
from prime.pretraining.loop import pretrain
from prime.sealed import write_sealed
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.store.packing import pack
from prime.store.store import Store

EXPERIMENT = """
cohort: cohort/cohort.yaml
model: {dim: 16, queries: 2, heads: 2, blocks: 2, experts: 2, top_k: 1, prototypes: 4, projection_dim: 8}
pretrain: {epochs: 1, batch_size: 32, precision: 32-true, top_k: 2}
evaluate: {probe: {components: 4}}
"""


def make_store(folder: Path, patients: int, seed: int) -> Store:
    """A simulated cohort without reports, packed."""
    path = simulate(folder, patients, seed)
    drop(path, "report")
    return Store.open(pack(load_cohort(path), folder / "store", progress=False))


def drop(path: Path, modality: str, source: str | None = None) -> None:
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    if source is None:
        del value["modalities"][modality]
    else:
        del value["modalities"][modality][source]
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    store = make_store(folder / "cohort", 90, 0)
    pretrain(store, config(folder), folder / "run")
    fit(store, config(folder), folder / "run", ("all",), folder / "model")
    make_store(folder / "new", 40, 3)
    return folder


def config(folder: Path, *overrides: str) -> ExperimentConfig:
    return load_experiment(folder / "experiment.yaml", overrides)


def new_patients(work: Path) -> Store:
    return Store.open(work / "new" / "store")


def changed_cohort(work: Path, tmp_path: Path) -> Path:
    shutil.copytree(work / "new", tmp_path / "new", ignore=shutil.ignore_patterns("store"))
    return tmp_path / "new" / "cohort.yaml"


def packed(path: Path) -> Store:
    return Store.open(pack(load_cohort(path), path.parent / "store", progress=False))


def test_every_patient_is_listed_with_what_was_used(work: Path, tmp_path: Path) -> None:
    store = new_patients(work)
    table = predict(work / "model", store, tmp_path / "preds.csv")
    observed = store.observed()
    expected = ["+".join(n for n, o in zip(store.modalities, row, strict=True) if o) for row in observed]
    assert table["pattern"].tolist() == expected
    nothing = ~observed.any(axis=1)
    assert nothing.any()
    assert (table["status"] == np.where(nothing, "not scored", "scored")).all()
    assert table.loc[nothing, "reason"].str.contains("no modality").all()
    assert table.loc[nothing, "risk"].isna().all()
    scored = table[~nothing]
    only_rna = scored[scored["pattern"] == "rna"]
    assert (only_rna["imputed"] == "image").all()
    days = [c for c in table if str(c).startswith("s_")]
    heads = load_model(work / "model").heads  # one a pattern, each with its own days
    for pattern, curve in zip(scored["pattern"], scored[days].to_numpy(dtype=float), strict=True):
        known = curve[~np.isnan(curve)]
        assert len(known) == len(heads["all" if "+" in pattern else pattern].edges) - 2 > 0
        assert (np.diff(known) <= 0).all()
        assert ((known > 0) & (known < 1)).all()
    assert scored["percentile"].between(0, 100).all()
    written = pd.read_csv(tmp_path / "preds.csv")
    assert written.columns.tolist() == table.columns.tolist()
    np.testing.assert_allclose(written["risk"], table["risk"], rtol=1e-5)


def test_a_source_that_nobody_has_may_be_left_out(work: Path, tmp_path: Path) -> None:
    """Patients who lack it anyway get the same scores; the others are scored without it."""
    path = changed_cohort(work, tmp_path)
    drop(path, "image")
    store = packed(path)
    found = predict(work / "model", store, tmp_path / "a.csv").set_index("patient_id")
    whole = predict(work / "model", new_patients(work), tmp_path / "b.csv").set_index("patient_id")
    rna_only = whole.index[whole["pattern"] == "rna"]
    assert len(rna_only) > 3
    np.testing.assert_allclose(found.loc[rna_only, "risk"], whole.loc[rna_only, "risk"], rtol=1e-6)
    both = whole.index[whole["pattern"] == "image+rna"]
    assert (found.loc[both, "pattern"] == "rna").all()
    assert not np.allclose(found.loc[both, "risk"], whole.loc[both, "risk"])


def test_other_patients_do_not_change_a_score(work: Path, tmp_path: Path) -> None:
    path = changed_cohort(work, tmp_path)
    clinical = pd.read_csv(path.parent / "clinical.csv")
    kept = clinical["patient_id"].tolist()[::2]
    genes = pd.read_parquet(path.parent / "rna.parquet")
    genes[genes["patient_id"].isin(kept)].to_parquet(path.parent / "rna.parquet", index=False)
    found = predict(work / "model", packed(path), tmp_path / "a.csv").set_index("patient_id")
    whole = predict(work / "model", new_patients(work), tmp_path / "b.csv").set_index("patient_id")
    same = [p for p in kept if whole.loc[p, "status"] == "scored"]
    np.testing.assert_allclose(
        found.loc[same, "risk"].astype(float), whole.loc[same, "risk"].astype(float), rtol=1e-5
    )


def test_how_many_are_embedded_at_once_changes_no_score(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(work / "model", new_patients(work), tmp_path / "a.csv")
    monkeypatch.setattr(predict_module, "AT_ONCE", 7)
    parts = predict(work / "model", new_patients(work), tmp_path / "b.csv")
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-5)


def test_a_model_of_one_cancer_type_says_so(work: Path, tmp_path: Path) -> None:
    store = Store.open(work / "cohort" / "store")
    fit(store, config(work), work / "run", ("SIMC",), tmp_path / "model")
    table = predict(tmp_path / "model", new_patients(work), tmp_path / "preds.csv")
    scored = table[table["status"] == "scored"]
    assert scored.loc[scored["cohort"] != "SIMC", "reason"].str.contains("fitted on SIMC only").all()
    assert (scored.loc[scored["cohort"] == "SIMC", "reason"] == "").all()


@pytest.mark.parametrize("heads", ["shared", "per_pattern"])
def test_the_saved_model_is_the_fitted_one(work: Path, tmp_path: Path, heads: str) -> None:
    store = Store.open(work / "cohort" / "store")
    settings = config(work, f"evaluate.probe.missing_heads={heads}")
    fitted = fit(store, settings, work / "run", ("all",), tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert set(loaded.heads) == {"all", "image", "rna"}
    assert len(set(loaded.description.heads.values())) == (1 if heads == "shared" else 3)
    for pattern, head in fitted.heads.items():
        again = loaded.heads[pattern]
        assert bool((again.weight == head.weight).all())
        assert bool((again.bias == head.bias).all())
        np.testing.assert_array_equal(again.edges, head.edges)
        np.testing.assert_array_equal(loaded.reference[pattern], fitted.reference[pattern])
        assert (np.diff(loaded.reference[pattern]) >= 0).all()


def test_the_manifest_counts_patients_and_events(work: Path) -> None:
    manifest = json.loads((work / "model" / "manifest.json").read_text(encoding="utf-8"))
    store = Store.open(work / "cohort" / "store")
    frame = store.patients
    usable = store.observed().any(axis=1) & ~frame["excluded"] & frame["os_time_days"].gt(0)
    assert manifest["patients_fitted"] == usable.sum()
    assert manifest["events_fitted"] == frame["os_event"][usable].sum()
    assert manifest["cross_validation"]["all"]["patients"] == usable.sum()


def test_a_fit_is_not_repeated_and_not_overwritten(work: Path) -> None:
    store = Store.open(work / "cohort" / "store")
    before = (work / "model" / "manifest.json").stat().st_mtime_ns
    fit(store, config(work), work / "run", ("all",), work / "model")
    assert (work / "model" / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds a model that differs in cohorts; name"):
        fit(store, config(work), work / "run", ("SIMA",), work / "model")
    with pytest.raises(InputError, match="holds something else"):
        fit(store, config(work), work / "run", ("all",), work / "run")


def test_unknown_cohort(work: Path, tmp_path: Path) -> None:
    store = Store.open(work / "cohort" / "store")
    with pytest.raises(InputError, match=r"SIMZ.*SIMA, SIMB, SIMC"):
        fit(store, config(work), work / "run", ("SIMZ",), tmp_path / "model")


@pytest.mark.parametrize("name", ["model.safetensors", "heads.safetensors", "head.json", "config.json"])
def test_a_damaged_model_is_refused_and_refitted(work: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(work / "model", tmp_path / "model"))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(InputError, match=f"damaged model folder: {name}"):
        predict(folder, new_patients(work), tmp_path / "preds.csv")
    assert not (tmp_path / "preds.csv").exists()
    fit(Store.open(work / "cohort" / "store"), config(work), work / "run", ("all",), folder)
    assert (folder / name).read_bytes() == (work / "model" / name).read_bytes()


@pytest.mark.parametrize("digests", [{}, None, [], {"model.safetensors": "0"}])
def test_a_model_without_checksums_is_refused(work: Path, tmp_path: Path, digests: object) -> None:
    folder = Path(shutil.copytree(work / "model", tmp_path / "model"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": digests}), encoding="utf-8")
    with pytest.raises(InputError, match=r"damaged model folder|not the manifest of a model folder"):
        load_model(folder)
    write_sealed(folder / "manifest.json", manifest, digests if isinstance(digests, dict) else {})
    with pytest.raises(InputError, match=r"damaged model folder: model\.safetensors"):
        load_model(folder)


@pytest.mark.parametrize(
    ("tensor", "place", "value"),
    [
        ("0.weight", 0, float("nan")),
        ("0.bias", 0, float("inf")),
        ("0.edges", 1, -1.0),
        ("0.edges", 1, float("nan")),
        ("reference.all", 50, -1e9),
        ("reference.all", 50, float("nan")),
    ],
)
def test_heads_that_are_no_numbers_are_refused_whatever_the_checksums_say(
    work: Path, tmp_path: Path, tensor: str, place: int, value: float
) -> None:
    folder = Path(shutil.copytree(work / "model", tmp_path / "model"))
    tensors = load_file(folder / "heads.safetensors")
    tensors[tensor].view(-1)[place] = value
    save_file(tensors, folder / "heads.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    digests = manifest["sha256"] | {"heads.safetensors": sha256_file(folder / "heads.safetensors")}
    write_sealed(folder / "manifest.json", manifest, digests)
    with pytest.raises(InputError, match="damaged model folder"):
        load_model(folder)


def test_a_checkpoint_is_no_model(work: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prime fit"):
        predict(work / "run", new_patients(work), tmp_path / "preds.csv")


def rename(column: str, new: str, path: Path) -> None:
    table = pd.read_csv(path)
    table.rename(columns={column: new}).to_csv(path, index=False)


def test_other_features_are_refused(work: Path, tmp_path: Path) -> None:
    path = changed_cohort(work, tmp_path)
    rename("stat_02", "stat_2", path.parent / "slide_stats.csv")
    with pytest.raises(InputError, match=r"feature 2 is 'stat_2'.*'stat_02'"):
        predict(work / "model", packed(path), tmp_path / "preds.csv")


def test_another_width_is_refused(work: Path, tmp_path: Path) -> None:
    path = changed_cohort(work, tmp_path)
    table = pd.read_csv(path.parent / "slide_stats.csv").drop(columns="stat_24")
    table.to_csv(path.parent / "slide_stats.csv", index=False)
    with pytest.raises(InputError, match=r"slide_stats.*23 features.*24"):
        predict(work / "model", packed(path), tmp_path / "preds.csv")


def test_an_unknown_source_is_refused(work: Path, tmp_path: Path) -> None:
    path = changed_cohort(work, tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("genes:", "gene:"), encoding="utf-8")
    with pytest.raises(InputError, match=r"'gene' of modality 'rna' is not the model's.*genes"):
        predict(work / "model", packed(path), tmp_path / "preds.csv")


@pytest.mark.parametrize(
    ("survival", "expected"),
    [([0.9, 0.5, 0.4, 0.1], (100.0, 200.0)), ([0.4, 0.3, 0.2, 0.1], (0.0, 100.0))],
)
def test_median_reached(survival: list[float], expected: tuple[float, float]) -> None:
    edges = np.array([-np.inf, 100.0, 200.0, 300.0, np.inf])
    assert median_interval(np.array(survival), edges) == expected


@pytest.mark.parametrize("survival", [[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.1]])
def test_median_not_reached_before_the_open_bin(survival: list[float]) -> None:
    after, by = median_interval(np.array(survival), np.array([-np.inf, 100.0, 200.0, 300.0, np.inf]))
    assert after == 300.0
    assert np.isnan(by)


def test_percentiles() -> None:
    reference = np.percentile(np.arange(1001.0), np.arange(101))
    np.testing.assert_allclose(
        percentile(np.array([-5.0, 0, 250, 1000, 2000]), reference), [0, 0, 25, 100, 100]
    )


@pytest.mark.parametrize(("days", "name"), [(365.0, "s_365"), (365.25, "s_365.2"), (90.5, "s_90.5")])
def test_day_names(days: float, name: str) -> None:
    assert day_name(days) == name


# A binary task ----------------------------------------------------------------------------------------------

TASKS = "evaluate.tasks=[{name: os, endpoint: os}, {name: early, endpoint: os, horizon_days: 700}]"


@pytest.fixture(scope="module")
def early(work: Path) -> Path:
    """A model folder of death within 700 days."""
    store = Store.open(work / "cohort" / "store")
    fit(store, config(work, TASKS), work / "run", ("all",), work / "early", "early")
    return work / "early"


def test_a_binary_model_gives_the_probability(work: Path, early: Path, tmp_path: Path) -> None:
    table = predict(early, new_patients(work), tmp_path / "preds.csv")
    assert table.columns.tolist() == [
        "patient_id", "cohort", "status", "reason", "pattern", "imputed", "risk", "percentile", "probability"
    ]  # fmt: skip
    scored = table[table["status"] == "scored"]
    assert 0 < len(scored) < len(table)
    assert scored["probability"].between(0, 1, inclusive="neither").all()
    assert table.loc[table["status"] != "scored", "probability"].isna().all()
    np.testing.assert_allclose(scored["probability"], scored["risk"].astype(float) + 1)
    assert scored["probability"].nunique() > 10
    written = pd.read_csv(tmp_path / "preds.csv")
    np.testing.assert_allclose(written["probability"], table["probability"].astype(float), rtol=1e-5)


def test_a_binary_model_is_fitted_on_known_labels(work: Path, early: Path) -> None:
    manifest = json.loads((early / "manifest.json").read_text(encoding="utf-8"))
    store = Store.open(work / "cohort" / "store")
    frame = store.patients
    usable = store.observed().any(axis=1) & ~frame["excluded"] & frame["os_time_days"].gt(0)
    positive = usable & (frame["os_event"] == 1) & (frame["os_time_days"] <= 700)
    known = positive | (usable & (frame["os_time_days"] > 700))
    assert known.sum() < usable.sum()
    assert manifest["patients_fitted"] == known.sum()
    assert manifest["events_fitted"] == positive.sum()
    assert manifest["left_out"]["censored within 700 days"] == (usable & ~known).sum()
    assert manifest["task"] == {"name": "early", "endpoint": "os", "horizon_days": 700}
    scores = manifest["cross_validation"]["all"]
    assert 0 <= scores["auroc"] <= 1
    assert scores["patients"] == known.sum()
    assert load_model(early).description.task.horizon_days == 700


def test_the_first_task_unless_another_is_named(work: Path, early: Path, tmp_path: Path) -> None:
    store = Store.open(work / "cohort" / "store")
    first = fit(store, config(work, TASKS), work / "run", ("all",), tmp_path / "first")
    assert first.description.task.name == "os"
    with pytest.raises(InputError, match="--task late: the experiment has os, early"):
        fit(store, config(work, TASKS), work / "run", ("all",), tmp_path / "late", "late")
    with pytest.raises(InputError, match="holds a model that differs in task; name"):
        fit(store, config(work, TASKS), work / "run", ("all",), early, "os")


def test_shared_heads_give_everyone_the_same_days(work: Path, tmp_path: Path) -> None:
    store = Store.open(work / "cohort" / "store")
    fit(store, config(work, "evaluate.probe.missing_heads=shared"), work / "run", ("all",), tmp_path / "m")
    table = predict(tmp_path / "m", new_patients(work), tmp_path / "preds.csv")
    curves = table.loc[table["status"] == "scored", [c for c in table if str(c).startswith("s_")]]
    assert curves.shape[1] == 3
    assert curves.notna().all(axis=None)
    assert (np.diff(curves.to_numpy(dtype=float), axis=1) <= 0).all()
