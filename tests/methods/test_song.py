"""Song against a plain version from other libraries; out-of-fold means out of fold."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from prime.evaluation.metrics import concordance
from prime.methods.classical.song import Song, SongSettings, deal, fit_first_stage, out_of_fold
from prime.methods.statistics.examples import Examples, Target
from tests.methods.statistical_data import fitted, made_examples

Floats = NDArray[np.float64]
ALPHA = 0.1


def naive_regression(x: Floats, target: Target, other: Floats) -> tuple[Floats, Floats]:
    """Risks of the patients it is fitted on, and of others, up to a constant."""
    if target.binary:
        model = LogisticRegression(C=1 / ALPHA, solver="newton-cholesky", tol=1e-12).fit(x, target.event)
        return model.decision_function(x), model.decision_function(other)
    centre = x.mean(axis=0)
    cox = CoxPHSurvivalAnalysis(alpha=ALPHA, ties="efron", tol=1e-12)
    cox.fit(x - centre, Surv.from_arrays(target.event, target.time_days))
    return cox.predict(x - centre), cox.predict(other - centre)


def naive_quality(risk: Floats, target: Target) -> float:
    if target.binary:
        return float(roc_auc_score(target.event, risk))
    return float(concordance_index_censored(target.event, target.time_days, risk)[0])


def naive_modality(
    train: Floats, target: Target, test: Floats, sizes: list[int], seed: int
) -> tuple[Floats, Floats]:
    """Out-of-fold risks and risks of test patients, both standardised by the former."""

    def fit(rows: Floats, of: Target, others: Floats, size: int) -> Floats:
        steps = make_pipeline(SimpleImputer(), StandardScaler(), PCA(size, svd_solver="full"))
        own = steps.fit_transform(rows)
        inside, outside = naive_regression(own, of, steps.transform(others))
        return outside - inside.mean() if target.binary else outside

    fold = deal(target.event, 3, seed)
    best, chosen, size_chosen = -1.0, np.zeros(0), 0
    for size in sizes:
        risk, quality = np.zeros(len(train)), []
        for k in range(3):
            held = fold == k
            risk[held] = fit(train[~held], target.take(np.flatnonzero(~held)), train[held], size)
            quality.append(naive_quality(risk[held], target.take(np.flatnonzero(held))))
        if np.mean(quality) > best:
            best, chosen, size_chosen = float(np.mean(quality)), risk, size
    other = fit(train, target, test, size_chosen)
    return (chosen - chosen.mean()) / chosen.std(), (other - chosen.mean()) / chosen.std()


def side_by_side(examples: Examples, name: str) -> Floats:
    return np.hstack([examples.vectors.sources[s] for s in examples.vectors.modalities[name]])


@pytest.mark.parametrize("binary", [False, True])
def test_it_ranks_as_the_plain_version_does(binary: bool) -> None:
    train, validation, test = (made_examples(n, seed, binary) for n, seed in ((160, 0), (40, 1), (60, 2)))
    model = fitted("song", train, validation, seed=5, components=[4, 8, 12])
    both = train.join(validation)
    own, other = np.zeros((200, 3)), np.zeros((60, 3))
    for column, name in enumerate(both.vectors.modalities):
        a, b = side_by_side(both, name), side_by_side(test, name)
        rows, tested = (np.flatnonzero(~np.isnan(x).all(axis=1)) for x in (a, b))
        sizes = [n for n in (4, 8, 12) if n <= max(4, len(rows) // 10) and n <= a.shape[1]]
        target = both.target.take(rows)
        own[rows, column], other[tested, column] = naive_modality(a[rows], target, b[tested], sizes, 5)
    expected = naive_regression(own, both.target, other)[1]
    risk = -model.survival(test.vectors).sum(axis=1)
    np.testing.assert_array_equal(np.argsort(risk), np.argsort(expected))


def test_folds_deal_events_evenly() -> None:
    event = np.arange(31) % 3 == 0  # 11 events
    fold = deal(event, 3, seed=0)
    assert sorted(np.bincount(fold[event])) == [3, 4, 4]
    assert sorted(np.bincount(fold)) == [10, 10, 11]
    assert (deal(event, 3, seed=1) != fold).any()


def test_the_number_of_components_is_bounded_by_the_patients() -> None:
    settings = SongSettings()
    for patients, sizes in ((30, {4}), (79, {4}), (80, {4, 8}), (170, {4, 8, 16})):
        found = set()
        for seed in range(6):
            examples = made_examples(patients, seed, present=1.0)
            stage, _ = fit_first_stage(examples.vectors.sources["genes"], examples.target, settings, 0)
            found.add(stage.model.weight.size)
        assert found <= sizes
    assert len(found) > 1


def test_a_patients_outcome_does_not_touch_the_own_risk() -> None:
    examples = made_examples(90, present=1.0)
    values, target = examples.vectors.sources["stats"], examples.target
    before, _ = out_of_fold(values, target, [4, 8], SongSettings(), seed=0)
    who = int(np.flatnonzero(target.event)[3])
    time = target.time_days.copy()
    time[who] *= 20
    changed = Target(time, target.event, target.edges, False)
    after, _ = out_of_fold(values, changed, [4, 8], SongSettings(), seed=0)
    fold = deal(target.event, 3, seed=0)
    mates = fold == fold[who]
    np.testing.assert_array_equal(after[:, mates], before[:, mates])
    assert (np.abs(after - before)[:, ~mates] > 0).all()


def test_out_of_fold_risks_of_shuffled_labels_tell_nothing() -> None:
    """In-sample risks look good even then: what the second stage would be fitted on."""
    seen: dict[str, list[float]] = {"in_sample": [], "oof": []}
    for seed in range(8):
        examples = made_examples(120, seed, present=1.0, effect=0.0)
        values, target = examples.vectors.sources["genes"], examples.target
        for stacking, found in seen.items():
            settings = SongSettings.model_validate({"components": [24], "stacking": stacking})
            _, risk = fit_first_stage(values, target, settings, seed)
            found.append(concordance(target.time_days, target.event, risk).value)
    assert min(seen["in_sample"]) > 0.6
    assert np.mean(seen["oof"]) < 0.53


def test_stacking_in_sample_trusts_noise() -> None:
    """The second stage's weight of a modality of pure noise, in both ways of stacking."""
    weights: dict[str, list[float]] = {"in_sample": [], "oof": []}
    for seed in range(4):
        train, validation = (made_examples(n, seed + n, present=1.0) for n in (100, 30))
        rng = np.random.default_rng(seed)
        for examples in (train, validation):
            noise = examples.vectors.sources["genes"]
            noise[:] = rng.normal(size=noise.shape)
        for stacking, found in weights.items():
            model = fitted("song", train, validation, stacking=stacking, components=[24])
            assert isinstance(model, Song)
            found.append(float(model.second.weight[1]))
    assert np.mean(weights["in_sample"]) > 0.25
    assert abs(np.mean(weights["oof"])) < 0.15


def test_a_missing_modality_counts_as_average() -> None:
    train, validation, test = made_examples(120), made_examples(30, 1), made_examples(20, 2, present=1.0)
    model = fitted("song", train, validation)
    assert isinstance(model, Song)
    keep = np.tile([True, False, True], (20, 1))
    average = test.vectors.keep(keep)
    found = model.survival(average)
    x = np.column_stack(
        [
            model.stages[n](side_by_side(test, n)) if n != "rna" else np.zeros(20)
            for n in test.vectors.modalities
        ]
    )
    np.testing.assert_allclose(found, model.second.survival(x), rtol=1e-12)


def test_a_modality_without_patients_is_left_out() -> None:
    train, validation, test = made_examples(60), made_examples(20, 1), made_examples(10, 2)
    for examples in (train, validation):
        examples.vectors.sources["notes"][:] = np.nan
    model = fitted("song", train, validation)
    found = model.survival(test.vectors.keep(np.tile([False, False, True], (10, 1))))
    assert np.isfinite(found).all()
    assert (found == found[0]).all()
