"""The ridge methods over blocks: their features, what they learn from, and the mean of two of them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from prime.arrays import Indices
from prime.catalogue.methods import METHODS
from prime.errors import InputError
from prime.methods.interface import JointModel
from prime.methods.statistics.blocks import fit_blocks, fit_imputer
from prime.methods.statistics.cohort_heads import CohortHead, EndpointLabels
from prime.methods.statistics.design import (
    Design,
    annotation_inputs,
    filled,
    predict_annotations,
    scale_covariates,
)
from prime.methods.statistics.examples import Population
from prime.settings.methods import ComparisonConfig

Floats = NDArray[np.float64]
COUNT = 120
TRAINING = np.flatnonzero(np.arange(COUNT) % 5 != 0)
JOINT = [name for name, method in METHODS.items() if method.kind == "joint"]
TYPES = np.where(np.arange(COUNT) % 3 == 0, "B", "A")


def population(seed: int = 0) -> Population:
    """Two types, two sources that follow one factor, and two covariates."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=COUNT)
    sources: dict[str, tuple[Indices, Floats]] = {}
    for number, (name, dim) in enumerate((("genes", 8), ("notes", 6))):
        who = np.flatnonzero((np.arange(COUNT) + number) % 4 != 0)
        values = factor[:, None] * rng.normal(size=dim) + rng.normal(size=(COUNT, dim))
        if name == "notes":
            values = rng.poisson(np.exp(values / 2)).astype(np.float64)
        sources[name] = who, np.asarray(values[who])
    stage = np.clip(np.round(2 + factor), 1, 4)
    covariates = {"age": 60 + 8 * factor, "stage": np.where(rng.random(COUNT) < 0.2, np.nan, stage)}
    return Population(TYPES, {n: (lambda s=s: s) for n, s in sources.items()}, covariates, TRAINING)


def model(name: str, **settings: Any) -> JointModel:
    config = ComparisonConfig.model_validate({"settings": {name: settings}})
    return METHODS[name].build(config.method_settings(name), METHODS[name].covariates)


def design(name: str, **settings: Any) -> Design:
    method, people = model(name, **settings), population()
    return method.design(people, method.encode(people), 0)


def labels(binary: bool = False, seed: int = 0) -> list[EndpointLabels]:
    """Of the task, and of a second endpoint."""
    rng = np.random.default_rng(seed)
    time = rng.exponential(500, (2, COUNT))
    event, known = rng.random((2, COUNT)) < 0.6, rng.random((2, COUNT)) < 0.8
    return [
        EndpointLabels(1.0, known[0], time[0], event[0], binary),
        EndpointLabels(0.5, known[1], time[1], event[1], False),
    ]


# Features ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOINT)
def test_features_are_blocks_covariates_and_annotations_with_their_scales(name: str) -> None:
    scales = {"scale": 0.2, "scales": {"notes": 0.7, "annotations": 0.5}}
    own_sizes = {"components": 3, "sizes": {"notes": 2}, "annotation_components": 4}
    found = design(name, **own_sizes, word_counts=["notes"], **scales)
    settings: Any = model(name).settings
    people = population()
    counts = {"genes": 3, "notes": 2}
    more = {"genes": 4, "notes": 4} if settings.annotations else counts
    _, whole = fit_blocks(people, more, 0.5, ("notes",))
    np.testing.assert_array_equal(found.blocks.values, whole.values)
    _, blocks = fit_blocks(people, counts, 0.5, ("notes",))
    np.testing.assert_allclose(whole.first(counts).values, blocks.values, rtol=1e-9, atol=1e-12)
    imputer = fit_imputer(blocks.take(TRAINING)) if settings.impute else None
    rows = np.setdiff1d(np.arange(COUNT), TRAINING)
    parts = [filled(blocks, imputer)]
    owner, scale = ["genes"] * 3 + ["notes"] * 2, [0.2] * 3 + [0.7] * 2
    table = np.stack(list(people.covariates.values()), axis=1)
    if METHODS[name].covariates:
        parts.append(scale_covariates(people)(people.covariates, TYPES))
        owner, scale = [*owner, "covariates", "covariates"], [*scale, 1.0, 1.0]
    if settings.annotations:
        x = annotation_inputs(whole, parts[0])
        assert x.shape == (COUNT, 8 + 5)
        each = np.array([0.2] * 4 + [0.7] * 4 + [0.2] * 3 + [0.7] * 2)
        own = predict_annotations(x, TYPES, table, 15 / each**2, TRAINING, 0)
        assert own is not None
        parts.append(own[0](x))
        owner, scale = [*owner, "annotations", "annotations"], [*scale, 0.5, 0.5]
    assert found.map.owner == tuple(owner)
    np.testing.assert_array_equal(found.scale, scale)
    features = found.features(rows, ("genes", "notes"))
    np.testing.assert_allclose(features, np.concatenate(parts, axis=1)[rows], rtol=1e-8, atol=1e-12)


def test_annotations_that_the_cohort_lacks_are_left_out() -> None:
    for wanted, count in ((["stage", "grade"], 1), (["grade"], 0), ([], 0)):
        found = design("block_ridge", annotations=wanted)
        assert found.map.owner.count("annotations") == count
        assert (found.map.annotations is None) == (count == 0)


