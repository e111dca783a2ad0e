"""TCGA barcodes: `TCGA-TSS-PART-SSV-PPA-PLATE-CENTER`.

TSS is the tissue source site, `TCGA-TSS-PART` the patient, SS the sample type and V its vial, PP the portion
and A its analyte.
"""

import re
from collections.abc import Iterable

_PATIENT = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?=$|[-.])")
_SAMPLE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}-([0-9]{2})([A-Z])?(?=$|[-.])")
PREFERRED_TYPES = ("01", "03", "06")


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


def sample_type(barcode: str) -> str | None:
    """The sample type's two digits (01 primary, 06 metastatic, 10 to 19 normal, ...), None where absent."""
    match = _SAMPLE.match(barcode)
    return None if match is None else match.group(1)


def preferred_sample(barcodes: Iterable[str]) -> str | None:
    """The sample used for a patient: type 01, else 03, else 06; of several the lowest barcode.

    The lowest barcode has the lowest vial, then portion, then aliquot, and is the same on every run.
    None where no barcode has one of the three types (for example, only normal tissue).
    """
    by_type: dict[str, list[str]] = {}
    for barcode in barcodes:
        kind = sample_type(barcode)
        if kind is not None:
            by_type.setdefault(kind, []).append(barcode)
    for kind in PREFERRED_TYPES:
        if kind in by_type:
            return min(by_type[kind])
    return None
