"""Annotations that blocks predict: the model against ridge regression, and nobody predicts themselves."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from prime.arrays import Indices
from prime.methods.statistics import annotations as module
from prime.methods.statistics.annotations import PARTS, SHARED, fit_annotations, out_of_fold
from prime.methods.statistics.blocks import Blocks, fit_imputer
from prime.methods.statistics.design import (
    Design,
    FeatureMap,
    filled,
    predict_annotations,
    scale_covariates,
)
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import LEAST_PATIENTS

Floats = NDArray[np.float64]
SCALE = np.array([1.0, 0.5, 2.0])


def made(count: int = 90, seed: int = 0) -> tuple[Floats, NDArray[np.str_], Floats]:
    """Features, two types, and two annotations that follow the features; some are unknown."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    types = np.where(np.arange(count) % 3 == 0, "B", "A")
    noise = 0.3 * rng.normal(size=count)
    age = 60 + 10 * x[:, 0] + 3 * noise + 7 * (types == "B")
    stage = np.clip(np.round(2 + x[:, 1] + noise), 1, 4)
    table = np.column_stack([age, stage])
    table[rng.random(table.shape) < 0.1] = np.nan
    return x, types, table


def test_of_one_type_it_is_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEVIATION", 1e12)
    x, _, table = made()
    types = np.full(len(x), "A")
    known = ~np.isnan(table[:, 0])
    target = (table[known, 0] - table[known, 0].mean()) / table[known, 0].std()
    oracle = Ridge(alpha=SHARED, fit_intercept=False).fit(x[known] * SCALE, target)
    model = fit_annotations(x, types, table, SCALE)
    np.testing.assert_allclose(model(x, types)[:, 0], oracle.predict(x * SCALE), rtol=1e-6)


def test_types_share_and_deviate() -> None:
    x, types, table = made(240)
    table[:, 0] = np.where(types == "B", -x[:, 0], x[:, 0])  # a slope that turns
    model = fit_annotations(x, types, table, SCALE)
    assert model.own["A"][0, 0] > 0.2
    assert model.own["A"][0, 0] > model.shared[0, 0] > model.own["B"][0, 0]
    found = model(x, np.where(types == "B", "never seen", types))
    np.testing.assert_allclose(found[types == "B"], x[types == "B"] @ model.shared)
    np.testing.assert_allclose(found[types == "A"], x[types == "A"] @ model.own["A"])


def test_a_type_with_few_annotations_tells_nothing() -> None:
    x, types, table = made()
    rows = np.flatnonzero(types == "B")
    table[rows] = np.nan
    table[rows[: LEAST_PATIENTS - 1], 0] = 1e6 * np.random.default_rng(0).normal(size=LEAST_PATIENTS - 1)
    model = fit_annotations(x, types, table, SCALE)
    only = types == "A"
    expected = fit_annotations(x[only], types[only], table[only], SCALE)
    np.testing.assert_array_equal(model.shared, expected.shared)
    np.testing.assert_array_equal(model.own["A"], expected.own["A"])
    np.testing.assert_array_equal(model.own["B"], expected.shared)


def test_nobody_is_predicted_from_their_own_annotation() -> None:
    x, types, table = made()
    before = out_of_fold(x, types, table, SCALE, 3)
    part = np.random.default_rng(3).permutation(len(x)) % PARTS
    for patient in (1, 5, 40):  # of the type that has enough annotations
        changed = table.copy()
        changed[patient] = [1000.0, -50.0]
        after = out_of_fold(x, types, changed, SCALE, 3)
        same = part == part[patient]
        np.testing.assert_array_equal(after[same], before[same])
        assert (after[~same] != before[~same]).all()
    assert np.corrcoef(before[:, 0], x[:, 0])[0, 1] > 0.9
    assert not np.array_equal(before, out_of_fold(x, types, table, SCALE, 4))


def test_predictions_out_of_fold_are_those_of_the_other_parts() -> None:
    x, types, table = made()
    found = out_of_fold(x, types, table, SCALE, 3)
    part = np.random.default_rng(3).permutation(len(x)) % PARTS
    for number in range(PARTS):
        rest, held = np.flatnonzero(part != number), np.flatnonzero(part == number)
        model = fit_annotations(x[rest], types[rest], table[rest], SCALE)
        np.testing.assert_array_equal(found[held], model(x[held], types[held]))


def test_as_features_they_have_standard_deviation_one() -> None:
    x, types, table = made()
    training = np.arange(0, 90, 2)
    made_of = predict_annotations(x, types, table, SCALE, training, 0)
    assert made_of is not None
    found, everyone = made_of
    np.testing.assert_allclose(everyone[training].std(axis=0), 1)
    raw = out_of_fold(x[training], types[training], table[training], SCALE, 0)
    np.testing.assert_allclose(everyone[training], raw / raw.std(axis=0))
    others = np.arange(1, 90, 2)
    model = fit_annotations(x[training], types[training], table[training], SCALE)
    np.testing.assert_allclose(
        found(x[others], types[others]), model(x[others], types[others]) / raw.std(axis=0)
    )


