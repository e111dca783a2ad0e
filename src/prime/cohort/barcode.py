"""TCGA barcodes: `TCGA-TSS-PART-SSV-PPA-PLATE-CENTER`, or `TCGA-TSS-PART-SSV-PP-SLIDE` of a slide.

TSS is the tissue source site, `TCGA-TSS-PART` the patient, SS the sample type and V its vial, PP the portion
and A its analyte. A slide is diagnostic (`DX1`) or a frozen section from the top, the middle or the bottom of
the portion (`TS1`, `MS1`, `BS1`).
"""

import re
from dataclasses import dataclass

_PATIENT = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?=$|[-.])")
_ANYWHERE = re.compile(
    r"(?<![A-Za-z0-9])(?P<patient>TCGA-[A-Za-z0-9]{2}-[A-Za-z0-9]{4})(?![A-Za-z0-9])"
    r"(?:-(?P<type>[0-9]{2})[A-Za-z]?(?![A-Za-z0-9])"
    r"(?:-[0-9]{2}[A-Za-z]?(?![A-Za-z0-9])(?:-(?P<section>DX|TS|MS|BS)[A-Za-z0-9]*|(?:-[A-Za-z0-9]{2,4}){2})?)?)?"
)


@dataclass(frozen=True)
class Sample:
    """The sample that a name states.

    Attributes:
        patient: 12 characters.
        barcode: as far as the name has it.
        type: two digits (01 primary, 06 metastatic, 10 to 19 normal, ...); None where absent.
        section: DX of a diagnostic slide; TS, MS or BS of a frozen section; None of anything else.
    """

    patient: str
    barcode: str
    type: str | None
    section: str | None


def is_tcga(text: str) -> bool:
    """Whether the text starts with a TCGA patient barcode."""
    return _PATIENT.match(text) is not None


def patient(barcode: str) -> str:
    """The patient, `TCGA-TSS-PART` (12 characters). Raises ValueError where it is not a TCGA barcode."""
    match = _PATIENT.match(barcode)
    if match is None:
        raise ValueError(f"{barcode!r} is not a TCGA barcode (TCGA-XX-XXXX...)")
    return match.group()


def site(barcode: str) -> str:
    """The tissue source site (second field). Raises ValueError where it is not a TCGA barcode."""
    return patient(barcode)[5:7]


def sample(name: str) -> Sample | None:
    """The first barcode in a name, of whatever file, row or report; None where there is none."""
    match = _ANYWHERE.search(name)
    if match is None:
        return None
    return Sample(match["patient"], match.group(), match["type"], match["section"])


def sample_type(name: str) -> str | None:
    """The sample type of the first barcode in a name, two digits; None where absent."""
    found = sample(name)
    return None if found is None else found.type
