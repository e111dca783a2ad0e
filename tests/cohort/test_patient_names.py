"""The patient in a name, by the default pattern and by the user's."""

import pytest

from prime.cohort.patient_names import PATIENT_FROM, patient_in
from prime.errors import InputError


@pytest.mark.parametrize(
    ("name", "pattern", "patient"),
    [
        ("TCGA-22-1000-01Z-00-DX1.a1b2.svs", PATIENT_FROM, "TCGA-22-1000"),
        ("TCGA-BP-5195.25C0B433", PATIENT_FROM, "TCGA-BP-5195"),
        ("TCGA.22.1000.01A", PATIENT_FROM, "TCGA-22-1000"),
        ("tcga-22-1000-01z-00-dx1.a1b2", PATIENT_FROM, "TCGA-22-1000"),
        ("TCGA_22_1000_01A", PATIENT_FROM, "TCGA-22-1000"),
        ("TCGA-22-10001.x", PATIENT_FROM, "TCGA-22-10001"),
        ("sample TCGA.22.1000", r"sample (.*)", "TCGA-22-1000"),
        ("p1.tag.h5", PATIENT_FROM, "p1"),
        (" p1 .h5", PATIENT_FROM, "p1"),
        (".hidden", PATIENT_FROM, None),
        ("  .hidden", PATIENT_FROM, None),
        ("", PATIENT_FROM, None),
        ("slide-7_x", r"slide-(\d+)", "7"),
        ("slide-7_x", r"\d", "7"),
        ("slide-7_x", r"(y)|(x)", "x"),
        ("slide-7_x", r"^(\d)", None),
        ("slide-7_x", r"slide(y)?", None),
    ],
)
def test_the_first_group_that_matched(name: str, pattern: str, patient: str | None) -> None:
    assert patient_in(name, "here", pattern) == patient


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(InputError, match=r"^here: patient_from '\(' is not a regular expression \(missing"):
        patient_in("a", "here", "(")
