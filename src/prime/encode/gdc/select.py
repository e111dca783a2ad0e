"""Which of a patient's files are used, and why the others are not.

A patient may have several samples (TCGA barcodes state their type: 01 primary tumour, 06 metastatic, ...),
and a sample several vials, portions and aliquots.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prime.cohort import barcode
from prime.encode.gdc.download import size_of
from prime.encode.gdc.kinds import KINDS
from prime.encode.gdc.manifest import GdcFile

SAMPLE_TYPES = {
    "01": "primary", "02": "recurrent", "03": "primary blood", "05": "additional primary", "06": "metastatic",
    "07": "additional metastatic",
}  # fmt: skip
_DIAGNOSTIC = re.compile(r"-[0-9]{2}[A-Z]-[0-9]{2}-DX[0-9A-Z]*$")


@dataclass(frozen=True)
class Choice:
    """One file of the manifest: used where `reason` is empty, else left out for that reason."""

    file: GdcFile
    reason: str = ""

    @property
    def used(self) -> bool:
        """Whether the file is used."""
        return not self.reason


def select(files: Sequence[GdcFile], folder: Path) -> list[Choice]:
    """One choice per file, sorted by patient, data, sample and id.

    Slides: all diagnostic ones (DX) of the patient's preferred sample type. RNA: a single aliquot, the lowest
    vial, portion and aliquot of the preferred type. Reports: all. The preferred type is 01, else 03, else
    06; other types are never used. The choice does not depend on what was fetched: a chosen file that is not
    in `folder` is left out, and no other takes its place.
    """
    rules: dict[str, Callable[[list[GdcFile]], list[Choice]]] = {"slides": _slides, "rna": _rna}
    groups: dict[tuple[str, str], list[GdcFile]] = {}
    choices: list[Choice] = []
    for file in sorted(files, key=lambda f: (f.patient, f.data, f.sample, f.id)):
        reason = _unusable(file)
        if reason:
            choices.append(Choice(file, reason))
        else:
            groups.setdefault((file.patient, file.data), []).append(file)
    for (_, data), group in groups.items():
        choices += rules[data](group) if data in rules else [Choice(file) for file in group]
    choices = [_if_fetched(choice, folder) for choice in choices]
    return sorted(choices, key=lambda c: (c.file.patient, c.file.data, c.file.sample, c.file.id))


def _unusable(file: GdcFile) -> str:
    """Why a file cannot be used whatever other files there are; empty where it can."""
    if file.data not in KINDS:
        return "neither a slide, nor STAR counts, nor a report"
    if "," in file.patient:
        return "of several patients"
    if not barcode.is_tcga(file.patient):
        return "its patient is not known"
    if file.data == "reports":
        return ""
    if "," in file.sample:
        return "of several samples"
    kind = barcode.sample_type(file.sample)
    if kind is None:
        return "its sample is not known"
    if file.data == "slides" and _DIAGNOSTIC.search(file.sample) is None:
        return "not a diagnostic slide (DX)"
    if kind in barcode.PREFERRED_TYPES:
        return ""
    if "10" <= kind <= "19":
        return f"normal tissue (sample type {kind})"
    return f"sample type {kind} ({SAMPLE_TYPES.get(kind, 'another')}) is not used"


def _type(file: GdcFile) -> str:
    return barcode.sample_type(file.sample) or ""


def _preferred_type(files: Iterable[GdcFile]) -> str:
    """The first of 01, 03, 06 that is there."""
    return min((_type(file) for file in files), key=barcode.PREFERRED_TYPES.index)


def _slides(files: list[GdcFile]) -> list[Choice]:
    best = _preferred_type(files)
    return [Choice(file, "" if _type(file) == best else _other_type_preferred(best)) for file in files]


def _rna(files: list[GdcFile]) -> list[Choice]:
    """Of one patient's files, sorted by sample and id, the first of the preferred sample is used."""
    best = barcode.preferred_sample(file.sample for file in files)
    chosen = next(file for file in files if file.sample == best)
    return [Choice(file, "" if file is chosen else _why_not(file, chosen)) for file in files]


def _why_not(file: GdcFile, chosen: GdcFile) -> str:
    """Why an RNA file is not the chosen one."""
    if _type(file) != _type(chosen):
        return _other_type_preferred(_type(chosen))
    if file.sample == chosen.sample:
        return f"the same aliquot as file {chosen.id}"
    return f"{chosen.sample} is the lower vial, portion or aliquot"


def _other_type_preferred(kind: str) -> str:
    return f"the patient has sample type {kind} ({SAMPLE_TYPES[kind]}), which is preferred"


def _if_fetched(choice: Choice, folder: Path) -> Choice:
    file = choice.file
    if choice.used and size_of(file.path(folder)) != file.size:
        return Choice(file, "chosen, but not fetched")
    return choice
