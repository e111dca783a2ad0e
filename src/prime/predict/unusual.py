"""New patients whose values are far outside of what a model was fitted on."""

import numpy as np

from prime.arrays import Indices
from prime.predict.inputs import NewPatientLoader
from prime.predict.model_folder import FittedModel
from prime.store.ranges import MANY, far_outside, other_scale

JUDGED = 200  # patients whose values are judged together

MOST_ROWS = 16  # of a patient that are looked at, about, evenly spread


def unusual(model: FittedModel, loader: NewPatientLoader, patients: Indices) -> dict[int, str]:
    """Of these patients (positions in the store) those with such values: in which source, and how many.

    The rules are `far_outside` for a few rows of a patient, and `other_scale` for all patients together, in
    `prime.store.ranges`.
    """
    found: dict[int, list[str]] = {}
    for source in loader.sources:
        mine = patients[loader.store.index(source)[patients, 1] > 0]
        if (line := _all_together(model, loader, source, mine)) is not None:
            for patient in mine.tolist():
                found.setdefault(patient, []).append(line)
        names = model.description.feature_names.get(source)
        for patient in mine.tolist():
            rows = loader.raw(source, np.array([patient]))
            outside = far_outside(rows[:: max(1, len(rows) // MOST_ROWS)], model.ranges[source])
            if outside is not None:
                feature = names[outside.feature] if names else f"feature {outside.feature + 1}"
                found.setdefault(patient, []).append(
                    f"source {source}: {outside.count:,} of {outside.total:,} numbers are far outside the "
                    f"training range (such as {feature}: {outside.value:.4g})"
                )
    return {patient: "; ".join(lines) for patient, lines in found.items()}


def _all_together(model: FittedModel, loader: NewPatientLoader, source: str, patients: Indices) -> str | None:
    """What is unusual of many patients' values together; of at most JUDGED, evenly drawn."""
    if len(patients) < MANY:
        return None
    some = patients[np.linspace(0, len(patients) - 1, min(JUDGED, len(patients))).astype(np.int64)]
    how = other_scale(loader.raw(source, some), model.ranges[source])
    return how and f"source {source}: the values of these {len(patients):,} patients are {how}"