def test_annotations_of_others_do_not_matter() -> None:
    x, types, table = made()
    training = np.arange(0, 60)
    before = predict_annotations(x, types, table, SCALE, training, 0)
    changed, moved = table.copy(), x.copy()
    changed[60:], moved[60:] = 1e9, -7.0
    after = predict_annotations(moved, types, changed, SCALE, training, 0)
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after[1][training], before[1][training])
    np.testing.assert_array_equal(after[0](x, types), before[0](x, types))


def test_where_no_annotation_is_known_there_are_none() -> None:
    x, types, table = made()
    training = np.arange(60)
    unknown = table.copy()
    unknown[:60] = np.nan
    assert predict_annotations(x, types, unknown, SCALE, training, 0) is None
    unknown[:60, 1] = table[:60, 1]
    found = predict_annotations(x, types, unknown, SCALE, training, 0)
    assert found is not None
    assert (found[0](x, types)[:, 0] == 0).all()
    assert (found[0](x, types)[:, 1] != 0).all()


# The features of a ridge ------------------------------------------------------------------------------------


def design(impute: bool, training: Indices) -> Design:
    """Two sources, the second of which every third patient lacks, covariates and annotations."""
    x, types, table = made()
    there = np.ones(x.shape, dtype=bool)
    there[::3, 2] = False
    blocks = Blocks(np.where(there, x, 0.0), there, types, np.array(["a", "a", "b"]))
    imputer = fit_imputer(blocks.take(training)) if impute else None
    whole = filled(blocks, imputer)
    found = predict_annotations(whole, types, table, SCALE, training, 0)
    assert found is not None
    columns = {"stage": table[:, 0], "age": table[:, 1]}
    people = Population(types, {}, columns, training)
    owner = ("a", "a", "b", "covariates", "covariates", "annotations", "annotations")
    features = FeatureMap({}, imputer, scale_covariates(people), found[0], owner, np.ones(7))
    return features.of_blocks(people, blocks, found[1])


@pytest.mark.parametrize("impute", [False, True])
def test_training_patients_differ_from_others_in_annotations_alone(impute: bool) -> None:
    training = np.arange(70)
    found = design(impute, training)
    own, seen = found.training(training), found.features(training, ("a", "b"))
    np.testing.assert_array_equal(own[:, :5], seen[:, :5])
    assert (own[:, 5:] != seen[:, 5:]).all()
    assert own.shape == (70, 7)
    assert found.annotated is not None
    np.testing.assert_array_equal(own[:, 5:], found.annotated[training])


def test_labelled_patients_whom_the_design_was_not_fitted_on_have_their_annotations_predicted() -> None:
    """Whom another task tests can have a label of this one."""
    training = np.arange(60)
    found = design(True, training)
    rows = np.arange(50, 90)
    mixed, seen = found.training(rows), found.features(rows, ("a", "b"))
    np.testing.assert_allclose(mixed[10:], seen[10:], rtol=1e-12)
    assert (mixed[:10, 5:] != seen[:10, 5:]).all()


def test_a_hidden_source_is_filled_in_or_zero_and_predicts_annotations_so() -> None:
    training = np.arange(70)
    rows = np.arange(70, 90)
    for impute in (False, True):
        found = design(impute, training)
        seen = found.features(rows, ("b",))
        assert found.map.annotations is not None
        np.testing.assert_array_equal(
            seen[:, 5:], found.map.annotations(seen[:, :3], found.blocks.types[rows])
        )
        has = found.blocks.there[rows, 2]
        assert (seen[has, :2] != 0).all() == impute
        assert (seen[~has, :3] == 0).all()
        hidden = found.blocks.take(rows).keep(("b",))
        np.testing.assert_array_equal(seen[:, :3], filled(hidden, found.map.imputer))
        np.testing.assert_array_equal(seen[:, 3:5], found.covariates[rows])


def test_covariates_are_z_scores_within_the_type_of_training_patients() -> None:
    _, types, table = made()
    training = np.arange(0, 90, 2)[np.arange(45) != 7]
    people = Population(types, {}, {"stage": table[:, 0], "age": table[:, 1]}, training)
    found = scale_covariates(people)(people.covariates, types)
    for name in "AB":
        own = table[training][types[training] == name]
        if len(own) < LEAST_PATIENTS:
            own = table[training]
        rows = types == name
        expected = (table[rows] - np.nanmean(own, axis=0)) / np.nanstd(own, axis=0)
        np.testing.assert_allclose(found[rows], np.nan_to_num(np.clip(expected, -6, 6), nan=0.0), atol=1e-12)
