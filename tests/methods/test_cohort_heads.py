"""Heads of cohorts: a stratified fit, endpoints that add up, and scores that nobody's own label made."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prime.evaluation.cox import partial_likelihood
from prime.methods.statistics.cohort_heads import (
    CohortHead,
    EndpointLabels,
    FitHead,
    OwnHead,
    SharedHead,
    evidence_by_type,
    held_out_scores,
)
from prime.methods.statistics.shared_weights import cox_evidence, logistic_evidence, shared_weights

Floats = NDArray[np.float64]
COUNT = 120
SCALE = np.array([1.0, 0.5, 2.0])
TYPES = np.where(np.arange(COUNT) % 3 == 0, "B", "A")
ROWS = np.flatnonzero(np.arange(COUNT) % 5 != 0)
HEADS: list[FitHead] = [OwnHead(5.0, SCALE), SharedHead(3.0, 9.0, SCALE)]


def features(seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(COUNT, 3))


def labels(seed: int = 0, weight: float = 1.0, binary: bool = False, **changes: Any) -> EndpointLabels:
    """Labels of all but a fifth of the patients."""
    rng = np.random.default_rng(seed + 10)
    time = np.ceil(20 * rng.exponential(size=COUNT) * np.exp(-features()[:, 0] - 0.5 * (TYPES == "B")))
    known = rng.random(COUNT) < 0.8
    given = EndpointLabels(weight, known, time, rng.random(COUNT) < 0.6, binary)
    return replace(given, **changes)


def flipped(given: EndpointLabels, patients: list[int]) -> EndpointLabels:
    """With another label for these."""
    event, time = given.event.copy(), given.time_days.copy()
    event[patients] = ~event[patients]
    time[patients] += 17.0
    return EndpointLabels(given.weight, given.known, time, event, given.binary)


def same(a: CohortHead, b: CohortHead) -> bool:
    return np.array_equal(a.shared, b.shared) and all(np.array_equal(a.own[k], b.own[k]) for k in a.own)


def test_one_ridge_over_types_is_stratified_by_them() -> None:
    """The first Newton step on the likelihood in which patients are compared within their type alone."""
    x, endpoint = features(), labels()
    head = OwnHead(5.0, SCALE)(x, TYPES, [endpoint], ROWS)
    mine = ROWS[endpoint.known[ROWS]]
    found = partial_likelihood(x[mine], endpoint.time_days[mine], endpoint.event[mine], strata=TYPES[mine])(
        np.zeros(3)
    )
    expected = np.linalg.solve(found.information + np.diag(5.0 / SCALE**2), found.gradient)
    np.testing.assert_allclose(head.shared, expected, rtol=1e-9)
    assert head.own == {}
    pooled = partial_likelihood(x[mine], endpoint.time_days[mine], endpoint.event[mine])(np.zeros(3))
    assert np.abs(pooled.gradient - found.gradient).max() > 0.1


def test_a_shared_head_is_shared_weights_of_each_types_evidence() -> None:
    x, endpoint = features(), labels()
    head = SharedHead(3.0, 9.0, SCALE)(x, TYPES, [endpoint], ROWS)
    evidence = {}
    for name in "AB":
        mine = ROWS[(TYPES[ROWS] == name) & endpoint.known[ROWS]]
        evidence[name] = cox_evidence(x[mine], endpoint.time_days[mine], endpoint.event[mine])
    weight, own = shared_weights(evidence, 3.0, 9.0, SCALE)
    np.testing.assert_array_equal(head.shared, weight)
    assert set(head.own) == {"A", "B"}
    for name, expected in own.items():
        np.testing.assert_array_equal(head.own[name], expected)
    types = np.where(np.arange(COUNT) % 2, TYPES, "never seen")
    scores = head(x, types)
    for i in range(COUNT):
        assert scores[i] == pytest.approx(x[i] @ head.own.get(str(types[i]), head.shared))


def test_endpoints_of_both_kinds_add_up_with_their_weights() -> None:
    x = features()
    first, second = labels(0, 1.0, binary=True), labels(1, 0.4)
    found = evidence_by_type(x, TYPES, [first, second], ROWS)
    assert set(found) == {"A", "B"}
    for name, total in found.items():
        own = ROWS[TYPES[ROWS] == name]
        a, b = own[first.known[own]], own[second.known[own]]
        label = logistic_evidence(x[a], first.event[a])
        time = cox_evidence(x[b], second.time_days[b], second.event[b])
        np.testing.assert_allclose(total.score, label.score + 0.4 * time.score)
        np.testing.assert_allclose(total.information, label.information + 0.4 * time.information)


def test_the_times_of_labels_do_not_matter() -> None:
    first = labels(binary=True)
    other = labels(binary=True, time_days=np.full(COUNT, np.nan))
    for head in HEADS:
        assert same(*(head(features(), TYPES, [given], ROWS) for given in (first, other)))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_who_is_unlabelled_or_not_among_the_rows_does_not_matter(head: FitHead, binary: bool) -> None:
    first = labels(binary=binary)
    outside = sorted({*np.flatnonzero(~first.known).tolist(), *(set(range(COUNT)) - set(ROWS.tolist()))})
    x = features()
    moved = x.copy()
    moved[outside] = 1e3
    before = head(x, TYPES, [first], ROWS)
    time = flipped(first, outside).time_days
    time[~first.known] = np.nan
    other = EndpointLabels(1.0, first.known, time, flipped(first, outside).event, binary)
    assert same(before, head(moved, TYPES, [other], ROWS))
    inside = int(np.flatnonzero(first.known & np.isin(np.arange(COUNT), ROWS))[0])
    assert not same(before, head(x, TYPES, [flipped(first, [inside])], ROWS))


def test_without_a_label_all_weights_are_zero() -> None:
    for binary in (False, True):
        nothing = labels(known=np.zeros(COUNT, dtype=bool), binary=binary)
        for head in HEADS:
            found = head(features(), TYPES, [nothing], ROWS)
            assert (found(features(), TYPES) == 0).all()


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_a_held_out_score_does_not_know_its_own_label(head: FitHead, binary: bool) -> None:
    x, first = features(), labels(binary=binary)
    before = held_out_scores(head, x, TYPES, [first], ROWS, 4)
    part = np.random.default_rng(4).permutation(len(ROWS)) % 5
    for place in np.flatnonzero(first.known[ROWS])[[0, 20, 50]]:
        after = held_out_scores(head, x, TYPES, [flipped(first, [int(ROWS[place])])], ROWS, 4)
        mates = part == part[place]
        np.testing.assert_array_equal(after[mates], before[mates])
        assert (after[~mates] != before[~mates]).mean() > 0.9


def test_held_out_scores_are_those_of_heads_without_the_part() -> None:
    x, first = features(), labels()
    part = np.random.default_rng(4).permutation(len(ROWS)) % 3
    found = held_out_scores(HEADS[1], x, TYPES, [first], ROWS, 4, part)
    for number in range(3):
        held = ROWS[part == number]
        head = HEADS[1](x, TYPES, [first], ROWS[part != number])
        np.testing.assert_array_equal(found[part == number], head(x[held], TYPES[held]))
    drawn = held_out_scores(HEADS[1], x, TYPES, [first], ROWS, 4)
    five = np.random.default_rng(4).permutation(len(ROWS)) % 5
    np.testing.assert_array_equal(drawn, held_out_scores(HEADS[1], x, TYPES, [first], ROWS, 0, five))
    few = ROWS[:3]
    assert np.isfinite(held_out_scores(HEADS[1], x, TYPES, [first], few, 4)).all()
