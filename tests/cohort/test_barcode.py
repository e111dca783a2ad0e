"""Barcodes: parsing, and the choice of a patient's sample."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.cohort import barcode

_CHARACTERS = string.ascii_uppercase + string.digits
_patients = st.builds(
    lambda tss, part: f"TCGA-{tss}-{part}",
    st.text(_CHARACTERS, min_size=2, max_size=2),
    st.text(_CHARACTERS, min_size=4, max_size=4),
)


@given(_patients, st.integers(1, 99), st.sampled_from("ABCZ"), st.integers(1, 99))
def test_parts_of_any_barcode(patient: str, kind: int, vial: str, portion: int) -> None:
    aliquot = f"{patient}-{kind:02d}{vial}-{portion:02d}D-A12B-05"
    assert barcode.is_tcga(aliquot)
    assert barcode.patient(aliquot) == patient
    assert barcode.site(aliquot) == patient.split("-")[1]
    assert barcode.sample_type(aliquot) == f"{kind:02d}"


@given(st.text(max_size=20).filter(lambda text: not text.startswith("TCGA-")))
def test_other_text_is_no_barcode(text: str) -> None:
    assert not barcode.is_tcga(text)
    assert barcode.sample_type(text) is None
    with pytest.raises(ValueError, match="not a TCGA barcode"):
        barcode.patient(text)


@pytest.mark.parametrize(
    "text", ["TCGA-AA", "TCGA-AAA-0001", "TCGA-AA-00011", "tcga-aa-0001", "XTCGA-AA-0001"]
)
def test_near_barcodes_are_refused(text: str) -> None:
    assert not barcode.is_tcga(text)


def test_patient_of_a_report_file_name() -> None:
    assert barcode.patient("TCGA-AA-0001.some-tag") == "TCGA-AA-0001"
    assert barcode.sample_type("TCGA-AA-0001") is None


@given(st.permutations(["06A-02", "01B-01", "01A-02", "01A-11", "11A-01", "03A-01"]))
def test_primary_with_lowest_vial_and_portion_is_preferred(ends: list[str]) -> None:
    samples = [f"TCGA-AA-0001-{end}D" for end in ends]
    assert barcode.preferred_sample(samples) == "TCGA-AA-0001-01A-02D"


def test_preference_falls_back_to_blood_then_metastasis_never_to_normal() -> None:
    base = "TCGA-AA-0001-"
    assert barcode.preferred_sample([base + "06A", base + "03B", base + "03A"]) == base + "03A"
    assert barcode.preferred_sample([base + "11A", base + "06A", base + "02A"]) == base + "06A"
    assert barcode.preferred_sample([base + "11A", base + "02A"]) is None
    assert barcode.preferred_sample([]) is None
