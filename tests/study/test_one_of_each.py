"""The smallest cohort that users have: one modality, one cancer type, no sites and no covariates."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from prime.cohort.config import load_cohort
from prime.job_pool import JobPool
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store
from prime.study.context import Context
from prime.study.registry import STUDIES
from prime.study.run import run_studies
from tests.study.conftest import Configure

COHORT = """name: hospital
clinical:
  format: table
  path: clinical.csv
  patient_id: patient
  endpoints: {os: {time: days, unit: days, event: died}}
modalities:
  rna: {genes: {reader: vector, path: genes.csv, patient_id: patient}}
"""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("one")
    rng = np.random.default_rng(0)
    ids = [f"P{row:03d}" for row in range(90)]
    genes = rng.normal(size=(90, 8))
    died = rng.exponential(900 * np.exp(-genes[:, 0]))
    left = rng.uniform(300, 3000, 90)
    clinical = {"days": np.minimum(died, left).round() + 1, "died": (died <= left).astype(int)}
    pd.DataFrame({"patient": ids, **clinical}).to_csv(folder / "clinical.csv", index=False)
    table = pd.DataFrame(genes, columns=[f"g{gene}" for gene in range(8)])
    table.assign(patient=ids).to_csv(folder / "genes.csv", index=False)
    (folder / "cohort.yaml").write_text(COHORT, encoding="utf-8")
    return Store.open(pack(load_cohort(folder / "cohort.yaml"), folder / "store", progress=False))


@pytest.fixture(scope="module")
def config(study_config: Configure) -> ExperimentConfig:
    return study_config(cohorts=None, modes=["lp", "lp_missing"], methods=["block_ridge"])


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_made(
    name: str, one: Store, config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.getbasetemp() / "one_of_each"  # what studies have in common is made once
    console = Console(file=StringIO())
    settings = (("model.queries", (2,)),) if name == "sweep" else ()
    context = Context(one, config, "quick", settings=settings)
    failed = run_studies([STUDIES[name]], context, out, JobPool(), "prime study", console)
    assert not failed, console.file.getvalue()  # type: ignore[attr-defined]
    assert (out / name / "manifest.json").is_file()


def test_a_table_by_pattern_has_one_column_and_no_mean_of_none(
    one: Store, config: ExperimentConfig, tmp_path: Path
) -> None:
    context = Context(one, config, "quick")
    run_studies([STUDIES["table4"]], context, tmp_path, JobPool(), "prime study", Console(file=StringIO()))
    lines = (tmp_path / "table4" / "patterns_os.md").read_text(encoding="utf-8").splitlines()
    heads = [line for line in lines if line.startswith("| Method")]
    assert [cell.strip() for cell in heads[0].strip("|").split("|")][1:] == ["all"]
