"""The paired bootstrap against plain loops and resampled rows."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime.evaluation import comparison
from prime.evaluation.comparison import CohortPredictions, Difference, bootstrap_draws, difference
from prime.evaluation.metrics import auroc, concordance_within


@dataclass(frozen=True)
class PairedCohort:
    """Two methods on the patients of one cohort."""

    fold: np.ndarray
    event: np.ndarray
    risk_a: np.ndarray
    risk_b: np.ndarray
    time: np.ndarray | None = None


def paired_bootstrap(
    metric: comparison.Metric,
    groups: list[PairedCohort],
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """The difference of two methods from the draws of each."""
    cohorts = [
        [CohortPredictions(g.fold, g.event, risk, g.time) for g, risk in zip(groups, risks, strict=True)]
        for risks in ([g.risk_a for g in groups], [g.risk_b for g in groups])
    ]
    a, b = (bootstrap_draws(metric, mine, replicates, seed) for mine in cohorts)
    return difference(a, b, level)


def cohort(seed: int, n: int = 40, folds: int = 3, seeds: int = 2, gain: float = 1.0) -> PairedCohort:
    """Tied times and risks; method a follows the outcome by `gain`, method b is noise."""
    generator = np.random.default_rng(seed)
    time = generator.integers(1, 15, n).astype(float)
    signal = -gain * time[:, None] / 5
    return PairedCohort(
        fold=generator.permutation(np.arange(n) % folds),
        event=generator.random(n) < 0.6,
        risk_a=np.round(signal + generator.normal(size=(n, seeds)), 1),
        risk_b=np.round(generator.normal(size=(n, seeds)), 1),
        time=time,
    )


def pooled(metric: str, group: PairedCohort, rows: np.ndarray, risk: np.ndarray) -> float:
    """The metric of these rows over the pairs within folds."""
    if metric == "concordance":
        assert group.time is not None
        return concordance_within(group.time[rows], group.event[rows], risk[rows], group.fold[rows]).value
    parts = [rows[group.fold[rows] == label] for label in np.unique(group.fold)]
    scores = [auroc(group.event[part], risk[part]) for part in parts]
    pairs = sum(score.pairs or 0 for score in scores)
    earned = sum(score.value * score.pairs for score in scores if score.pairs)
    return earned / pairs if pairs else math.nan


def cohort_difference(metric: str, group: PairedCohort, drawn: np.ndarray) -> float:
    """a less b, the mean over seeds of the folds pooled."""
    means = [
        np.mean([pooled(metric, group, drawn, risks[:, seed]) for seed in range(risks.shape[1])])
        for risks in (np.atleast_2d(group.risk_a.T).T, np.atleast_2d(group.risk_b.T).T)
    ]
    return float(means[0] - means[1])


def loop_bootstrap(metric: str, groups: list[PairedCohort], replicates: int, seed: int) -> np.ndarray:
    """(replicates,) macro differences from the drawn rows themselves, drawn in the same order."""
    generator = np.random.default_rng(seed)
    by_cohort: list[list[float]] = []
    for group in groups:
        drawn: list[np.ndarray] = []
        for label in np.unique(group.fold):
            rows = np.flatnonzero(group.fold == label)
            drawn.append(rows[generator.integers(0, len(rows), (replicates, len(rows)))])
        by_cohort.append(
            [
                cohort_difference(metric, group, np.concatenate([rows[index] for rows in drawn]))
                for index in range(replicates)
            ]
        )
    return np.mean(by_cohort, axis=0)


@pytest.mark.parametrize("metric", ["concordance", "auroc"])
def test_bootstrap_equals_resampling_the_rows(metric: comparison.Metric) -> None:
    groups = [cohort(0, gain=0.4), cohort(1, n=25, folds=2, gain=0.2)]
    found = paired_bootstrap(metric, groups, replicates=60, seed=5, level=0.9)
    values = loop_bootstrap(metric, groups, 60, 5)
    expected = [cohort_difference(metric, group, np.arange(len(group.event))) for group in groups]
    assert found.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])), abs=1e-12)
    smaller = min((values <= 0).sum(), (values >= 0).sum())
    assert 0 < smaller < 30
    assert found.p_value == pytest.approx(2 * (smaller + 1) / 61)
    assert (found.replicates, found.undefined, found.reason) == (60, 0, None)


def test_draws_without_a_pair_in_any_fold_are_left_out() -> None:
    """Three patients a fold: some draws have a comparable pair in neither fold, and only those go."""
    group = cohort(2, n=6, folds=2)
    values = loop_bootstrap("concordance", [group, cohort(3)], 300, 1)
    undefined = int(np.isnan(values).sum())
    assert 0 < undefined < 150
    found = paired_bootstrap("concordance", [group, cohort(3)], 300, 1)
    assert (found.replicates, found.undefined) == (300 - undefined, undefined)
    assert found.low == pytest.approx(np.nanquantile(values, 0.025), abs=1e-12)


def test_a_fold_with_one_negative_counts_by_its_pairs() -> None:
    """Of 29 x 1 and 15 x 15 pairs the one negative, ranked wrongly by a, costs 29 / 254 and not one half.

    A third of the draws lose that negative. They keep the other fold and so stay near the point.
    """
    event = np.array([True] * 29 + [False] + [True] * 15 + [False] * 15)
    right = event.astype(float)
    wrong = right.copy()
    wrong[29] = 2.0
    group = PairedCohort(np.repeat([0, 1], 30), event, wrong, right)
    found = paired_bootstrap("auroc", [group], 2000)
    assert found.value == pytest.approx(-29 / (29 + 225), abs=1e-12)
    assert found.undefined == 0
    drawn = bootstrap_draws("auroc", [CohortPredictions(group.fold, event, wrong)], 2000).drawn[0]
    assert drawn.mean() == pytest.approx(1 - 29 / 254, abs=0.02)
    assert found.low < found.value < found.high == 0.0


def test_bootstrap_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = paired_bootstrap("concordance", [cohort(4)], 50)
    monkeypatch.setattr(comparison, "_CELLS", 100)
    assert paired_bootstrap("concordance", [cohort(4)], 50) == whole


@pytest.mark.parametrize("metric", ["concordance", "auroc"])
def test_identical_methods_have_p_one(metric: comparison.Metric) -> None:
    groups = [replace(group, risk_b=group.risk_a) for group in (cohort(0), cohort(1, seeds=3))]
    found = paired_bootstrap(metric, groups, 100)
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    shifted = [replace(group, risk_b=2.0 * group.risk_a + 7.0) for group in groups]
    assert paired_bootstrap(metric, shifted, 100).p_value == 1.0


def test_a_real_gain_is_found_and_the_smallest_p_is_as_the_replicates_allow() -> None:
    found = paired_bootstrap("concordance", [cohort(6, n=150, gain=5.0), cohort(7, n=150, gain=5.0)], 99)
    assert found.low > 0.1
    assert found.p_value == pytest.approx(2 / 100)


def test_two_methods_of_noise_are_seldom_told_apart() -> None:
    p_values = [paired_bootstrap("concordance", [cohort(s, n=90, gain=0.0)], 200).p_value for s in range(100)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.13
    assert 0.3 < np.median(p_values) < 0.7


@given(
    seed=st.integers(0, 10_000),
    gain=st.floats(0.0, 1.0),
    metric=st.sampled_from(["concordance", "auroc"]),
)
@settings(max_examples=25)
def test_swapping_the_methods_mirrors_everything(seed: int, gain: float, metric: comparison.Metric) -> None:
    groups = [cohort(seed, gain=gain), cohort(seed + 1, n=15, gain=gain)]
    swapped = [replace(group, risk_a=group.risk_b, risk_b=group.risk_a) for group in groups]
    one, other = paired_bootstrap(metric, groups, 60, seed), paired_bootstrap(metric, swapped, 60, seed)
    assert one.value == -other.value
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert (one.p_value, one.undefined) == (other.p_value, other.undefined)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_a_rising_function_of_the_risk_changes_nothing(seed: int) -> None:
    group = cohort(seed)
    bent = replace(group, risk_a=np.exp(group.risk_a / 4) + 3, risk_b=group.risk_b / 2)
    assert paired_bootstrap("concordance", [bent], 30) == paired_bootstrap("concordance", [group], 30)


def test_the_same_seed_gives_the_same_draws_and_another_does_not() -> None:
    one = paired_bootstrap("concordance", [cohort(0)], 50, seed=1)
    assert paired_bootstrap("concordance", [cohort(0)], 50, seed=1) == one
    assert paired_bootstrap("concordance", [cohort(0)], 50, seed=2).low != one.low


def test_one_column_of_risks_is_one_seed_and_seeds_are_averaged() -> None:
    group = cohort(0, seeds=1)
    flat = replace(group, risk_a=group.risk_a[:, 0], risk_b=group.risk_b[:, 0])
    assert paired_bootstrap("auroc", [flat], 40) == paired_bootstrap("auroc", [group], 40)
    many = replace(group, risk_b=np.hstack([group.risk_b, group.risk_a]))
    half = paired_bootstrap("auroc", [many], 40)
    assert half.value == pytest.approx(paired_bootstrap("auroc", [group], 40).value / 2, abs=1e-12)


def test_a_cohort_without_a_value_is_left_out() -> None:
    group = cohort(0)
    silent = replace(cohort(1), event=np.zeros(40, dtype=bool))
    assert paired_bootstrap("concordance", [group, silent], 50) == paired_bootstrap(
        "concordance", [group], 50
    )
    for groups in ([silent], []):
        nothing = paired_bootstrap("concordance", groups, 50)
        assert math.isnan(nothing.value)
        assert math.isnan(nothing.p_value)
        assert (nothing.replicates, nothing.undefined) == (0, 50)
        assert nothing.reason == "no cohort with a comparable pair"


def test_no_replicate_with_a_value_is_said() -> None:
    """Of two patients a draw keeps both only half of the time; with this seed the one draw does not."""
    pair = PairedCohort(
        fold=np.zeros(2), event=np.array([True, True]), time=np.array([1.0, 2.0]),
        risk_a=np.array([2.0, 1.0]), risk_b=np.array([1.0, 2.0]),
    )  # fmt: skip
    seed = next(s for s in range(20) if len(set(np.random.default_rng(s).integers(0, 2, (1, 2))[0])) == 1)
    found = paired_bootstrap("concordance", [pair], 1, seed)
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.p_value)
    assert found.reason == "no replicate has a value in every cohort"


def test_bootstrap_misuse_is_refused() -> None:
    group = cohort(0)
    bad = [
        (replace(group, event=group.event.astype(float)), "event must be one bool"),
        (replace(group, fold=group.fold[:-1]), "fold must be of shape"),
        (replace(group, time=None), "time is needed"),
        (replace(group, risk_a=group.risk_a[:-1]), "risk must have 40 rows"),
        (replace(group, risk_b=group.risk_b * np.nan), "risk has 80 values"),
    ]
    for broken, message in bad:
        with pytest.raises(ValueError, match=message):
            paired_bootstrap("concordance", [broken], 10)
    assert not math.isnan(paired_bootstrap("auroc", [replace(group, time=None)], 10).value)
    with pytest.raises(ValueError, match="metric"):
        paired_bootstrap("accuracy", [group], 10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="replicates"):
        paired_bootstrap("auroc", [group], 0)
    with pytest.raises(ValueError, match="level"):
        paired_bootstrap("auroc", [group], 5, level=1.0)
    silent = replace(group, event=np.zeros(40, dtype=bool))
    one, two, none = (
        bootstrap_draws("auroc", [CohortPredictions(g.fold, g.event, g.risk_a) for g in groups], 5)
        for groups in ([group], [group, group], [silent])
    )
    for other in (two, none):
        with pytest.raises(ValueError, match="the same patients"):
            difference(one, other)
