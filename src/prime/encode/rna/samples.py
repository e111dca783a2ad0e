"""The patient of each STAR-Counts file in a folder, or of each sample of a matrix."""

import re
from collections.abc import Sequence
from pathlib import Path

from prime.cohort.patient_names import patient_in
from prime.cohort.tables import patient_ids, read_table, require_columns
from prime.encode.file_names import refuse_equal_names, refuse_unfit_id
from prime.errors import InputError

SUFFIXES = (".tsv", ".tsv.gz")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def star_files(folder: Path, pattern: str, mapping: Path | None) -> dict[str, Path]:
    """Each patient's STAR-Counts file below the folder, patients sorted.

    The patient is found in the file's name by `pattern`; or in `mapping`, a table patient_id,path with paths
    from the folder, and then only the files in it are taken.
    Raises InputError: no file, a name without patient, two files of a patient, an id that cannot name a file.
    """
    if mapping is not None:
        table = read_table(mapping, "--mapping", text=True)
        require_columns(table, ["patient_id", "path"], mapping, "--mapping")
        names = [str(name).strip() for name in table["path"]]
        owners = [str(name) for name in patient_ids(table["patient_id"], mapping, "--mapping")]
        _refuse_unusable(owners, names, str(mapping))
        return dict(sorted(zip(owners, (folder / name for name in names), strict=True)))
    found = sorted(p for p in folder.rglob("*") if p.name.lower().endswith(SUFFIXES) and p.is_file())
    if not found:
        raise InputError(
            f"{folder}: no .tsv or .tsv.gz file; give a folder of STAR-Counts files, or a matrix"
        )
    owners = owners_of([path.name for path in found], pattern, str(folder))
    return dict(sorted(zip(owners, found, strict=True)))


def owners_of(names: Sequence[str], pattern: str, source: str) -> list[str]:
    """The patient of each file or sample by its name: the first group of the pattern that matched.

    Raises InputError: a name without one, a patient twice, or a patient whose id cannot name a file.
    """
    owners: list[str] = []
    for name in names:
        owner = patient_in(name, source, pattern)
        if owner is None:
            raise InputError(f"{source}: {name!r} names no patient; see --patient-from and --mapping")
        if _UUID.fullmatch(owner):
            raise InputError(
                f"{source}: {name!r} has the GDC's number, not a patient's; give --mapping, a table"
                " patient_id,path, or let prime gdc build sort the files"
            )
        owners.append(owner)
    _refuse_unusable(owners, names, source)
    return owners


def _refuse_unusable(owners: Sequence[str], names: Sequence[str], source: str) -> None:
    first: dict[str, str] = {}
    for owner, name in zip(owners, names, strict=True):
        refuse_unfit_id(owner, source)
        if owner in first:
            raise InputError(
                f"{source}: patient {owner} has two samples, {first[owner]!r} and {name!r}; keep one (primary"
                " tumour first, as prime gdc build does), by removing the other or by --mapping"
            )
        first[owner] = name
    refuse_equal_names(first)
