"""Patients as the frozen network sees them: embeddings under a pattern of modalities, as table or file."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from prime.downstream.embeddings import embed
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.files import write_csv, write_parquet, writing_h5
from prime.model.checkpoint import Checkpoint
from prime.predict.inputs import NewPatientLoader, observed_modalities, require_known, require_shape
from prime.settings.evaluation import ReadoutConfig
from prime.store.origin import require_same_origin
from prime.store.store import Store

FORMATS = (".parquet", ".csv", ".h5")


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
    blocks = [f"{s}_{m}" for s in stages for m in (inputs.modalities if s != "pooled" else ("all",))]
    columns = [f"{name}_{number}" for name in blocks for number in range(values.shape[2])]
    index = pd.Index(store.patients["patient_id"].to_numpy(dtype=object)[patients], name="patient_id")
    return pd.DataFrame(values.reshape(len(values), -1), index=index, columns=columns)


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


def require_format(path: Path) -> None:
    """Raise InputError for a file that embeddings can't be written to."""
    if path.suffix not in FORMATS:
        raise InputError(f"--out {path}: give a name that ends in {', '.join(FORMATS)}")


def write_embeddings(path: Path, embeddings: pd.DataFrame, people: pd.DataFrame) -> None:
    """Write embeddings (n, d) with the rows of `people` (see `observed_table`), atomically.

    As csv or parquet one table: patient_id, cohort, has_MODALITY, then the embedding. As h5 the datasets
    `embeddings` (n, d) float32, `columns` (d,), `patient_id` and `cohort` (n,), `observed` (n, M) bool and
    `modalities` (M,).
    """
    require_format(path)
    people = people.loc[embeddings.index]
    if path.suffix != ".h5":
        table = people.join(embeddings).reset_index()
        (write_csv if path.suffix == ".csv" else write_parquet)(path, table)
        return
    flags = [str(name) for name in people.columns if str(name).startswith("has_")]
    with writing_h5(path) as file:
        file["embeddings"] = embeddings.to_numpy(dtype=np.float32)
        file["columns"] = [str(name) for name in embeddings.columns]
        file["patient_id"] = [str(name) for name in embeddings.index]
        file["cohort"] = [str(name) for name in people["cohort"]]
        file["observed"] = people[flags].to_numpy(dtype=bool)
        file["modalities"] = [name.removeprefix("has_") for name in flags]
