"""New patients as a fitted model wants them: the same sources, any of which the new cohort may lack."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from prime.errors import InputError
from prime.predict.model_folder import HeadDescription
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec, SourceSpec, input_spec
from prime.store.loading import PatientLoader
from prime.store.scaling import Scaling
from prime.store.store import Store


class NewPatientLoader(PatientLoader):
    """Batches of a cohort that may lack sources of the model: those come empty, as unobserved."""

    def __init__(self, store: Store, scaling: Scaling, inputs: InputSpec) -> None:
        super().__init__(store, scaling)
        self.inputs = inputs

    def batch(self, patients: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The batch of these patients, with the modalities and sources of the model, in its order."""
        found = super().batch(patients)
        count = len(found.patient_ids)
        sources = {
            name: found.sources[name] if name in found.sources else _empty(count, spec)
            for name, spec in self.inputs.sources.items()
        }
        return replace(found, modalities=dict(self.inputs.modalities), sources=sources)


def _empty(patients: int, spec: SourceSpec) -> SourceBatch:
    return SourceBatch(torch.zeros(patients, 1, spec.dim), torch.zeros(patients, 1, dtype=torch.bool))


def observed_modalities(store: Store, inputs: InputSpec) -> NDArray[np.bool_]:
    """Which patient has which modality of the model, (P, M) bool, in the model's order."""
    seen = dict(zip(store.modalities, store.observed().T, strict=True))
    nobody = np.zeros(len(store.patients), dtype=np.bool_)
    return np.stack([seen.get(name, nobody) for name in inputs.modalities], axis=1)


def require_inputs(store: Store, inputs: InputSpec, description: HeadDescription) -> list[str]:
    """Check that the cohort's sources are the model's. Returns those of the model that the cohort lacks.

    Raises InputError for a source that the model does not know, or that stands under another modality, has
    another shape, or other features (names and order of a vector source).
    """
    home = {source: modality for modality, names in inputs.modalities.items() for source in names}
    offered = input_spec(store)
    for modality, names in offered.modalities.items():
        for name in names:
            if home.get(name) != modality:
                known = ", ".join(f"{m}: {' '.join(s)}" for m, s in inputs.modalities.items())
                raise InputError(
                    f"{store.path}: source {name!r} of modality {modality!r} is not the model's; it reads"
                    f" {known}; name the sources alike, or leave this one out"
                )
            _require_shape(store, name, offered.sources[name], inputs.sources[name])
            _require_features(store, name, description)
    return [name for name in inputs.sources if name not in offered.sources]


def _require_shape(store: Store, name: str, found: SourceSpec, wanted: SourceSpec) -> None:
    if (found.kind, found.dim) != (wanted.kind, wanted.dim):
        raise InputError(
            f"{store.path}: source {name!r} is a {found.kind} of {found.dim} features, the model wants a"
            f" {wanted.kind} of {wanted.dim}; use the same encoder or the same columns"
        )
    if found.groups != wanted.groups:
        raise InputError(
            f"{store.path}: source {name!r} has other feature groups than the model; give the same group_size"
            " or groups file in the cohort file"
        )


def _require_features(store: Store, name: str, description: HeadDescription) -> None:
    wanted, found = description.feature_names.get(name), store.sources[name].feature_names
    if wanted is None or found is None:
        return
    for column, (mine, theirs) in enumerate(zip(found, wanted, strict=True), start=1):
        if mine != theirs:
            raise InputError(
                f"{store.path}: source {name!r}: feature {column} is {mine!r}, the model was fitted with"
                f" {theirs!r} there; give the same columns in the same order"
            )
