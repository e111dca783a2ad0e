"""Made-up patients for statistical models: vectors by source, covariates, and outcomes that follow them."""

import numpy as np
from numpy.typing import NDArray

from prime.catalogue.methods import METHODS
from prime.methods.interface import ClassicalModel
from prime.methods.statistics.examples import Examples, Target
from prime.settings.methods import ComparisonConfig
from prime.store.vectors import PatientVectors

Floats = NDArray[np.float64]

MODALITIES = {"image": ("tiles", "stats"), "rna": ("genes",), "report": ("notes",)}
DIMS = {"tiles": 6, "stats": 30, "genes": 40, "notes": 12}
EDGES = np.array([-np.inf, 200.0, 500.0, 900.0, np.inf])


def made_examples(
    patients: int = 150, seed: int = 0, binary: bool = False, present: float = 0.8, effect: float = 1.0
) -> Examples:
    """Each source is there with probability `present`, one of a patient's always; `effect` on the hazard."""
    rng = np.random.default_rng(seed)
    maps = np.random.default_rng(99)
    factor = rng.normal(size=patients)
    sources: dict[str, Floats] = {}
    for name, dim in DIMS.items():
        values = factor[:, None] * maps.normal(size=dim) + 1.5 * rng.normal(size=(patients, dim))
        values[rng.random(values.shape) < 0.02] = np.nan
        gone = rng.random(patients) > present
        values[gone & (np.arange(patients) % 4 != list(DIMS).index(name))] = np.nan
        sources[name] = 10 * values + 3
    covariates = {
        "age": 60 + 8 * factor + 5 * rng.normal(size=patients),
        "stage": np.where(rng.random(patients) < 0.2, np.nan, np.clip(np.round(2 + factor), 1, 4)),
        "site": np.ones(patients),
    }
    death = 700 * np.exp(-effect * factor) * rng.exponential(size=patients) + 1
    censored = rng.uniform(100, 3000, patients)
    time, event = np.minimum(death, censored), death <= censored
    edges = EDGES
    if binary:
        event, edges = event & (time <= 500), np.array([-np.inf, np.inf])
    return Examples(PatientVectors(MODALITIES, sources, covariates), Target(time, event, edges, binary))


def fitted(
    name: str, train: Examples, validation: Examples, seed: int = 0, **settings: object
) -> ClassicalModel:
    """The method with its defaults, changed by `settings`, fitted."""
    config = ComparisonConfig.model_validate({"settings": {name: settings}})
    model: ClassicalModel = METHODS[name].build(config.method_settings(name), seed)
    model.fit(train, validation)
    return model
