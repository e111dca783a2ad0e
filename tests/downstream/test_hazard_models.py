"""Stacked ridge hazard models against one at a time, scikit-learn, and an independent loss."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from prime.downstream.hazard_model import HazardModels, fit_hazard_models, person_periods

BINS = 4


def data(heads: int, patients: int = 150, features: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((heads, patients, features), generator=generator).double()
    risk = x[..., 0] - 0.5 * x[..., 1]
    place = torch.rand((heads, patients), generator=generator).double() * (risk * -0.5).exp() * 3
    bins = place.long().clamp(0, BINS - 1)
    event = torch.rand((heads, patients), generator=generator) < 0.6
    return x, bins, event


def fit(x: Tensor, bins: Tensor, event: Tensor, ridge: list[float], proportional: bool) -> HazardModels:
    used = torch.ones(bins.shape)
    return fit_hazard_models(x, bins, event, used, torch.tensor(ridge), BINS, proportional)


def independent_loss(
    x: Tensor, bins: Tensor, event: Tensor, ridge: float, weight: Tensor, bias: Tensor, proportional: bool
) -> Tensor:
    """Mean censored negative log-likelihood of one head from hazards and survival, plus the ridge."""
    hazard = (x @ weight + bias).sigmoid()
    total = x.new_zeros(())
    for i in range(len(x)):
        k = int(bins[i])
        if bool(event[i]):
            total = total - hazard[i, k].log() - (1 - hazard[i, :k]).log().sum()
        else:
            total = total - (1 - hazard[i, : k + 1]).log().sum()
    shrunk = weight[:, :1] if proportional else weight
    return total / len(x) + 0.5 * ridge * shrunk.square().sum()


@pytest.mark.parametrize("proportional", [True, False])
@pytest.mark.parametrize("ridge", [0.01, 0.3])
def test_the_minimum_of_an_independent_loss(proportional: bool, ridge: float) -> None:
    x, bins, event = (t[0] for t in data(1))
    model = fit(x[None], bins[None], event[None], [ridge], proportional)
    shared = model.weight[0, :, :1] if proportional else model.weight[0]
    weight, bias = shared.clone().requires_grad_(), model.bias[0].clone().requires_grad_()
    full = weight.expand(-1, BINS)
    independent_loss(x, bins, event, ridge, full, bias, proportional).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert float(weight.grad.norm()) < 1e-5
    assert float(bias.grad.norm()) < 1e-5
    assert float(shared.norm()) > 0.05


@pytest.mark.parametrize("proportional", [True, False])
def test_stacked_equals_one_by_one(proportional: bool) -> None:
    x, bins, event = data(6)
    x[3] *= 4  # a head that needs more steps than the others
    ridge = [0.01, 0.03, 0.1, 0.3, 1.0, 0.05]
    stacked = fit(x, bins, event, ridge, proportional)
    for h in range(6):
        alone = fit(x[h : h + 1], bins[h : h + 1], event[h : h + 1], [ridge[h]], proportional)
        assert torch.allclose(stacked.weight[h], alone.weight[0], atol=1e-8)
        assert torch.allclose(stacked.bias[h], alone.bias[0], atol=1e-8)


def test_free_hazards_equal_scikit_learn_in_every_bin() -> None:
    x, bins, event = data(1)
    model = fit(x, bins, event, [0.05], False)
    for k in range(BINS):
        at_risk = (bins[0] >= k).numpy()
        died = ((bins[0] == k) & event[0]).numpy()[at_risk]
        penalty = np.float32(0.05).astype(float) * x.shape[1]
        reference = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000)
        reference.fit(x[0].numpy()[at_risk], died)
        assert np.allclose(model.weight[0, :, k].numpy(), reference.coef_[0], atol=1e-4)
        assert float(model.bias[0, k]) == pytest.approx(float(reference.intercept_[0]), abs=1e-4)


def test_proportional_hazards_equal_scikit_learn_on_person_periods() -> None:
    """Without shrinkage: one row a patient and bin at risk, one-hot bins as intercepts."""
    x, bins, event = data(1)
    model = fit(x, bins, event, [0.0], True)
    rows, died = [], []
    for i in range(x.shape[1]):
        for k in range(int(bins[0, i]) + 1):
            rows.append(np.concatenate([x[0, i].numpy(), np.eye(BINS)[k]]))
            died.append(bool(event[0, i]) and k == int(bins[0, i]))
    reference = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=5000)
    reference.fit(np.array(rows), died)
    assert np.allclose(model.weight[0, :, 0].numpy(), reference.coef_[0, :5], atol=1e-3)
    assert np.allclose(model.bias[0].numpy(), reference.coef_[0, 5:], atol=1e-3)
    assert torch.equal(model.weight[0, :, 0], model.weight[0, :, 3])


@pytest.mark.parametrize("proportional", [True, False])
def test_the_ridge_is_relative_to_the_mean_loss(proportional: bool) -> None:
    """Every patient twice is the same problem."""
    x, bins, event = data(1)
    once = fit(x, bins, event, [0.1], proportional)
    twice = fit(x.repeat(1, 2, 1), bins.repeat(1, 2), event.repeat(1, 2), [0.1], proportional)
    assert torch.allclose(once.weight, twice.weight, atol=1e-6)
    assert torch.allclose(once.bias, twice.bias, atol=1e-5)
    norms = [float(fit(x, bins, event, [r], proportional).weight.norm()) for r in (0.01, 0.1, 1.0, 10.0)]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < 0.2 * norms[0]


@pytest.mark.parametrize("proportional", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_padding_rows_never_matter(proportional: bool, value: float) -> None:
    x, bins, event = data(2)
    extra = torch.full((2, 7, 5), value, dtype=torch.float64)
    used = torch.cat([torch.ones(2, 150), torch.zeros(2, 7)], 1)
    ridge = torch.tensor([0.1, 0.2])
    padded_bins = torch.cat([bins, torch.full((2, 7), 2)], 1)
    padded_event = torch.cat([event, torch.ones((2, 7), dtype=torch.bool)], 1)
    padded = fit_hazard_models(
        torch.cat([x, extra], 1), padded_bins, padded_event, used, ridge, BINS, proportional
    )
    plain = fit(x, bins, event, [0.1, 0.2], proportional)
    assert torch.allclose(padded.weight, plain.weight, atol=1e-10)
    assert torch.allclose(padded.bias, plain.bias, atol=1e-10)


@pytest.mark.parametrize("proportional", [True, False])
def test_bins_without_events_or_patients_stay_finite(proportional: bool) -> None:
    x, bins, event = data(1)
    bins = bins.clamp(max=1)
    event = event & (bins == 0)
    model = fit(x, bins, event, [0.1], proportional)
    assert bool(model.weight.isfinite().all())
    assert bool(model.bias.isfinite().all())
    assert float(model.logits(x)[0, :, 1].sigmoid().max()) < 0.05


def test_person_periods() -> None:
    at_risk, died = person_periods(torch.tensor([0, 2]), torch.tensor([True, False]), 3)
    assert at_risk.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert died.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_it_recovers_the_direction_of_risk() -> None:
    x, bins, event = data(1, patients=3000)
    weight = fit(x, bins, event, [0.001], True).weight[0, :, 0]
    cosine = torch.nn.functional.cosine_similarity(weight, torch.tensor([1.0, -0.5, 0, 0, 0]).double(), dim=0)
    assert float(cosine) > 0.95
