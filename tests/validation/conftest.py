"""A made-up cohort of three cancer types, and a model fitted on two of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from prime.predict.fit import fit
from prime.predict.model_folder import FittedModel, load_model
from prime.store.store import Store
from tests.made_up import evaluation_settings, write_checkpoint, write_store


@dataclass(frozen=True)
class Work:
    """A packed cohort, its file, and folders of a survival and of a binary model fitted on types A and B."""

    store: Store
    cohort: Path
    model_dir: Path
    binary_dir: Path

    @property
    def model(self) -> FittedModel:
        return load_model(self.model_dir)


@pytest.fixture(scope="package")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("validation")
    store = write_store(folder / "cohort", 420, present=0.8)
    clinical = {
        "format": "table", "path": "clinical.csv", "patient_id": "id", "cohort": "type", "site": "hospital",
        "endpoints": {"os": {"time": "t", "event": "e"}},
    }  # fmt: skip
    sources = {
        "image": {"tiles": {"reader": "h5", "path": "tiles", "max_tokens": 4}},
        "rna": {"genes": {"reader": "vector", "path": "genes.csv", "group_size": 4}},
        "report": {"words": {"reader": "vector", "path": "words.csv", "group_size": 4}},
    }
    cohort = folder / "cohort" / "cohort.yaml"
    value = {"name": "made-up", "root": ".", "clinical": clinical, "modalities": sources}
    cohort.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    tasks = [
        {"name": "os", "endpoint": "os"},
        {"name": "year", "endpoint": "os", "horizon_days": 400},
    ]
    probe = {"components": 3, "ridge": [0.1], "missing_heads": "shared"}
    config = evaluation_settings(tasks=tasks, probe=probe)
    seen = [str(p) for p in store.patients["patient_id"]]
    checkpoint = write_checkpoint(folder / "run", store, seen)
    fit(store, config, checkpoint, ("A", "B"), folder / "model", "os")
    fit(store, config, checkpoint, ("A", "B"), folder / "binary", "year")
    return Work(store, cohort, folder / "model", folder / "binary")


def with_covariates(store: Store) -> pd.DataFrame:
    """The patients' table with an age, known to most, and a sex."""
    rng = np.random.default_rng(0)
    age = rng.normal(64, 12, len(store.patients))
    age[::9] = np.nan
    return store.patients.assign(x_age=age, x_sex=rng.integers(0, 2, len(age)).astype(float))
