"""From a fetched folder to a cohort: tables aligned by patient, and the cohort file."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from prime.cohort import barcode
from prime.cohort.config import ClinicalConfig, load_cohort
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.cohort.tissue import TUMOUR, TissueRule
from prime.encode.gdc.cases import COLUMNS, clinical_row, read_cases
from prime.encode.gdc.kinds import KINDS
from prime.encode.gdc.manifest import NAME, read_manifest
from prime.encode.gdc.select import Choice, select
from prime.encode.gdc.sources import feature_path, named_by_slide, source_settings
from prime.files import replacing, write_csv, write_text

COHORT = "cohort.yaml"
MODALITIES = {"slides": ("image", "slides"), "rna": ("rna", "genes"), "reports": ("report", "text")}
SLIDE_TABLE = "slides.csv"
HEAD = "# Written by prime gdc build; paths start from the folder of this file.\n"


@dataclass(frozen=True)
class BuildResult:
    """Counts of patients and files, notes for the user, and the cohort file, None without features."""

    patients: int
    used: dict[str, int]
    left_out: dict[str, int]
    complete: int
    cohort: Path | None
    notes: list[str] = field(default_factory=list[str])


def build(
    folder: Path,
    out: Path,
    clinical: Path | None = None,
    features: dict[str, Path] | None = None,
    encoder: str = "minilm",
    name: str = "tcga",
    rule: TissueRule = TUMOUR,
) -> BuildResult:
    """Align what `prime gdc fetch` left in `folder` by barcode, and write a cohort to `out`.

    `files.csv`: every file, and why it is not used. `patients.csv`: one row per patient with slides, RNA
    file, reports and overall survival. `slides.csv` and `rna.csv`: the patient of each file, for
    `--slide-table` and `--mapping` of the encoders. `clinical.csv`: from the GDC's cases, unless `clinical`
    names a TCGA-CDR table. `cohort.yaml`: only where `features` are given.

    Args:
        folder: a fetched folder, with manifest.tsv.
        out: the cohort's folder; its tables are overwritten.
        clinical: TCGA-CDR (xlsx, csv, tsv).
        features: what `prime encode` wrote, by kind: slides, rna, reports.
        encoder: the text encoder, for report texts that are not encoded yet.
        name: of the cohort.
        rule: which samples of a patient are used.

    Raises:
        InputError: no manifest, no clinical data, or features that no reader reads.
    """
    places = {kind: feature_path(kind, path) for kind, path in (features or {}).items()}
    sources = {
        kind: source_settings(kind, path, encoder) | {"path": relative(path, out)}
        for kind, path in places.items()
    }
    if rule != TUMOUR:
        for settings in sources.values():
            settings |= {"samples": list(rule.types) or "all", "frozen": rule.frozen}
    choices = select(read_manifest(folder / NAME), folder, rule)
    if "slides" in places and named_by_slide(places["slides"], _slide_ids(choices)):
        sources["slides"]["slide_table"] = SLIDE_TABLE
    known, notes = ({} if clinical else _case_rows(folder)), []
    out.mkdir(parents=True, exist_ok=True)
    if not clinical:
        write_csv(out / "clinical.csv", pd.DataFrame(known.values(), columns=pd.Index(COLUMNS)))
        notes += _why_no_outcome(known.values())
    settings = _clinical_settings(clinical, out, known)
    table = read_clinical(ClinicalConfig.model_validate(settings), out)
    patients = _patients(choices, table)
    _write_tables(choices, patients, out)
    complete = int((patients[list(KINDS)] != "").all(axis=1).sum())
    cohort = _write_cohort(name, settings, sources, out) if sources else None
    return BuildResult(
        patients=len(patients),
        used=Counter(choice.file.data for choice in choices if choice.used),
        left_out=Counter(f"{c.file.data}: {_without_ids(c.reason)}" for c in choices if not c.used),
        complete=complete,
        cohort=cohort,
        notes=notes + table.notes,
    )


def relative(path: Path, start: Path) -> str:
    """The path from `start`, with slashes, so that both can move together; absolute on another drive."""
    try:
        return Path(os.path.relpath(path.absolute(), start.absolute())).as_posix()
    except ValueError:  # Windows: no way from one drive to another
        return path.absolute().as_posix()


def _case_rows(folder: Path) -> dict[str, dict[str, str | float]]:
    """The clinical rows by patient, sorted; a patient who is in two files counts once."""
    rows = (clinical_row(case) for case in read_cases(folder))
    return {str(row["patient_id"]): row for row in sorted(rows, key=lambda row: str(row["patient_id"]))}


def _why_no_outcome(rows: Iterable[dict[str, str | float]]) -> list[str]:
    """One line per reason why patients have no overall survival, with their number."""
    counts = Counter(str(row["note"]).split(" (", 1)[0] for row in rows if row["note"])
    return [f"{count:,} patients without overall survival: {note}" for note, count in sorted(counts.items())]


def _clinical_settings(
    clinical: Path | None, out: Path, known: dict[str, dict[str, str | float]]
) -> dict[str, Any]:
    """The `clinical` key of the cohort file, with the covariates that at least one patient has."""
    if clinical is not None:
        return {"format": "tcga-cdr", "path": relative(clinical, out)}
    covariates: list[Any] = []
    if any(row["age"] != "" for row in known.values()):
        covariates.append("age")
    if any(str(row["sex"]).lower() in ("female", "male") for row in known.values()):
        values = {"female": 0, "male": 1}
        covariates.append({"name": "sex", "column": "sex", "values": values, "other": "missing"})
    return {
        "format": "table",
        "path": "clinical.csv",
        "patient_id": "patient_id",
        "cohort": "type",
        "site": "site",
        "endpoints": {"os": {"time": "os_days", "event": "os_event", "unit": "days"}},
        **({"covariates": covariates} if covariates else {}),
    }


def _patients(choices: Sequence[Choice], table: ClinicalTable) -> pd.DataFrame:
    """One row per patient with a file that is used, sorted; several files are separated by `;`."""
    files_of: dict[str, dict[str, list[str]]] = {}
    for choice in choices:
        if choice.used:
            kinds = files_of.setdefault(choice.file.patient, {kind: [] for kind in KINDS})
            kinds[choice.file.data].append(choice.file.filename)
    project = {choice.file.patient: choice.file.project for choice in choices}
    rna = {c.file.patient: c.file.sample for c in choices if c.used and c.file.data == "rna"}
    rows = [
        {
            "patient_id": patient,
            "project": project[patient],
            **{kind: ";".join(sorted(files)) for kind, files in kinds.items()},
            "rna_sample": rna.get(patient, ""),
        }
        for patient, kinds in sorted(files_of.items())
    ]
    columns = ["patient_id", "project", *KINDS, "rna_sample"]
    outcome = table.frame[["patient_id", "excluded", "exclude_reason", "os_time_days", "os_event"]]
    return pd.DataFrame(rows, columns=pd.Index(columns)).merge(outcome, on="patient_id", how="left")


def _write_tables(choices: Sequence[Choice], patients: pd.DataFrame, out: Path) -> None:
    names = ("data", "project", "patient", "sample", "sample_type", "filename", "id")
    rows = [
        {**{name: getattr(c.file, name) for name in names}, "used": c.used, "reason": c.reason}
        for c in choices
    ]
    write_csv(out / "files.csv", pd.DataFrame(rows))
    write_csv(out / "patients.csv", patients)
    slides = [{"case_id": patient, "slide_id": slide} for slide, patient in _slide_ids(choices).items()]
    write_csv(out / SLIDE_TABLE, pd.DataFrame(slides, columns=pd.Index(["case_id", "slide_id"])))
    rna = [
        {"patient_id": c.file.patient, "path": c.file.filename, "sample": c.file.sample}
        for c in choices
        if c.used and c.file.data == "rna"
    ]
    write_csv(out / "rna.csv", pd.DataFrame(rna, columns=pd.Index(["patient_id", "path", "sample"])))


def _slide_ids(choices: Sequence[Choice]) -> dict[str, str]:
    """The patient of each slide that is used; a slide has the name of its feature file."""
    used = (choice.file for choice in choices if choice.used and choice.file.data == "slides")
    return {file.filename.removesuffix(".svs"): file.patient for file in used}


def _write_cohort(name: str, clinical: dict[str, Any], sources: dict[str, Any], out: Path) -> Path:
    """Write the cohort file, after checking that it can be read."""
    modalities = {
        modality: {source: sources[kind]}
        for kind, (modality, source) in MODALITIES.items()
        if kind in sources
    }
    value = {"name": name, "root": ".", "clinical": clinical, "modalities": modalities}
    with replacing(out / COHORT) as temporary:
        write_text(temporary, HEAD + yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
        load_cohort(temporary)
    return out / COHORT


def _without_ids(reason: str) -> str:
    """A reason with its barcodes and file ids replaced, so that equal reasons can be counted."""
    words = ["another file" if len(w) == 36 and w.count("-") == 4 else w for w in reason.split()]
    return " ".join("another" if barcode.is_tcga(word) else word for word in words)
