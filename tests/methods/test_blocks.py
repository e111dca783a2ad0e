"""Blocks of components against a plain version: fitted on training patients alone, hidden, and filled in."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.feature_extraction.text import TfidfTransformer

from prime.arrays import Indices
from prime.methods.statistics.blocks import Blocks, encode_blocks, fit_block, fit_blocks, fit_imputer
from prime.methods.statistics.examples import Population
from prime.methods.statistics.gaussian import fill_missing, fit_covariance

Floats = NDArray[np.float64]
DIMS = {"genes": 9, "wide": 130, "words": 12}
COUNTS = {"genes": 4, "wide": 5, "words": 3}


def types_of(count: int) -> NDArray[np.str_]:
    """Two large types, one small, and some of an unknown type."""
    names = np.array(["A", "B", "A", "B", "A", "B", "A", "B", "C", ""])
    return names[np.arange(count) % 10]


def made(count: int = 140, seed: int = 0) -> dict[str, tuple[Indices, Floats]]:
    """Who has each source, and vectors that follow three factors and the type."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(count, 3)) * np.array([3.0, 2.0, 1.0])
    shift = (types_of(count) == "A")[:, None] * 4.0
    found: dict[str, tuple[Indices, Floats]] = {}
    for number, (name, dim) in enumerate(DIMS.items()):
        who = np.flatnonzero((np.arange(count) + number) % 4 != 0)
        values = factors @ rng.normal(size=(3, dim)) + shift + 0.5 * rng.normal(size=(count, dim))
        if name == "words":
            values = rng.poisson(np.exp(np.clip(values / 4, -2, 2))).astype(np.float64)
        else:
            values[rng.random(values.shape) < 0.03] = np.nan
        found[name] = who, values[who]
    return found


def population(sources: dict[str, tuple[Indices, Floats]], training: Indices, count: int = 140) -> Population:
    readers = {name: (lambda found=found: found) for name, found in sources.items()}
    return Population(types_of(count), readers, {}, training)


def normal_scores(values: Floats, types: NDArray[np.str_]) -> Floats:
    """Within types of twenty or more patients, and among everyone for the rest; zero where missing."""

    def column(own: Floats, pool: Floats) -> Floats:
        pool = np.sort(pool[~np.isnan(pool)])
        middle = [(np.mean(pool < v) + np.mean(pool <= v)) / 2 * len(pool) + 0.5 for v in own]
        return np.nan_to_num(norm.ppf(np.array(middle) / (len(pool) + 1)))

    result = np.zeros(values.shape)
    for name in np.unique(types):
        rows = types == name
        pool = values[rows] if name and rows.sum() >= 20 else values
        for j in range(values.shape[1]):
            known = rows & ~np.isnan(values[:, j])
            result[known, j] = column(values[known, j], pool[:, j])
    return result


def same_up_to_signs(found: Floats, expected: Floats) -> None:
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["genes", "wide"])
def test_a_block_is_components_of_normal_scores(name: str) -> None:
    who, values = made()[name]
    types = types_of(140)[who]
    left, strength, _ = np.linalg.svd(normal_scores(values, types), full_matrices=False)
    components = left[:, :4] * strength[:4]
    deviation = components.std(axis=0)
    for power in (0.0, 0.5, 1.0):
        found = fit_block(values, types, 4, power)(values, types)
        same_up_to_signs(found, components / deviation * (deviation / deviation[0]) ** power)
        assert found[:, 0].std() == pytest.approx(1)
        if power == 0:
            np.testing.assert_allclose(found.std(axis=0), 1)


def test_nothing_of_the_type_is_left() -> None:
    """Types differ by far more than a standard deviation before."""
    who, values = made()["genes"]
    types = types_of(140)[who]
    found = fit_block(values, types, 4, 0.5)(values, types)
    assert np.nanmean(values[types == "A"]) - np.nanmean(values[types == "B"]) > 2
    for name in ("A", "B"):
        assert np.abs(found[types == name].mean(axis=0)).max() < 0.1


