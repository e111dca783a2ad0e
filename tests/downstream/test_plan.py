"""Whom a fold sets aside, and whose labels serve beside a fold's own."""

import numpy as np
import pytest

from prime.downstream.plan import Plan, _others  # pyright: ignore[reportPrivateUsage]
from prime.splits.folds import Fold


def fold(cohort: str, number: int, *tested: int) -> Fold:
    """A fold that tests these patients; who trains does not matter here."""
    return Fold(cohort, number, np.array([90]), np.array([91]), np.array(tested))


FOLDS = {
    ("os", 0): [fold("A", 0, 1, 2), fold("A", 1, 3), fold("B", 0, 11), fold("B", 1, 12)],
    ("early", 0): [fold("A", 0, 2, 4), fold("B", 0, 11, 13), fold("B", 1, 14)],
    ("os", 7): [fold("A", 0, 5, 6), fold("B", 0, 15)],
}
PLAN = Plan((), FOLDS, {})


@pytest.mark.parametrize(
    ("seed", "cohort", "number", "own", "aside"),
    [
        (0, "A", 0, [1, 2, 4], [1, 2, 4, 11, 13]),
        (0, "B", 0, [11, 13], [1, 2, 4, 11, 13]),
        (0, "B", 1, [12, 14], [3, 12, 14]),
        (7, "B", 0, [15], [5, 6, 15]),
    ],
)
def test_whoever_any_task_tests_in_any_cohort_is_set_aside(
    seed: int, cohort: str, number: int, own: list[int], aside: list[int]
) -> None:
    assert PLAN.tested(seed, fold(cohort, number)).tolist() == own
    assert PLAN.set_aside(seed, fold(cohort, number)).tolist() == aside


def test_an_external_fold_stands_alone() -> None:
    folds = {
        ("os", 0): [fold("A>B", 0, 11, 12), fold("B>A", 0, 1, 2)],
        ("early", 0): [fold("A>B", 0, 12, 13), fold("B>A", 0, 2)],
    }
    plan = Plan((), folds, {})
    assert plan.set_aside(0, fold("A>B", 0)).tolist() == [11, 12, 13]
    assert plan.set_aside(0, fold("B>A", 0)).tolist() == [1, 2]
    assert fold("A+C>B", 0).external
    assert not fold("A", 0).external


def test_others_are_folds_of_the_same_numbers_in_other_cohorts() -> None:
    able = [
        fold("A", 0),
        fold("A", 1),
        fold("B", 1),
        fold("B", 2),
        fold("C", 0),
        fold("A>B", 0),
        fold("D", 4),
    ]
    found = _others((able[0], able[1]), able)
    assert [(f.cohort, f.fold) for f in found] == [("B", 1), ("C", 0)]
    assert [(f.cohort, f.fold) for f in _others((able[2],), able)] == [("A", 1)]
    assert _others((able[5],), able) == ()
    assert _others((), able) == ()


def test_labelled_are_those_who_train_and_validate() -> None:
    both = Fold("A", 0, np.array([2, 9]), np.array([1, 5]), np.array([3]))
    assert both.labelled.tolist() == [1, 2, 5, 9]
