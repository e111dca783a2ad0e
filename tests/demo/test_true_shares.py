"""Shapley values of a fitted model against those of the simulation's true hazard."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from scipy.stats import spearmanr

from prime.cohort.config import load_cohort
from prime.demo.oracle import true_shares
from prime.demo.simulate import simulate
from prime.demo.simulated_world import FACTORS, HAZARD, VISIBLE
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.predict import score_patients
from prime.pretraining.loop import pretrain
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store

SETTINGS = {
    "cohort": "cohort.yaml",
    "model": {
        "dim": 32, "queries": 2, "heads": 2, "blocks": 2, "experts": 2, "top_k": 1, "prototypes": 8,
        "projection_dim": 16,
    },
    "pretrain": {"epochs": 1, "batch_size": 64, "precision": "32-true", "top_k": 4},
}  # fmt: skip


def make(folder: Path, patients: int, seed: int) -> Store:
    """A simulated cohort whose reports are read as the facts that they state."""
    path = simulate(folder, patients, seed)
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    value["modalities"]["report"] = {"facts": {"reader": "facts", "path": "reports.csv"}}
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return Store.open(pack(load_cohort(path), folder / "store", progress=False))


def test_true_shares_are_means_over_all_orders(tmp_path: Path) -> None:
    store = make(tmp_path / "cohort", 40, 1)
    found = true_shares(store, tmp_path / "cohort")
    truth = pd.read_csv(tmp_path / "cohort" / "truth.csv").set_index("patient_id")
    types, observed, names = store.patients["cohort"].to_numpy(), store.observed(), list(store.modalities)
    for row, patient in enumerate(store.patients["patient_id"]):
        alike = store.patients["patient_id"].to_numpy(dtype=object)[types == types[row]].tolist()
        own = {name: float(truth[name][str(patient)] - truth[name][alike].mean()) for name in FACTORS}
        there = [name for name, has in zip(names, observed[row], strict=True) if has]

        def risk(known: list[str], own: dict[str, float] = own) -> float:
            seen = {factor for name in known for factor in VISIBLE[name]}
            return sum(HAZARD[factor] * own[factor] for factor in seen)

        orders = list(permutations(there))
        for column, name in enumerate(names):
            gains = [
                risk([*order[: order.index(name)], name]) - risk(list(order[: order.index(name)]))
                for order in orders
                if name in order
            ]
            assert found[row, column] == pytest.approx(np.mean(gains) if gains else 0.0, abs=1e-9)


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    found: Any = spearmanr(a, b)
    return float(found.statistic)


def test_shares_of_new_patients_rank_as_the_true_ones(tmp_path: Path) -> None:
    """Measured with these seeds: 0.82, 0.92 and 0.79 by modality, 0.85 pooled, the driver in 0.68 of 219."""
    store, new = make(tmp_path / "cohort", 400, 0), make(tmp_path / "new", 300, 3)
    config = ExperimentConfig.model_validate(SETTINGS)
    pretrain(store, config, tmp_path / "run", progress=False)
    fit(store, config, tmp_path / "run", ("all",), tmp_path / "model")
    table = score_patients(load_model(tmp_path / "model"), new).patients
    ours = table[[f"why_{name}" for name in new.modalities]].to_numpy(dtype=np.float64)
    true, observed = true_shares(new, tmp_path / "new"), new.observed()
    for column, name in enumerate(new.modalities):
        has = observed[:, column]
        assert correlation(true[has, column], ours[has, column]) > 0.7, name
    assert correlation(true[observed], ours[observed]) > 0.75
    several = observed.sum(axis=1) >= 2
    drivers = [np.where(observed, np.abs(values), -1.0)[several].argmax(axis=1) for values in (true, ours)]
    by_chance = (1 / observed[several].sum(axis=1)).mean()
    assert (drivers[0] == drivers[1]).mean() > by_chance + 0.15
