"""What takes time, once: predictions and embeddings of a cohort, kept in a cache folder."""

import json
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.downstream.embeddings import embed
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.files import cache_folder, read_parquet, sha256_text, sole_process, write_npy, write_parquet
from prime.model.checkpoint import Checkpoint
from prime.predict.asked import Asked
from prime.predict.inputs import NewPatientLoader, observed_modalities, require_known, require_shape
from prime.predict.model_folder import HEAD, FittedModel, load_model
from prime.predict.predict import score_patients
from prime.progress import tracked
from prime.provenance import source_digest
from prime.settings.evaluation import ReadoutConfig
from prime.store.origin import require_same_origin
from prime.store.store import Store

MONTHS = tuple(float(month) for month in range(3, 70, 3))  # of curves; decisions count at the middle, 36
ASKED = Asked(MONTHS)
PART = 1024  # patients embedded at a time
PREDICTIONS, TESTS, POOLED = "predictions.parquet", "tests.parquet", "pooled.npy"
NEIGHBOURS, UMAP_SEED = 15, 0


@dataclass(frozen=True)
class Findings:
    """What a network, and a head where there is one, says of the P patients of a store.

    Attributes:
        pooled: (P, D) float32 embeddings with everything that a patient has; NaN for who has nothing.
        predictions: one row a patient, as `score_patients` at MONTHS; None without a head.
        tests: what missing tests could change; None without a head.
        umap: (P, 2) places on a map by UMAP, as `umap_map`; None where none was asked for.
    """

    pooled: NDArray[np.float32]
    predictions: pd.DataFrame | None
    tests: pd.DataFrame | None
    umap: Floats | None = None


def open_any(folder: Path) -> tuple[Checkpoint, FittedModel | None]:
    """The network of a run or of a model folder, and the model where it is one.

    Raises InputError where the folder is neither.
    """
    if (folder / HEAD).is_file():
        model = load_model(folder)
        return model.checkpoint, model
    from prime.model.checkpoint import load_checkpoint

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give that of prime fit or of prime pretrain")
    return load_checkpoint(folder), None


def find(
    checkpoint: Checkpoint,
    model: FittedModel | None,
    store: Store,
    device: torch.device,
    with_umap: bool = False,
) -> Findings:
    """Predictions and embeddings, from the cache where they are there; `with_umap` lays out that map as well.

    Raises InputError where the cohort's sources are not the model's.
    """
    folder = findings_folder(checkpoint, store)
    names = [POOLED, *([] if model is None else [PREDICTIONS, TESTS])]
    with sole_process(folder, wait=True):
        if not all((folder / name).is_file() for name in names):
            if model is not None:
                found = score_patients(model, store, device, ASKED)
                write_parquet(folder / TESTS, found.tests.astype({"patient_id": str, "test": str}))
                write_parquet(folder / PREDICTIONS, found.patients)
            write_npy(folder / POOLED, pooled_embeddings(checkpoint, store, device))
        pooled = _kept(folder / POOLED)
        umap = _umap(folder, pooled) if with_umap else None
        if model is None:
            return Findings(pooled, None, None, umap)
        return Findings(pooled, read_parquet(folder / PREDICTIONS), read_parquet(folder / TESTS), umap)


def _kept(path: Path) -> NDArray[np.float32]:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(f"{path}: damaged; remove it, and it is made again") from None


def _umap(folder: Path, pooled: NDArray[np.float32]) -> Floats:
    """The map by UMAP, from the cache where it is there."""
    path = folder / umap_name()
    if not path.is_file():
        write_npy(path, umap_map(pooled))
    return _kept(path).astype(np.float64)


def umap_name() -> str:
    """The name of the file with a map by UMAP: by the library's version and the settings."""
    return f"umap-{version('umap-learn')}-{NEIGHBOURS}-{UMAP_SEED}.npy"


def findings_folder(checkpoint: Checkpoint, store: Store) -> Path:
    """Where the findings of a network, a cohort and this code are kept."""
    what = [
        checkpoint.manifest["seal"],
        store.manifest["seal"],
        source_digest("prime.predict.predict"),
        MONTHS,
    ]
    return cache_folder() / "explore" / sha256_text(json.dumps(what))[:32]


def pooled_embeddings(checkpoint: Checkpoint, store: Store, device: torch.device) -> NDArray[np.float32]:
    """(P, D) float32, pooled over what each patient has; NaN for who has nothing.

    Raises InputError where the cohort's sources are not the network's.
    """
    network = checkpoint.model.to(device)
    require_known(store, network.inputs)
    for name in store.sources:
        require_shape(store, name, network.inputs)
    pretraining = checkpoint.manifest.get("pretraining", checkpoint.manifest)
    require_same_origin(pretraining, store, str(store.path))
    observed = observed_modalities(store, network.inputs)
    loader = NewPatientLoader(store, checkpoint.scaling, network.inputs)
    everything = {"all": patterns(list(network.inputs.modalities))["all"]}
    readout = ReadoutConfig.model_validate({"stages": ["pooled"]})
    rows = np.flatnonzero(observed.any(axis=1))
    result: NDArray[np.float32] | None = None
    for part in tracked(np.split(rows, range(PART, len(rows), PART)), "embed"):
        values = embed(network, loader, observed, part, everything, readout).take("all", part)[:, 0]
        if result is None:
            result = np.full((len(observed), values.shape[1]), np.nan, dtype=np.float32)
        result[part] = values
    if result is None:
        raise InputError(f"{store.path}: no patient has a modality of the network")
    return result


def principal_map(pooled: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """The first two principal components of embeddings (P, D), and their share of the variance.

    Returns (P, 2) coordinates in [-1, 1] that keep the proportions, NaN where an embedding is, and (2,)
    shares. The sign is such that the largest loading of a component is positive.
    """
    known = ~np.isnan(pooled).any(axis=1)
    x = pooled[known].astype(np.float64)
    x = x - x.mean(axis=0) if len(x) else x
    values, vectors = np.linalg.eigh(x.T @ x)
    order = np.argsort(values)[::-1][:2]
    axes = vectors[:, order]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scores = x @ axes
    largest = np.abs(scores).max(initial=0.0)
    place = np.full((len(pooled), 2), np.nan)
    place[known, : scores.shape[1]] = scores / largest if largest > 0 else scores
    total = values.sum()
    return place, np.maximum(values[order], 0.0) / total if total > 0 else np.zeros(2)


def umap_map(pooled: NDArray[np.float32]) -> Floats:
    """Embeddings (P, D) laid out by UMAP (McInnes et al., 2018): by cosine, with a fixed seed, in one thread.

    Returns (P, 2) coordinates in [-1, 1] that keep the proportions, NaN where an embedding is. Fewer than
    five patients lie at their principal components.
    """
    known = ~np.isnan(pooled).any(axis=1)
    if known.sum() < 5:
        return principal_map(pooled)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and pynndescent's, about nothing of ours
        from umap import UMAP

        layout = UMAP(
            n_neighbors=min(NEIGHBOURS, int(known.sum()) - 1),
            metric="cosine",
            random_state=UMAP_SEED,
            n_jobs=1,
        )
        found = np.asarray(layout.fit_transform(pooled[known]), dtype=np.float64)
    found = found - (found.max(axis=0) + found.min(axis=0)) / 2
    place = np.full((len(pooled), 2), np.nan)
    place[known] = found / max(np.abs(found).max(), 1e-12)
    return place
