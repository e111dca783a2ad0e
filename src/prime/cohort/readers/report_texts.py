"""Tables of report texts with the columns `patient_filename,text`, as of TCGA-Reports."""

from pathlib import Path

from prime.cohort.cells import is_missing
from prime.cohort.patient_names import patient_in
from prime.cohort.source import SourceConfig, SourceTexts
from prime.cohort.tables import read_table, require_columns
from prime.errors import InputError, some


class ReportTable(SourceConfig):
    """A table of reports: the columns of their names, which begin with the patient, and of their texts."""

    patient_id: str = "patient_filename"
    text: str = "text"


def report_texts(config: ReportTable, root: Path, where: str) -> SourceTexts:
    """Each patient's text, patients sorted.

    The patient is found in a report's name by PATIENT_FROM. Several reports of a patient are joined with a
    line break, in file order. An empty text, or one that says that it is missing, counts as
    missing and is noted.

    Raises:
        InputError: a missing file or column, a file that is not UTF-8, a row without a patient, or no text
            at all.
    """
    path = root / config.path
    table = read_table(path, where, text=True)
    require_columns(table, [config.patient_id, config.text], path, where)
    found: dict[str, list[str]] = {}
    for row, (name, text) in enumerate(
        zip(table[config.patient_id], table[config.text], strict=True), start=1
    ):
        patient = patient_in(name, where)
        if patient is None or is_missing(patient):
            raise InputError(f"{where}: {path}: row {row} has no patient in {config.patient_id}")
        found.setdefault(patient, []).append("" if is_missing(text) else text.strip())
    joined = {patient: "\n".join(text for text in texts if text) for patient, texts in sorted(found.items())}
    texts = {patient: text for patient, text in joined.items() if text}
    if not texts:
        raise InputError(f"{where}: {path}: every report is empty; check the column {config.text!r}")
    notes: list[str] = []
    several = sum(len(texts) > 1 for texts in found.values())
    if several:
        notes.append(f"{several:,} patients have several reports: joined")
    empty = [patient for patient, text in joined.items() if not text]
    if empty:
        notes.append(f"{len(empty):,} reports are empty ({some(empty)}): counted as missing")
    return SourceTexts(texts, len(table), f"{path.suffix[1:]} table: {len(table):,} reports", notes)
