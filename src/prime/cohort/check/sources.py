"""Looking through one source: counts, ranges, constants, doubles, and what it gives away."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.cohort import barcode
from prime.cohort.check.outcomes import outcome_like_names, perfect_associations
from prime.cohort.check.report import SourceCheck, some
from prime.cohort.config import ReportSource, SourceConfig, VectorSource
from prime.cohort.endpoints import ClinicalTable
from prime.cohort.readers import read_source, source_files
from prime.cohort.source import SourceRows
from prime.cohort.tables import read_table, require_columns
from prime.errors import InputError
from prime.files import sha256_text
from prime.text_encoder import PACKAGED

HUGE = 1e6
SHORT_REPORT = 200
MINIMUM_DOUBLE_DIM = 16


@dataclass
class SourceFindings:
    """A source's summary, the patients it has, and what is wrong with it."""

    summary: SourceCheck
    patients: list[str]
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])


def check_source(
    modality: str, name: str, config: SourceConfig, root: Path, clinical: ClinicalTable
) -> SourceFindings:
    """Read one source and look through it; texts are not encoded. Raises InputError as its reader does."""
    if isinstance(config, ReportSource):
        found = _check_reports(modality, name, config, root)
    else:
        found = _check_features(modality, name, config, root, clinical)
    _check_patients(found, clinical)
    _check_encoder(found)
    return found


def _check_patients(found: SourceFindings, clinical: ClinicalTable) -> None:
    """Patients without a clinical row: an error where it is all of them."""
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
    """Running minimum, maximum and NaN count of each feature."""

    minimum: Floats
    maximum: Floats
    missing: NDArray[np.int64]
    rows: int = 0

    @classmethod
    def of(cls, dim: int) -> "_Ranges":
        return cls(np.full(dim, np.inf), np.full(dim, -np.inf), np.zeros(dim, dtype=np.int64))

    def add(self, rows: NDArray[np.float32]) -> None:
        missing = np.isnan(rows)
        self.minimum = np.minimum(self.minimum, np.where(missing, np.inf, rows).min(axis=0))
        self.maximum = np.maximum(self.maximum, np.where(missing, -np.inf, rows).max(axis=0))
        self.missing += missing.sum(axis=0)
        self.rows += len(rows)


def _check_features(
    modality: str, name: str, config: SourceConfig, root: Path, clinical: ClinicalTable
) -> SourceFindings:
    if isinstance(config, VectorSource):
        config = config.model_copy(update={"instances": "tokens"})
    source = read_source(name, config, root)
    ranges = _Ranges.of(source.dim)
    doubles: dict[str, list[str]] = {}
    patients: list[str] = []
    several = 0
    means: list[Floats] = []
    for patient, rows in _counted(source, doubles):
        patients.append(patient)
        ranges.add(rows)
        several += len(rows) > 1
        if source.kind == "vector":
            means.append(_mean(rows))
    names = source.feature_names or [f"feature {number}" for number in range(source.dim)]
    found = SourceFindings(_summary(modality, name, config, source, ranges, names, len(patients)), patients)
    if source.kind == "vector" and several:
        found.summary.notes.append(f"{several:,} patients have several rows")
    _judge_ranges(found, ranges, names)
    shared = [group for group in doubles.values() if len(group) > 1]
    if shared and source.dim >= MINIMUM_DOUBLE_DIM:
        sets = some([" = ".join(group[:3]) for group in shared])
        found.warnings.append(
            f"source {name}: {len(shared)} sets of patients share identical features ({sets})"
        )
    if means:
        _check_leaks(found, names, patients, np.stack(means), clinical)
    return found


