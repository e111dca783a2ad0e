"""Which of a patient's files are used, and why the others are not, by the rule of `prime.cohort.tissue`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prime.cohort import barcode
from prime.cohort.tissue import TUMOUR, TissueRule, sort_tissue
from prime.encode.gdc.download import size_of
from prime.encode.gdc.kinds import KINDS
from prime.encode.gdc.manifest import GdcFile


@dataclass(frozen=True)
class Choice:
    """One file of the manifest: used where `reason` is empty, else left out for that reason."""

    file: GdcFile
    reason: str = ""

    @property
    def used(self) -> bool:
        """Whether the file is used."""
        return not self.reason


def select(files: Sequence[GdcFile], folder: Path, rule: TissueRule = TUMOUR) -> list[Choice]:
    """One choice per file, sorted by patient, data, sample and id.

    Slides: all diagnostic ones (DX) of the patient's preferred sample type. RNA: a single aliquot, the lowest
    vial, portion and aliquot of the preferred type. Reports: all. The choice does not depend on what was
    fetched: a chosen file that is not in `folder` is left out, and no other takes its place.
    """
    ordered = sorted(files, key=lambda f: (f.patient, f.data, f.sample, f.id))
    choices = [Choice(file, _unusable(file)) for file in ordered]
    for kind in KINDS:
        places = [n for n, choice in enumerate(choices) if choice.used and choice.file.data == kind]
        found = [choices[n].file for n in places]
        tissue = sort_tissue(
            [file.sample for file in found], [file.patient for file in found], rule, single=kind == "rna"
        )
        for place, reason in zip(places, tissue.reasons, strict=True):
            choices[place] = Choice(choices[place].file, reason)
    return [_if_fetched(choice, folder) for choice in choices]


def _unusable(file: GdcFile) -> str:
    """Why a file cannot be used whatever its tissue; empty where it can."""
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
    sample = barcode.sample(file.sample)
    if sample is None or sample.type is None:
        return "its sample is not known"
    if file.data == "slides" and sample.section is None:
        return "not a diagnostic slide (DX)"
    return ""


def _if_fetched(choice: Choice, folder: Path) -> Choice:
    file = choice.file
    if choice.used and size_of(file.path(folder)) != file.size:
        return Choice(file, "chosen, but not fetched")
    return choice
