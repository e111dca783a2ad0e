"""The small cohort, store, checkpoint and model whose files are changed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch

from prime.cohort.config import load_cohort
from prime.predict.array_tree import take_apart
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.pretraining.loop import pretrain
from prime.settings.experiment import ExperimentConfig
from prime.store.packing import pack
from prime.store.store import Store
from tests.made_up import SMALL_MODEL

PATIENTS = 60
COHORT = """name: fuzzed
root: .
clinical:
  format: table
  path: clinical.csv
  patient_id: patient
  cohort: type
  site: site
  endpoints:
    os:
      time: months
      event: died
      unit: months
  covariates:
    - age
modalities:
  image:
    tiles:
      reader: h5
      path: slides
      max_tokens: 4
    bags:
      reader: pt
      path: bags
  rna:
    genes:
      reader: vector
      path: genes.parquet
      group_size: 3
"""


@dataclass(frozen=True)
class World:
    """Where everything stands: `cohort` (files), `store`, `run` (a checkpoint) and `model`."""

    cohort: Path
    store: Path
    run: Path
    model: Path


def write_cohort(folder: Path) -> None:
    """Sixty patients, a few slides and bags, twelve genes."""
    rng = np.random.default_rng(0)
    for name in ("slides", "bags"):
        (folder / name).mkdir(parents=True)
    ids = [f"p{number:02d}" for number in range(PATIENTS)]
    clinical = pd.DataFrame(
        {
            "patient": ids,
            "type": [("A", "B")[n % 2] for n in range(PATIENTS)],
            "site": [f"s{n % 3}" for n in range(PATIENTS)],
            "months": rng.integers(1, 90, PATIENTS),
            "died": rng.integers(0, 2, PATIENTS),
            "age": rng.integers(30, 90, PATIENTS),
        }
    )
    clinical.to_csv(folder / "clinical.csv", index=False)
    genes = pd.DataFrame(rng.normal(size=(PATIENTS, 12)), columns=[f"g{n}" for n in range(12)])
    genes.insert(0, "patient_id", ids)
    genes.to_parquet(folder / "genes.parquet", index=False)
    for name in ids[:6]:
        with h5py.File(folder / "slides" / f"{name}.h5", "w") as file:
            file["features"] = rng.normal(size=(5, 4)).astype(np.float32)
            file["features"].attrs["encoder"] = "made up"
    for name in ids[4:9]:
        torch.save(
            torch.from_numpy(rng.normal(size=(3, 4)).astype(np.float32)), folder / "bags" / f"{name}.pt"
        )
    (folder / "cohort.yaml").write_text(COHORT, encoding="utf-8")


def make_world(folder: Path) -> World:
    """Write, pack, pretrain and fit."""
    world = World(*(folder / name for name in ("cohort", "store", "run", "model")))
    write_cohort(world.cohort)
    store = Store.open(pack(load_cohort(world.cohort / "cohort.yaml"), world.store, progress=False))
    config = ExperimentConfig.model_validate(
        {
            "cohort": "cohort.yaml",
            "model": {**SMALL_MODEL, "blocks": 1},
            "pretrain": {"epochs": 1, "batch_size": 16, "precision": "32-true", "top_k": 2},
            "evaluate": {"probe": {"components": 2, "ridge": [1.0]}, "bins": 2},
        }
    )
    pretrain(store, config, world.run, progress=False)
    fit(store, config, world.run, ("all",), world.model)
    return world


def contents(store: Store) -> dict[str, Any]:
    """Everything that is read of a store, as bytes."""
    found: dict[str, Any] = {"patients": store.patients.to_json(), "observed": store.observed().tobytes()}
    for name in store.sources:
        found[name] = (store.index(name).tobytes(), np.asarray(store.values(name)).tobytes())
    return found


def of_model(folder: Path) -> dict[str, Any]:
    """Everything that predictions depend on of a model folder."""
    model = load_model(folder)
    found: dict[str, Any] = {k: v.numpy().tobytes() for k, v in model.checkpoint.model.state_dict().items()}
    for name, scaling in model.checkpoint.scaling.items():
        found[f"scaling {name}"] = (scaling.centre.tobytes(), scaling.scale.tobytes(), scaling.clip)
    described, arrays = take_apart(model.prognosis, "head")
    found["head"] = json.dumps(described, sort_keys=True)
    found |= {name: values.tobytes() for name, values in arrays.items()}
    found["description"] = model.description.model_dump_json()
    found["inputs"] = model.checkpoint.model.inputs.model_dump_json()
    return found


def copied(source: Path, target: Path, change: Callable[[Path], None]) -> Path:
    """A copy of a folder or file, changed."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    change(target)
    return target
