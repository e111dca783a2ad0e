"""A model that reads counts of words scores cohorts whose reports have other common words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import prime
from prime.cli import main
from prime.cohort.config import load_cohort
from prime.demo.simulate import simulate
from prime.predict.fit import fit
from prime.pretraining.loop import pretrain
from prime.settings.experiment import load_experiment
from prime.store.packing import pack
from prime.store.store import Store

EXPERIMENT = """
cohort: cohort/cohort.yaml
model: {dim: 16, queries: 2, heads: 2, blocks: 2, experts: 2, top_k: 1, prototypes: 4, projection_dim: 8}
pretrain: {epochs: 1, batch_size: 32, precision: 32-true, top_k: 2}
evaluate: {probe: {shared: {word_counts: [words], components: 4}}}
"""


def counted(path: Path) -> Path:
    """The cohort with signatures and counts of words alone."""
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    rna = value["modalities"]["rna"]
    words = {"reader": "words", "path": "reports.csv", "max_words": 25, "max_length": 2, "group_size": 5}
    value["modalities"] = {"rna": rna, "report": {"words": words}}
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted model, and a cohort of ten of its patients whose reports have gained words."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    cohort = counted(simulate(folder / "cohort", 90, 0))
    store = Store.open(pack(load_cohort(cohort), folder / "store", progress=False))
    config = load_experiment(folder / "experiment.yaml", ())
    pretrain(store, config, folder / "run", progress=False)
    fit(store, config, folder / "run", ("all",), folder / "model")
    few = counted(simulate(folder / "few", 90, 0))
    reports = pd.read_csv(few.parent / "reports.csv")
    kept = reports["patient_filename"].iloc[:10]
    reports = reports[reports["patient_filename"].isin(kept)]
    reports["text"] += " " + " ".join(f"unheard{number}" for number in range(40))
    reports.to_csv(few.parent / "reports.csv", index=False)
    return folder


def test_scores_do_not_depend_on_what_is_common_in_the_new_cohort(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(work / "model")
    for name in ("cohort", "few"):
        cohort = str(work / name / "cohort.yaml")
        assert main(["predict", "--model", model, "--cohort", cohort, "--out", f"{name}.csv"]) == 0
    before, after = (pd.read_csv(tmp_path / f"{n}.csv", index_col="patient_id") for n in ("cohort", "few"))
    reported = pd.read_csv(work / "few" / "reports.csv")["patient_filename"].str.split(".").str[0]
    both = [p for p in reported if "report" in str(before.loc[p, "pattern"])]
    assert len(both) >= 5
    assert after.loc[both, "pattern"].str.contains("report").all()
    np.testing.assert_allclose(after.loc[both, "risk"], before.loc[both, "risk"], atol=1e-6)
    others = before.index.difference(list(reported))
    assert not after.loc[others, "pattern"].astype(str).str.contains("report").any()


def test_in_python_too(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = prime.PrimeModel.from_pretrained(work / "model")
    found = [model.predict(prime.load(work / n / "cohort.yaml")).patients for n in ("cohort", "few")]
    risk = [table.set_index("patient_id")["risk"] for table in found]
    reported = pd.read_csv(work / "few" / "reports.csv")["patient_filename"].str.split(".").str[0]
    np.testing.assert_allclose(risk[1].loc[list(reported)], risk[0].loc[list(reported)], atol=1e-6)
