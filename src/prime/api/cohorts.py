"""Cohorts in Python: from a cohort file, or from DataFrames."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

from prime.api.annotated_data import FILE, mudata_sources, store_as_mudata
from prime.cohort.config import CohortConfig, load_cohort
from prime.errors import InputError
from prime.files import replacing, write_mudata, write_text
from prime.store.opening import default_store, open_or_pack
from prime.store.store import Store
from prime.store.vectors import source_vectors

if TYPE_CHECKING:
    from mudata import MuData

Covariates = Sequence[str] | Mapping[str, str]
ID, TYPE, TIME, EVENT = "patient_id", "cancer_type", "time", "event"


@dataclass(frozen=True)
class Cohort:
    """Patients with whatever they have, packed on disk; nothing is read before it is asked for.

    Attributes:
        store: the packed cohort.
        file: its cohort file.
        config: what that says.
    """

    store: Store
    file: Path
    config: CohortConfig

    def __len__(self) -> int:
        return len(self.store.patients)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.observed.sum().items())
        return f"Cohort {self.store.manifest['name']}: {len(self):,} patients ({counts})"

    def counted_as(self, feature_names: Mapping[str, Sequence[str]]) -> Store:
        """The store, or another one where words of reports have to be counted by a model's list."""
        config = self.config.with_vocabularies(feature_names)
        if config == self.config:
            return self.store
        return open_or_pack(config, default_store(config), _warn)

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The clinical table by patient_id: cohort (the type), times in days, events, covariates `x_`."""
        return self.store.patients.set_index("patient_id")

    @cached_property
    def observed(self) -> pd.DataFrame:
        """Which patient has which modality: bool, by patient_id."""
        return pd.DataFrame(
            self.store.observed(), index=self.patients.index, columns=list(self.store.modalities)
        )

    @cached_property
    def sources(self) -> pd.DataFrame:
        """The sources: modality, kind, number of features, patients who have it."""
        rows = {
            name: {"modality": s.modality, "kind": s.kind, "features": s.dim,
                   "patients": int((self.store.index(name)[:, 1] > 0).sum())}
            for name, s in self.store.sources.items()
        }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index")

    def values(self, source: str) -> pd.DataFrame:
        """The features of a source by patient_id, as they came, unscaled: the mean of a patient's rows.

        Raises InputError for an unknown source.
        """
        if source not in self.store.sources:
            raise InputError(f"{source}: no such source; the cohort has {', '.join(self.store.sources)}")
        who, values = source_vectors(self.store, source)
        names = self.store.sources[source].feature_names
        return pd.DataFrame(values, index=self.patients.index[who], columns=list(names) if names else None)

    def to_mudata(self, rows: bool = True) -> "MuData":
        """The cohort as MuData: one AnnData a source, its patients in `obs_names`.

        X (n, d) float32 has the features, unscaled; the mean where a patient has several rows (tokens of
        slides or reports). Those rows are `obsm["rows"]` (n, most rows of a patient, d), NaN after the last,
        unless `rows` is False. `var` has the names of features and their `group`; `uns` the modality, and
        how the numbers were made. A patient who lacks a source is not in it; one who has nothing is in an
        AnnData without variables, `unobserved`. `obs` of the whole is `patients`.

        Raises InputError where mudata is not installed.
        """
        return store_as_mudata(self.store, self.patients, rows)


def load(file: str | Path, store: str | Path | None = None, root: str | None = None) -> Cohort:
    """A cohort from its cohort file, or from an experiment file that names one; packed where it is not yet.

    Args:
        file: cohort.yaml, as `prime check` takes it.
        store: the folder of the packed cohort; one below runs/ by default.
        root: instead of the root that the file names.

    Raises InputError for what the readers refuse.
    """
    config = load_cohort(Path(file), root)
    place = default_store(config) if store is None else Path(store)
    return Cohort(open_or_pack(config, place, _warn), Path(file), config)


def _warn(line: str) -> None:
    if line.startswith("warning: "):
        warnings.warn(line.removeprefix("warning: "), UserWarning, stacklevel=2)


def from_tables(
    folder: str | Path,
    clinical: pd.DataFrame,
    modalities: Mapping[str, pd.DataFrame | Mapping[str, pd.DataFrame]],
    *,
    time: str | None = TIME,
    event: str | None = EVENT,
    unit: str = "days",
    cancer_type: str | None = None,
    covariates: Covariates = (),
    name: str = "cohort",
) -> Cohort:
    """A cohort from DataFrames, written to `folder` with a cohort file that every command takes.

    All tables are indexed by patient id, as text; a patient who lacks a modality has no row there, or a row
    of NaN. Rows of the same patient are averaged.

    Args:
        folder: a new folder, or that of the same cohort before.
        clinical: one row a patient, with the columns below.
        modalities: by name a table of numbers, or several of them by source name.
        time: column of times to the event or to the end of follow-up; None where outcomes are not known.
        event: column of 0 and 1, or bool: whether the event was observed; None with `time`.
        unit: of the times: days, weeks, months or years.
        cancer_type: column of the cancer type; without one, everybody is of one type.
        covariates: columns of numbers, such as age, or a mapping from names to columns.
        name: of the cohort.

    Raises InputError for a missing column, a table without a row, or what the readers refuse.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    described = _clinical(place, clinical, time, event, unit, cancer_type, covariates)
    sources: dict[str, dict[str, dict[str, object]]] = {}
    for modality, given in modalities.items():
        for source, frame in ({modality: given} if isinstance(given, pd.DataFrame) else given).items():
            _write(place / f"{source}.parquet", frame)
            sources.setdefault(modality, {})[source] = {"reader": "vector", "path": f"{source}.parquet"}
    return _written(place, name, described, sources)


