"""Riley's criteria against the examples that their authors printed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.evaluation.sample_size import (
    MARGIN,
    binary_sample_size,
    most_parameters,
    risk_margin,
    survival_r2_maximum,
    survival_sample_size,
)


def test_the_printed_example_of_recurrent_thrombosis() -> None:
    """Stat. Med. 2019: 30 parameters, rate 0.065, mean follow-up 2.07 years, Cox-Snell R2 0.051."""
    found = survival_sample_size(30, 0.065, 2.07, 2, 0.051)
    assert found.shrinkage == 5143
    assert found.patients == 5143
    assert found.r2_maximum == pytest.approx(0.555, abs=5e-4)
    assert found.events == pytest.approx(692, abs=0.5)
    assert found.events / 30 == pytest.approx(23.07, abs=0.01)
    assert found.optimism == pytest.approx(1040, abs=1)


def test_the_printed_example_of_pre_eclampsia() -> None:
    """BMJ 2020: 24 parameters, prevalence 0.174, Cox-Snell R2 0.288."""
    found = binary_sample_size(24, 0.174, 0.288)
    assert (found.shrinkage, found.optimism, found.risk) == (623, 662, 221)
    assert found.patients == 662
    assert found.r2_maximum == pytest.approx(0.603, abs=5e-4)


@given(st.integers(1, 100), st.floats(0.01, 0.5), st.floats(0.5, 8), st.floats(0.5, 5), st.floats(0.05, 0.8))
def test_the_numbers_keep_what_the_criteria_ask_for(
    parameters: int, rate: float, follow_up: float, horizon: float, share: float
) -> None:
    r2 = share * survival_r2_maximum(rate, follow_up)
    if not 0 < r2 < 0.85:
        return
    found = survival_sample_size(parameters, rate, follow_up, horizon, r2)
    n = found.patients
    shrinkage = 1 + parameters / (n * np.log(1 - r2 / 0.9))  # van Houwelingen, at a likelihood of R2 / S
    assert shrinkage >= 0.9 - 1e-9
    assert risk_margin(rate, follow_up, horizon, n) <= MARGIN + 1e-9
    assert most_parameters(max(found.shrinkage, found.optimism), r2, found.r2_maximum) >= parameters
    fewer = max(found.shrinkage, found.optimism) - 2
    assert most_parameters(max(fewer, 0), r2, found.r2_maximum) < parameters + 1
    if found.risk > 2:
        assert risk_margin(rate, follow_up, horizon, found.risk - 1) > MARGIN - 1e-9


def test_more_parameters_need_more_patients_and_a_stronger_model_fewer() -> None:
    sizes = [survival_sample_size(p, 0.1, 3, 3).patients for p in (10, 20, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    weak, strong = (survival_sample_size(20, 0.1, 3, 3, r2).shrinkage for r2 in (0.05, 0.2))
    assert weak > strong


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: survival_sample_size(0, 0.1, 1, 1), "parameters"),
        (lambda: survival_sample_size(1, 0.0, 1, 1), "rate"),
        (lambda: survival_sample_size(1, 0.1, 1, 1, 0.95), "r2"),
        (lambda: binary_sample_size(1, 1.0), "prevalence"),
        (lambda: most_parameters(-1, 0.1, 0.5), "patients"),
    ],
)
def test_numbers_out_of_range_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
