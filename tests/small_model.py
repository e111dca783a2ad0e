"""A small fitted model of a simulated cohort with every kind of source, for tests of what uses models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

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
evaluate:
  probe: {components: 4}
  tasks: [{name: os, endpoint: os}, {name: dead_2y, endpoint: os, horizon_days: 730}]
"""


@dataclass(frozen=True)
class SmallModel:
    """The cohort file and packed store of the fit, the run and the model folder, and unseen patients."""

    cohort: Path
    store: Path
    run: Path
    model: Path
    unseen: Path

    def packed(self, cohort: Path, folder: Path) -> Store:
        """The store of a cohort file."""
        return Store.open(pack(load_cohort(cohort), folder, progress=False))


def made_cohort(folder: Path, patients: int, seed: int) -> Path:
    """A simulated cohort with short reports, and ages of three patients in four; its cohort file."""
    path = simulate(folder, patients, seed)
    table = pd.read_csv(folder / "clinical.csv")
    rng = np.random.default_rng(seed)
    known = rng.random(len(table)) < 0.75
    table["age"] = np.where(known, rng.integers(30, 90, len(table)), np.nan)
    table.to_csv(folder / "clinical.csv", index=False)
    value: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    value["clinical"]["covariates"] = ["age"]
    value["modalities"]["report"]["reports"]["max_tokens"] = 8
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


def fit_task(made: SmallModel, task: str, out: Path) -> None:
    """Fit another task of the experiment on the same patients and network."""
    experiment = load_experiment(made.cohort.parent.parent / "experiment.yaml", ())
    fit(Store.open(made.store), experiment, made.run, ("all",), out, task)


def make_model(folder: Path) -> SmallModel:
    """Simulate, pretrain for one epoch, fit with a covariate, and simulate 30 unseen patients."""
    cohort = made_cohort(folder / "cohort", 160, 3)
    unseen = made_cohort(folder / "unseen", 30, 4)
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    experiment = load_experiment(folder / "experiment.yaml", ())
    store = Store.open(pack(load_cohort(cohort), folder / "store", progress=False))
    pretrain(store, experiment, folder / "run", progress=False)
    fit(store, experiment, folder / "run", ("all",), folder / "model", mode="lp_shared_clinical")
    return SmallModel(cohort, folder / "store", folder / "run", folder / "model", unseen)
