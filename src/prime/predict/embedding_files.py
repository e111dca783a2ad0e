"""Embeddings as files: tables, HDF5, AnnData and MuData."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from prime import __version__
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.extras import need
from prime.files import write_anndata, write_csv, write_mudata, write_parquet, writing_h5
from prime.model.checkpoint import WEIGHTS, Checkpoint
from prime.predict.embedding import ALL, POOLED, blocks_of, observed_table
from prime.sealed import DIGESTS
from prime.store.store import Store

if TYPE_CHECKING:
    from anndata import AnnData

ANNOTATED = (".h5ad", ".h5mu")
FORMATS = (".parquet", ".csv", ".h5", *ANNOTATED)
HAS = "has_"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings, and what a file says of them.

    Attributes:
        values: (n, d) by patient_id, see `embed_cohort`.
        people: cancer type and `has_MODALITY` of these patients, see `observed_table`.
        blocks: stage and modality of each block of columns, all of one width.
        seen: the modalities that the pattern leaves.
        facts: the pattern, the stages, the digest of the weights, the cohort's name and the version.
    """

    values: pd.DataFrame
    people: pd.DataFrame
    blocks: list[tuple[str, str]]
    seen: tuple[str, ...]
    facts: dict[str, Any]


def described(
    values: pd.DataFrame, checkpoint: Checkpoint, store: Store, pattern: str, stages: tuple[str, ...]
) -> Embeddings:
    """The embeddings of `embed_cohort`, called with the same arguments, with what a file says of them."""
    modalities = tuple(checkpoint.model.inputs.modalities)
    kept = patterns(list(modalities))[pattern]
    facts = {
        "version": __version__,
        "cohort": str(store.manifest["name"]),
        "pattern": pattern,
        "stages": list(stages),
        "weights_sha256": str(checkpoint.manifest.get(DIGESTS, {}).get(WEIGHTS, "")),
    }
    seen = tuple(name for name, left in zip(modalities, kept, strict=True) if left)
    people = observed_table(checkpoint, store).loc[values.index]
    return Embeddings(values, people, blocks_of(stages, modalities), seen, facts)


def require_format(path: Path, stages: tuple[str, ...]) -> None:
    """Raise InputError for a file that embeddings of these stages can't be written to."""
    if path.suffix not in FORMATS:
        raise InputError(f"--out {path}: give a name that ends in {', '.join(FORMATS)}")
    if path.suffix in ANNOTATED:
        need(f"--out {path}", "anndata", "anndata", "mudata")
    if path.suffix == ".h5mu" and set(stages) == {POOLED}:
        raise InputError(
            f"--out {path}: {POOLED} is one vector of all modalities; write .h5ad, or read what each modality"
            f" has with --stages tokens, refined or fused"
        )


def write_embeddings(path: Path, found: Embeddings) -> None:
    """Write embeddings (n, d), atomically.

    As csv or parquet one table: patient_id, cohort, has_MODALITY, then the embedding. As h5 the datasets
    `embeddings` (n, d) float32, `columns` (d,), `patient_id` and `cohort` (n,), `observed` (n, M) bool and
    `modalities` (M,). As h5ad all columns in X, each block in obsm; as h5mu an AnnData a modality, without
    the patients of whom it was not seen.
    """
    if path.suffix == ".h5ad":
        write_anndata(path, _as_anndata(found))
    elif path.suffix == ".h5mu":
        _write_mudata(path, found)
    elif path.suffix == ".h5":
        _write_h5(path, found)
    else:
        table = found.people.join(found.values).reset_index()
        (write_csv if path.suffix == ".csv" else write_parquet)(path, table)


def _write_h5(path: Path, found: Embeddings) -> None:
    flags = [str(name) for name in found.people.columns if str(name).startswith(HAS)]
    with writing_h5(path) as file:
        file["embeddings"] = found.values.to_numpy(dtype=np.float32)
        file["columns"] = [str(name) for name in found.values.columns]
        file["patient_id"] = [str(name) for name in found.values.index]
        file["cohort"] = [str(name) for name in found.people["cohort"]]
        file["observed"] = found.people[flags].to_numpy(dtype=bool)
        file["modalities"] = [name.removeprefix(HAS) for name in flags]


def _as_anndata(found: Embeddings) -> "AnnData":
    from anndata import AnnData

    width = found.values.shape[1] // len(found.blocks)
    places = np.repeat(np.arange(len(found.blocks)), width)
    var = pd.DataFrame(
        {"stage": [found.blocks[i][0] for i in places], "modality": [found.blocks[i][1] for i in places]},
        index=pd.Index([str(name) for name in found.values.columns], dtype=object),
    )
    people = found.people.set_axis(found.people.index.astype(str).rename(None))
    made = AnnData(found.values.to_numpy(dtype=np.float32), people.copy(), var)
    if len(found.blocks) > 1:
        for number, (stage, modality) in enumerate(found.blocks):
            made.obsm[f"X_{stage}_{modality}"] = np.asarray(made.X)[:, places == number]
    made.uns["prime"] = dict(found.facts)
    return made


def _write_mudata(path: Path, found: Embeddings) -> None:
    from mudata import MuData, set_options

    whole = _as_anndata(found)
    whole.obsm.clear()
    parts: dict[str, AnnData] = {}
    for name in (ALL, *found.seen):
        own = (whole.var["modality"] == name).to_numpy()
        if own.any():
            there = np.ones(len(whole), dtype=bool) if name == ALL else whole.obs[HAS + name].to_numpy(bool)
            parts[name] = whole[there, own].copy()
            parts[name].obs = parts[name].obs[[]]
    people = cast(pd.DataFrame, whole.obs)
    with set_options(pull_on_update=False):
        mdata = MuData(parts)
        mdata.obs = people.loc[mdata.obs_names]
    mdata.uns["prime"] = dict(found.facts)
    write_mudata(path, mdata)
