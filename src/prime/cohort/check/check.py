"""Checking a cohort before anything is trained: its contents, and what would spoil results."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.cohort.check.outcomes import check_endpoints, follow_up
from prime.cohort.check.report import CheckReport, SourceCheck, TypeCheck, exit_status, render
from prime.cohort.check.sample_size import check_sample_sizes
from prime.cohort.check.sources import SourceFindings, check_source
from prime.cohort.config import CohortConfig
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.cohort.patient_names import spellings, spelt_twice
from prime.errors import InputError, some
from prime.progress import tracked

__all__ = ["CheckReport", "check", "exit_status", "render"]

FEW_PATIENTS = 10


def check(config: CohortConfig, progress: bool = True) -> CheckReport:
    """Read a whole cohort and report what was found; texts are read but not encoded.

    What spoils results (a source that cannot be read, no outcomes or only censored ones, features that reveal
    the outcome, ids that do not match, duplicate patients) is in `errors`, the rest in `warnings`.

    Args:
        config: the cohort, its root resolved.
        progress: show a progress bar over the sources.

    Raises:
        InputError: the clinical table cannot be read, without which nothing else can be judged.
    """
    clinical = read_clinical(config.clinical, config.root, config.name)
    errors: list[str] = []
    found: list[SourceFindings] = []
    for modality, name, options in tracked(
        config.every_source(), lambda item: f"checking {item[1]}", progress
    ):
        try:
            found.append(check_source(modality, name, options, Path(config.root), clinical))
        except InputError as error:
            errors.append(str(error))
            found.append(_unread(modality, name, options.reader))
    return _report(config, clinical, found, errors)


def _unread(modality: str, name: str, reader: str) -> SourceFindings:
    """The findings on a source that could not be read."""
    return SourceFindings(SourceCheck(modality, name, reader, "could not be read", None, 0, 0), [])


def presence(
    config: CohortConfig, clinical: ClinicalTable, found: list[SourceFindings]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Which patient has which modality and which source: two boolean tables, indexed by patient id.

    The clinical table's patients come first in its order, then those with features only, sorted.
    """
    listed = list(clinical.frame["patient_id"])
    others = sorted({patient for item in found for patient in item.patients} - set(listed))
    index = pd.Index([*listed, *others])
    sources = pd.DataFrame({item.summary.source: index.isin(item.patients) for item in found}, index=index)
    modalities = pd.DataFrame(
        {modality: sources[list(names)].any(axis=1) for modality, names in config.modalities.items()},
        index=index,
    )
    return modalities, sources


def _report(
    config: CohortConfig, clinical: ClinicalTable, found: list[SourceFindings], errors: list[str]
) -> CheckReport:
    modalities, sources = presence(config, clinical, found)
    listed = np.arange(len(modalities)) < len(clinical.frame)
    some_modality = modalities.any(axis=1).to_numpy()
    every_modality = modalities.all(axis=1).to_numpy()
    endpoints, endpoint_errors, endpoint_warnings = check_endpoints(clinical, some_modality[listed])
    report = CheckReport(
        name=config.name,
        clinical_file=str(clinical.file),
        patients=len(clinical.frame),
        excluded=int(clinical.frame["excluded"].sum()),
        clinical_notes=list(clinical.notes),
        sources=[item.summary for item in found],
        types=_types(clinical, modalities[listed], sources[listed]),
        combinations=_combinations(modalities),
        complete=int(every_modality.sum()),
        partial=int((some_modality & ~every_modality).sum()),
        any_modality=int(some_modality.sum()),
        listed_any_modality=int((some_modality & listed).sum()),
        unlisted=int((~listed).sum()),
        nothing=int((~some_modality).sum()),
        endpoints=endpoints,
        follow_up=follow_up(clinical),
        errors=errors + [line for item in found for line in item.errors] + endpoint_errors,
        warnings=clinical.warnings + [line for item in found for line in item.warnings] + endpoint_warnings,
        sample_sizes=check_sample_sizes(clinical, some_modality[listed]),
    )
    _judge_patients(report, clinical, modalities, some_modality)
    return report


def _types(clinical: ClinicalTable, modalities: pd.DataFrame, sources: pd.DataFrame) -> list[TypeCheck]:
    """Counts per cancer type over the clinical table's patients."""
    cohort = clinical.frame["cohort"].to_numpy()
    result: list[TypeCheck] = []
    for name in sorted(set(cohort)):
        mine, of_source = modalities[cohort == name], sources[cohort == name]
        complete, present = int(mine.all(axis=1).sum()), int(mine.any(axis=1).sum())
        result.append(
            TypeCheck(
                cohort=str(name),
                patients=len(mine),
                modalities={str(m): int(mine[m].sum()) for m in mine.columns},
                sources={str(s): int(of_source[s].sum()) for s in of_source.columns},
                complete=complete,
                partial=present - complete,
                nothing=len(mine) - present,
            )
        )
    return result


def _combinations(modalities: pd.DataFrame) -> dict[str, int]:
    """Patients by the exact modalities they have, most first; those with nothing under `nothing`."""
    names = [str(name) for name in modalities.columns]
    table: NDArray[np.bool_] = modalities.to_numpy(dtype=np.bool_)
    labels = [
        " + ".join(n for n, has in zip(names, row, strict=True) if has) or "nothing" for row in table.tolist()
    ]
    return dict(sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0])))


def _judge_patients(
    report: CheckReport, clinical: ClinicalTable, modalities: pd.DataFrame, some_modality: NDArray[np.bool_]
) -> None:
    if not some_modality[: report.patients].any():
        report.errors.append(
            f"no patient of {report.clinical_file} has any modality; check paths and patient ids"
        )
    for name in modalities.columns:
        count = int(modalities[name].sum())
        if 0 < count < FEW_PATIENTS:
            report.warnings.append(f"modality {name}: only {count} patients have it")
    if report.nothing:
        report.warnings.append(
            f"{report.nothing:,} patients of the clinical table have no modality: left out"
        )
    typeless = int((clinical.frame["cohort"] == "").sum())
    if typeless:
        report.warnings.append(f"{typeless:,} patients have no cancer type: they serve pretraining only")
    _judge_spellings(report, [str(patient) for patient in modalities.index])


def _judge_spellings(report: CheckReport, patients: list[str]) -> None:
    """Two spellings of an id are one patient twice."""
    twice = [spellings(group) for group in spelt_twice(patients)]
    if twice:
        report.errors.append(
            f"{len(twice)} patients occur twice, under ids in two spellings ({some(twice)}); use one"
        )
