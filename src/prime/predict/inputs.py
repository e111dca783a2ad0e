"""New patients as a fitted model wants them: the same sources, any of which the new cohort may lack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.errors import InputError
from prime.predict.model_folder import HeadDescription
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec, SourceSpec, input_spec
from prime.store.loading import PatientLoader
from prime.store.origin import require_same_makers, require_same_names
from prime.store.scaling import Scaling
from prime.store.store import Store


@dataclass(frozen=True)
class AlignedStore(Store):
    """A store whose sources have the model's features, in its order.

    Attributes:
        original: the store as it was packed.
        places: of a source, where each feature of the model stands in the original's, (d,) int64, -1 where
            it has no number of it.
    """

    original: Store
    places: dict[str, Indices]

    def values(self, source: str) -> NDArray[np.floating[Any]]:
        """All rows of a source, (rows, d), NaN for features that the original has no number of."""
        rows = self.original.values(source)
        if source not in self.places:
            return rows
        places = self.places[source]
        return np.where(places >= 0, rows[:, places], np.nan).astype(np.float32)

    def index(self, source: str) -> NDArray[np.int64]:
        """Start and number of each patient's rows, (P, 2) int64, as in the original."""
        return self.original.index(source)


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


def require_inputs(store: Store, inputs: InputSpec, description: HeadDescription) -> Store:
    """Check that the cohort's sources are the model's, made by the same encoders.

    Returns the store, with the features of the model where columns without a number are all that differs
    (see `feature_places`). Raises InputError for a source that the model does not know, or that stands under
    another modality, has another shape or other features, or comes from another encoder.
    """
    require_known(store, inputs)
    places: dict[str, Indices] = {}
    for name in store.sources:
        found = feature_places(store, name, description)
        if found is None:
            require_shape(store, name, inputs)
        else:
            places[name] = found
    wanted = {name: names for name, names in description.feature_names.items() if name not in places}
    require_same_names(wanted, store, str(store.path))
    require_same_makers(description.attributes, store, str(store.path))
    return _aligned(store, inputs, description, places) if places else store


def require_known(store: Store, inputs: InputSpec) -> None:
    """Raise InputError for a source that the network does not know, or knows under another modality."""
    home = {source: modality for modality, names in inputs.modalities.items() for source in names}
    for modality, names in store.modalities.items():
        for name in names:
            if home.get(name) != modality:
                known = ", ".join(f"{m}: {' '.join(s)}" for m, s in inputs.modalities.items())
                raise InputError(
                    f"{store.path}: source {name!r} of modality {modality!r} is not the model's; it reads"
                    f" {known}; name the sources alike, or leave this one out"
                )


def _aligned(
    store: Store, inputs: InputSpec, description: HeadDescription, places: dict[str, Indices]
) -> AlignedStore:
    sources = dict(store.sources)
    for name in places:
        spec = inputs.sources[name]
        names, groups = list(description.feature_names[name]), list(spec.groups or ())
        sources[name] = replace(sources[name], dim=spec.dim, feature_names=names, groups=groups)
    return AlignedStore(
        store.path, store.manifest, store.patients, store.modalities, sources, original=store, places=places
    )


def feature_places(store: Store, name: str, description: HeadDescription) -> Indices | None:
    """Where each feature of the model stands in a source, (d,) int64; -1 where nobody has a number of it.

    A column without any number is no feature: such columns of the training cohort and of this one may differ.
    None where the features are the same, or differ in more than such columns.
    """
    wanted, found = description.feature_names.get(name), store.sources[name].feature_names
    if wanted is None or found is None or list(wanted) == found:
        return None
    never, nothing = set(description.empty.get(name, ())), set(store.sources[name].empty)
    if [n for n in found if n not in never] != [n for n in wanted if n not in nothing]:
        return None
    place = {feature: number for number, feature in enumerate(found)}
    return np.array([place.get(feature, -1) for feature in wanted], dtype=np.int64)


def require_shape(store: Store, name: str, inputs: InputSpec) -> None:
    """Raise InputError for a source of another kind, width or grouping than the network's."""
    found, wanted = input_spec(store).sources[name], inputs.sources[name]
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
