"""A small cohort of several cancer types and two endpoints, in which everybody lacks something."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.cohort.config import CohortConfig
from prime.downstream.grid import Evaluation
from prime.files import sha256_file
from prime.sealed import write_sealed
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store

Floats = NDArray[np.float64]
LABELLED, UNLABELLED = 186, 24
HORIZON = 500.0
OS = {"name": "os", "endpoint": "os"}
PFI = {"name": "pfi", "endpoint": "pfi"}
EARLY = {"name": "early", "endpoint": "os", "horizon_days": HORIZON}
SETTINGS = {"components": 4, "sizes": {"notes": 3}, "word_counts": ["notes"]}
KEYS = ["method", "task", "cohort", "fold", "pattern", "patient_id"]


def write_joint_store(folder: Path, seed: int = 0) -> Store:
    """186 patients of types A, B and C, and 24 of type D without any outcome.

    image: `tiles` (1 to 3 rows of 5); rna: `genes` (10); report: `notes` (counts of 8 words). Covariates:
    age, stage. Some have one endpoint of `os` and `pfi` alone. Ten hospitals treat all types.
    """
    rng = np.random.default_rng(seed)
    count = LABELLED + UNLABELLED
    ids = [f"p{i:03d}" for i in range(count)]
    types = np.array([*["A", "B", "C"] * (LABELLED // 3), *["D"] * UNLABELLED])
    factors = rng.normal(size=(count, 2))
    have = rng.random((count, 3)) < 0.75
    have[np.arange(count), rng.integers(0, 3, count)] = True
    frame = pd.DataFrame({"id": ids, "type": types, "hospital": [f"h{i % 10}" for i in range(count)]})
    for name, effect in (("os", 1.0), ("pfi", 0.7)):
        death = 700 * np.exp(-effect * factors[:, 0]) * rng.exponential(size=count) + 2
        censored = rng.uniform(200, 3000, count)
        without = (types == "D") | (rng.random(count) < 0.12)
        frame[f"{name}_t"] = np.where(without, np.nan, np.minimum(death, censored).round(1))
        frame[f"{name}_e"] = np.where(without, np.nan, death <= censored)
    stage = np.clip(np.round(2 + factors[:, 0] + 0.5 * rng.normal(size=count)), 1, 4)
    frame["age"] = (60 + 8 * factors[:, 1] + 3 * rng.normal(size=count)).round(1)
    frame["stage"] = np.where(rng.random(count) < 0.2, np.nan, stage)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "clinical.csv", index=False)
    rows = np.repeat(np.arange(count), np.where(have[:, 0], rng.integers(1, 4, count), 0))
    tables = {
        "tiles": (rows, factors[rows] @ rng.normal(size=(2, 5)) + rng.normal(size=(len(rows), 5))),
        "genes": (np.arange(count), factors @ rng.normal(size=(2, 10)) + 0.7 * rng.normal(size=(count, 10))),
        "notes": (np.arange(count), rng.poisson(np.exp(factors @ rng.normal(size=(2, 8)) / 2))),
    }
    tables["genes"][1][rng.random((count, 10)) < 0.03] = np.nan
    for column, (name, (who, values)) in enumerate(tables.items()):
        table = pd.DataFrame(values, columns=[f"{name}_{i}" for i in range(values.shape[1])])
        table.insert(0, "patient_id", [ids[i] for i in who])
        table[have[who, column]].to_csv(folder / f"{name}.csv", index=False)
    fold = pd.DataFrame({"patient_id": ids, "cohort": types, "fold": np.arange(count) // 3 % 2})
    fold[:LABELLED].to_csv(folder / "folds.csv", index=False)
    return Store.open(pack(_cohort(folder), folder / "store", progress=False))


def _cohort(folder: Path) -> CohortConfig:
    def vector(name: str, **options: Any) -> dict[str, Any]:
        return {"reader": "vector", "path": f"{name}.csv", "group_size": 4, **options}

    return CohortConfig.model_validate(
        {
            "name": "joint",
            "root": str(folder),
            "clinical": {
                "format": "table",
                "path": "clinical.csv",
                "patient_id": "id",
                "cohort": "type",
                "site": "hospital",
                "endpoints": {name: {"time": f"{name}_t", "event": f"{name}_e"} for name in ("os", "pfi")},
                "covariates": ["age", "stage"],
            },
            "modalities": {
                "image": {"tiles": vector("tiles", instances="tokens")},
                "rna": {"genes": vector("genes")},
                "report": {"notes": vector("notes")},
            },
        }
    )


def joint_experiment(
    store: Store, methods: Sequence[str], settings: dict[str, Any] | None = None, **evaluate: Any
) -> ExperimentConfig:
    """These methods on the two given folds of three cohorts; `settings` of all of them."""
    own = {**SETTINGS, **(settings or {})}
    return ExperimentConfig.model_validate(
        {
            "cohort": "joint.yaml",
            "evaluate": {
                "inits": [],
                "methods": list(methods),
                "tasks": [OS],
                "folds": str(store.path.parent / "folds.csv"),
                "fold_count": 2,
                "bootstrap": 0,
                **evaluate,
            },
            "comparison": {"settings": dict.fromkeys(methods, own)},
        }
    )


def survival(evaluation: Evaluation, cohort: str | None = None) -> pd.DataFrame:
    """Survival of every test patient by `KEYS`; of the fits of one cohort where it is named."""
    fits = [fit for fit in evaluation.fits if cohort in (None, fit.folds[0].cohort)]
    done = [evaluation._predictions(fit) for fit in fits]  # pyright: ignore[reportPrivateUsage]
    table = pd.concat(done, ignore_index=True).set_index(KEYS)
    return table[[name for name in table if str(name).startswith("survival_")]].sort_index()


def with_features(
    store: Store, folder: Path, patients: Sequence[int] | NDArray[np.int64], seed: int = 0
) -> Store:
    """The store with other numbers in all rows of these patients; nothing else changes."""
    rng = np.random.default_rng(seed)
    shutil.copytree(store.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for source in store.sources:
        values = np.load(folder / f"{source}.npy")
        for start, length in store.index(source)[np.asarray(patients)]:
            wild = 100 * rng.standard_cauchy((length, values.shape[1]))
            values[start : start + length] = np.abs(wild.round())
        np.save(folder / f"{source}.npy", values)
        manifest["sources"][source]["sha256"] = sha256_file(folder / f"{source}.npy")
        manifest["sha256"][f"{source}.npy"] = manifest["sources"][source]["sha256"]
    write_sealed(folder / "manifest.json", manifest, manifest["sha256"])
    return Store.open(folder)
