"""`prime embed`: the embeddings that the network gives, in every format, and what is refused."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from mudata import read_h5mu, set_options

import prime
from prime.cli import main
from tests.small_model import SmallModel, make_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    return make_model(tmp_path_factory.mktemp("embed"))


@pytest.fixture(autouse=True)
def no_pulling() -> Iterator[None]:
    """mudata's coming default, which it warns about else."""
    with set_options(pull_on_update=False):
        yield


def embedded(made: SmallModel, out: Path, *options: str) -> None:
    store = str(out.parent / "store")
    arguments = ["embed", str(made.run), "--cohort", str(made.unseen), "--store", store, "--out", str(out)]
    assert main([*arguments, *options]) == 0


@pytest.mark.parametrize("pattern", ["all", "-image", "rna"])
def test_it_writes_what_python_gives(made: SmallModel, tmp_path: Path, pattern: str) -> None:
    cohort = prime.load(made.unseen, tmp_path / "store")
    expected = prime.open_run(made.run).embed(cohort, pattern, ("tokens", "pooled"))
    for name in ("a.parquet", "a.csv", "a.h5"):
        embedded(made, tmp_path / name, f"--pattern={pattern}", "--stages", "tokens", "pooled")
    table = pd.read_parquet(tmp_path / "a.parquet").set_index("patient_id")
    pd.testing.assert_frame_equal(table[expected.columns.to_list()], expected, check_names=False)
    text = pd.read_csv(tmp_path / "a.csv", index_col="patient_id")
    np.testing.assert_allclose(text[expected.columns.to_list()], expected, rtol=1e-6)
    assert table["cohort"].to_dict() == cohort.patients.loc[expected.index, "cohort"].to_dict()
    observed = cohort.observed.loc[expected.index]
    for modality in observed.columns:
        assert table[f"has_{modality}"].tolist() == observed[modality].tolist()
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["embeddings"][:], expected.to_numpy())
        assert file["columns"].asstr()[:].tolist() == expected.columns.to_list()
        assert file["patient_id"].asstr()[:].tolist() == expected.index.to_list()
        assert file["modalities"].asstr()[:].tolist() == observed.columns.to_list()
        np.testing.assert_array_equal(file["observed"][:], observed.to_numpy())


def test_anndata_holds_what_python_gives(made: SmallModel, tmp_path: Path) -> None:
    cohort = prime.load(made.unseen, tmp_path / "store")
    expected = prime.open_run(made.run).embed(cohort, "-image", ("tokens", "pooled"))
    embedded(made, tmp_path / "a.h5ad", "--pattern=-image", "--stages", "tokens", "pooled")
    found = read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(found.X, expected.to_numpy())
    assert found.obs_names.tolist() == expected.index.tolist()
    assert found.var_names.tolist() == expected.columns.tolist()
    observed = cohort.observed.loc[expected.index]
    for modality in observed.columns:
        assert found.obs[f"has_{modality}"].tolist() == observed[modality].tolist()
        own = [c for c in expected if c.startswith(f"tokens_{modality}_")]
        np.testing.assert_array_equal(found.obsm[f"X_tokens_{modality}"], expected[own])
        assert found.var.loc[own, "modality"].tolist() == [modality] * len(own)
    np.testing.assert_array_equal(
        found.obsm["X_pooled_all"], expected[[c for c in expected if c.startswith("pooled_all_")]]
    )
    assert found.obs["cohort"].tolist() == cohort.patients.loc[expected.index, "cohort"].tolist()
    facts = found.uns["prime"]
    assert (facts["pattern"], facts["stages"].tolist()) == ("-image", ["tokens", "pooled"])
    weights = (made.run / "model.safetensors").read_bytes()
    assert facts["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    embedded(made, tmp_path / "b.h5ad")
    assert not read_h5ad(tmp_path / "b.h5ad").obsm  # one block, and it is X


def test_mudata_leaves_out_who_lacks_a_modality(made: SmallModel, tmp_path: Path) -> None:
    cohort = prime.load(made.unseen, tmp_path / "store")
    expected = prime.open_run(made.run).embed(cohort, "-image", ("tokens", "pooled"))
    embedded(made, tmp_path / "a.h5mu", "--pattern=-image", "--stages", "tokens", "pooled")
    found = read_h5mu(tmp_path / "a.h5mu")
    observed = cohort.observed.loc[expected.index]
    assert set(found.mod) == {"all", *observed.columns} - {"image"}
    assert sorted(found.obs_names) == sorted(expected.index)
    for name in found.mod:
        has = expected.index if name == "all" else observed.index[observed[name]]
        own = [c for c in expected if c.startswith("pooled_" if name == "all" else f"tokens_{name}_")]
        assert found[name].obs_names.tolist() == has.tolist()
        np.testing.assert_array_equal(found[name].X, expected.loc[has, own])
        assert sorted(found.obs_names[found.obsm[name].ravel()]) == sorted(has)
    assert found.obs.loc[expected.index, "has_image"].tolist() == observed["image"].tolist()
    assert observed["image"].any()
    assert found.uns["prime"]["pattern"] == "-image"


def test_a_model_folder_will_do(made: SmallModel, tmp_path: Path) -> None:
    embedded(made, tmp_path / "run.parquet")
    arguments = ["--cohort", str(made.unseen), "--store", str(tmp_path / "store")]
    assert main(["embed", str(made.model), *arguments, "--out", str(tmp_path / "model.parquet")]) == 0
    run, model = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("run", "model"))
    pd.testing.assert_frame_equal(run, model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.txt"], "--out a.txt: give a name that ends in .parquet, .csv, .h5, .h5ad, .h5mu"),
        (["--out", "a.h5mu"], "--out a.h5mu: pooled is one vector of all modalities; write .h5ad, or "),
        (["--out", "a.h5", "--pattern", "slides"], "pattern 'slides': choose from all, "),
    ],
)
def test_what_is_refused(
    made: SmallModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(made.run), "--cohort", str(made.unseen), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))