def _counted(source: SourceRows, doubles: dict[str, list[str]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The rows of a source, noting which patients have the same bytes."""
    for patient, rows in source.patients:
        doubles.setdefault(sha256_text(rows.tobytes().hex()), []).append(patient)
        yield patient, rows


def _mean(rows: NDArray[np.float32]) -> Floats:
    """Mean over rows (n, d) of the numbers that are there, (d,)."""
    there = ~np.isnan(rows)
    count = there.sum(axis=0)
    total = np.where(there, rows, 0.0).sum(axis=0, dtype=np.float64)
    return np.divide(total, count, out=np.full(rows.shape[1], np.nan), where=count > 0)


def _summary(
    modality: str,
    name: str,
    config: SourceConfig,
    source: SourceRows,
    ranges: _Ranges,
    names: list[str],
    patients: int,
) -> SourceCheck:
    any_number = np.isfinite(ranges.minimum).any()
    constant = ranges.minimum >= ranges.maximum  # one value, or no number at all
    return SourceCheck(
        modality=modality,
        source=name,
        reader=config.reader,
        detected=source.detected,
        dim=source.dim,
        patients=patients,
        rows=ranges.rows,
        minimum=float(ranges.minimum.min()) if any_number else None,
        maximum=float(ranges.maximum.max()) if any_number else None,
        nan_share=float(ranges.missing.sum() / max(1, ranges.rows * source.dim)),
        constant=[names[i] for i in np.flatnonzero(constant)] if ranges.rows > 1 else [],
        notes=list(source.notes),
        attributes=dict(source.attributes),
    )


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
    size = np.maximum(np.abs(ranges.minimum), np.abs(ranges.maximum))
    huge = [names[i] for i in np.flatnonzero(np.isfinite(size) & (size > HUGE))]
    if huge:
        found.warnings.append(
            f"{where}: {len(huge):,} features reach beyond {HUGE:,.0f} ({some(huge)}): scaling clips them"
        )


def _check_leaks(
    found: SourceFindings, names: list[str], patients: list[str], values: Floats, clinical: ClinicalTable
) -> None:
    """Outcome columns inside a feature table: perfect association is an error, a name alone a warning."""
    where = f"source {found.summary.source}"
    perfect = perfect_associations(names, patients, values, clinical)
    for feature, how in perfect.items():
        found.errors.append(f"{where}: feature {feature!r} gives the outcome away ({how}); add it to ignore")
    suspects = [name for name in outcome_like_names(names) if name not in perfect]
    if suspects:
        found.warnings.append(
            f"{where}: {len(suspects)} features are named like outcomes ({some(suspects)}); "
            f"if they are, add them to ignore"
        )


# Reports ----------------------------------------------------------------------------------------------------


def _check_reports(modality: str, name: str, config: ReportSource, root: Path) -> SourceFindings:
    """Count and compare report texts without encoding them."""
    path, where = root / config.path, f"source {name}"
    table = read_table(path, where, text=True)
    require_columns(table, [config.patient_id, config.text], path, where)
    texts = _texts_by_patient(table, config)
    patients = sorted(patient for patient, text in texts.items() if text)
    empty = sorted(patient for patient, text in texts.items() if not text)
    if not patients:
        raise InputError(f"{where}: {path}: every report is empty; check the column {config.text!r}")
    words = [len(texts[patient].split()) for patient in patients]
    summary = SourceCheck(
        modality=modality,
        source=name,
        reader=config.reader,
        detected=f"{path.suffix[1:]} table: {len(table)} reports, {int(np.median(words))} words in the "
        f"median; encoder {config.encoder} (not run)",
        dim=None,
        patients=len(patients),
        rows=len(table),
        attributes={} if config.trained_on is None else {"trained_on": config.trained_on},
    )
    found = SourceFindings(summary, patients)
    _check_encoder_files(name, config, root, found)
    if empty:
        summary.notes.append(f"{len(empty)} reports are empty ({some(empty)}): counted as missing")
        found.warnings.append(f"{where}: {len(empty)} reports are empty ({some(empty)}): counted as missing")
    short = sum(len(texts[patient]) < SHORT_REPORT for patient in patients)
    if short:
        found.warnings.append(f"{where}: {short} reports are shorter than {SHORT_REPORT} characters")
    _check_shared(texts, patients, found)
    return found


def _texts_by_patient(table: pd.DataFrame, config: ReportSource) -> dict[str, str]:
    """Each patient's texts joined, white space made plain; the patient stands before the first dot."""
    owners = table[config.patient_id].astype(str).str.split(".", n=1).str[0].str.strip()
    texts: dict[str, str] = {}
    for patient, text in zip(owners, table[config.text], strict=True):
        texts[patient] = " ".join([*texts.get(patient, "").split(), *str(text).split()])
    return texts


def _check_shared(texts: dict[str, str], patients: list[str], found: SourceFindings) -> None:
    owners: dict[str, list[str]] = {}
    for patient in patients:
        owners.setdefault(texts[patient].lower(), []).append(patient)
    shared = [" = ".join(group) for group in owners.values() if len(group) > 1]
    if shared:
        found.warnings.append(
            f"source {found.summary.source}: {len(shared)} texts are shared by two or more patients "
            f"({some(shared)}): one of them is filed under the wrong patient"
        )


def _check_encoder_files(name: str, config: ReportSource, root: Path, found: SourceFindings) -> None:
    """Look for the encoder on this machine only; a name on a hub is left for packing."""
    local = any(folder.is_dir() for folder in (Path(config.encoder).expanduser(), root / config.encoder))
    if config.encoder in PACKAGED or local:
        source_files(name, config, root)
    else:
        found.warnings.append(
            f"source {name}: encoder {config.encoder!r} is no folder here: packing looks for it on the hub"
        )
