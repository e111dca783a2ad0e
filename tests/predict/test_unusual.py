"""What a model may not be given without a word: another encoder, another unit, columns that went missing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from prime.cli import main
from prime.cohort.config import load_cohort
from prime.demo.simulate import simulate
from prime.errors import InputError
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.predict import SHARED_BASELINE, predict
from prime.pretraining.loop import pretrain
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.store.origin import require_same_makers
from prime.store.packing import pack
from prime.store.store import Store

EXPERIMENT = """
cohort: cohort/cohort.yaml
model: {dim: 16, queries: 2, heads: 2, blocks: 2, experts: 2, top_k: 1, prototypes: 4, projection_dim: 8}
pretrain: {epochs: 1, batch_size: 32, precision: 32-true, top_k: 2}
evaluate: {probe: {components: 4}, modes: [lp], inits: [pretrained], bootstrap: 0, fold_count: 2}
"""
Edit = Callable[[Path], None]


def packed(path: Path) -> Store:
    return Store.open(pack(load_cohort(path), path.parent / "store", progress=False))


def cohort_of(folder: Path, patients: int, seed: int) -> Path:
    """A simulated cohort without reports, in which column void of the genes holds no number."""
    path = simulate(folder, patients, seed)
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    del value["modalities"]["report"]
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


def edit_genes(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Edit:
    def edit(folder: Path) -> None:
        change(pd.read_parquet(folder / "rna.parquet")).to_parquet(folder / "rna.parquet", index=False)

    return edit


def untyped(folder: Path) -> None:
    """Leave the column of cancer types out of the cohort file."""
    path = folder / "cohort.yaml"
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    del value["clinical"]["cohort"]
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


def times(factor: float) -> Edit:
    return edit_genes(lambda t: t.assign(**{c: t[c] * factor for c in t.columns[1:]}))


def encoder(name: str | None) -> Edit:
    def edit(folder: Path) -> None:
        for path in (folder / "slides").iterdir():
            with h5py.File(path, "a") as file:
                if name is None:
                    del file["features"].attrs["encoder"]
                else:
                    file["features"].attrs["encoder"] = name

    return edit


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unusual")
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    path = cohort_of(folder / "cohort", 90, 0)
    edit_genes(lambda t: t.assign(void=np.nan, late=np.arange(len(t)) / 7))(path.parent)
    store = packed(path)
    pretrain(store, settings(folder), folder / "run")
    fit(store, settings(folder), folder / "run", ("all",), folder / "model")
    new = cohort_of(folder / "new", 40, 3)
    edit_genes(lambda t: t.assign(void=np.nan, late=np.arange(len(t)) / 7))(new.parent)
    return folder


def settings(folder: Path) -> ExperimentConfig:
    return load_experiment(folder / "experiment.yaml", ())


def scored(work: Path, tmp_path: Path, edit: Edit | None = None) -> pd.DataFrame:
    """The predictions for the new patients after an edit of their files.

    The types are too small for baselines of their own, which is said of everybody; here it is left out.
    """
    folder = tmp_path / ("plain" if edit is None else "edited")
    shutil.copytree(work / "new", folder)
    if edit is not None:
        edit(folder)
    table = predict(work / "model", packed(folder / "cohort.yaml"), tmp_path / "p.csv").patients
    assert table.loc[table["status"] == "scored", "reason"].str.startswith(SHARED_BASELINE).all()
    table["reason"] = table["reason"].str.removeprefix(SHARED_BASELINE).str.removeprefix("; ")
    return table[table["status"] == "scored"].set_index("patient_id")


def test_patients_of_the_same_kind_are_not_remarked_on(work: Path, tmp_path: Path) -> None:
    assert (scored(work, tmp_path)["reason"] == "").all()


UNITS = [(1000.0, "numbers are far outside"), (0.2, r"are spread 0\.[12]\d* times as widely")]


@pytest.mark.parametrize(("factor", "words"), UNITS)
def test_another_unit_is_named_by_source_and_row(
    work: Path, tmp_path: Path, factor: float, words: str
) -> None:
    table = scored(work, tmp_path, times(factor))
    with_rna = table["pattern"].str.contains("rna")
    assert table.loc[with_rna, "reason"].str.contains("source genes: ").all()
    assert table.loc[with_rna, "reason"].str.contains(words).all()
    assert (table.loc[~with_rna, "reason"] == "").all()


def test_one_unusual_patient_is_named_alone(work: Path, tmp_path: Path) -> None:
    def one(table: pd.DataFrame) -> pd.DataFrame:
        table.iloc[0, 1:] = table.iloc[0, 1:].astype(float) * 1000
        return table

    table = scored(work, tmp_path, edit_genes(one))
    patient = pd.read_parquet(work / "new" / "rna.parquet")["patient_id"].iloc[0]
    assert (table["reason"] != "").sum() == 1
    assert "far outside the training range (such as G" in str(table.loc[patient, "reason"])


def test_another_encoder_is_refused_by_predict_fit_and_evaluate(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "'tiles' was made with encoder 'gigapath' here, for the model with 'simulated'"
    with pytest.raises(InputError, match=words):
        scored(work, tmp_path, encoder("gigapath"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(work / "cohort", tmp_path / "cohort", ignore=shutil.ignore_patterns("store"))
    encoder("gigapath")(tmp_path / "cohort")
    untyped(tmp_path / "cohort")  # one cohort is large enough for two folds
    (tmp_path / "e.yaml").write_text(EXPERIMENT, encoding="utf-8")
    for command, out in (("evaluate", "out"), ("fit", "model")):
        more = ["--cohort-name", "all"] if command == "fit" else []
        assert main([command, "e.yaml", "--checkpoint", str(work / "run"), "--out", out, *more]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / out / "manifest.json").exists()


def test_an_encoder_that_is_not_stated_is_said(work: Path, tmp_path: Path) -> None:
    scored(work, tmp_path, encoder(None))
    attributes = load_model(work / "model").description.attributes
    (said,) = require_same_makers(attributes, Store.open(tmp_path / "edited" / "store"), "here")
    assert said.startswith("source tiles: made for the model by simulated; these files state no encoder")


def test_columns_without_a_number_may_differ_from_training(work: Path, tmp_path: Path) -> None:
    """`void` is new, `late` went missing: nothing is refused, and `late` is the training median for all."""
    model = load_model(work / "model")
    assert model.description.empty == {"genes": ("void",)}
    scaling = model.checkpoint.scaling["genes"]
    middle = float(scaling.centre[model.description.feature_names["genes"].index("late")])
    table = scored(work, tmp_path, edit_genes(lambda t: t.assign(void=1.5, late=np.nan)))
    shutil.rmtree(tmp_path / "edited")
    median = scored(work, tmp_path, edit_genes(lambda t: t.assign(late=middle)))
    np.testing.assert_allclose(table["risk"].astype(float), median["risk"].astype(float), atol=0.01)
    with pytest.raises(InputError, match=r"genes.*202 features, the model wants a vector of 201"):
        predict(work / "model", changed(work, tmp_path, lambda t: t.assign(other=1.5)), tmp_path / "q.csv")


def changed(work: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Store:
    shutil.copytree(work / "new", tmp_path / "changed")
    edit_genes(change)(tmp_path / "changed")
    return packed(tmp_path / "changed" / "cohort.yaml")


def test_a_cohort_without_types_is_scored_and_told_whose_baseline_serves(work: Path, tmp_path: Path) -> None:
    table = scored(work, tmp_path, untyped)
    assert set(table["cohort"]) == {"simulated"}
    assert (table["reason"] == "").all()
    assert table["survival_12m"].notna().all()
