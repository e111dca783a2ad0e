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


@given(_patients, st.sampled_from("-._"), st.booleans(), st.integers(1, 99))
def test_a_barcode_in_other_words(patient: str, dash: str, small: bool, kind: int) -> None:
    written = f"{patient}-{kind:02d}A-01-DX1"
    other = written.replace("-", dash)
    other = other.lower() if small else other
    assert barcode.spelt(other) == written
    found = barcode.sample(f"{other}.5f1a.svs")
    assert found == barcode.Sample(patient, written, f"{kind:02d}", "DX")


@pytest.mark.parametrize(
    "text", ["P.01", "tcga", "TCGA-AA.0001", "TCGA-AA-0001 ", "XTCGA-AA-0001", "TCGA-AAA-0001"]
)
def test_what_is_no_whole_barcode_stays(text: str) -> None:
    assert barcode.spelt(text) == text


def test_patient_of_a_report_file_name() -> None:
    assert barcode.patient("TCGA-AA-0001.some-tag") == "TCGA-AA-0001"
    assert barcode.sample_type("TCGA-AA-0001") is None


def test_the_parts_of_a_name_that_has_a_barcode_somewhere() -> None:
    slide = barcode.sample("run2_TCGA-AA-0001-06Z-00-DX1.uuid_features.h5")
    assert slide == barcode.Sample("TCGA-AA-0001", "TCGA-AA-0001-06Z-00-DX1", "06", "DX")
    assert barcode.sample_type("TCGA-AA-0001-11A_counts.tsv") == "11"
    assert barcode.sample_type("TCGA-AA-0001-11") == "11"
    assert barcode.sample("TCGA-AA-0001-01A-11R-A12P-07.tsv") == barcode.Sample(
        "TCGA-AA-0001", "TCGA-AA-0001-01A-11R-A12P-07", "01", None
    )
    # a patient's name, then something that looks like a sample: the first barcode counts
    assert barcode.sample_type("TCGA-AA-0001.TCGA-AA-0001-11A.pdf") is None
    for other in ("TCGA-AA-0001-1", "TCGA-AA-0001-111", "TCGA-AA-0001_11", "TCGA-AA-0001.11.pdf"):
        assert barcode.sample_type(other) is None
    assert barcode.sample("XTCGA-AA-0001-11A") is None
    assert barcode.sample("case-11A") is None
