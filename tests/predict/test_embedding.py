"""`prime embed`: the embeddings that the network gives, in every format, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import prime
from prime.cli import main
from tests.small_model import SmallModel, make_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    return make_model(tmp_path_factory.mktemp("embed"))


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


def test_a_model_folder_will_do(made: SmallModel, tmp_path: Path) -> None:
    embedded(made, tmp_path / "run.parquet")
    arguments = ["--cohort", str(made.unseen), "--store", str(tmp_path / "store")]
    assert main(["embed", str(made.model), *arguments, "--out", str(tmp_path / "model.parquet")]) == 0
    run, model = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("run", "model"))
    pd.testing.assert_frame_equal(run, model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.txt"], "--out a.txt: give a name that ends in .parquet, .csv, .h5"),
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