def from_mudata(
    folder: str | Path,
    mdata: "MuData",
    *,
    time: str | None = TIME,
    event: str | None = EVENT,
    unit: str = "days",
    cancer_type: str | None = None,
    covariates: Covariates = (),
    name: str = "cohort",
) -> Cohort:
    """A cohort from MuData, written to `folder` as `cohort.h5mu` with a cohort file that every command takes.

    Each AnnData is a source of a modality of its own, or, of `Cohort.to_mudata`, of the one that it had, with
    all rows of its patients. Its X is read, `obs_names` are patients; a patient who lacks it has no row
    there. Other layers, `obsm` and columns with patients are options of the reader (docs/formats.md).

    Args:
        mdata: whose `obs` has the columns below, one row a patient.
        folder, time, event, unit, cancer_type, covariates, name: as of `from_tables`.

    Raises InputError as `from_tables`, where mudata is not installed, and for no MuData of patients.
    """
    sources = mudata_sources(mdata)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    described = _clinical(place, mdata.obs, time, event, unit, cancer_type, covariates)
    write_mudata(place / FILE, mdata)
    return _written(place, name, described, sources)


def _clinical(
    place: Path, clinical: pd.DataFrame, time: str | None, event: str | None, unit: str,
    cancer_type: str | None, covariates: Covariates,
) -> dict[str, object]:  # fmt: skip
    """Write the clinical table; returns the keys of a cohort file that describe it."""
    outcome = [] if time is None or event is None else [time, event]
    named = covariates if isinstance(covariates, Mapping) else {column: column for column in covariates}
    wanted: list[str] = [*outcome, *([cancer_type] if cancer_type else []), *named.values()]
    wanted = list(dict.fromkeys(wanted))
    lacking = [column for column in wanted if column not in clinical.columns]
    if lacking:
        raise InputError(
            f"clinical: no column {', '.join(lacking)}; it has {', '.join(map(str, clinical.columns))}"
        )
    table = clinical[wanted].copy()
    if event in outcome:
        table[event] = table[event].astype("Int64")
    _write(place / "clinical.parquet", table)
    described: dict[str, object] = {
        "format": "table", "path": "clinical.parquet", "patient_id": ID,
    }  # fmt: skip
    if outcome:
        described["endpoints"] = {"os": {"time": time, "event": event, "unit": unit}}
    if cancer_type is not None:
        described["cohort"] = cancer_type
    if named:
        described["covariates"] = [
            key if key == column else {"name": key, "column": column} for key, column in named.items()
        ]
    return described


def _written(
    place: Path, name: str, clinical: dict[str, object], sources: dict[str, dict[str, dict[str, object]]]
) -> Cohort:
    whole = {"name": name, "root": ".", "clinical": clinical, "modalities": sources}
    write_text(place / "cohort.yaml", yaml.safe_dump(whole, sort_keys=False))
    return load(place / "cohort.yaml", place / "store")


def _write(path: Path, table: pd.DataFrame) -> None:
    if not len(table):
        raise InputError(f"{path.stem}: the table has no rows")
    frame = table.copy()
    frame.columns = frame.columns.astype(str)
    for column in frame.select_dtypes("category"):
        frame[column] = frame[column].astype(object)
    frame.insert(0, ID, np.array([str(name) for name in table.index], dtype=object))
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)