def test_words_are_weighted_by_rarity_and_centred_within_the_type() -> None:
    who, values = made()["words"]
    types = types_of(140)[who]
    values[:, 4], values[0, 4] = 0, 3  # a word in one text only
    encoder = fit_block(values, types, 3, 1.0, words=True)
    assert encoder.rarity is not None
    assert encoder.rarity[4] == 0
    kept = np.delete(values, 4, axis=1)
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(kept).toarray()
    centred = np.empty_like(weighted)
    for name in np.unique(types):
        rows = types == name
        own = rows if name and rows.sum() >= 20 else np.ones(len(types), dtype=bool)
        centred[rows] = weighted[rows] - weighted[own].mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    components = left[:, :3] * strength[:3]
    same_up_to_signs(encoder(values, types), components / components[:, 0].std())
    assert fit_block(values, types, 3, 1.0).rarity is None


def test_fewer_components_where_there_are_no_more() -> None:
    types = np.full(30, "A")
    line = np.random.default_rng(0).normal(size=(30, 1))
    assert fit_block(np.repeat(line, 3, axis=1), types, 8, 0.5)(line.repeat(3, 1), types).shape == (30, 1)
    assert fit_block(np.ones((30, 3)), types, 8, 0.5)(np.ones((5, 3)), types[:5]).shape == (5, 0)


def encoded(training: Indices, sources: dict[str, tuple[Indices, Floats]] | None = None) -> Blocks:
    return fit_blocks(population(sources or made(), training), COUNTS, 0.5, ("words",))[1]


def test_encoders_give_anybody_the_blocks_of_their_population() -> None:
    people = population(made(), np.arange(100))
    encoders, blocks = fit_blocks(people, COUNTS, 0.5, ("words",))
    again = encode_blocks(people, encoders)
    np.testing.assert_array_equal(again.values, blocks.values)
    np.testing.assert_array_equal(again.there, blocks.there)
    fewer = {name: read for name, read in people.sources.items() if name != "words"}
    without = encode_blocks(replace(people, sources=fewer), encoders)
    hidden = blocks.owner == "words"
    assert hidden.any()
    assert (without.owner == blocks.owner).all()
    assert not without.there[:, hidden].any()
    np.testing.assert_array_equal(without.values[:, ~hidden], blocks.values[:, ~hidden])


def test_blocks_stand_side_by_side_and_are_zero_where_a_source_is_missing() -> None:
    sources = made()
    found = encoded(np.arange(100))
    assert found.owner.tolist() == ["genes"] * 4 + ["wide"] * 5 + ["words"] * 3
    assert found.values.shape == found.there.shape == (140, 12)
    assert np.isfinite(found.values).all()
    for name, (who, values) in sources.items():
        columns = found.owner == name
        has = np.isin(np.arange(140), who)
        np.testing.assert_array_equal(found.there[:, columns], np.tile(has[:, None], (1, columns.sum())))
        assert (found.values[np.ix_(~has, columns)] == 0).all()
        trains = who < 100
        types = types_of(140)[who]
        own = fit_block(values[trains], types[trains], COUNTS[name], 0.5, name == "words")
        np.testing.assert_array_equal(found.values[np.ix_(has, columns)], own(values, types))


def test_patients_outside_training_do_not_shape_the_blocks() -> None:
    training = np.setdiff1d(np.arange(140), np.arange(0, 140, 3))
    before = encoded(training)
    rng = np.random.default_rng(5)
    wild: dict[str, tuple[Indices, Floats]] = {}
    for name, (who, values) in made().items():
        others = ~np.isin(who, training)
        changed = values.copy()
        changed[others] = np.abs(1e5 * rng.standard_cauchy((others.sum(), values.shape[1])))
        wild[name] = who, changed
    after = encoded(training, wild)
    np.testing.assert_array_equal(after.values[training], before.values[training])
    np.testing.assert_array_equal(after.there, before.there)
    assert not np.array_equal(after.values, before.values)
    imputers = [fit_imputer(found.take(training)) for found in (before, after)]
    np.testing.assert_array_equal(imputers[0].covariance, imputers[1].covariance)


