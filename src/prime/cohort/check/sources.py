"""Checks of a source: counts, ranges, constant features, duplicate patients, and leaks of the outcome."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.cohort import barcode
from prime.cohort.cells import NINES
from prime.cohort.check.outcomes import leak_sample, outcome_like_names, perfect_associations
from prime.cohort.check.report import SourceCheck
from prime.cohort.endpoints import ClinicalTable
from prime.cohort.readers import inspect_source
from prime.cohort.source import SourceConfig, SourceRows, SourceTexts
from prime.errors import some

HUGE = 1e6
SAMPLES = " (these are barcodes of samples; the first 12 characters are the patient)"
SHORT_TEXT = 200
MINIMUM_DOUBLE_DIM = 16
AT_ONCE = 2**20  # numbers whose range is taken together
COLUMNS_AT_ONCE = 256  # features that are compared with outcomes together


@dataclass
class SourceFindings:
    """The findings on a source: its summary, its patients, errors and warnings."""

    summary: SourceCheck
    patients: list[str]
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])


def check_source(
    modality: str, name: str, config: SourceConfig, root: Path, clinical: ClinicalTable
) -> SourceFindings:
    """Read and check one source; texts are not encoded. Raises InputError as its reader does."""
    source = inspect_source(name, config, root)
    blank = SourceCheck(
        modality, name, config.reader, source.detected, None, 0, 0, attributes=dict(source.attributes)
    )
    if isinstance(source, SourceTexts):
        found = _check_texts(source, blank)
    else:
        found = _check_features(source, blank, clinical)
    _check_patients(found, clinical)
    _check_encoder(found)
    return found


def _check_patients(found: SourceFindings, clinical: ClinicalTable) -> None:
    """Add a warning about patients without a clinical row; an error where no patient has one."""
    listed = set(clinical.frame["patient_id"])
    unlisted = [patient for patient in found.patients if patient not in listed]
    found.summary.unlisted = len(unlisted)
    name = found.summary.source
    if not found.patients:
        found.errors.append(f"source {name}: no patient has anything in it")
    elif len(unlisted) == len(found.patients):
        found.errors.append(
            f"source {name}: none of its patients is in {clinical.file}; it has {found.patients[0]!r}, "
            f"the clinical table has {clinical.frame['patient_id'].iloc[0]!r}; use the same patient ids"
            + (SAMPLES if barcode.sample_type(found.patients[0]) else "")
        )
    elif unlisted:
        found.warnings.append(
            f"source {name}: {len(unlisted):,} of {len(found.patients):,} patients have no clinical row "
            f"({some(unlisted)}): they serve pretraining only"
        )


def _check_encoder(found: SourceFindings) -> None:
    trained_on = found.summary.attributes.get("trained_on", "")
    overlap = sum(barcode.is_tcga(patient) for patient in found.patients)
    if "tcga" in trained_on.lower() and overlap:
        found.warnings.append(
            f"source {found.summary.source}: its encoder was trained on {trained_on} and {overlap:,} "
            f"patients here are from TCGA: results on them are not of unseen patients"
        )


# Features ---------------------------------------------------------------------------------------------------


@dataclass
class _Ranges:
    """Running minimum, maximum and NaN count of each feature; rows wait until there are many."""

    minimum: Floats
    maximum: Floats
    missing: NDArray[np.int64]
    rows: int = 0
    waiting: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    waiting_values: int = 0

    @classmethod
    def of(cls, dim: int) -> "_Ranges":
        return cls(np.full(dim, np.inf), np.full(dim, -np.inf), np.zeros(dim, dtype=np.int64))

    def add(self, rows: NDArray[np.float32]) -> None:
        self.waiting.append(rows)
        self.waiting_values += rows.size
        if self.waiting_values >= AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Count the rows that wait."""
        if not self.waiting:
            return
        rows = np.concatenate(self.waiting)
        self.waiting, self.waiting_values = [], 0
        missing = np.isnan(rows)
        self.minimum = np.minimum(self.minimum, np.where(missing, np.inf, rows).min(axis=0))
        self.maximum = np.maximum(self.maximum, np.where(missing, -np.inf, rows).max(axis=0))
        self.missing += missing.sum(axis=0)
        self.rows += len(rows)

    def facts(self, names: list[str]) -> dict[str, Any]:
        """The fields of SourceCheck on the range of all numbers, and the features with one value only."""
        there = np.isfinite(self.minimum).any()
        constant = self.minimum >= self.maximum  # one value, or no number at all
        return {
            "minimum": float(self.minimum.min()) if there else None,
            "maximum": float(self.maximum.max()) if there else None,
            "nan_share": float(self.missing.sum() / max(1, self.rows * len(names))),
            "constant": [names[i] for i in np.flatnonzero(constant)] if self.rows > 1 else [],
        }


