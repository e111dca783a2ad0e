"""One vector per source and patient: the mean of the patient's rows, unscaled."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats, Indices
from prime.store.rows import gather_rows, patient_chunks, sums_by_patient
from prime.store.store import Store


@dataclass(frozen=True)
class PatientVectors:
    """n patients as vectors.

    Attributes:
        modalities: the sources of each of the M modalities.
        sources: values (n, d) float64 of each source; a row is NaN where the patient lacks the source, a
            single number where a feature is missing.
        covariates: values (n,) float64 of each covariate of the clinical table, NaN where missing.
    """

    modalities: dict[str, tuple[str, ...]]
    sources: dict[str, Floats]
    covariates: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter((self.sources or self.covariates).values())))

    def has(self, source: str) -> NDArray[np.bool_]:
        """(n,) bool: who has the source."""
        return np.logical_not(np.isnan(self.sources[source]).all(axis=1))

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(n, M) bool: who has any source of each modality."""
        columns = [
            np.logical_or.reduce([self.has(source) for source in names]) for names in self.modalities.values()
        ]
        return np.stack(columns, axis=1)

    def take(self, rows: Indices) -> "PatientVectors":
        """Only these patients, in this order."""
        return replace(
            self,
            sources={name: values[rows] for name, values in self.sources.items()},
            covariates={name: values[rows] for name, values in self.covariates.items()},
        )

    def join(self, other: "PatientVectors") -> "PatientVectors":
        """The patients of both, these first."""
        return replace(
            self,
            sources={n: np.concatenate([v, other.sources[n]]) for n, v in self.sources.items()},
            covariates={n: np.concatenate([v, other.covariates[n]]) for n, v in self.covariates.items()},
        )

    def keep(self, kept: NDArray[np.bool_]) -> "PatientVectors":
        """The vectors with every modality hidden where `kept` (n, M) bool is False."""
        sources = dict(self.sources)
        for column, names in enumerate(self.modalities.values()):
            for name in names:
                sources[name] = np.where(kept[:, column, None], sources[name], np.nan)
        return replace(self, sources=sources)


def patient_vectors(store: Store, patients: Indices, modalities: tuple[str, ...]) -> PatientVectors:
    """The vectors of these patients (positions in the store) for these modalities, and their covariates.

    A feature that is NaN in a row is left out of that patient's mean.
    """
    names = {name: tuple(store.modalities[name]) for name in modalities}
    sources = {source: _means(store, source, patients) for group in names.values() for source in group}
    covariates = {name: values[patients] for name, values in covariate_columns(store).items()}
    return PatientVectors(names, sources, covariates)


def covariate_columns(store: Store) -> dict[str, Floats]:
    """The covariates of all P patients, (P,) float64 each, NaN where missing."""
    return {
        str(column).removeprefix("x_"): store.patients[column].to_numpy(dtype=np.float64)
        for column in store.patients.columns
        if str(column).startswith("x_")
    }


def source_vectors(
    store: Store, source: str, distribution: bool = False, patients: Indices | None = None
) -> tuple[Indices, Floats]:
    """Who of some patients (positions in the store; all by default) has a source, and their vectors.

    Returns positions (n,) among those patients, and (n, d), or (n, 4 d): with `distribution`, a vector holds
    the mean of a patient's rows, the log of one plus their standard deviation, and their 10 % and 90 %
    quantiles.
    """
    length = store.index(source)[:, 1]
    who = np.flatnonzero((length if patients is None else length[patients]) > 0)
    found = who if patients is None else patients[who]
    return who, (_distributions if distribution else _means)(store, source, found)


def _means(store: Store, source: str, patients: Indices) -> Floats:
    """(n, d) float64: the mean of each patient's rows, NaN where there are none."""
    index, values = store.index(source), store.values(source)
    means = np.empty((len(patients), values.shape[1]))
    for part in patient_chunks(index, patients, values.shape[1]):
        some = patients[part]
        means[part] = _patient_means(values[gather_rows(index, some)], index[some, 1])
    return means


def _patient_means(rows: NDArray[np.generic], length: Indices) -> Floats:
    """Means (n, d) of consecutive rows (R, d), `length` (n,) of each patient, NaN left out."""
    total, count = sums_by_patient(rows, length), length[:, None].astype(np.float64)
    if np.isnan(total).any():  # which is seldom, and takes several times as long
        known = ~np.isnan(rows)
        total, count = sums_by_patient(np.where(known, rows, 0.0), length), sums_by_patient(known, length)
    with np.errstate(invalid="ignore"):
        return total / count


def _distributions(store: Store, source: str, patients: Indices) -> Floats:
    """(n, 4 d) float64 of patients who have the source; see `source_vectors`."""
    index, values = store.index(source), store.values(source)
    result = np.full((len(patients), 4, values.shape[1]), np.nan)
    for place, (start, length) in enumerate(index[patients]):
        rows = np.asarray(values[start : start + length], dtype=np.float64)
        known = ~np.isnan(rows)
        if known.all():  # the usual case, in which quantiles of all features at once are many times faster
            low, high = np.quantile(rows, [0.1, 0.9], axis=0)
            result[place] = rows.mean(axis=0), np.log1p(rows.std(axis=0)), low, high
            continue
        for column in np.flatnonzero(known.any(axis=0)):
            there = rows[known[:, column], column]
            low, high = np.quantile(there, [0.1, 0.9])
            result[place, :, column] = there.mean(), np.log1p(there.std()), low, high
    return result.reshape(len(patients), 4 * values.shape[1])
