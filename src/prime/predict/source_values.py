"""What each source of a modality adds to a patient's risk: the modality's Shapley value, shared on.

Modalities share the risk first, then the sources of each its share (Owen, "Values of games with a priori
unions", 1977): the value of some sources of a modality is what the modality's Shapley value would be, had the
patient these sources of it alone. Tokens and blocks both go by what is there, so nothing is left over.
"""

from dataclasses import replace

import numpy as np
import torch

from prime.arrays import Floats
from prime.evaluation.shapley import shapley
from prime.predict.model_folder import FittedModel
from prime.predict.patients import read_patients
from prime.predict.reasons import modality_values
from prime.progress import tracked
from prime.store.store import Store


def source_column(modality: str, source: str) -> str:
    """`why_image.nuclei`."""
    return f"why_{modality}.{source}"


def source_columns(model: FittedModel) -> list[str]:
    """The columns of all modalities that have more than one source."""
    modalities = model.checkpoint.model.inputs.modalities
    return [source_column(m, s) for m, names in modalities.items() if len(names) > 1 for s in names]


def source_values(
    model: FittedModel, store: Store, device: torch.device, whole: dict[str, Floats]
) -> dict[str, Floats]:
    """The Owen value (P,) of every source, by `source_columns`: log hazard or log odds, NaN without a score.

    Args:
        model: the fitted model.
        store: the cohort, with the model's sources or some of them.
        device: where the network runs.
        whole: the Shapley value (P,) of every modality; NaN without a score.

    A source that a patient lacks gets 0. With k sources a modality is scored 2^k - 2 times more.
    """
    modalities = model.checkpoint.model.inputs.modalities
    found = {
        name: np.where(np.isnan(next(iter(whole.values()))), np.nan, 0.0) for name in source_columns(model)
    }
    sets = {
        modality: [source for source in names if source in store.sources]
        for modality, names in modalities.items()
        if len(names) > 1
    }
    games = {modality: np.zeros((len(store.patients), 1 << len(names))) for modality, names in sets.items()}
    asked = [(m, members) for m, names in sets.items() for members in range(1, (1 << len(names)) - 1)]
    for modality, members in tracked(asked, "sources", len(asked) > 1):
        hidden = {s for bit, s in enumerate(sets[modality]) if not members >> bit & 1}
        number = list(modalities).index(modality)
        games[modality][:, members] = _modality_value(model, without(store, hidden), device, number)
    for modality, names in sets.items():
        if names:
            games[modality][:, -1] = whole[modality]
            shares = shapley(games[modality], len(names))
            found |= {source_column(modality, s): shares[:, i] for i, s in enumerate(names)}
    return found


def without(store: Store, hidden: set[str]) -> Store:
    """A store as it would be if nobody had these sources."""
    modalities = {m: [s for s in names if s not in hidden] for m, names in store.modalities.items()}
    return replace(
        store,
        sources={name: manifest for name, manifest in store.sources.items() if name not in hidden},
        modalities={m: names for m, names in modalities.items() if names},
    )


def _modality_value(model: FittedModel, store: Store, device: torch.device, number: int) -> Floats:
    """The Shapley value (P,) of a modality, 0 for whoever has nothing left."""
    value = np.zeros(len(store.patients))
    for patients, _ in read_patients(model, store, device):
        value[patients.rows] = modality_values(model.prognosis, patients)[:, number]
    return value
