"""The patient in a name, by the default pattern and by the user's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.cohort import barcode
from prime.cohort.patient_names import (
    PATIENT_FROM,
    changed_by_spreadsheet,
    first_changed,
    one_spelling,
    patient_in,
    spelt_twice,
)
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


# All names at once ------------------------------------------------------------------------------------------

signs = st.text(st.sampled_from("aAbZ019 -_.\"'=\n\té\u0430#E+"), max_size=7)
names_alike = st.lists(signs | st.sampled_from(["01-Mar", "#REF!", "2E+11", "tcga-a1-b2c3"]), max_size=8)


@given(names_alike)
def test_a_look_at_all_names_finds_what_a_look_at_each_finds(names: list[str]) -> None:
    one_by_one = [place for place, name in enumerate(names) if changed_by_spreadsheet(name)]
    assert first_changed(names) == (one_by_one[0] if one_by_one else None)
    assert barcode.all_spelt(names) == [barcode.spelt(name) for name in names]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(one_spelling(name), []).append(name)
    assert spelt_twice(names) == [group for group in groups.values() if len(group) > 1]


@given(
    st.lists(
        st.sampled_from(["P1", "P-1", "p1", "P2", '="7"', "07", "7.0", "A 1", "A_1", "x", "'x"]), unique=True
    )
)
def test_names_that_look_alike_are_never_called_different(names: list[str]) -> None:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(one_spelling(name), []).append(name)
    assert spelt_twice(names) == [group for group in groups.values() if len(group) > 1]