def _check_features(source: SourceRows, blank: SourceCheck, clinical: ClinicalTable) -> SourceFindings:
    """Check ranges, missing numbers, duplicate patients and leaks of a source's features."""
    ranges, doubles = _Ranges.of(source.dim), _Doubles()
    judged = leak_sample(clinical) if source.kind == "vector" else set[str]()
    patients: list[str] = []
    means: dict[str, Floats] = {}
    several = 0
    for patient, rows in source.patients:
        patients.append(patient)
        ranges.add(rows)
        doubles.add(patient, rows)
        several += len(rows) > 1
        if patient in judged:
            means[patient] = _mean(rows)
    ranges.finish()
    names = source.feature_names or [f"feature {number}" for number in range(source.dim)]
    notes = list(source.notes)  # complete only after the rows were read
    if source.kind == "vector" and several:
        notes.append(f"{several:,} patients have several rows")
    counts = replace(blank, dim=source.dim, patients=len(patients), rows=ranges.rows, notes=notes)
    found = SourceFindings(replace(counts, **ranges.facts(names)), patients)
    _judge_ranges(found, ranges, names)
    shared = list(doubles.shared.values())
    if shared and source.dim >= MINIMUM_DOUBLE_DIM:
        sets = some([" = ".join(group[:3]) for group in shared])
        found.warnings.append(
            f"source {blank.source}: {len(shared)} sets of patients share identical features ({sets})"
        )
    if means:
        _check_leaks(found, names, list(means), np.stack(list(means.values())), clinical)
    return found


@dataclass
class _Doubles:
    """Patients by the hash of their rows: the first one of each, and those who share theirs."""

    first: dict[bytes, str] = field(default_factory=dict[bytes, str])
    shared: dict[bytes, list[str]] = field(default_factory=dict[bytes, list[str]])

    def add(self, patient: str, rows: NDArray[np.float32]) -> None:
        digest = hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16).digest()
        if digest in self.first:
            self.shared.setdefault(digest, [self.first[digest]]).append(patient)
        else:
            self.first[digest] = patient


def _mean(rows: NDArray[np.float32]) -> Floats:
    """Mean (d,) over rows (n, d), NaN left out."""
    there = ~np.isnan(rows)
    count = there.sum(axis=0)
    total = np.where(there, rows, 0.0).sum(axis=0, dtype=np.float64)
    return np.divide(total, count, out=np.full(rows.shape[1], np.nan), where=count > 0)


def _judge_ranges(found: SourceFindings, ranges: _Ranges, names: list[str]) -> None:
    where = f"source {found.summary.source}"
    if found.summary.constant:
        constant = found.summary.constant
        found.warnings.append(f"{where}: {len(constant):,} features have one value only ({some(constant)})")
    with_gaps = [names[i] for i in np.flatnonzero(ranges.missing)]
    if with_gaps:
        found.warnings.append(
            f"{where}: {100 * (found.summary.nan_share or 0.0):.2f} % of the numbers are missing (NaN), in "
            f"{len(with_gaps):,} features ({some(with_gaps)}): filled with the training median"
        )
    coded = [names[i] for i in np.flatnonzero(np.isin(ranges.minimum, [n for n in NINES if n < 0]))]
    if coded:
        found.warnings.append(
            f"{where}: {len(coded):,} features have a least value such as -999 ({some(coded)}): if it stands "
            f"for missing, leave such cells empty"
        )
    size = np.maximum(np.abs(ranges.minimum), np.abs(ranges.maximum))
    huge = [names[i] for i in np.flatnonzero(np.isfinite(size) & (size > HUGE))]
    if huge:
        found.warnings.append(
            f"{where}: {len(huge):,} features reach beyond {HUGE:,.0f} ({some(huge)}): scaling clips them"
        )


def _check_leaks(
    found: SourceFindings, names: list[str], patients: list[str], values: Floats, clinical: ClinicalTable
) -> None:
    """Find outcomes among the features: an almost perfect association is an error, a name alone a warning."""
    where = f"source {found.summary.source}"
    perfect: dict[str, str] = {}
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        part = slice(start, start + COLUMNS_AT_ONCE)
        perfect |= perfect_associations(names[part], patients, values[:, part], clinical)
    for feature, how in perfect.items():
        found.errors.append(f"{where}: feature {feature!r} gives the outcome away ({how}); add it to ignore")
    suspects = [name for name in outcome_like_names(names) if name not in perfect]
    if suspects:
        found.warnings.append(
            f"{where}: {len(suspects)} features are named like outcomes ({some(suspects)}); "
            f"if they are, add them to ignore"
        )


# Texts ------------------------------------------------------------------------------------------------------


def _check_texts(source: SourceTexts, blank: SourceCheck) -> SourceFindings:
    """Count texts, and find equal ones, ignoring white space and case."""
    texts = {patient: " ".join(text.split()).lower() for patient, text in source.texts.items()}
    summary = replace(blank, patients=len(texts), rows=source.count, notes=list(source.notes))
    warnings = list(source.warnings)
    short = sum(len(text) < SHORT_TEXT for text in texts.values())
    if short:
        warnings.append(f"{short:,} reports are shorter than {SHORT_TEXT} characters")
    owners: dict[str, list[str]] = {}
    for patient, text in texts.items():
        owners.setdefault(text, []).append(patient)
    shared = [" = ".join(group) for group in owners.values() if len(group) > 1]
    if shared:
        warnings.append(
            f"{len(shared)} texts are shared by two or more patients ({some(shared)}): one of them is filed "
            f"under the wrong patient"
        )
    return SourceFindings(summary, list(texts), warnings=[f"source {blank.source}: {w}" for w in warnings])
