"""Principal components and word weights against scikit-learn, with what is missing left out."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import StandardScaler

from prime.methods.statistics.components import fit_components, fit_word_weights, right_singular_vectors

Floats = NDArray[np.float64]


def vectors(patients: int, features: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(patients, 4)) @ rng.normal(size=(4, features))
    return (mixed + 0.3 * rng.normal(size=(patients, features))) * rng.uniform(0.1, 1e6, features) - 5


def same_up_to_signs(found: Floats, expected: Floats, rtol: float = 1e-6) -> None:
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize(("patients", "features"), [(80, 12), (30, 100)])
def test_components_are_those_of_scikit_learn(patients: int, features: int, whiten: bool) -> None:
    train, test = vectors(patients, features), vectors(20, features, seed=1)
    scaler = StandardScaler().fit(train)
    pca = PCA(5, svd_solver="full").fit(scaler.transform(train))
    expected = [pca.transform(scaler.transform(x)) for x in (train, test)]
    if whiten:
        expected = [x / expected[0].std(axis=0) for x in expected]
    found = fit_components(train, 5, whiten=whiten)
    same_up_to_signs(np.concatenate([found(train), found(test)]), np.concatenate([expected[0], expected[1]]))
    same_up_to_signs(found.first(2)(test), expected[1][:, :2])


@pytest.mark.parametrize(("fill", "value"), [("mean", 13.0), ("median", 3.0)])
def test_a_missing_number_takes_the_middle_of_the_others(fill: str, value: float) -> None:
    train = vectors(30, 4)
    train[:, 2] = np.nan
    train[:3, 2] = [1.0, 3.0, 35.0]
    whole = np.where(np.isnan(train), value, train)
    found = fit_components(train, 3, fill=fill)  # pyright: ignore[reportArgumentType]
    same_up_to_signs(found(train), fit_components(whole, 3)(whole))


def test_features_that_say_nothing_are_left_out() -> None:
    train = vectors(30, 4)
    padded = np.column_stack([train, np.full(30, 1e7), np.full(30, np.nan), np.zeros(30)])
    found = fit_components(padded, 4)
    assert (found.loadings[4:] == 0).all()
    wild = np.column_stack([train, np.full((30, 3), 1e30)])
    same_up_to_signs(found(wild), fit_components(train, 4)(train))


def test_no_more_components_than_the_data_have() -> None:
    assert fit_components(vectors(6, 40), 32).loadings.shape == (40, 5)
    assert fit_components(np.repeat(vectors(30, 1), 3, axis=1), 32).loadings.shape == (3, 1)
    assert fit_components(np.ones((30, 3)), 32).loadings.shape == (3, 0)
    assert right_singular_vectors(vectors(10, 3), 9).shape == (3, 3)


def test_words_are_weighted_and_projected_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.poisson(0.6, size=(n, 40)).astype(np.float64) for n in (60, 15))
    train[:, 7], train[0, 7] = 0, 5  # a word in one text only
    test[0] = 0
    tfidf = TfidfTransformer(sublinear_tf=True).fit(np.delete(train, 7, axis=1))
    weighted = [tfidf.transform(np.delete(x, 7, axis=1)).toarray() for x in (train, test)]
    right = np.linalg.svd(weighted[0])[2][:6].T
    found = fit_word_weights(train, 6, least=2)
    same_up_to_signs(found(test), weighted[1] @ right)
    assert (found(test)[0] == 0).all()
    assert found.rarity[7] == 0


def test_words_that_training_texts_lack_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.poisson(1.0, size=(n, 20)).astype(np.float64) for n in (30, 5))
    train[:, 3] = 0
    found = fit_word_weights(train, 4, least=1)
    changed = test.copy()
    changed[:, 3] += 100
    np.testing.assert_allclose(found(changed), found(test), rtol=1e-12)
