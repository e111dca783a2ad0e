"""A small cohort in which every modality and covariate tells of the same two hidden factors."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from prime.cohort.config import CohortConfig
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store

SMALL: dict[str, Any] = {"dim": 16, "queries": 3, "heads": 2, "mlp_ratio": 2}


def write_signal_store(folder: Path, patients: int = 240, present: float = 0.8, seed: int = 0) -> Store:
    """Patients of one cancer type; a share `present` of each modality is there, and at least one of each.

    image: `tiles` (1 to 5 rows of 6) and `stats` (8, half of those with an image); rna: `genes` (16) and
    `signatures` (6); report: `words` (2 to 6 rows of 8). Covariates: age, sex, stage.
    """
    rng = np.random.default_rng(seed)
    ids = [f"p{i:03d}" for i in range(patients)]
    factors = rng.normal(size=(patients, 2))
    have = rng.random((patients, 3)) < present
    have[np.arange(patients), rng.integers(0, 3, patients)] = True
    risk = factors[:, 0]
    death = 800 * np.exp(-1.5 * risk) * rng.exponential(size=patients) + 1
    censored = rng.uniform(200, 3000, patients)
    (folder / "tiles").mkdir(parents=True)
    (folder / "words").mkdir()
    pd.DataFrame(
        {
            "id": ids,
            "type": "A",
            "t": np.minimum(death, censored).round(1),
            "e": (death <= censored).astype(int),
            "age": (60 + 8 * risk + 4 * rng.normal(size=patients)).round(1),
            "sex": rng.integers(0, 2, patients),
            "stage": np.clip(np.round(2 + risk + 0.5 * rng.normal(size=patients)), 1, 4),
        }
    ).to_csv(folder / "clinical.csv", index=False)
    maps = {name: rng.normal(size=(2, width)) for name, width in WIDTHS.items()}
    for i in range(patients):
        for name, column, least, most in (("tiles", 0, 1, 5), ("words", 2, 2, 6)):
            if have[i, column]:
                count = rng.integers(least, most + 1)
                rows = factors[i] @ maps[name] + 0.5 * rng.normal(size=(count, WIDTHS[name]))
                with h5py.File(folder / name / f"{ids[i]}.h5", "w") as file:
                    file["features"] = rows.astype(np.float32)
    for name, column in (("stats", 0), ("genes", 1), ("signatures", 1)):
        values = factors @ maps[name] + 0.5 * rng.normal(size=(patients, WIDTHS[name]))
        values[rng.random(values.shape) < 0.02] = np.nan
        table = pd.DataFrame(values, columns=[f"{name}_{i}" for i in range(WIDTHS[name])])
        table.insert(0, "patient_id", ids)
        there = have[:, column] & ((rng.random(patients) < 0.5) if name == "stats" else True)
        table[there].to_csv(folder / f"{name}.csv", index=False)
    return Store.open(pack(_cohort(folder), folder / "store", progress=False))


WIDTHS = {"tiles": 6, "words": 8, "stats": 8, "genes": 16, "signatures": 6}


def _cohort(folder: Path) -> CohortConfig:
    def vector(name: str) -> dict[str, Any]:
        return {"reader": "vector", "path": f"{name}.csv", "group_size": 4}

    def tokens(name: str) -> dict[str, Any]:
        return {"reader": "h5", "path": name, "max_tokens": 8}

    return CohortConfig.model_validate(
        {
            "name": "signal",
            "root": str(folder),
            "clinical": {
                "format": "table",
                "path": "clinical.csv",
                "patient_id": "id",
                "cohort": "type",
                "endpoints": {"os": {"time": "t", "event": "e"}},
                "covariates": ["age", "sex", "stage"],
            },
            "modalities": {
                "image": {"tiles": tokens("tiles"), "stats": vector("stats")},
                "rna": {"genes": vector("genes"), "signatures": vector("signatures")},
                "report": {"words": tokens("words")},
            },
        }
    )


def comparison(name: str, **changes: Any) -> ExperimentConfig:
    """One method on two folds: survival, and death within two years."""
    return ExperimentConfig.model_validate(
        {
            "cohort": "signal.yaml",
            "model": SMALL,
            "evaluate": {
                "inits": [],
                "methods": [name],
                "tasks": [
                    {"name": "os", "endpoint": "os"},
                    {"name": "early", "endpoint": "os", "horizon_days": 730},
                ],
                "fold_count": 2,
                "bootstrap": 0,
            },
            "comparison": {
                "blocks": 1,
                "grid": [{"learning_rate": 3e-3, "dropout": 0.1}],
                "epochs": 8,
                "pretraining_epochs": 2,
                "batch_size": 32,
                "patience": 6,
                "precision": "32-true",
                **changes,
            },
        }
    )
