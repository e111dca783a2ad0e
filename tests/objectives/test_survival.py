"""The discrete-time survival likelihood against a plain loop and by hand; bins, curves and risk."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prime.errors import InputError
from prime.objectives.survival import assign_bins, bin_edges, hazards, nll, risk, survival


def loop_nll(logits: torch.Tensor, bins: torch.Tensor, event: torch.Tensor, alpha: float) -> list[float]:
    """The likelihood as the definition reads, in Python floats, bin by bin."""
    losses: list[float] = []
    for row, label, died in zip(logits.tolist(), bins.tolist(), event.tolist(), strict=True):
        hazard = [1 / (1 + math.exp(-logit)) for logit in row]
        alive = 1.0
        for k in range(label):
            alive *= 1 - hazard[k]
        if died:
            losses.append(-math.log(alive * hazard[label]))
        else:
            losses.append(-(1 - alpha) * math.log(alive * (1 - hazard[label])))
    return losses


def batch(seed: int, patients: int = 40, bins: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(patients, bins, generator=generator, dtype=torch.float64)
    return (
        logits,
        torch.randint(0, bins, (patients,), generator=generator),
        torch.rand(patients, generator=generator) < 0.5,
    )


@pytest.mark.parametrize("alpha", [0.0, 0.15, 0.9])
@pytest.mark.parametrize("bins", [1, 4, 7])
def test_nll_equals_a_plain_loop(alpha: float, bins: int) -> None:
    logits, label, event = batch(bins, bins=bins)
    expected = torch.tensor(loop_nll(logits, label, event, alpha), dtype=torch.float64)
    found = nll(logits, label, event, alpha, reduction="none")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(nll(logits, label, event, alpha), expected.mean(), rtol=1e-12, atol=1e-12)


def test_nll_by_hand() -> None:
    logits = torch.zeros(2, 3)  # every hazard is one half
    loss = nll(logits, torch.tensor([1, 1]), torch.tensor([True, False]), reduction="none")
    # event: survive bin 0, die in bin 1: 1/4. Censored in bin 1: outlive bins 0 and 1: 1/4.
    torch.testing.assert_close(loss, torch.full((2,), math.log(4.0)))


def test_nll_equals_binary_cross_entropy_over_bins_at_risk() -> None:
    """The form of Kvamme and Borgan: one binary outcome for each bin that the patient was at risk in."""
    logits, label, event = batch(3)
    at_risk = torch.arange(4) <= label[:, None]
    died = (torch.arange(4) == label[:, None]) & event[:, None]
    parts = torch.nn.functional.binary_cross_entropy_with_logits(logits, died.double(), reduction="none")
    torch.testing.assert_close(nll(logits, label, event, reduction="none"), (parts * at_risk).sum(-1))


@pytest.mark.parametrize(("logit", "event"), [(60.0, False), (-60.0, True), (600.0, False), (-600.0, True)])
def test_gradient_survives_saturation(logit: float, event: bool) -> None:
    logits = torch.full((1, 4), logit, requires_grad=True)
    loss = nll(logits, torch.tensor([0]), torch.tensor([event]))
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss)
    assert abs(float(logits.grad[0, 0])) == pytest.approx(1.0)  # a form clamped at 1e-7 gives exactly 0


def test_gradient_is_the_numerical_one() -> None:
    logits, label, event = batch(5, patients=6)
    assert torch.autograd.gradcheck(lambda h: nll(h, label, event, 0.3), logits.requires_grad_())


def test_alpha_zero_keeps_censored_patients() -> None:
    """Patho-Bench once weighted the censored term by alpha, so that its default 0 dropped these patients."""
    logits, label, _ = batch(6)
    nobody = torch.zeros(len(label), dtype=torch.bool)
    whole = nll(logits, label, nobody, 0.0, reduction="none")
    assert (whole > 0).all()
    torch.testing.assert_close(nll(logits, label, nobody, 0.4, reduction="none"), 0.6 * whole)
    everybody = ~nobody
    torch.testing.assert_close(nll(logits, label, everybody, 0.4), nll(logits, label, everybody, 0.0))


def test_alpha_equals_the_two_term_form() -> None:
    logits, label, event = batch(7)
    alpha = 0.35
    plain = nll(logits, label, event, 0.0, reduction="none")
    two_terms = (1 - alpha) * plain + alpha * plain * event
    torch.testing.assert_close(nll(logits, label, event, alpha, reduction="none"), two_terms)


@pytest.mark.parametrize("alpha", [1.0, -0.1, 2.0, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    logits, label, event = batch(8)
    with pytest.raises(ValueError, match="alpha"):
        nll(logits, label, event, alpha)


def test_bad_arguments_are_refused() -> None:
    logits, label, event = batch(9)
    with pytest.raises(ValueError, match="event must be bool"):
        nll(logits, label, event.long())  # where 1 could mean censored
    with pytest.raises(ValueError, match="bin must be int64"):
        nll(logits, label.double(), event)
    with pytest.raises(ValueError, match="disagree"):
        nll(logits, label[:-1], event)
    with pytest.raises(ValueError, match="reduction"):
        nll(logits, label, event, reduction="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no patient"):
        nll(logits[:0], label[:0], event[:0])


@pytest.mark.parametrize("label", [-1, 4])
def test_a_bin_outside_the_head_is_refused(label: int) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        nll(torch.zeros(1, 4), torch.tensor([label]), torch.tensor([True]))


def test_stacked_heads_equal_one_by_one() -> None:
    parts = [batch(seed) for seed in (1, 2, 3)]
    together = nll(*(torch.stack(items) for items in zip(*parts, strict=True)), reduction="none")
    torch.testing.assert_close(together, torch.stack([nll(*part, reduction="none") for part in parts]))


def test_bfloat16_logits_are_widened() -> None:
    logits, label, event = batch(10)
    half = logits.bfloat16()
    loss = nll(half, label, event)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, nll(half.float(), label, event))


def test_later_bins_have_no_effect() -> None:
    """What stands in bins after a patient's own cannot change the loss or get a gradient."""
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    changed = logits.clone()
    changed[:, 2:] = 1e6
    args = torch.tensor([1, 1, 0]), torch.tensor([True, False, True])
    assert torch.equal(nll(logits, *args, reduction="none"), nll(changed, *args, reduction="none"))
    logits.requires_grad_()
    nll(logits, *args).backward()
    assert logits.grad is not None
    assert not logits.grad[:, 2:].any()


