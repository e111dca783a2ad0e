"""Fitted models and predictions: what is used, what is imputed, what is refused."""

import json
import shutil
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from prime.cohort.config import load_cohort
from prime.demo.simulate import simulate
from prime.errors import InputError
from prime.files import sha256_file
from prime.predict import learner as learner_module
from prime.predict import patients as patients_module
from prime.predict.array_tree import take_apart
from prime.predict.asked import Asked
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.patients import read_patients
from prime.predict.predict import Predictions, score_patients
from prime.predict.predict import predict as write_predictions
from prime.predict.reasons import feature_contributions, modality_values
from prime.predict.source_values import without
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
    add_covariates(path, seed)
    return Store.open(pack(load_cohort(path), folder / "store", progress=False))


def add_covariates(path: Path, seed: int) -> None:
    """Age and stage for three patients in four."""
    table = pd.read_csv(path.parent / "clinical.csv")
    rng = np.random.default_rng(seed)
    known = rng.random((2, len(table))) < 0.75
    table["age"] = np.where(known[0], rng.integers(30, 90, len(table)), np.nan)
    table["stage"] = np.where(known[1], rng.integers(1, 5, len(table)), np.nan)
    table.to_csv(path.parent / "clinical.csv", index=False)
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    value["clinical"]["covariates"] = ["age", "stage"]
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


def predict(model: Path, store: Store, out: Path, **options: Any) -> pd.DataFrame:
    """The table of patients alone."""
    return write_predictions(model, store, out, **options).patients


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
    curves = scored[["survival_12m", "survival_36m", "survival_60m"]].to_numpy(dtype=float)
    for curve in curves:
        known = curve[~np.isnan(curve)]
        assert len(known)
        assert (np.diff(known) <= 0).all()
        assert ((known > 0) & (known < 1)).all()
    assert scored["percentile"].between(0, 100).all()
    assert (scored["risk_low"] < scored["risk"]).all()
    assert (scored["risk"] < scored["risk_high"]).all()
    assert (scored["survival_12m_low"] < scored["survival_12m_high"]).all()
    assert (scored["outlives_90_months"] > 0).all()
    written = pd.read_csv(tmp_path / "preds.csv")
    assert written.columns.tolist() == table.columns.tolist()
    np.testing.assert_allclose(written["risk"], table["risk"].astype(float), rtol=1e-5)


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
    monkeypatch.setattr(patients_module, "AT_ONCE", 7)
    parts = predict(work / "model", new_patients(work), tmp_path / "b.csv")
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-5)


def test_a_model_of_one_cancer_type_says_so(work: Path, tmp_path: Path) -> None:
    store = Store.open(work / "cohort" / "store")
    fit(store, config(work), work / "run", ("SIMC",), tmp_path / "model")
    table = predict(tmp_path / "model", new_patients(work), tmp_path / "preds.csv")
    scored = table[table["status"] == "scored"]
    assert scored.loc[scored["cohort"] != "SIMC", "reason"].str.contains("fitted on SIMC only").all()
    assert (scored.loc[scored["cohort"] == "SIMC", "reason"] == "").all()
    absolute = [c for c in table if str(c).startswith(("median", "outlives", "survival"))]
    own, others = scored[scored["cohort"] == "SIMC"], scored[scored["cohort"] != "SIMC"]
    assert own["survival_12m"].notna().all()
    assert others[absolute].isna().all(axis=None)
    assert others["risk"].notna().all()
    assert others["reason"].str.contains("no survival is given").all()
    tests = pd.read_csv(tmp_path / "preds.tests.csv").set_index("patient_id")
    assert tests.loc[tests.index.isin(others["patient_id"]), ["threshold", "gain"]].isna().all(axis=None)
    whole = score_patients(load_model(tmp_path / "model"), new_patients(work), any_type=True).patients
    assert whole.loc[whole["status"] == "scored", "survival_12m"].notna().all()


