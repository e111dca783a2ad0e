"""A cohort as MuData, one AnnData a source, and a MuData as a cohort."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime import __version__
from prime.errors import InputError
from prime.extras import need
from prime.store.store import Store
from prime.store.vectors import source_vectors

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

ROWS, GROUP, OURS, UNOBSERVED = "rows", "group", "prime", "unobserved"
FILE = "cohort.h5mu"


def store_as_mudata(store: Store, patients: pd.DataFrame, rows: bool) -> "MuData":
    """The features of a store with its `patients` by patient_id; see `Cohort.to_mudata`.

    Raises InputError where mudata is not installed, and for a damaged store.
    """
    need("to_mudata", "anndata", "anndata", "mudata")
    from anndata import AnnData
    from mudata import MuData, set_options

    ids = patients.index.astype(str).rename(None)
    found = {name: _source(store, name, ids, rows) for name in store.sources}
    lacking = ids[np.flatnonzero(~store.observed().any(axis=1))]
    if len(lacking):
        name = UNOBSERVED
        while name in found:
            name += "_"
        found[name] = AnnData(np.zeros((len(lacking), 0), dtype=np.float32), pd.DataFrame(index=lacking))
    with set_options(pull_on_update=False):
        made = MuData(found)
        made.obs = patients.set_axis(ids).loc[made.obs_names]
    made.uns[OURS] = {"name": str(store.manifest["name"]), "version": __version__}
    return made


def _source(store: Store, name: str, ids: "pd.Index[str]", rows: bool) -> "AnnData":
    """A source: who has it, their means, and where they have several rows, all rows."""
    from anndata import AnnData

    facts, index = store.sources[name], store.index(name)
    who = np.flatnonzero(index[:, 1] > 0)
    several = facts.kind == "sequence" or facts.max_rows > 1
    means = source_vectors(store, name)[1] if several else store.values(name)[index[who, 0]]
    names = facts.feature_names or [f"{name}_{number}" for number in range(facts.dim)]
    var = pd.DataFrame(index=pd.Index(names, dtype=object))
    if facts.groups is not None:
        var[GROUP] = np.asarray(facts.groups, dtype=np.int64)
    obs = pd.DataFrame({ROWS: index[who, 1]}, index=ids[who])
    made = AnnData(np.asarray(means, dtype=np.float32), obs, var)
    made.uns.update(facts.attributes)
    made.uns[OURS] = {"modality": facts.modality, "kind": facts.kind}
    if several and rows:
        made.obsm[ROWS] = _padded(store.values(name), index[who], facts.max_rows)
        made.uns[OURS][ROWS] = ROWS
    return made


def _padded(values: NDArray[Any], index: NDArray[np.int64], most: int) -> NDArray[Any]:
    """Rows of patients (n, most, d) in their own dtype, after the last of each NaN."""
    result = np.full((len(index), most, values.shape[1]), np.nan, dtype=values.dtype)
    for place, (start, length) in enumerate(index.tolist()):
        result[place, :length] = values[start : start + length]
    return result


def mudata_sources(mdata: object) -> dict[str, dict[str, dict[str, object]]]:
    """The sources by modality, as a cohort file has them, of a MuData that is written as FILE.

    Raises InputError where it is no MuData of patients, or where no modality has variables.
    """
    need("from_mudata", "anndata", "anndata", "mudata")
    from mudata import MuData

    if not isinstance(mdata, MuData):
        what = type(mdata).__name__
        raise InputError(
            f"from_mudata: give a MuData, not {what}; MuData({{'rna': adata}}) makes one of AnnData"
        )
    if mdata.axis != 0:
        raise InputError("from_mudata: its modalities share variables (axis=1), not patients; give axis=0")
    found: dict[str, dict[str, dict[str, object]]] = {}
    for name, data in mdata.mod.items():
        if not data.n_vars:
            continue
        ours = data.uns.get(OURS)
        facts: Mapping[str, Any] = ours if isinstance(ours, Mapping) else {}
        options: dict[str, object] = {"reader": "mudata", "path": FILE, "modality": str(name)}
        if facts and GROUP in data.var:
            options["groups"] = GROUP
        if (rows := str(facts.get(ROWS, ""))) in data.obsm:
            options |= {"obsm": rows, "kind": str(facts["kind"]), "instances": "tokens"}
            options["max_tokens"] = int(data.obsm[rows].shape[1])
        found.setdefault(str(facts.get("modality", name)), {})[str(name)] = options
    if not found:
        raise InputError("from_mudata: no modality has a variable")
    return found
