"""Patients as the frozen network sees them: embeddings under a pattern of modalities."""

import numpy as np
import pandas as pd
import torch

from prime.downstream.embeddings import embed
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.model.checkpoint import Checkpoint
from prime.predict.inputs import NewPatientLoader, observed_modalities, require_known, require_shape
from prime.settings.evaluation import ReadoutConfig
from prime.store.origin import require_same_origin
from prime.store.store import Store

POOLED, ALL = "pooled", "all"


def embed_cohort(
    checkpoint: Checkpoint, store: Store, pattern: str, stages: tuple[str, ...], device: torch.device
) -> pd.DataFrame:
    """Embeddings by patient_id: float32 columns `STAGE_MODALITY_NUMBER`; who has nothing left has no row.

    Args:
        checkpoint: the network, with its scaling and manifest.
        store: patients with the network's sources, or some of them.
        pattern: the modalities that may be seen: all, -image, image+rna, ...
        stages: tokens, refined, fused (mean over the tokens of each modality) or pooled.
        device: of the network.

    Raises InputError for sources that are not the network's, or an unknown pattern.
    """
    inputs = checkpoint.model.inputs
    known = patterns(list(inputs.modalities))
    if pattern not in known:
        raise InputError(f"pattern {pattern!r}: choose from {', '.join(known)}")
    require_known(store, inputs)
    for name in store.sources:
        require_shape(store, name, inputs)
    pretraining = checkpoint.manifest.get("pretraining", checkpoint.manifest)
    require_same_origin(pretraining, store, str(store.path))
    observed = observed_modalities(store, inputs)
    patients = np.flatnonzero((observed & np.array(known[pattern])).any(axis=1))
    if not len(patients):
        raise InputError(f"{store.path}: no patient has anything of pattern {pattern!r}")
    loader = NewPatientLoader(store, checkpoint.scaling, inputs)
    readout = ReadoutConfig.model_validate({"stages": stages})
    network = checkpoint.model.to(device)
    found = embed(network, loader, observed, patients, {pattern: known[pattern]}, readout)
    values = found.take(pattern, patients)  # (n, blocks, width)
    blocks = blocks_of(stages, tuple(inputs.modalities))
    columns = [f"{s}_{m}_{number}" for s, m in blocks for number in range(values.shape[2])]
    index = pd.Index(store.patients["patient_id"].to_numpy(dtype=object)[patients], name="patient_id")
    return pd.DataFrame(values.reshape(len(values), -1), index=index, columns=columns)


def blocks_of(stages: tuple[str, ...], modalities: tuple[str, ...]) -> list[tuple[str, str]]:
    """Stage and modality of each block of an embedding's columns, in their order; `pooled` is of `all`."""
    return [(s, m) for s in stages for m in (modalities if s != POOLED else (ALL,))]


def observed_table(checkpoint: Checkpoint, store: Store) -> pd.DataFrame:
    """By patient_id of the store: the cancer type, and whether each of the network's modalities is there."""
    inputs = checkpoint.model.inputs
    frame = store.patients.set_index("patient_id")[["cohort"]]
    return frame.assign(
        **{
            f"has_{name}": column
            for name, column in zip(inputs.modalities, observed_modalities(store, inputs).T, strict=True)
        }
    )
