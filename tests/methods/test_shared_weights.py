"""Scores and informations against automatic differentiation; shared weights against one linear system."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.functional import hessian

from prime.evaluation.cox import fit_cox
from prime.evaluation.logistic import fit_logistic
from prime.methods.statistics.shared_weights import (
    Evidence,
    cox_evidence,
    logistic_evidence,
    no_evidence,
    own_weights,
    shared_weights,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def patients(count: int = 40, features: int = 3, seed: int = 0) -> tuple[Floats, Floats, Flags]:
    rng = np.random.default_rng(seed)
    time = np.ceil(8 * rng.exponential(size=count))  # tied
    return rng.normal(size=(count, features)) + 0.5, time, rng.random(count) < 0.6


def efron(weight: Tensor, x: Floats, time: Floats, event: Flags) -> Tensor:
    """The log partial likelihood, an event time at a time (Efron, JASA 1977)."""
    line = torch.from_numpy(x) @ weight
    total = torch.zeros((), dtype=torch.float64)
    for when in np.unique(time[event]):
        died = torch.from_numpy(event & (time == when))
        risk = line[torch.from_numpy(time >= when)].exp().sum()
        count = int(died.sum())
        total = total + line[died].sum()
        for k in range(count):
            total = total - (risk - k / count * line[died].exp().sum()).log()
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_evidence_of_times_is_that_of_efrons_likelihood(seed: int) -> None:
    x, time, event = patients(seed=seed)
    found = cox_evidence(x, time, event)
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(efron(zero, x, time, event), zero)
    second = hessian(lambda w: efron(w, x, time, event), zero.detach())
    assert isinstance(second, Tensor)
    np.testing.assert_allclose(found.score, gradient.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.information, -second.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_evidence_of_labels_has_the_intercept_at_its_maximum(seed: int) -> None:
    """Information about weights where the intercept follows: I_ww - I_wa I_aw / I_aa."""
    x, _, label = patients(seed=seed)
    found = logistic_evidence(x, label)
    features, truth = torch.from_numpy(x), torch.from_numpy(label.astype(np.float64))

    def likelihood(both: Tensor) -> Tensor:
        line = both[0] + features @ both[1:]
        return (truth * line - torch.nn.functional.softplus(line)).sum()

    start = torch.zeros(4, dtype=torch.float64)
    start[0] = float(np.log(label.mean() / (1 - label.mean())))
    start.requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(start), start)
    second = hessian(likelihood, start.detach())
    assert isinstance(second, Tensor)
    whole = -second.numpy()
    assert abs(float(gradient[0])) < 1e-9
    np.testing.assert_allclose(found.score, gradient[1:].numpy(), rtol=1e-9, atol=1e-9)
    profiled = whole[1:, 1:] - np.outer(whole[1:, 0], whole[0, 1:]) / whole[0, 0]
    np.testing.assert_allclose(found.information, profiled, rtol=1e-9, atol=1e-9)


def test_where_labels_say_nothing_there_is_no_evidence() -> None:
    x, time, _ = patients()
    none, every = np.zeros(40, dtype=bool), np.ones(40, dtype=bool)
    for found in (cox_evidence(x, time, none), logistic_evidence(x, none), logistic_evidence(x, every)):
        assert not found.score.any()
        assert not found.information.any()
        assert (found.score.shape, found.information.shape) == ((3,), (3, 3))


def test_evidence_adds_up() -> None:
    x, time, event = patients()
    a, b = cox_evidence(x, time, event), logistic_evidence(x, event)
    found = a + b.times(0.25)
    np.testing.assert_allclose(found.score, a.score + b.score / 4)
    np.testing.assert_allclose(found.information, a.information + b.information / 4)


def groups(count: int, size: int, seed: int) -> dict[str, Evidence]:
    """Random scores and informations; some of these have no full rank."""
    rng = np.random.default_rng(seed)
    found: dict[str, Evidence] = {}
    for number in range(count):
        rows = rng.normal(size=(int(rng.integers(0, 2 * size + 1)), size))
        found[f"g{number}"] = Evidence(rows.T @ rng.normal(size=len(rows)) + 0.0, rows.T @ rows)
    return found


def stacked(
    evidence: dict[str, Evidence], shared: float, deviation: float, scale: Floats
) -> tuple[Floats, dict[str, Floats]]:
    """The maximum over (w, d_1, ..., d_C), where all derivatives of the fit vanish, as one linear system."""
    size, prior = len(scale), np.diag(1 / scale**2)
    whole = np.zeros((size * (1 + len(evidence)),) * 2)
    right = np.zeros(len(whole))
    whole[:size, :size] = shared * prior
    for number, group in enumerate(evidence.values(), start=1):
        own = slice(number * size, (number + 1) * size)
        whole[:size, :size] += group.information
        whole[:size, own] = whole[own, :size] = group.information
        whole[own, own] = group.information + deviation * prior
        right[:size] += group.score
        right[own] = group.score
    found = np.linalg.solve(whole, right).reshape(-1, size)
    return found[0], {name: found[0] + d for name, d in zip(evidence, found[1:], strict=True)}


@settings(max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 10**6),
    st.sampled_from([0.1, 9.0, 500.0]),
    st.sampled_from([0.1, 90.0, 5000.0]),
)
def test_shared_weights_solve_the_whole_system(
    count: int, size: int, seed: int, shared: float, deviation: float
) -> None:
    scale = np.random.default_rng(seed).uniform(0.2, 3, size)
    evidence = groups(count, size, seed)
    weight, own = shared_weights(evidence, shared, deviation, scale)
    expected, expected_own = stacked(evidence, shared, deviation, scale)
    np.testing.assert_allclose(weight, expected, rtol=1e-7, atol=1e-10)
    assert list(own) == list(evidence)
    for name, found in own.items():
        np.testing.assert_allclose(found, expected_own[name], rtol=1e-7, atol=1e-10)


def test_without_deviations_groups_are_pooled_and_without_sharing_they_are_alone() -> None:
    evidence = groups(3, 4, 5)
    scale = np.array([0.3, 1.0, 2.0, 0.7])
    total = no_evidence(4)
    for group in evidence.values():
        total = total + group
    weight, own = shared_weights(evidence, 7.0, 1e12, scale)
    pooled = own_weights(total, 7.0, scale)
    np.testing.assert_allclose(weight, pooled, rtol=1e-6)
    for found in own.values():
        np.testing.assert_allclose(found, pooled, rtol=1e-6)
    weight, own = shared_weights(evidence, 1e12, 7.0, scale)
    np.testing.assert_allclose(weight, 0, atol=1e-9)
    for name, found in own.items():
        np.testing.assert_allclose(found, own_weights(evidence[name], 7.0, scale), rtol=1e-6)
        assert np.abs(found - pooled).max() > 0.01


def test_a_group_without_evidence_has_the_shared_weights_and_changes_none() -> None:
    evidence, scale = groups(2, 3, 2), np.ones(3)
    weight, own = shared_weights(evidence, 2.0, 5.0, scale)
    more, with_empty = shared_weights({**evidence, "empty": no_evidence(3)}, 2.0, 5.0, scale)
    np.testing.assert_allclose(more, weight, rtol=1e-12)
    np.testing.assert_allclose(with_empty["empty"], weight, rtol=1e-12)
    for name, found in own.items():
        np.testing.assert_allclose(with_empty[name], found, rtol=1e-12)
    alone, nothing = shared_weights({}, 2.0, 5.0, scale)
    assert not alone.any()
    assert nothing == {}


def test_a_larger_scale_frees_a_feature() -> None:
    evidence = groups(2, 3, 2)
    sizes = [
        np.abs(shared_weights(evidence, 50.0, 50.0, np.array([s, 1.0, 1.0]))[0])[0] for s in (0.01, 1.0, 10.0)
    ]
    assert sizes[0] < 1e-3 < sizes[1] < sizes[2]


def test_the_step_is_the_whole_fit_where_the_penalty_is_large() -> None:
    """The step ends within the square of the weights' size from the maximum."""
    x, time, event = patients(200)
    x = x - x.mean(axis=0)
    for penalty, tolerance in ((1e5, 1e-2), (1e7, 1e-4)):
        pairs = (
            (
                own_weights(cox_evidence(x, time, event), penalty, np.ones(3)),
                fit_cox(x, time, event, penalty),
            ),
            (own_weights(logistic_evidence(x, event), penalty, np.ones(3)), fit_logistic(x, event, penalty)),
        )
        for step, whole in pairs:
            np.testing.assert_allclose(step, whole, rtol=tolerance)
