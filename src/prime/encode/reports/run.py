"""All reports of a cohort: read, cleaned, encoded, each patient on its own; then the tables over all."""

from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.console import Console

from prime.encode.reports.clean import clean
from prime.encode.reports.encoder import (
    ReportEncoder,
    TokenSettings,
    encode_text,
    token_attributes,
    torch_threads,
    write_tokens,
)
from prime.encode.reports.ocr import Reader, ocr_reader
from prime.encode.reports.outcome import find_outcomes, remove_outcomes
from prime.encode.reports.pdf import Pages, ReadSettings
from prime.encode.reports.reading import read_report
from prime.encode.reports.sources import Report
from prime.encode.work import Failure, Piece, facts_of, run_pieces, settings_hash
from prime.errors import InputError
from prime.files import replacing, sha256_text, write_json
from prime.job_pool import JobPool

FEATURES = "features"
CLEANING_VERSION = 1  # to be raised where cleaning gives another text: then all is done again
OUTCOME_COLUMNS = ("patient_id", "report", "kind", "removed", "sentence")


@dataclass(frozen=True)
class PatientPiece(Piece):
    """A patient's piece of work, with the reports that its inputs are."""

    reports: tuple[Report, ...]


@dataclass(frozen=True)
class ReportJob:
    """Everything that a patient's output depends on beside the files.

    Attributes:
        out: the folder of the outputs.
        reading: how pages are read.
        outcome: whether sentences that state the outcome are left in (`flag`) or taken out (`remove`).
        encoder: None writes texts only.
        tokens: how long reports are encoded.
        threads: of the encoder.
    """

    out: Path
    reading: ReadSettings = field(default_factory=ReadSettings)
    outcome: Literal["flag", "remove"] = "flag"
    encoder: ReportEncoder | None = None
    tokens: TokenSettings = field(default_factory=TokenSettings)
    threads: int = 1

    def settings(self) -> dict[str, Any]:
        """As JSON, without places on this machine."""
        encoder = None if self.encoder is None else self.encoder.record.attributes()
        tokens = None if self.encoder is None else token_attributes(self.tokens)
        return {
            "cleaning": CLEANING_VERSION,
            "reading": asdict(self.reading),
            "outcome": self.outcome,
            "encoder": encoder,
            "tokens": tokens,
        }


def encode_reports(
    reports: list[Report], job: ReportJob, pool: JobPool, console: Console
) -> tuple[list[Failure], int]:
    """Encode all patients that are not done and write the tables. Returns the failures and how many patients.

    Writes, in job.out: `features/PATIENT.h5`, `texts.csv`, `cleaning.csv`, `outcomes.csv`, `encoder.json`,
    and `failures.csv` where there are any. A patient of whom one report fails is left out as a whole.
    """
    of_patient = {
        patient: list(found) for patient, found in groupby(reports, key=attrgetter("patient"))
    }  # reports are sorted by patient
    _refuse_same_file(list(of_patient))
    pieces = [_piece(patient, found, job) for patient, found in of_patient.items()]
    do = partial(do_patient, job=job)
    failures = run_pieces(pieces, do, job.out, job.settings(), pool, "reports")
    failed = {failure.name for failure in failures}
    done = [piece for piece in pieces if piece.name not in failed]
    _write_tables(done, job)
    return failures, len(pieces)


def _refuse_same_file(patients: list[str]) -> None:
    """Two patients whose names differ in case alone would be one file on some disks."""
    seen: dict[str, str] = {}
    for patient in patients:
        other = seen.setdefault(patient.casefold(), patient)
        if other != patient:
            raise InputError(f"patients {other!r} and {patient!r} differ in case alone; rename their reports")


def _piece(patient: str, reports: list[Report], job: ReportJob) -> PatientPiece:
    outputs = () if job.encoder is None else (job.out / FEATURES / f"{patient}.h5",)
    return PatientPiece(patient, tuple(report.path for report in reports), outputs, tuple(reports))


