"""Finding reports: the files of folders, single files, or the rows of a table as of TCGA-Reports."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from prime.cohort.patient_names import PATIENT_FROM, patient_in
from prime.cohort.tables import read_table, require_columns
from prime.cohort.tissue import TissueRule, sort_tissue
from prime.encode.file_names import refuse_unfit_id
from prime.errors import InputError, some
from prime.file_names import file_name
from prime.files import write_text

TABLES = (".csv", ".tsv", ".xlsx", ".parquet")
FILES = (".pdf", ".txt")
DOCUMENTS = (
    ".doc", ".docx", ".odt", ".rtf", ".htm", ".html", ".xml", ".md", ".jpg", ".jpeg", ".png", ".tif", ".tiff",
)  # fmt: skip
NOT_REPORTS = ("annotations.txt", "manifest.txt")  # the GDC's own client writes these beside reports
ROWS = "rows"  # folder in the output folder with one text file per row of a table


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        patient: the id, after which the feature file is named.
        name: of the report, unique.
        path: a `.pdf` or `.txt` file.
        kind: `pdf`, `text`, or `csv` for a row of a table, whose text was written to `path`.
        stated: the name of the file, or in the table, in which the sample may be stated.
    """

    patient: str
    name: str
    path: Path
    kind: str
    stated: str = ""


@dataclass(frozen=True)
class Columns:
    """The columns of a table of reports, and the pattern that finds the patient in a report's name."""

    name: str = "patient_filename"
    text: str = "text"
    patient_from: str = PATIENT_FROM


def find_reports(inputs: list[Path], out: Path, columns: Columns) -> list[Report]:
    """All reports of the inputs, sorted by patient and then by name.

    A folder is searched with all folders below it. The rows of tables are written to `out`/rows, one file
    each, unless unchanged, so that an interrupted run continues with the rows that are left.

    Raises:
        InputError: an input that does not exist, is of another kind or holds no report; a table without the
            columns; a name without a patient, or with one that cannot name a file; two reports with the same
            name.
    """
    found: list[Report] = []
    for path in inputs:
        if path.is_dir():
            found += _of_folder(path, columns)
        elif not path.is_file():
            raise InputError(f"{path}: no such file or folder")
        elif path.suffix.lower() in TABLES:
            found += _of_table(path, out, columns)
        elif path.suffix.lower() in FILES:
            found.append(_of_file(path, path.name, columns))
        else:
            raise InputError(
                f"{path}: not a report; give .pdf or .txt files, folders of them, or a table "
                f"({', '.join(TABLES)}) with the columns {columns.name} and {columns.text}"
            )
    twice = [name for name, count in Counter(report.name.casefold() for report in found).items() if count > 1]
    if twice:
        raise InputError(f"two reports are named {twice[0]!r}; rename one, or encode them into two folders")
    return sorted(found, key=lambda report: (report.patient, report.name))


def of_wanted_tissue(reports: list[Report], rule: TissueRule) -> tuple[list[Report], list[str]]:
    """The reports on tissue that the rule wants, and counts by sample type.

    Raises InputError where there are none.
    """
    tissue = sort_tissue([report.stated for report in reports], [report.patient for report in reports], rule)
    tissue.refuse_nothing("encode reports")
    return tissue.used(reports), tissue.notes()


def unread_documents(inputs: list[Path]) -> list[str]:
    """A note on the documents and pictures in folders that are no `.pdf` or `.txt`, and are not read."""
    names = sorted(
        path.name
        for folder in inputs
        if folder.is_dir()
        for path in folder.rglob("*")
        if path.suffix.lower() in DOCUMENTS and not path.name.startswith((".", "~$"))
    )
    if not names:
        return []
    return [f"warning: {len(names):,} files are no .pdf or .txt: not read ({some(names)})"]


def _of_folder(folder: Path, columns: Columns) -> list[Report]:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in FILES and path.name.lower() not in NOT_REPORTS and path.is_file()
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise InputError(f"{folder}: no .pdf or .txt file in it or below")
    return [_of_file(path, "__".join(path.relative_to(folder).parts), columns) for path in paths]


def _of_file(path: Path, name: str, columns: Columns) -> Report:
    kind = "pdf" if path.suffix.lower() == ".pdf" else "text"
    return Report(_patient(path.name, columns, str(path)), name, path, kind, path.name)


def _patient(name: str, columns: Columns, where: str) -> str:
    patient = patient_in(name, where, columns.patient_from)
    if patient is None:
        raise InputError(f"{where}: --patient-from {columns.patient_from!r} finds no patient in {name!r}")
    refuse_unfit_id(patient, where)
    return patient


def _of_table(path: Path, out: Path, columns: Columns) -> list[Report]:
    table = read_table(path, "reports", text=True)
    require_columns(table, [columns.name, columns.text], path, "reports")
    found: list[Report] = []
    seen: Counter[str] = Counter()
    for row, (cell, text) in enumerate(zip(table[columns.name], table[columns.text], strict=True), start=1):
        stated = str(cell).strip()
        patient = _patient(stated, columns, f"{path}: row {row}")
        name = file_name(stated)
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name}-{seen[name]}"
        target = out / ROWS / f"{name}.txt"
        _keep_row(target, str(text))
        found.append(Report(patient, name, target, "csv", stated))
    return found


def _keep_row(path: Path, text: str) -> None:
    """Write the text of a row unless the file has it already: an unchanged row is not encoded again."""
    if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
        write_text(path, text)