def test_curves_and_risk_by_definition() -> None:
    logits, _, _ = batch(11)
    hazard = 1 / (1 + torch.exp(-logits))
    torch.testing.assert_close(hazards(logits), hazard)
    torch.testing.assert_close(survival(logits), torch.cumprod(1 - hazard, -1))
    torch.testing.assert_close(risk(logits), -torch.cumprod(1 - hazard, -1).sum(-1))


def test_risk_passes_logits_through_the_sigmoid() -> None:
    """A sibling project multiplied 1 - logit with no sigmoid: outside [-T, 0], ranked differently."""
    logits, _, _ = batch(12, patients=200)
    found = risk(logits)
    wrong = -torch.cumprod(1 - logits, -1).sum(-1)
    assert (wrong < -4).any()
    assert ((found >= -4) & (found <= 0)).all()
    assert np.corrcoef(found.argsort().argsort(), wrong.argsort().argsort())[0, 1] < 0.95


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.integers(0, 7), st.floats(0.01, 10))
def test_curve_properties(row: list[float], place: int, step: float) -> None:
    logits = torch.tensor([row], dtype=torch.float64)
    curve = survival(logits)[0]
    assert ((curve >= 0) & (curve <= 1)).all()
    assert (curve.diff() <= 0).all()
    assert -len(row) <= float(risk(logits)) <= 0
    worse = logits.clone()
    worse[0, place % len(row)] += step
    assert float(risk(worse)) >= float(risk(logits))


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6), st.floats(0, 0.99))
def test_outcome_probabilities_sum_to_one(row: list[float], alpha: float) -> None:
    """An event in one of the bins, or survival through the last: exactly one of them happens."""
    bins = len(row)
    logits = torch.tensor([row] * (bins + 1), dtype=torch.float64)
    label = torch.tensor([*range(bins), bins - 1])
    event = torch.tensor([True] * bins + [False])
    loss = nll(logits, label, event, reduction="none")
    assert float(torch.exp(-loss).sum()) == pytest.approx(1.0)
    assert float(nll(logits, label, event, alpha)) <= float(loss.mean()) + 1e-12


