"""From reports to features: each patient's reports are read, cleaned and encoded, then tables are written."""

from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from prime.encode.file_names import refuse_equal_names
from prime.encode.reports.clean import clean
from prime.encode.reports.encoder import (
    ReportEncoder,
    TokenSettings,
    encode_text,
    token_attributes,
)
from prime.encode.reports.fact_table import FACT_TABLE, write_facts
from prime.encode.reports.ocr import PageReader, page_reader
from prime.encode.reports.outcome import find_outcomes, remove_outcomes
from prime.encode.reports.pdf import Pages, ReadSettings
from prime.encode.reports.reading import VERSION, read_report
from prime.encode.reports.sources import Report
from prime.encode.token_file import write_token_file
from prime.encode.torch_setup import torch_threads
from prime.encode.work import Failure, Piece, facts_of, run_pieces, settings_hash
from prime.errors import InputError
from prime.files import sha256_text, write_csv, write_json
from prime.job_pool import JobPool

FEATURES = "features"
CLEANING_VERSION = 1  # raise it when cleaning changes a text, so that everything is done again
OUTCOME_COLUMNS = ("patient_id", "report", "kind", "removed", "sentence")


@dataclass(frozen=True)
class PatientPiece(Piece):
    """A patient's piece of work, with the reports that are its inputs."""

    reports: tuple[Report, ...]


@dataclass(frozen=True)
class ReportJob:
    """Everything that a patient's output depends on except the files.

    Attributes:
        out: the folder of the outputs.
        reading: how pages are read.
        outcome: sentences that state the outcome are listed and left in (`flag`), or taken out (`remove`).
        encoder: None to write texts only.
        tokens: how long reports are encoded.
        threads: processor threads of the encoder.
        facts: whether to write the table of facts too; it is made anew from the texts each time.
    """

    out: Path
    reading: ReadSettings = field(default_factory=ReadSettings)
    outcome: Literal["flag", "remove"] = "flag"
    encoder: ReportEncoder | None = None
    tokens: TokenSettings = field(default_factory=TokenSettings)
    threads: int = 1
    facts: bool = False

    def settings(self) -> dict[str, Any]:
        """As JSON values, without paths."""
        encoder = None if self.encoder is None else self.encoder.record.attributes()
        tokens = None if self.encoder is None else token_attributes(self.tokens)
        return {
            "cleaning": CLEANING_VERSION,
            "pages": VERSION,
            "reading": asdict(self.reading),
            "outcome": self.outcome,
            "encoder": encoder,
            "tokens": tokens,
        }


def encode_reports(reports: list[Report], job: ReportJob, pool: JobPool) -> tuple[list[Failure], int]:
    """Encode the patients who are not done yet, write the tables. Returns failures and number of patients.

    Writes, in job.out: `features/PATIENT.h5`, `texts.csv`, `cleaning.csv`, `outcomes.csv`, `encoder.json`,
    `facts.parquet` where asked for, and `failures.csv` where there are any. A patient with a report
    that fails is left out as a whole.
    """
    of_patient = {
        patient: list(found) for patient, found in groupby(reports, key=attrgetter("patient"))
    }  # reports are sorted by patient
    refuse_equal_names(of_patient)
    pieces = [_piece(patient, found, job) for patient, found in of_patient.items()]
    do = partial(do_patient, job=job)
    done, failures = run_pieces(pieces, do, job.out, job.settings(), pool, "reports")
    _write_tables(done, job)
    return failures, len(pieces)


def _piece(patient: str, reports: list[Report], job: ReportJob) -> PatientPiece:
    outputs = () if job.encoder is None else (job.out / FEATURES / f"{patient}.h5",)
    return PatientPiece(patient, tuple(report.path for report in reports), outputs, tuple(reports))


def do_patient(piece: Piece, job: ReportJob) -> dict[str, Any]:
    """Read, clean and encode the reports of a PatientPiece. Returns the texts and what was changed.

    Raises InputError where a report cannot be read, or cleaning leaves nothing of all of them.
    """
    assert isinstance(piece, PatientPiece)
    ocr = page_reader(job.reading.engine)
    found = [_one_report(report, job, ocr) for report in piece.reports]
    text = _joined(found)
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
        attributes |= job.encoder.record.attributes()
        write_token_file(piece.outputs[0], {"features": encoded.tokens}, attributes)
    return facts


def _joined(reports: list[dict[str, Any]]) -> str:
    """The text of a patient: those of the reports that have one, a line each."""
    return "\n".join(report["text"] for report in reports if report["text"])


def _one_report(report: Report, job: ReportJob, ocr: PageReader) -> dict[str, Any]:
    """The clean text of a report, its row of cleaning.csv and its rows of outcomes.csv."""
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
    """How a report was read: the methods, joined by `+`, and the numbers of pages."""
    used = [page.method for page in pages.pages]
    named = [name for name in ("text-layer", "ocr", "text", "csv") if name in used]
    return {
        "method": "+".join(named),
        "pages": len(used) + pages.left_out,
        "pages_ocr": used.count("ocr"),
        "pages_left_out": pages.left_out,
        "fields_and_notes": sum(page.added for page in pages.pages),
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
    _write_rows(job.out / "texts.csv", texts, ("patient_filename", "patient_id", "text"))
    _write_rows(
        job.out / "cleaning.csv", [report["cleaning"] for report in reports], ("patient_id", "report")
    )
    outcomes = [row for report in reports for row in report["outcomes"]]
    _write_rows(job.out / "outcomes.csv", outcomes, OUTCOME_COLUMNS)
    if job.facts:
        write_facts({name: _joined(item["reports"]) for name, item in facts.items()}, job.out / FACT_TABLE)
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


def _write_rows(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Write rows as csv; `columns` come first, and are the whole header where there are no rows."""
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    write_csv(path, pd.DataFrame(rows, columns=pd.Index(names)))