@pytest.mark.parametrize("mode", ["lp_shared", "lp_shared_annotated", "lp_shared_clinical"])
def test_the_saved_model_is_the_fitted_one(work: Path, tmp_path: Path, mode: str) -> None:
    store = Store.open(work / "cohort" / "store")
    fitted = fit(store, config(work), work / "run", ("all",), tmp_path / "model", mode=mode)
    loaded = load_model(tmp_path / "model")
    assert loaded.description == fitted.description
    before, after = (take_apart(model.prognosis) for model in (fitted, loaded))
    assert before[0] == after[0]
    assert before[1].keys() == after[1].keys()
    for name, values in before[1].items():
        np.testing.assert_array_equal(values, after[1][name])
        assert values.dtype == after[1][name].dtype
    assert (fitted.prognosis.features.covariates is not None) == (mode == "lp_shared_clinical")
    assert set(fitted.prognosis.bounds) == {"all", "image", "rna"}
    one, two = (score_patients(model, new_patients(work)).patients for model in (fitted, loaded))
    pd.testing.assert_frame_equal(one, two)


def test_no_more_than_so_many_patients_are_held(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All labelled ones, and others while there is room."""
    store = Store.open(work / "cohort" / "store")
    whole = fit(store, config(work), work / "run", ("SIMA",), tmp_path / "whole")
    labelled = json.loads((tmp_path / "whole" / "manifest.json").read_text())["patients_fitted"]
    monkeypatch.setattr(learner_module, "MOST_PATIENTS", labelled + 5)
    few = fit(store, config(work), work / "run", ("SIMA",), tmp_path / "few")
    counts = [model.prognosis.calibrations[""].patients for model in (whole, few)]
    assert counts == [labelled, labelled]
    one, two = (score_patients(model, new_patients(work)).patients for model in (whole, few))
    scored = one["status"] == "scored"
    assert not np.allclose(one.loc[scored, "risk"].astype(float), two.loc[scored, "risk"].astype(float))
    assert one.loc[scored, "risk"].astype(float).corr(two.loc[scored, "risk"].astype(float)) > 0.8


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


@pytest.mark.parametrize("name", ["model.safetensors", "head.safetensors", "head.json", "config.json"])
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
        ("head.head.shared", 0, float("nan")),
        ("head.draws.shared", 3, float("inf")),
        ("head.calibrations.0.ends", 1, -1.0),
        ("head.calibrations.0.ends", 1, float("nan")),
        ("head.calibrations.0.reference.0", 50, -1e9),
        ("head.calibrations.0.scores.0.model.hazard", 1, 1e9),
    ],
)
def test_heads_that_are_no_numbers_are_refused_whatever_the_checksums_say(
    work: Path, tmp_path: Path, tensor: str, place: int, value: float
) -> None:
    folder = Path(shutil.copytree(work / "model", tmp_path / "model"))
    tensors = load_file(folder / "head.safetensors")
    tensors[tensor].view(-1)[place] = value
    save_file(tensors, folder / "head.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    digests = manifest["sha256"] | {"head.safetensors": sha256_file(folder / "head.safetensors")}
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
        "patient_id", "cohort", "status", "reason", "seen_in", "pattern", "imputed", "risk", "risk_low",
        "risk_high", "percentile", "probability", "probability_low", "probability_high", "possible",
        "why_image", "why_rna",
    ]  # fmt: skip
    scored = table[table["status"] == "scored"]
    assert 0 < len(scored) < len(table)
    assert scored["probability"].between(0, 1, inclusive="neither").all()
    assert (scored["probability_low"] < scored["probability_high"]).all()
    assert table.loc[table["status"] != "scored", "probability"].isna().all()
    assert set(scored["possible"]) <= {"either", "event", "no event", "neither"}
    assert scored["probability"].nunique() > 10
    for _, same in scored.groupby(["cohort", "pattern"]):
        order = same["risk"].astype(float).argsort().to_numpy()
        assert (np.diff(same["probability"].to_numpy(dtype=float)[order]) >= 0).all()
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


# What is said beside the risk -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clinical(work: Path) -> Path:
    store = Store.open(work / "cohort" / "store")
    fit(store, config(work), work / "run", ("all",), work / "clinical", mode="lp_shared_clinical")
    return work / "clinical"


def whole(model: Path, work: Path, out: Path, **options: Any) -> Predictions:
    return write_predictions(model, new_patients(work), out, **options)


@pytest.mark.parametrize("name", ["model", "early", "clinical"])
def test_modalities_share_the_risk(
    work: Path, early: Path, clinical: Path, tmp_path: Path, name: str
) -> None:
    table = whole(work / name, work, tmp_path / "p.csv").patients
    scored = table[table["status"] == "scored"]
    why = scored[[c for c in table if str(c).startswith("why_")]].astype(float)
    assert ("why_clinical" in why) == (name == "clinical")
    np.testing.assert_allclose(why.sum(axis=1), scored["risk"].astype(float), atol=1e-9)
    lacking = ~scored["pattern"].str.contains("image")
    assert lacking.any()
    assert (why.loc[lacking, "why_image"] == 0).all()
    assert (why.loc[~lacking, "why_image"] != 0).all()


def test_the_share_of_a_modality_is_that_of_all_orders(work: Path, clinical: Path) -> None:
    """The mean over all orders in which modalities and covariates could have come."""
    model, store = load_model(clinical), new_patients(work)
    ((patients, _),) = read_patients(model, store, torch.device("cpu"))
    found = modality_values(model.prognosis, patients)
    prognosis, scale = model.prognosis, len(model.prognosis.features.scale)
    columns = np.array([owner == "covariates" for owner in prognosis.features.owner])
    patient = int(patients.seen("all")[0])

    def value(members: frozenset[str]) -> float:
        names = sorted(members - {"clinical"})
        one = np.array([patient])
        if names:
            pattern = "all" if len(names) == 2 else names[0]
            x = patients.read(one, pattern)
        else:
            pattern, x = "all", np.zeros((1, len(prognosis.head.shared)))
            x[:, :scale][:, columns] = patients.features.design.covariates[one]
        if "clinical" not in members:
            if not names:
                return 0.0
            x[:, :scale][:, columns] = 0.0
        types = patients.types[one]
        risk = prognosis.risks(prognosis.head(x, types), types, pattern)[0]
        if not names:
            risk -= prognosis.risks(prognosis.head(np.zeros_like(x), types), types, pattern)[0]
        return float(risk)

    shares = dict.fromkeys(("image", "rna", "clinical"), 0.0)
    for order in permutations(shares):
        for place, name in enumerate(order):
            shares[name] += (value(frozenset(order[: place + 1])) - value(frozenset(order[:place]))) / 6
    np.testing.assert_allclose(found[patient], list(shares.values()), atol=1e-9)


@pytest.mark.parametrize("name", ["model", "early", "clinical"])
def test_sources_share_what_their_modality_has(
    work: Path, early: Path, clinical: Path, tmp_path: Path, name: str
) -> None:
    table = whole(work / name, work, tmp_path / "p.csv", by_source=True).patients
    plain = whole(work / name, work, tmp_path / "plain.csv").patients
    pd.testing.assert_frame_equal(table[plain.columns], plain)
    own = [str(c) for c in table if str(c).startswith("why_image.")]
    assert own == ["why_image.tiles", "why_image.slide_stats"]
    assert [str(c) for c in table if "." in str(c)] == own  # the others have one source
    scored = table[table["status"] == "scored"]
    parts = scored[own].astype(float)
    np.testing.assert_allclose(parts.sum(axis=1), scored["why_image"].astype(float), atol=1e-9)
    lacking = ~scored["pattern"].str.contains("image")
    assert (parts[lacking] == 0).all(axis=None)
    assert (parts[~lacking].abs() > 1e-9).any(axis=0).all()
    assert table.loc[table["status"] != "scored", own].isna().all(axis=None)
    assert pd.read_csv(tmp_path / "p.csv").columns.tolist() == table.columns.tolist()


def test_the_share_of_a_source_is_that_of_all_orders_that_keep_modalities_together(work: Path) -> None:
    """Owen's value, from the risks that the patients would have with some of their sources alone."""
    model, store = load_model(work / "model"), new_patients(work)
    unions = {m: list(names) for m, names in model.checkpoint.model.inputs.modalities.items()}
    every = [s for names in unions.values() for s in names]
    risks: dict[frozenset[str], pd.Series] = {}

    def value(members: frozenset[str]) -> pd.Series:
        if members not in risks:
            risks[members] = pd.Series(0.0, index=store.patients.index)
            if members:
                part = without(store, set(every) - members)
                risks[members] = score_patients(model, part).patients["risk"].astype(float).fillna(0.0)
        return risks[members]

    shares = {s: pd.Series(0.0, index=store.patients.index) for s in every}
    orders = [
        [s for names in inner for s in names]
        for outer in permutations(unions)
        for inner in product(*(permutations(unions[m]) for m in outer))
    ]
    for order in orders:
        for place, name in enumerate(order):
            gain = value(frozenset(order[: place + 1])) - value(frozenset(order[:place]))
            shares[name] += gain / len(orders)
    found = score_patients(model, store, by_source=True).patients
    scored = found["status"] == "scored"
    for name in unions["image"]:
        expected = shares[name][scored]
        np.testing.assert_allclose(found.loc[scored, f"why_image.{name}"].astype(float), expected, atol=1e-9)


def test_a_source_that_the_cohort_lacks_has_no_share(work: Path) -> None:
    model, store = load_model(work / "model"), new_patients(work)
    found = score_patients(model, without(store, {"tiles"}), by_source=True).patients
    scored = found[found["status"] == "scored"]
    assert (scored["why_image.tiles"] == 0).all()
    np.testing.assert_array_equal(scored["why_image.slide_stats"], scored["why_image"])
    assert found.loc[found["status"] != "scored", "why_image.tiles"].isna().all()


@pytest.mark.parametrize("name", ["model", "early", "clinical"])
def test_features_account_for_the_whole_risk(
    work: Path, early: Path, clinical: Path, tmp_path: Path, name: str
) -> None:
    found = whole(work / name, work, tmp_path / "p.csv", top=5)
    assert found.reasons is not None
    table = found.patients.set_index("patient_id")
    scored = table[table["status"] == "scored"]
    total = found.reasons.groupby("patient_id")["contribution"].sum()
    np.testing.assert_allclose(total.loc[scored.index], scored["risk"].astype(float), atol=1e-9)
    assert (found.reasons.groupby("patient_id").size() == 7).all()
    kinds = found.reasons.groupby("patient_id")["source"].agg(set)
    for patient, sources in kinds.items():
        if "image" not in str(scored.loc[patient, "pattern"]):
            assert not sources & {"slide_stats", "tiles"}
    written = pd.read_csv(tmp_path / "p.reasons.csv")
    assert written.columns.tolist() == ["patient_id", "source", "feature", "contribution"]


def test_one_more_unit_of_a_feature_moves_the_risk_as_told(work: Path, tmp_path: Path) -> None:
    """Blocks are the same for values scaled alike, so a unit of a block is told through the whole map."""
    model, store = load_model(work / "model"), new_patients(work)
    ((patients, population),) = read_patients(model, store, torch.device("cpu"))
    every = feature_contributions(model.prognosis, patients, population, {}, 10_000)
    tokens = every[every["source"] == "tokens"].groupby("position")["contribution"].sum()
    blocks = every[~every["source"].isin(["tokens", ""])].groupby("position")["contribution"].sum()
    patient = int(patients.seen("all")[0])
    one = np.array([patient])
    x = patients.read(one, "all")
    weight = model.prognosis.head.own[str(patients.types[patient])]
    size = len(model.prognosis.features.scale)
    calibration = model.prognosis.calibrations.get(
        str(patients.types[patient]), model.prognosis.calibrations[""]
    )
    line = calibration.scores["all"].model
    score = model.prognosis.head(x, patients.types[one])
    softened = calibration.risk(score, "all")[0] / line.score(score[:, None])[0]  # 1 but for the most extreme
    slope = float(line.weight[0]) * softened
    np.testing.assert_allclose(blocks[patient], slope * x[0, :size] @ weight[:size], atol=1e-9)
    np.testing.assert_allclose(tokens[patient], slope * x[0, size:] @ weight[size:], atol=1e-9)


def test_missing_tests_are_worth_something_and_never_less_than_nothing(work: Path, tmp_path: Path) -> None:
    found = whole(work / "model", work, tmp_path / "p.csv")
    lacking = found.patients[(found.patients["status"] == "scored") & (found.patients["imputed"] != "")]
    tests = found.tests.merge(lacking[["patient_id", "imputed"]], on="patient_id")
    assert len(tests) == len(found.tests) == len(lacking)
    assert (tests["test"] == tests["imputed"]).all()
    assert (tests["risk_low"] < tests["risk_high"]).all()
    assert tests["group_changes"].between(0, 1).all()
    assert (tests["gain"] >= -1e-12).all()
    assert (tests["gain"] > 0).any()
    assert pd.read_csv(tmp_path / "p.tests.csv")["patient_id"].nunique() == len(lacking)


def test_horizons_and_levels_are_as_asked(work: Path, tmp_path: Path) -> None:
    asked = Asked((6.0, 18.0), 0.8)
    table = predict(work / "model", new_patients(work), tmp_path / "p.parquet", asked=asked)
    plain = predict(work / "model", new_patients(work), tmp_path / "q.csv")
    assert {"survival_6m", "survival_18m", "outlives_80_months"} <= set(table)
    scored = table["status"] == "scored"
    wide = plain.loc[scored, "risk_high"].astype(float) - plain.loc[scored, "risk_low"].astype(float)
    narrow = table.loc[scored, "risk_high"].astype(float) - table.loc[scored, "risk_low"].astype(float)
    assert (narrow < wide).all()
    assert (table.loc[scored, "outlives_80_months"] >= plain.loc[scored, "outlives_90_months"]).all()
    assert pd.read_parquet(tmp_path / "p.parquet").columns.tolist() == table.columns.tolist()
    for months in ((), (0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(InputError, match="--horizons"):
            Asked(months)
    with pytest.raises(InputError, match="--level"):
        Asked(level=1.0)
    with pytest.raises(InputError, match="--threshold"):
        Asked(threshold=0.0)


def test_who_served_before_is_said(work: Path, tmp_path: Path) -> None:
    """Patients of the fit, of pretraining alone, and new ones."""
    store = Store.open(work / "cohort" / "store")
    fit(store, config(work), work / "run", ("SIMC",), tmp_path / "model")
    own = predict(tmp_path / "model", store, tmp_path / "own.csv").set_index("patient_id")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert set(own.index[own["seen_in"] == "fitting"]) == set(manifest["fitted_patients"])
    rest = own[(own["cohort"] != "SIMC") & (own["status"] == "scored")]
    assert (rest["seen_in"] == "pretraining").all()
    new = predict(tmp_path / "model", new_patients(work), tmp_path / "new.csv")
    ids = set(manifest["fitted_patients"]) | set(own.index)
    assert (new.loc[~new["patient_id"].isin(ids), "seen_in"] == "").all()


@pytest.mark.parametrize("fast", [True, False])
def test_a_fit_keeps_the_precision_that_auto_meant(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    """Else predictions on another device would embed otherwise than the fit did."""
    monkeypatch.setattr("prime.precision.fast_bfloat16", lambda device: fast)
    experiment = config(work, "evaluate.probe.readout.precision=auto")
    fit(Store.open(work / "cohort" / "store"), experiment, work / "run", ("all",), tmp_path / "model")
    kept = load_model(tmp_path / "model").description.readout.precision
    assert kept == ("bf16-mixed" if fast else "32-true")


def test_tables_of_tests_and_reasons_are_in_the_order_of_the_store(work: Path, tmp_path: Path) -> None:
    """Patients are scored type after type."""
    store = new_patients(work)
    assert store.patients["cohort"].is_monotonic_increasing is False
    found = whole(work / "model", work, tmp_path / "p.csv", top=2)
    place = {str(name): row for row, name in enumerate(store.patients["patient_id"])}
    for table in (found.tests, found.reasons):
        assert table is not None
        assert table["patient_id"].map(place).is_monotonic_increasing
        assert table["patient_id"].nunique() > 10