def cohort(seed: int, patients: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(1, 4000, patients).astype(float), generator.random(patients) < 0.4


def test_edges_are_quantiles_of_event_times() -> None:
    time, event = cohort(0)
    edges = bin_edges(time, event, 4)
    _, expected = pd.qcut(time[event], 4, retbins=True)
    np.testing.assert_allclose(edges[1:-1], expected[1:-1])
    assert edges[0] == -np.inf
    assert edges[-1] == np.inf


def test_edges_ignore_censored_times() -> None:
    time, event = cohort(1)
    moved = np.where(event, time, time * 7 + 5000)
    assert np.array_equal(bin_edges(time, event, 4), bin_edges(moved, event, 4))
    assert not np.array_equal(bin_edges(time, event, 4), bin_edges(time, np.ones_like(event), 4))
    holed = np.where(event, time, np.nan)
    assert np.array_equal(bin_edges(time, event, 4), bin_edges(holed, event, 4))


def test_unseen_times_have_a_bin() -> None:
    edges = bin_edges(np.array([10.0, 20.0, 30.0, 40.0]), np.ones(4, dtype=bool), 4)
    found = assign_bins(np.array([-5.0, 0.0, 9.0, 41.0, 1e9]), edges)
    assert found.tolist() == [0, 0, 0, 3, 3]
    assert found.dtype == np.int64


def test_bins_are_half_open() -> None:
    edges = np.array([-np.inf, 10.0, 20.0, np.inf])
    assert assign_bins(np.array([9.9, 10.0, 19.9, 20.0]), edges).tolist() == [0, 1, 1, 2]


def test_the_same_day_has_the_same_bin_in_every_split() -> None:
    """A sibling project cut each split by its own range, so that one month fell in different bins."""
    time, event = cohort(2)
    edges = bin_edges(time[:200], event[:200], 4)
    days = np.array([365.0])
    assert assign_bins(np.concatenate([days, time[200:]]), edges)[0] == assign_bins(days, edges)[0]


def test_ties_and_few_events_shrink_the_bins() -> None:
    assert bin_edges(np.array([5.0] * 10), np.ones(10, dtype=bool), 4).tolist() == [-np.inf, np.inf]
    one = bin_edges(np.array([5.0, 7.0]), np.array([True, False]), 4)
    assert one.tolist() == [-np.inf, np.inf]
    tied = bin_edges(np.array([1.0, 1, 1, 1, 1, 1, 1, 9]), np.ones(8, dtype=bool), 4)
    assert len(tied) < 5


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_every_bin_holds_a_training_event(rows: list[tuple[int, bool]], bins: int) -> None:
    time = np.array([float(day) for day, _ in rows])
    event = np.array([died for _, died in rows])
    if not event.any():
        with pytest.raises(InputError, match="no events"):
            bin_edges(time, event, bins)
        return
    edges = bin_edges(time, event, bins)
    assert 2 <= len(edges) <= bins + 1
    assert (np.diff(edges) > 0).all()
    assert set(assign_bins(time[event], edges)) == set(range(len(edges) - 1))
    for day, label in zip(time, assign_bins(time, edges), strict=True):
        assert edges[label] <= day < edges[label + 1]


def test_bin_arguments_are_checked() -> None:
    time, event = cohort(3)
    with pytest.raises(ValueError, match="at least 1"):
        bin_edges(time, event, 0)
    with pytest.raises(ValueError, match="bool"):
        bin_edges(time, event.astype(int), 4)
    with pytest.raises(ValueError, match="as long"):
        bin_edges(time[:-1], event, 4)
    with pytest.raises(ValueError, match="not finite"):
        bin_edges(np.array([np.nan, 1.0]), np.array([True, True]), 4)
    with pytest.raises(ValueError, match="not finite"):
        assign_bins(np.array([np.nan]), np.array([-np.inf, np.inf]))
    with pytest.raises(ValueError, match="-inf"):
        assign_bins(time, np.array([0.0, np.inf]))
    with pytest.raises(ValueError, match="increase"):
        assign_bins(time, np.array([-np.inf, 5.0, 5.0, np.inf]))


@pytest.mark.parametrize(
    ("times", "inner"),
    [
        ([1] * 25 + [2] * 5, [2]),  # every quantile is the first time
        ([1] * 10 + [2] * 10 + [3] * 10, [2, 3]),
        ([1] * 30, []),
        ([1, 2], [1.25, 2]),
    ],
)
def test_few_different_times_are_not_all_in_one_bin(times: list[int], inner: list[float]) -> None:
    time = np.array(times, dtype=np.float64)
    edges = bin_edges(time, np.ones(len(time), dtype=np.bool_), 4)
    assert set(edges[1:-1]) <= {*inner, *edges[1:-1]}
    assert (len(edges) > 2) == (len(set(times)) > 1)
    if inner != [1.25, 2]:
        np.testing.assert_array_equal(edges[1:-1], inner)
