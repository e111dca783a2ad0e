"""Tables of report texts with the columns `patient_filename,text`, as of TCGA-Reports."""

from pathlib import Path

from prime.cohort.cells import is_missing
from prime.cohort.patient_names import patient_in
from prime.cohort.plain_text import refuse_markup
from prime.cohort.source import SourceTexts
from prime.cohort.tables import read_table, require_columns
from prime.cohort.tissue import SampledSource, sort_tissue
from prime.errors import InputError, some


class ReportTable(SampledSource):
    """A table of reports: the columns of their names, which begin with the patient, and of their texts."""

    patient_id: str = "patient_filename"
    text: str = "text"


def report_texts(config: ReportTable, root: Path, where: str) -> SourceTexts:
    """Each patient's text, patients sorted.

    The patient is found in a report's name by PATIENT_FROM, and reports on samples that don't stand for the
    tumour are left out, see `prime.cohort.tissue`. Several reports of a patient are joined with a
    line break, in file order. An empty text, or one that says that it is missing, counts as missing and is
    noted.

    Raises:
        InputError: a missing file or column, a file that is not UTF-8, a row without a patient, a text
            that is RTF or HTML, or no text at all.
    """
    path = root / config.path
    table = read_table(path, where, text=True)
    require_columns(table, [config.patient_id, config.text], path, where)
    names = list(table[config.patient_id])
    patients = [_patient(name, row, config, f"{where}: {path}") for row, name in enumerate(names, start=1)]
    tissue = sort_tissue(names, patients, config.tissue)
    tissue.refuse_nothing(f"{where}: {path}")
    found: dict[str, list[str]] = {}
    rows = list(zip(patients, table[config.text], range(1, len(table) + 1), strict=True))
    for patient, text, row in tissue.used(rows):
        refuse_markup(text, f"{where}: {path}: row {row} (patient {patient}): {config.text}")
        found.setdefault(patient, []).append("" if is_missing(text) else text.strip())
    joined = {patient: "\n".join(text for text in texts if text) for patient, texts in sorted(found.items())}
    texts = {patient: text for patient, text in joined.items() if text}
    if not texts:
        raise InputError(f"{where}: {path}: every report is empty; check the column {config.text!r}")
    notes = tissue.notes()
    several = sum(len(texts) > 1 for texts in found.values())
    if several:
        notes.append(f"{several:,} patients have several reports: joined")
    empty = [patient for patient, text in joined.items() if not text]
    if empty:
        notes.append(f"{len(empty):,} reports are empty ({some(empty)}): counted as missing")
    return SourceTexts(texts, len(table), f"{path.suffix[1:]} table: {len(table):,} reports", notes)


def _patient(name: str, row: int, config: ReportTable, where: str) -> str:
    patient = patient_in(name, where)
    if patient is None or is_missing(patient):
        raise InputError(f"{where}: row {row} has no patient in {config.patient_id}")
    return patient