def test_what_decides_blocks_and_designs_is_told() -> None:
    """Fits whose answers agree share what they say."""
    plain = model("block_ridge")
    for change in ({"components": 3}, {"sizes": {"genes": 2}}, {"word_counts": ["notes"]}):
        assert model("block_ridge", **change).encoding != plain.encoding
    assert model("block_ridge", spectrum_power=0.1).encoding != plain.encoding
    assert model("block_ridge", distributions=["genes"]).encoding != plain.encoding
    for change in ({"scale": 0.2}, {"scales": {"genes": 1.0}}, {"impute": True}, {"annotation_penalty": 1.0}):
        assert model("block_ridge", **change).encoding == plain.encoding
        assert model("block_ridge", **change).designing != plain.designing
    assert model("block_ridge", annotation_components=5).encoding == plain.encoding
    annotated = model("block_ridge", annotations=["age"])
    assert annotated.encoding != plain.encoding
    assert annotated.designing != plain.designing
    assert model("block_ridge", annotations=["age"], annotation_components=5).encoding != annotated.encoding
    assert model("block_ridge_clinical").designing != plain.designing
    other = model("block_ridge", penalty=1.0, binary_penalty=1.0)
    assert (other.encoding, other.designing) == (plain.encoding, plain.designing)


@pytest.mark.parametrize(
    "settings",
    [{"sizes": {"gens": 2}}, {"word_counts": ["gens"]}, {"distributions": ["gens"]}, {"scales": {"gens": 1}}],
)
@pytest.mark.parametrize("name", ["block_ridge", "shared_ridge"])
def test_an_unknown_source_is_told_by_its_name(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"name gens, which the cohort lacks; it has genes, notes$"):
        model(name, **settings).encode(population())
    model(name, scales={"covariates": 1, "annotations": 1, "genes": 1}).encode(population())


@pytest.mark.parametrize("key", ["scale", "penalty", "binary_penalty", "annotation_penalty"])
def test_scales_and_penalties_are_above_zero(key: str) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        model("block_ridge", **{key: 0})


# What is learned --------------------------------------------------------------------------------------------


def test_endpoints_beside_the_task() -> None:
    alone = model("block_ridge_imputed")
    assert alone.endpoints("os", False) == alone.endpoints("os", True) == {}
    shared = model("shared_ridge", endpoints={"os": 0.9, "pfi": 0.5, "dss": 0.25}, time_weight=0.3)
    assert shared.endpoints("os", False) == {"pfi": 0.5, "dss": 0.25}
    assert shared.endpoints("pfi", False) == {"os": 0.9, "dss": 0.25}
    assert model("shared_ridge", endpoints={}).endpoints("os", False) == {}
    assert model("shared_ridge", endpoints={}, time_weight=0.3).endpoints("os", True) == {"os": 0.3}
    assert model("shared_ridge", endpoints={"pfi": 0.5}, time_weight=0).endpoints("os", True) == {}


def heads(name: str, binary: bool, **settings: Any) -> CohortHead:
    x = np.random.default_rng(5).normal(size=(COUNT, 4))
    scale = np.array([1.0, 0.5, 2.0, 1.0])
    return model(name, **settings).head(scale, binary)(x, TYPES, labels(binary), TRAINING)


@pytest.mark.parametrize("binary", [False, True])
def test_each_kind_of_task_has_its_penalty(binary: bool) -> None:
    """Penalties shrink: the other kind's does nothing."""
    key, other = ("binary_penalty", "penalty") if binary else ("penalty", "binary_penalty")
    usual = heads("block_ridge", binary)
    np.testing.assert_array_equal(heads("block_ridge", binary, **{other: 1.0}).shared, usual.shared)
    assert np.abs(heads("block_ridge", binary, **{key: 1e9}).shared).max() < 1e-6
    assert heads("block_ridge", binary).own == {}
    assert set(heads("shared_ridge", binary).own) == {"A", "B"}
    for key in ("shared_penalty", "deviation_penalty"):
        assert not np.array_equal(
            heads("shared_ridge", binary, **{key: 1.0}).own["A"], heads("shared_ridge", binary).own["A"]
        )
    far = heads("shared_ridge", binary, deviation_penalty=1e9)
    np.testing.assert_allclose(far.own["A"], far.shared, atol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_the_average_is_that_of_both_standardised_scores(binary: bool) -> None:
    x = np.random.default_rng(5).normal(size=(COUNT, 4))
    scale = np.array([1.0, 0.5, 2.0, 1.0])
    both = labels(binary)
    average = model("ridge_average").head(scale, binary)(x, TYPES, both, TRAINING)
    shared = model("shared_ridge").head(scale, binary)(x, TYPES, both, TRAINING)
    found = average(x, TYPES)
    for name in "AB":
        rows = np.char.equal(TYPES, name)
        train = TRAINING[rows[TRAINING]]
        alone = model("block_ridge").head(scale, binary)(x, TYPES, both[:1], train)
        scores = [head(x, TYPES) for head in (alone, shared)]
        expected = np.mean([score / score[train].std() for score in scores], axis=0)
        np.testing.assert_allclose(found[rows], expected[rows], rtol=1e-9)
    spread = (x[TRAINING] @ shared.shared).std()
    np.testing.assert_allclose(average.shared, shared.shared / spread, rtol=1e-12)


def test_a_type_without_labels_has_a_score_of_the_average_too() -> None:
    x = np.random.default_rng(5).normal(size=(COUNT, 4))
    nothing = np.zeros(COUNT, dtype=bool)
    for silent in (np.char.equal(TYPES, "B"), ~nothing):
        both = [EndpointLabels(e.weight, e.known & ~silent, e.time_days, e.event, e.binary) for e in labels()]
        head = model("ridge_average").head(np.ones(4), False)(x, TYPES, both, TRAINING)
        found = head(x, TYPES)
        assert np.isfinite(found).all()
        assert (found[np.char.equal(TYPES, "B")] != 0).all() == (not silent.all())
