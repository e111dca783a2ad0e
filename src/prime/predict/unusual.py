"""New patients whose values are far outside of what a model was fitted on."""

import numpy as np

from prime.arrays import Indices
from prime.predict.inputs import NewPatientLoader
from prime.predict.model_folder import FittedModel
from prime.store.ranges import far_outside


def unusual(model: FittedModel, loader: NewPatientLoader, patients: Indices) -> dict[int, str]:
    """Of these patients (positions in the store) those with such values: in which source, and how many.

    The rule is `prime.store.ranges.far_outside`.
    """
    found: dict[int, list[str]] = {}
    for source in loader.sources:
        names = model.description.feature_names.get(source)
        has = loader.store.index(source)[:, 1] > 0
        for patient in patients[has[patients]].tolist():
            outside = far_outside(loader.raw(source, np.array([patient])), model.ranges[source])
            if outside is not None:
                feature = names[outside.feature] if names else f"feature {outside.feature + 1}"
                found.setdefault(patient, []).append(
                    f"source {source}: {outside.count:,} of {outside.total:,} numbers are far outside the "
                    f"training range (such as {feature}: {outside.value:.4g})"
                )
    return {patient: "; ".join(lines) for patient, lines in found.items()}
