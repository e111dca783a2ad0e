"""Cohorts in Python: from a cohort file, or from DataFrames."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from prime.api.annotated_data import FILE, mudata_sources, store_as_mudata
from prime.cohort.cells import is_missing, value_key
from prime.cohort.config import CohortConfig, load_cohort
from prime.cohort.endpoints import read_clinical
from prime.cohort.patient_names import spelt_twice
from prime.cohort.tables import refuse_duplicates
from prime.errors import InputError, cut, first_line, shown, some
from prime.files import replacing, write_mudata, write_text, writing_below
from prime.store.opening import default_store, open_or_pack
from prime.store.store import Store
from prime.store.vectors import source_vectors

if TYPE_CHECKING:
    from mudata import MuData

Covariates = Sequence[str] | Mapping[str, str]
ID, TYPE, TIME, EVENT = "patient_id", "cancer_type", "time", "event"
CLINICAL = "clinical"  # the clinical table's file


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
    place = _folder(folder)
    tables = {
        modality: dict(given) if isinstance(given, Mapping) else {modality: given}
        for modality, given in modalities.items()
    }
    _refuse_unfit_names([source for own in tables.values() for source in own])
    sources: dict[str, dict[str, dict[str, object]]] = {}
    with writing_below(place):
        described = _clinical(place, clinical, time, event, unit, cancer_type, covariates)
        for modality, own in tables.items():
            for source, frame in own.items():
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
        folder: of the files.
        mdata: whose `obs` has the columns below, one row a patient.
        time: as of `from_tables`.
        event: as of `from_tables`.
        unit: of the times.
        cancer_type: column of the cancer type.
        covariates: as of `from_tables`.
        name: of the cohort.

    Raises InputError as `from_tables`, where mudata is not installed, and for no MuData of patients.
    """
    sources = mudata_sources(mdata)
    place = _folder(folder)
    with writing_below(place):
        described = _clinical(place, mdata.obs, time, event, unit, cancer_type, covariates)
        write_mudata(place / FILE, mdata)
        return _written(place, name, described, sources)


def _folder(folder: str | Path) -> Path:
    """The folder, made where there is none. Raises InputError for a file."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"{place}: is a file; name a folder for the cohort")
    place.mkdir(parents=True, exist_ok=True)
    return place


def _refuse_unfit_names(sources: Sequence[str]) -> None:
    """Raise InputError for a source that cannot name a file of its own beside the clinical table's."""
    for source in sources:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(source)):
            raise InputError(
                f"source {cut(str(source))!r}: use letters, digits and _, beginning with a letter"
            )
        if source.lower() == CLINICAL:
            raise InputError(f"source {source!r}: the clinical table has that name; rename the modality")
    twice = [" = ".join(map(repr, group)) for group in spelt_twice(sources)]
    if twice:
        raise InputError(f"sources {some(twice)} would be one file; give each its own name")


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
    if event is not None and event in outcome:
        table[event] = _events(table[event])
    _write(place / f"{CLINICAL}.parquet", table)
    described: dict[str, object] = {
        "format": "table", "path": f"{CLINICAL}.parquet", "patient_id": ID,
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


def _events(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The events as whole numbers. Raises InputError for anything but 0, 1, True, False and missing."""
    codes = {"0.0": 0, "1.0": 1}
    for row, value in enumerate(column, start=1):
        if not is_missing(value) and value_key(value) not in codes:
            raise InputError(
                f"clinical: row {row}: {column.name} is {shown(value)}, not 1 (observed) nor 0 (censored);"
                " give 0 and 1, or True and False"
            )
    found = [None if is_missing(value) else codes[value_key(value)] for value in column]
    return pd.Series(found, index=column.index, dtype="Int64")


def _written(
    place: Path, name: str, clinical: dict[str, object], sources: dict[str, dict[str, dict[str, object]]]
) -> Cohort:
    whole = {"name": name, "root": ".", "clinical": clinical, "modalities": sources}
    write_text(place / "cohort.yaml", yaml.safe_dump(whole, sort_keys=False))
    cohort = load(place / "cohort.yaml", place / "store")
    _refuse_strangers(cohort)
    return cohort


def _refuse_strangers(cohort: Cohort) -> None:
    """Raise InputError for a source of which no patient is in the clinical table, as `prime check` does."""
    listed = read_clinical(cohort.config.clinical, cohort.config.root, cohort.config.name).frame["patient_id"]
    known = cohort.patients.index.isin(listed)
    for source in cohort.store.sources:
        has = cohort.store.index(source)[:, 1] > 0
        if not bool((has & known).any()):
            raise InputError(
                f"source {source}: none of its patients is in the clinical table; it has "
                f"{cohort.patients.index[has][0]!r}, the clinical table has {listed.iloc[0]!r}; use the same "
                "patient ids as index of both"
            )


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write a table with its index as the patients. Raises InputError for what is no table of patients."""
    what = path.stem
    if not isinstance(cast(object, table), pd.DataFrame):
        raise InputError(f"{what}: expected a DataFrame by patient id, found {type(table).__name__}")
    if not len(table):
        raise InputError(f"{what}: the table has no rows")
    if table.index.nlevels > 1 or table.columns.nlevels > 1:
        raise InputError(f"{what}: the index or the columns have several levels; give patients and names one")
    frame = table.copy()
    frame.columns = frame.columns.astype(str)
    if ID in frame.columns:
        raise InputError(f"{what}: has a column {ID!r}; patients are its index: table.set_index({ID!r})")
    refuse_duplicates(list(frame.columns), path, what)
    for column in frame.select_dtypes("category"):
        frame[column] = frame[column].astype(object)
    frame.insert(0, ID, np.array([str(name) for name in table.index], dtype=object))
    try:
        with replacing(path) as temporary:
            frame.to_parquet(temporary, index=False)
    except pa.ArrowException as error:
        raise InputError(
            f"{what}: a column holds values of several kinds, or no numbers ({first_line(error)}); give "
            "numbers, NaN where one is missing"
        ) from None