def test_a_source_that_fewer_than_two_training_patients_have_is_left_out() -> None:
    sources = made()
    who = sources["wide"][0]
    for count, names in ((1, {"genes", "words"}), (2, {"genes", "wide", "words"})):
        training = np.sort(np.concatenate([np.setdiff1d(np.arange(140), who), who[:count]]))
        assert set(encoded(training).owner.tolist()) == names
    nothing = encoded(np.zeros(0, dtype=np.int64))
    assert nothing.values.shape == (140, 0)
    assert fit_imputer(nothing.take(np.zeros(0, dtype=np.int64)))(nothing).shape == (140, 0)


def test_a_number_that_is_missing_is_neutral() -> None:
    who, values = made()["genes"]
    types = types_of(140)[who]
    encoder = fit_block(values, types, 4, 0.5)
    gone = np.full((1, 9), np.nan)
    assert (encoder(gone, types[:1]) == 0).all()
    own = values[types == "A", 2]
    count = int((~np.isnan(own)).sum())
    gone[0, 2] = 1e9  # above all of them
    expected = norm.ppf((count + 0.5) / (count + 1)) * encoder.loadings[2]
    np.testing.assert_allclose(encoder(gone, np.array(["A"]))[0], expected)


def test_hidden_sources_are_as_if_the_patient_lacked_them() -> None:
    found = encoded(np.arange(100))
    hidden = found.keep(("genes", "words"))
    wide = found.owner == "wide"
    assert not hidden.there[:, wide].any()
    assert (hidden.values[:, wide] == 0).all()
    np.testing.assert_array_equal(hidden.values[:, ~wide], found.values[:, ~wide])
    np.testing.assert_array_equal(hidden.there[:, ~wide], found.there[:, ~wide])
    assert not found.keep(()).there.any()
    rows = np.array([5, 2, 77])
    taken = found.take(rows)
    np.testing.assert_array_equal(taken.values, found.values[rows])
    np.testing.assert_array_equal(taken.types, found.types[rows])
    whole = found.keep(("genes", "wide", "words"))
    np.testing.assert_array_equal(whole.values, found.values)


def test_missing_blocks_take_their_conditional_mean() -> None:
    found = encoded(np.arange(100))
    training = found.take(np.arange(100))
    imputer = fit_imputer(training)
    np.testing.assert_array_equal(imputer.covariance, fit_covariance(training.values, training.there))
    filled = imputer(found)
    expected = fill_missing(imputer.covariance, found.values, found.there)
    np.testing.assert_array_equal(filled, expected)
    np.testing.assert_array_equal(filled[found.there], found.values[found.there])
    missing = ~found.there & np.logical_or.reduce(found.there, axis=1)[:, None]
    assert (filled[missing] != 0).all()
    stranger = replace(found, types=np.full(140, "never seen"))
    np.testing.assert_array_equal(imputer(stranger), found.values)


def test_filled_in_is_nearer_to_the_truth_than_zero() -> None:
    training = np.arange(100)
    sources = made()
    found = encoded(training, sources)
    hidden = found.keep(("wide", "words"))
    truth = found.owner == "genes"
    whole = np.logical_and.reduce(found.there, axis=1)
    rows = np.flatnonzero(whole & (np.arange(140) >= 100))
    filled = fit_imputer(found.take(training))(hidden)[np.ix_(rows, truth)]
    goal = found.values[np.ix_(rows, truth)]
    assert ((filled - goal) ** 2).mean() < 0.7 * (goal**2).mean()


@pytest.mark.parametrize(("have", "filled"), [(0, False), (2, False), (3, True)])
def test_only_what_more_than_a_twentieth_of_the_type_has_is_filled_in(have: int, filled: bool) -> None:
    """Of forty patients of type A two are 5 %."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(80, 1)), 2, axis=1) + 0.1 * rng.normal(size=(80, 2))
    there = np.ones((80, 2), dtype=bool)
    there[have:40, 1] = False
    types = np.array(["A"] * 40 + ["B"] * 40)
    blocks = Blocks(np.where(there, values, 0.0), there, types, np.array(["a", "b"]))
    found = fit_imputer(blocks)(blocks)
    assert (found[have:40, 1] != 0).all() == filled
    assert (found[have:40, 1] == 0).all() != filled
    np.testing.assert_array_equal(found[there], values[there])
