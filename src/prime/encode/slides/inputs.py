"""Finding the slides or feature files that the user named, and the patient of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import openslide

from prime.cohort.patient_names import PATIENT_FROM, patient_in
from prime.cohort.readers import tokens as token_files
from prime.cohort.tissue import TUMOUR, TissueRule
from prime.encode.file_names import refuse_unfit_id
from prime.encode.slides import feature_files
from prime.errors import InputError

SLIDES = (
    ".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".czi", ".svslide", ".vms", ".vmu",
)  # fmt: skip
DICOM = ".dcm"
SERIES = "dicom.SeriesInstanceUID"


@dataclass(frozen=True)
class InputFile:
    """A slide or feature file: its unique name, the file to open, and all files of which it consists."""

    name: str
    path: Path
    files: tuple[Path, ...]


@dataclass(frozen=True)
class SlideInputs:
    """What the user names: files and folders, how patients are found, and which tissue is wanted."""

    named: Sequence[Path]
    slide_table: Path | None = None
    patient_from: str | None = None
    tissue: TissueRule = TUMOUR


def find_inputs(named: Sequence[Path], out: Path) -> tuple[list[InputFile], bool]:
    """The slides or feature files named, or in folders named (and below them), sorted by name.

    Files in `out` do not count where a folder above it is named, so that the output may be in the folder of
    the slides. DICOM files of one series are one slide, named after its folder, or after its first file where
    several series share the folder.

    Returns them, and whether they are feature files.

    Raises:
        InputError: there is none, there are both kinds, or two have the same name.
    """
    paths = _listed(named, out.resolve())
    features = [path for path in paths if path.suffix.lower() in feature_files.SUFFIXES]
    slides = [path for path in paths if path.suffix.lower() in SLIDES]
    dicom = [path for path in paths if path.suffix.lower() == DICOM]
    where = ", ".join(map(str, named))
    if features and (slides or dicom):
        raise InputError(
            f"{where}: both slides and feature files ({(slides + dicom)[0].name}, {features[0].name}); "
            f"name one kind at a time"
        )
    found = [InputFile(path.stem, path, _parts(path)) for path in features or slides] + _series(dicom)
    if not found:
        raise InputError(f"{where}: no slide ({' '.join((*SLIDES, DICOM))}) and no feature file there")
    found.sort(key=lambda item: item.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise InputError(f"{one.path} and {other.path} have the same name; rename one")
    return found, bool(features)


def by_patient(
    found: Sequence[InputFile], slide_table: Path | None, patient_from: str | None
) -> dict[str, list[InputFile]]:
    """Each patient's files, both sorted, by the slide table where there is one, else by the names.

    The rules are those of the cohort's token files: a table `PATIENT,FILENAME` or `case_id,slide_id`, else a
    regular expression. Files that the table does not list are left out.

    Raises:
        InputError: a name without a patient, or a bad table, pattern, or no file that the table lists.
    """
    where = feature_files.WHERE
    table = None if slide_table is None else token_files.slide_table(slide_table, where)
    pattern = patient_from or PATIENT_FROM
    patients: dict[str, list[InputFile]] = {}
    for item in found:
        if table is not None:
            patient = table.get(token_files.slide_stem(item.path.name)) or table.get(item.name)
        else:
            patient = patient_in(item.name, where, pattern)
            if patient is None:
                raise InputError(f"{where}: --patient-from {pattern!r} finds no patient in {item.name!r}")
        if patient is not None:
            refuse_unfit_id(patient, str(slide_table or item.path))
            patients.setdefault(patient, []).append(item)
    if not patients:
        raise InputError(f"{slide_table}: lists none of the {len(found)} files")
    return dict(sorted(patients.items()))


def _listed(named: Sequence[Path], out: Path) -> list[Path]:
    paths: list[Path] = []
    for path in named:
        if path.is_dir():
            inside = path.resolve().is_relative_to(out)
            below = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            paths += [p for p in below if inside or not p.resolve().is_relative_to(out)]
        elif path.is_file():
            paths.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    return sorted({path.resolve(): path for path in paths}.values())


def _parts(path: Path) -> tuple[Path, ...]:
    """The files of a slide: a MIRAX slide has a folder with its name beside it."""
    folder = path.with_suffix("")
    if path.suffix.lower() != ".mrxs" or not folder.is_dir():
        return (path,)
    return (path, *sorted(p for p in folder.rglob("*") if p.is_file()))


def _series(files: Sequence[Path]) -> list[InputFile]:
    """DICOM files grouped by series. One that OpenSlide cannot open is a slide too; encoding it fails."""
    found: list[InputFile] = []
    for folder in sorted({path.parent for path in files}):
        series: dict[str, list[Path]] = {}
        for path in (p for p in files if p.parent == folder):
            series.setdefault(_series_uid(path), []).append(path)
        for members in series.values():
            name = folder.resolve().name if len(series) == 1 else members[0].stem
            found.append(InputFile(name, members[0], tuple(members)))
    return found


def _series_uid(path: Path) -> str:
    try:
        with openslide.OpenSlide(path) as slide:
            return slide.properties.get(SERIES, path.name)
    except openslide.OpenSlideError:
        return path.name
