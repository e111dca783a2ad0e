"""TCGA barcodes: `TCGA-TSS-PART-SSV-PPA-PLATE-CENTER`, or `TCGA-TSS-PART-SSV-PP-SLIDE` of a slide.

TSS is the tissue source site, `TCGA-TSS-PART` the patient, SS the sample type and V its vial, PP the portion
and A its analyte. A slide is diagnostic (`DX1`) or a frozen section from the top, the middle or the bottom of
the portion (`TS1`, `MS1`, `BS1`).

R's tables have dots for the dashes (`TCGA.05.4244.01A`), and names of files may be in small letters: `spelt`,
and all that looks for a barcode in a name, read these as TCGA writes them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PATIENT = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?=$|[-.])")
_ANYWHERE = re.compile(  # the same sign between all parts
    r"(?<![A-Z0-9])(?P<patient>TCGA(?P<dash>[-._])[A-Z0-9]{2}(?P=dash)[A-Z0-9]{4})(?![A-Z0-9])"
    r"(?:(?P=dash)(?P<type>[0-9]{2})[A-Z]?(?![A-Z0-9])"
    r"(?:(?P=dash)[0-9]{2}[A-Z]?(?![A-Z0-9])"
    r"(?:(?P=dash)(?P<section>DX|TS|MS|BS)[A-Z0-9]*|(?:(?P=dash)[A-Z0-9]{2,4}){2})?)?)?",
    re.IGNORECASE | re.ASCII,
)
_WHOLE = re.compile(r"TCGA([-._])[A-Z0-9]{2}\1[A-Z0-9]{4}(?:\1[A-Z0-9]{2,4})*", re.IGNORECASE | re.ASCII)


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


def spelt(text: str) -> str:
    """A text that is a barcode as TCGA writes it, in capitals with dashes; any other text as it is."""
    match = _WHOLE.fullmatch(text) if text[:4].upper() == "TCGA" else None
    return text if match is None else text.upper().replace(match[1], "-")


def all_spelt(texts: Sequence[str]) -> list[str]:
    """Each text as `spelt` writes it."""
    return [spelt(text) for text in texts] if occurs_in(texts) else list(texts)


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


def occurs_in(texts: Sequence[str]) -> bool:
    """Whether any of the texts may hold a barcode: one look at them all, quicker than a search in each."""
    return "tcga" in "\n".join(texts).lower()


def sample(name: str) -> Sample | None:
    """The first barcode in a name, of whatever file, row or report; None where there is none."""
    match = _ANYWHERE.search(name)
    if match is None:
        return None
    section = match["section"]
    return Sample(
        spelt(match["patient"]),
        match.group().upper().replace(match["dash"], "-"),
        match["type"],
        None if section is None else section.upper(),
    )


def sample_type(name: str) -> str | None:
    """The sample type of the first barcode in a name, two digits; None where absent."""
    found = sample(name)
    return None if found is None else found.type
