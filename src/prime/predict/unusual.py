"""New patients whose values are far outside of what a model was fitted on."""

import numpy as np

from prime.arrays import Indices
from prime.predict.model_folder import FittedModel
from prime.store.ranges import MANY, Range, far_outside, other_scale
from prime.store.rows import draw_rows
from prime.store.store import Store

JUDGED = 200  # patients whose values are judged together
JUDGED_ROWS = 4000  # of theirs
MOST_ROWS = 16  # of a patient that are looked at, about, evenly spread


def unusual(model: FittedModel, store: Store) -> dict[int, str]:
    """Patients with such values, by position in the store: in which source, and how many.

    The store has the model's features (`require_inputs`). The rules are `far_outside` for a few rows of a
    patient and `other_scale` for all patients together, in `prime.store.ranges`.
    """
    found: dict[int, list[str]] = {}
    for source in store.sources:
        index, values, known = store.index(source), store.values(source), model.ranges[source]
        mine = np.flatnonzero(index[:, 1] > 0)
        if (line := _all_together(store, source, known, mine)) is not None:
            for patient in mine.tolist():
                found.setdefault(patient, []).append(line)
        names = model.description.feature_names.get(source)
        for patient in mine.tolist():
            start, count = index[patient].tolist()
            outside = far_outside(values[start : start + count : max(1, count // MOST_ROWS)], known)
            if outside is not None:
                feature = names[outside.feature] if names else f"feature {outside.feature + 1}"
                found.setdefault(patient, []).append(
                    f"source {source}: {outside.count:,} of {outside.total:,} numbers are far outside the "
                    f"training range (such as {feature}: {outside.value:.4g})"
                )
    return {patient: "; ".join(lines) for patient, lines in found.items()}


def _all_together(store: Store, source: str, known: Range, patients: Indices) -> str | None:
    """What is unusual of many patients' values together, by a bounded number of patients and rows."""
    if len(patients) < MANY:
        return None
    some = patients[np.linspace(0, len(patients) - 1, min(JUDGED, len(patients))).astype(np.int64)]
    rows = draw_rows(store.index(source), some, JUDGED_ROWS, seed=0)
    how = other_scale(store.values(source)[rows], known)
    return how and f"source {source}: the values of these {len(patients):,} patients are {how}"
