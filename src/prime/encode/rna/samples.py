"""The patient of each STAR-Counts file in a folder, or of each sample of a matrix."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prime.cohort.patient_names import patient_in
from prime.cohort.tables import patient_ids, read_table, require_columns
from prime.cohort.tissue import TUMOUR, TissueRule, sort_tissue
from prime.encode.file_names import refuse_equal_names, refuse_unfit_id
from prime.errors import InputError, some

SUFFIXES = (".tsv", ".tsv.gz")
OTHERS = (".txt", ".csv", ".counts", ".gz", ".xlsx", ".sf", ".results", ".parquet")
NOT_COUNTS = ("annotations.txt", "manifest.txt")  # the GDC's own client writes these beside files
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Owned:
    """Samples that are used, one a patient.

    Attributes:
        places: position of each patient's sample among those that were given; patients sorted.
        notes: counts by sample type.
    """

    places: dict[str, int]
    notes: list[str]


def star_files(
    folder: Path, pattern: str, mapping: Path | None, rule: TissueRule = TUMOUR
) -> tuple[dict[str, Path], list[str]]:
    """Each patient's STAR-Counts file below the folder, patients sorted, and counts by sample type.

    The patient is found in the file's name by `pattern`; or in `mapping`, a table patient_id,path with paths
    from the folder, and then only the files in it are taken. Its column `sample`, where it has one, holds the
    barcodes that `rule` goes by, else the names do.
    Raises InputError: no file, a name without patient, two files of a patient, an id that cannot name a file.
    """
    if mapping is not None:
        table = read_table(mapping, "--mapping", text=True)
        require_columns(table, ["patient_id", "path"], mapping, "--mapping")
        names = [str(name).strip() for name in table["path"]]
        owners = [str(name) for name in patient_ids(table["patient_id"], mapping, "--mapping")]
        stated = [str(name).strip() for name in table["sample"]] if "sample" in table.columns else names
        owned = one_each(stated, owners, rule, str(mapping))
        return {owner: folder / names[place] for owner, place in owned.places.items()}, owned.notes
    found = sorted(p for p in folder.rglob("*") if p.name.lower().endswith(SUFFIXES) and p.is_file())
    if not found:
        raise InputError(
            f"{folder}: no .tsv or .tsv.gz file; give a folder of STAR-Counts files, or a matrix"
        )
    names = [path.name for path in found]
    owned = one_each(names, owners_of(names, pattern, str(folder)), rule, str(folder))
    notes = [*owned.notes, *_of_other_kinds(folder)]
    return {owner: found[place] for owner, place in owned.places.items()}, notes


def _of_other_kinds(folder: Path) -> list[str]:
    """A note on files that may hold expression and are not read."""
    names = sorted(
        path.name
        for path in folder.rglob("*")
        if path.name.lower().endswith(OTHERS) and not path.name.lower().endswith(SUFFIXES)
        if path.name.lower() not in NOT_COUNTS and not path.name.startswith(".")
    )
    return [f"warning: {len(names):,} files are no .tsv: not read ({some(names)})"] if names else []


def one_each(names: Sequence[str], owners: Sequence[str], rule: TissueRule, source: str) -> Owned:
    """One sample of each patient, by the barcodes in the names, as `prime gdc build` chooses it.

    Raises InputError: nothing is left, two samples of a patient that no barcode tells apart, or an id that
    cannot name a file.
    """
    tissue = sort_tissue(names, owners, rule, single=True)
    tissue.refuse_nothing(source)
    places = tissue.used(range(len(names)))
    _refuse_unusable([owners[place] for place in places], [names[place] for place in places], source)
    return Owned({owners[place]: place for place in sorted(places, key=owners.__getitem__)}, tissue.notes())


def owners_of(names: Sequence[str], pattern: str, source: str) -> list[str]:
    """The patient of each file or sample by its name: the first group of the pattern that matched.

    Raises InputError for a name without one.
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
    return owners


def _refuse_unusable(owners: Sequence[str], names: Sequence[str], source: str) -> None:
    first: dict[str, str] = {}
    for owner, name in zip(owners, names, strict=True):
        refuse_unfit_id(owner, source)
        if owner in first:
            raise InputError(
                f"{source}: patient {owner} has two samples, {first[owner]!r} and {name!r}; keep one, by"
                " removing the other or by --mapping"
            )
        first[owner] = name
    refuse_equal_names(first)
