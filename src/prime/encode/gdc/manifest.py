"""The list of files to fetch: the columns of the GDC's manifest, and what each file is."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from prime.cohort.tables import read_table, require_columns
from prime.encode.gdc.kinds import kind_of
from prime.errors import InputError
from prime.files import write_csv

GDC_COLUMNS = ["id", "filename", "md5", "size", "state"]
NAME = "manifest.tsv"
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]*")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class GdcFile:
    """One file of the GDC. The GDC's own manifests have the first five.

    Attributes:
        id: its UUID.
        filename: its name, without a folder.
        md5: of its content, hex.
        size: bytes.
        state: `released`, as a rule.
        project: such as TCGA-BRCA; like all that follow, empty where unknown.
        patient: the first 12 characters of the barcode; comma-separated where a file has several.
        sample: barcode of the slide, of the RNA aliquot, or of the patient whose report it is.
        sample_type: the GDC's words, such as Primary Tumor.
        data: slides, rna, reports or other.
    """

    id: str
    filename: str
    md5: str
    size: int
    state: str = ""
    project: str = ""
    patient: str = ""
    sample: str = ""
    sample_type: str = ""
    data: str = ""

    def path(self, folder: Path) -> Path:
        """Where the file is in a fetched folder."""
        return folder / self.data / self.filename


def checked(file: GdcFile, where: str) -> GdcFile:
    """The file, its name fit for a path. Raises InputError for an impossible id, name, md5 or size."""
    for what, good, found in (
        ("id", _ID.fullmatch(file.id) is not None, file.id),
        ("filename", _is_plain(file.filename), file.filename),
        ("md5", _MD5.fullmatch(file.md5) is not None, file.md5),
        ("size", file.size >= 0, file.size),
    ):
        if not good:
            raise InputError(
                f"{where}: {what} is {str(found)!r}, which can't be right; get the manifest anew"
            )
    return file


def _is_plain(name: str) -> bool:
    """Whether it is a bare file name, without folders, valid on any operating system."""
    return re.fullmatch(r"[^/\\:\x00-\x1f.][^/\\:\x00-\x1f]*", name) is not None


def read_manifest(path: Path) -> list[GdcFile]:
    """Read a manifest of `write_manifest` or of the GDC, where `data` is derived from the names.

    Raises:
        InputError: no such file, a missing column, an impossible cell, a file listed twice, or two files that
            would have the same name.
    """
    table = read_table(path, "manifest", text=True)
    require_columns(table, GDC_COLUMNS[:4], path, "manifest")
    names = [item.name for item in fields(GdcFile) if item.name in table.columns]
    files: list[GdcFile] = []
    for number, row in enumerate(table[names].to_dict("records"), start=1):
        cells = {str(key): str(value).strip() for key, value in row.items()}
        where = f"manifest: {path}: row {number}"
        size = cells.pop("size")
        if not size.isdigit():
            raise InputError(f"{where}: size is {size!r}, not a number of bytes; get the manifest anew")
        if not cells.get("data"):
            cells["data"] = kind_of("", cells["filename"])
        if not _is_plain(cells["data"]):
            raise InputError(f"{where}: data is {cells['data']!r}; it names a folder: slides, rna, reports")
        files.append(checked(GdcFile(size=int(size), **cells), where))
    refuse_clashes(files, str(path))
    return files


def refuse_clashes(files: Iterable[GdcFile], where: str) -> None:
    """Raise InputError where a file is listed twice, or two would have the same name, case aside."""
    by_id: dict[str, GdcFile] = {}
    by_name: dict[tuple[str, str], GdcFile] = {}
    for file in files:
        if file.id in by_id:
            raise InputError(f"manifest: {where}: file {file.id} is listed twice; keep one row")
        other = by_name.setdefault((file.data, file.filename.lower()), file)
        if other is not file:
            raise InputError(
                f"manifest: {where}: {file.id} and {other.id} are both named {file.filename}; fetch them "
                f"into different folders"
            )
        by_id[file.id] = file


def write_manifest(files: Iterable[GdcFile], path: Path) -> None:
    """Write a manifest, sorted by data, project and name, that the GDC's own client reads too."""
    rows = [asdict(file) for file in sorted(files, key=lambda f: (f.data, f.project, f.filename, f.id))]
    columns = [item.name for item in fields(GdcFile)]
    write_csv(path, pd.DataFrame(rows, columns=pd.Index(columns)), sep="\t")
