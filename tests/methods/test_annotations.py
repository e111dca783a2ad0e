"""Annotations that blocks predict: the model against ridge regression, and nobody predicts themselves."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from prime.arrays import Indices
from prime.methods.statistics.annotations import PARTS, AnnotationModel, fit_annotations
from prime.methods.statistics.blocks import Blocks, fit_imputer
from prime.methods.statistics.design import (
    Design,
    FeatureMap,
    annotation_inputs,
    filled,
    predict_annotations,
    scale_covariates,
)
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import LEAST_PATIENTS

Floats = NDArray[np.float64]
PENALTY = 15 / np.array([1.0, 0.5, 2.0]) ** 2


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


def fitted(
    x: Floats, types: NDArray[np.str_], table: Floats, seed: int = 0
) -> tuple[AnnotationModel, Floats]:
    return fit_annotations(x, types, table, PENALTY, seed)


def test_it_is_ridge_regression_on_what_is_standardised_within_the_type() -> None:
    x, types, table = made()
    known = np.flatnonzero(~np.isnan(table[:, 0]))
    target = np.zeros(len(x))
    for name in "AB":
        rows = known[types[known] == name]
        target[rows] = (table[rows, 0] - table[rows, 0].mean()) / table[rows, 0].std()
    oracle = Ridge(alpha=1.0, fit_intercept=False).fit(x[known] / np.sqrt(PENALTY), target[known])
    model, _ = fitted(x, types, table)
    np.testing.assert_allclose(model(x)[:, 0], oracle.predict(x / np.sqrt(PENALTY)), rtol=1e-6)


def test_a_type_with_few_annotations_tells_nothing() -> None:
    x, types, table = made()
    rows = np.flatnonzero(types == "B")
    table[rows] = np.nan
    table[rows[: LEAST_PATIENTS - 1], 0] = 1e6 * np.random.default_rng(0).normal(size=LEAST_PATIENTS - 1)
    model, _ = fitted(x, types, table)
    only = types == "A"
    expected, _ = fitted(x[only], types[only], table[only])
    np.testing.assert_allclose(model.weight, expected.weight, rtol=1e-9)


def test_an_annotation_that_all_share_says_nothing() -> None:
    x, types, table = made()
    table[:, 0] = 3.0
    model, held_out = fitted(x, types, table)
    assert (model.weight[:, 0] == 0).all()
    assert (held_out[:, 0] == 0).all()
    assert (model.weight[:, 1] != 0).all()


def test_nobody_is_predicted_from_their_own_annotation() -> None:
    x, types, table = made()
    _, before = fitted(x, types, table, 3)
    part = np.random.default_rng(3).permutation(len(x)) % PARTS
    for patient in (1, 5, 40):
        changed = table.copy()
        changed[patient] = [1000.0, -50.0]
        _, after = fitted(x, types, changed, 3)
        same = part == part[patient]
        np.testing.assert_allclose(after[same], before[same], rtol=1e-9, atol=1e-12)
        assert (np.abs(after[~same] - before[~same]) > 1e-6).all()
    assert np.corrcoef(before[:, 0], x[:, 0])[0, 1] > 0.8
    assert not np.array_equal(before, fitted(x, types, table, 4)[1])


def test_predictions_out_of_fold_are_those_of_the_other_parts() -> None:
    x, types, table = made(240)
    _, found = fitted(x, types, table, 3)
    part = np.random.default_rng(3).permutation(len(x)) % PARTS
    for number in range(PARTS):
        rest, held = np.flatnonzero(part != number), np.flatnonzero(part == number)
        model, _ = fitted(x[rest], types[rest], table[rest])
        np.testing.assert_allclose(found[held], model(x[held]), rtol=1e-9)


def test_as_features_they_have_standard_deviation_one() -> None:
    x, types, table = made()
    training = np.arange(0, 90, 2)
    made_of = predict_annotations(x, types, table, PENALTY, training, 0)
    assert made_of is not None
    found, everyone = made_of
    np.testing.assert_allclose(everyone[training].std(axis=0), 1)
    model, raw = fitted(x[training], types[training], table[training])
    np.testing.assert_allclose(everyone[training], raw / raw.std(axis=0))
    others = np.arange(1, 90, 2)
    np.testing.assert_allclose(found(x[others]), model(x[others]) / raw.std(axis=0))
    np.testing.assert_array_equal(everyone[others], found(x)[others])


def test_annotations_of_others_do_not_matter() -> None:
    x, types, table = made()
    training = np.arange(0, 60)
    before = predict_annotations(x, types, table, PENALTY, training, 0)
    changed, moved = table.copy(), x.copy()
    changed[60:], moved[60:] = 1e9, -7.0
    after = predict_annotations(moved, types, changed, PENALTY, training, 0)
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after[1][training], before[1][training])
    np.testing.assert_array_equal(after[0](x), before[0](x))


def test_where_no_annotation_is_known_there_are_none() -> None:
    x, types, table = made()
    training = np.arange(60)
    unknown = table.copy()
    unknown[:60] = np.nan
    assert predict_annotations(x, types, unknown, PENALTY, training, 0) is None
    unknown[:60, 1] = table[:60, 1]
    found = predict_annotations(x, types, unknown, PENALTY, training, 0)
    assert found is not None
    assert (found[0](x)[:, 0] == 0).all()
    assert (found[0](x)[:, 1] != 0).all()


# The features of a ridge ------------------------------------------------------------------------------------


def design(impute: bool, training: Indices) -> Design:
    """Two sources, the second of which every third patient lacks, covariates and annotations.

    The head reads the first column of the first source, annotations are read from both.
    """
    x, types, table = made()
    there = np.ones(x.shape, dtype=bool)
    there[::3, 2] = False
    blocks = Blocks(np.where(there, x, 0.0), there, types, np.array(["a", "a", "b"]))
    counts = {"a": 1, "b": 1}
    read = blocks.first(counts)
    imputer = fit_imputer(read.take(training)) if impute else None
    whole = annotation_inputs(blocks, filled(read, imputer))
    found = predict_annotations(whole, types, table, np.full(5, 15.0), training, 0)
    assert found is not None
    columns = {"stage": table[:, 0], "age": table[:, 1]}
    people = Population(types, {}, columns, training)
    owner = ("a", "b", "covariates", "covariates", "annotations", "annotations")
    features = FeatureMap({}, counts, imputer, scale_covariates(people), found[0], owner, np.ones(6))
    return features.of_blocks(people, blocks, found[1])


@pytest.mark.parametrize("impute", [False, True])
def test_training_patients_differ_from_others_in_annotations_alone(impute: bool) -> None:
    training = np.arange(70)
    found = design(impute, training)
    own, seen = found.training(training), found.features(training, ("a", "b"))
    np.testing.assert_array_equal(own[:, :4], seen[:, :4])
    assert (own[:, 4:] != seen[:, 4:]).all()
    assert own.shape == (70, 6)
    assert found.annotated is not None
    np.testing.assert_array_equal(own[:, 4:], found.annotated[training])


def test_labelled_patients_whom_the_design_was_not_fitted_on_have_their_annotations_predicted() -> None:
    """Whom another task tests can have a label of this one."""
    training = np.arange(60)
    found = design(True, training)
    rows = np.arange(50, 90)
    mixed, seen = found.training(rows), found.features(rows, ("a", "b"))
    np.testing.assert_allclose(mixed[10:], seen[10:], rtol=1e-12)
    assert (mixed[:10, 4:] != seen[:10, 4:]).all()


def test_a_hidden_source_is_filled_in_or_zero_and_predicts_annotations_so() -> None:
    training = np.arange(70)
    rows = np.arange(70, 90)
    for impute in (False, True):
        found = design(impute, training)
        seen = found.features(rows, ("b",))
        hidden = found.blocks.take(rows).keep(("b",))
        assert (hidden.values[:, :2] == 0).all()
        whole = annotation_inputs(hidden, seen[:, :2])
        assert found.map.annotations is not None
        np.testing.assert_array_equal(seen[:, 4:], found.map.annotations(whole))
        has = found.blocks.there[rows, 2]
        assert (seen[has, :1] != 0).all() == impute
        assert (seen[~has, :2] == 0).all()
        np.testing.assert_array_equal(seen[:, :2], filled(hidden.first(found.map.counts), found.map.imputer))
        np.testing.assert_array_equal(seen[:, 2:4], found.covariates[rows])


def test_annotations_read_what_the_head_does_not() -> None:
    training = np.arange(70)
    found = design(True, training)
    moved = found.blocks.values.copy()
    moved[:, 1] += 1.0
    other = replace(found, blocks=replace(found.blocks, values=moved))
    rows = np.arange(70, 90)
    before, after = found.features(rows, ("a", "b")), other.features(rows, ("a", "b"))
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    assert (np.abs(after[:, 4:] - before[:, 4:]) > 1e-3).all()


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
