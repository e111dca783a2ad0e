"""The patterns of missing modalities and what they keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.errors import InputError
from prime.evaluation.missingness import keep_mask, patterns


def test_three_modalities_have_the_seven_patterns() -> None:
    found = patterns(["image", "rna", "report"])
    assert list(found.items()) == [
        ("all", (True, True, True)),
        ("-image", (False, True, True)),
        ("-rna", (True, False, True)),
        ("-report", (True, True, False)),
        ("image", (True, False, False)),
        ("rna", (False, True, False)),
        ("report", (False, False, True)),
    ]


def test_fewer_and_more_modalities() -> None:
    assert patterns(["a"]) == {"all": (True,)}
    assert list(patterns(["a", "b"]).items()) == [
        ("all", (True, True)),
        ("a", (True, False)),
        ("b", (False, True)),
    ]
    four = patterns(["w", "x", "y", "z"])
    assert list(four)[:6] == ["all", "-w", "-x", "-y", "-z", "w+x"]
    assert four["x+z"] == (False, True, False, True)
    assert list(four)[-4:] == ["w", "x", "y", "z"]


@given(st.integers(1, 6))
def test_every_subset_appears_once(count: int) -> None:
    found = patterns([f"m{index}" for index in range(count)])
    assert len(found) == len(set(found.values())) == 2**count - 1
    assert all(any(flags) and len(flags) == count for flags in found.values())


@pytest.mark.parametrize("names", [[], ["a", "a"], ["all", "b"], ["-a", "b"], ["a+b", "c"]])
def test_names_that_cannot_serve_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match=r"modalit"):
        patterns(names)


def test_keep_mask_keeps_what_is_there_and_allowed() -> None:
    observed = np.array([[True, True, False], [False, True, True], [True, False, False]])
    kept = keep_mask(observed, (False, True, True))
    assert kept.tolist() == [[False, True, False], [False, True, True], [False, False, False]]
    kept[:] = True
    assert not observed.all()
    assert np.array_equal(keep_mask(observed, (True, True, True)), observed)


def test_keep_mask_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="flags"):
        keep_mask(np.ones((2, 3), dtype=bool), (True, False))
    with pytest.raises(ValueError, match="bool"):
        keep_mask(np.ones((2, 3)), (True, False, True))  # type: ignore[arg-type]