def do_patient(piece: Piece, job: ReportJob) -> dict[str, Any]:
    """Read, clean and encode the reports of a PatientPiece; returns the texts and what was changed.

    Raises InputError where a report cannot be read or nothing is left of all of them.
    """
    assert isinstance(piece, PatientPiece)
    ocr = ocr_reader(job.reading.engine)
    found = [_one_report(report, job, ocr) for report in piece.reports]
    text = "\n".join(item["text"] for item in found if item["text"])
    if not text:
        raise InputError(f"{piece.name}: cleaning left no text; look at the report")
    facts: dict[str, Any] = {"reports": found}
    if job.encoder is not None:
        with torch_threads(job.threads):
            encoded = encode_text(text, job.encoder, job.tokens)
        facts |= {"word_pieces": encoded.word_pieces, "tokens": len(encoded.tokens)}
        attributes = {
            "patient_id": piece.name,
            "reports": len(found),
            "text_sha256": sha256_text(text),
            "word_pieces": encoded.word_pieces,
            **token_attributes(job.tokens),
        }
        write_tokens(piece.outputs[0], encoded, job.encoder, attributes)
    return facts


def _one_report(report: Report, job: ReportJob, ocr: Reader) -> dict[str, Any]:
    """One report's clean text, its row of cleaning.csv and its rows of outcomes.csv."""
    pages = read_report(report, job.out, job.reading, ocr)
    raw = "\f".join(page.text for page in pages.pages)
    cleaned = clean(raw)
    statements = find_outcomes(cleaned.text)
    text = cleaned.text if job.outcome == "flag" else remove_outcomes(cleaned.text)[0]
    remove = job.outcome == "remove"
    row = {
        "patient_id": report.patient,
        "report": report.name,
        **_methods(pages),
        "characters_before": len(raw),
        "characters_after": len(text),
        **cleaned.changes,
        "garbage_ratio": round(cleaned.garbage, 4),
        "outcome_sentences": len(statements),
        "outcome_removed": len(statements) if remove else 0,
    }
    outcomes = [
        {"patient_id": report.patient, "report": report.name, "removed": remove, **asdict(statement)}
        for statement in statements
    ]
    return {"text": text, "cleaning": row, "outcomes": outcomes}


def _methods(pages: Pages) -> dict[str, str | int]:
    """How a report was read: its methods joined by `+`, and the pages."""
    used = [page.method for page in pages.pages]
    named = [name for name in ("text-layer", "ocr", "text", "csv") if name in used]
    return {
        "method": "+".join(named),
        "pages": len(used) + pages.left_out,
        "pages_ocr": used.count("ocr"),
        "pages_left_out": pages.left_out,
    }


def _write_tables(done: list[PatientPiece], job: ReportJob) -> None:
    facts = {piece.name: facts_of(piece, job.out) for piece in done}
    reports = [report for item in facts.values() for report in item["reports"]]
    texts = [
        {
            "patient_filename": f"{report['cleaning']['patient_id']}.{report['cleaning']['report']}",
            "patient_id": report["cleaning"]["patient_id"],
            "text": report["text"],
        }
        for report in reports
    ]
    _write_csv(job.out / "texts.csv", texts, ("patient_filename", "patient_id", "text"))
    _write_csv(job.out / "cleaning.csv", [report["cleaning"] for report in reports], ("patient_id", "report"))
    outcomes = [row for report in reports for row in report["outcomes"]]
    _write_csv(job.out / "outcomes.csv", outcomes, OUTCOME_COLUMNS)
    if job.encoder is not None:
        write_json(job.out / "encoder.json", {**job.encoder.record.attributes(), "dim": job.encoder.dim})
    write_json(
        job.out / "settings.json",
        {
            "settings": job.settings(),
            "settings_sha256": settings_hash(job.settings()),
            "patients": len(done),
            "longer_than_kept": sum(
                item["word_pieces"] > job.tokens.max_tokens
                for item in facts.values()
                if "word_pieces" in item
            ),
        },
    )


def _write_csv(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Write rows; `columns` are the header where there are none, else they come first."""
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    with replacing(path) as temporary:
        pd.DataFrame(rows, columns=pd.Index(names)).to_csv(temporary, index=False)
