"""Averages of the tables against plain loops; paired differences against a direct calculation."""

import numpy as np
import pandas as pd
import pytest

from prime.evaluation.comparison import paired_bootstrap
from prime.evaluation.metrics import auroc, concordance
from prime.study.averages import cohort_means, fold_means, macro_means, paired_cohorts, paired_difference

COHORTS = {"A": 3, "B": 4, "C": 2}


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two labels, three cohorts of unequal folds, three seeds; some folds undefined."""
    rng = np.random.default_rng(3)
    rows = [
        {"label": label, "cohort": cohort, "fold": fold, "seed": seed, "value": rng.uniform(0.4, 0.8)}
        for label in ("x", "y")
        for seed in (0, 1, 2)
        for cohort, folds in COHORTS.items()
        for fold in range(folds)
    ]
    frame = pd.DataFrame(rows).assign(n=20, events=5)
    undefined = (frame["cohort"] == "B") & (frame["fold"] == 3)  # for every seed
    undefined |= (frame["cohort"] == "A") & (frame["fold"] == 1) & (frame["seed"] == 2)
    return frame.assign(value=frame["value"].mask(undefined))


def by_hand(scores: pd.DataFrame, label: str) -> dict[str, list[float]]:
    """The seed-averaged values of each cohort's defined folds."""
    found: dict[str, list[float]] = {}
    for cohort, folds in COHORTS.items():
        for fold in range(folds):
            values = [
                row.value
                for row in scores.itertuples()
                if (row.label, row.cohort, row.fold) == (label, cohort, fold) and row.value == row.value
            ]
            if values:
                found.setdefault(cohort, []).append(sum(values) / len(values))
    return found


def test_cohort_means(scores: pd.DataFrame) -> None:
    found = cohort_means(scores, ["label"]).set_index(["label", "cohort"])
    assert len(found) == 6
    for label in ("x", "y"):
        for cohort, values in by_hand(scores, label).items():
            row = found.loc[(label, cohort)]
            assert row["mean"] == pytest.approx(np.mean(values))
            assert row["std"] == pytest.approx(np.std(values, ddof=1))
            assert row["folds"] == len(values)
    assert found.loc[("x", "B"), "folds"] == 3, "a fold undefined for every seed is not counted"
    assert found.loc[("x", "A"), "folds"] == 3, "one seed's undefined fold is averaged over the others"


def test_fold_means_keep_undefined_folds(scores: pd.DataFrame) -> None:
    found = fold_means(scores, ["label"])
    assert len(found) == 2 * sum(COHORTS.values())
    assert found["value"].isna().sum() == 2


def test_macro_means(scores: pd.DataFrame) -> None:
    found = macro_means(scores, ["label"]).set_index("label")
    for label in ("x", "y"):
        means = [np.mean(values) for values in by_hand(scores, label).values()]
        row = found.loc[label]
        assert row["mean"] == pytest.approx(np.mean(means))
        assert row["std_cohorts"] == pytest.approx(np.std(means, ddof=1))
        seeds = []
        for seed in (0, 1, 2):
            alone = by_hand(scores[scores["seed"] == seed], label)
            seeds.append(np.mean([np.mean(values) for values in alone.values()]))
        assert row["std_seeds"] == pytest.approx(np.std(seeds, ddof=1))
        assert (row["cohorts"], row["seeds"]) == (3, 3)


def test_the_interval_draws_folds_within_cohorts(scores: pd.DataFrame) -> None:
    """All draws of a small case can be written down: their quantiles are the interval's limits."""
    found = macro_means(scores, ["label"], replicates=40_000).set_index("label").loc["x"]
    rng = np.random.default_rng(99)
    groups = by_hand(scores, "x").values()
    draws = [np.mean([rng.choice(values, len(values)).mean() for values in groups]) for _ in range(8_000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found["low"] == pytest.approx(low, abs=0.004)
    assert found["high"] == pytest.approx(high, abs=0.004)
    assert found["low"] < found["mean"] < found["high"]
    again = macro_means(scores, ["label"], replicates=40_000).set_index("label").loc["x"]
    assert (again["low"], again["high"]) == (found["low"], found["high"])


def test_one_seed_and_one_cohort_have_no_spread(scores: pd.DataFrame) -> None:
    one = scores[(scores["seed"] == 0) & (scores["cohort"] == "A") & (scores["fold"] == 0)]
    row = macro_means(one, ["label"]).iloc[0]
    assert row["mean"] == one["value"].iloc[0]
    assert (row["cohorts"], row["seeds"]) == (1, 1)
    assert row[["std_cohorts", "std_seeds", "low", "high"]].isna().all()


def test_cohorts_without_a_value_are_left_out(scores: pd.DataFrame) -> None:
    gone = scores.assign(value=scores["value"].mask(scores["cohort"] == "B"))
    row = macro_means(gone, ["label"]).set_index("label").loc["x"]
    assert row["cohorts"] == 2
    values = by_hand(gone, "x")
    assert row["mean"] == pytest.approx(np.mean([np.mean(values["A"]), np.mean(values["C"])]))
    nothing = macro_means(gone[gone["cohort"] == "B"], ["label"])
    assert nothing["mean"].isna().all()
    assert (nothing["cohorts"] == 0).all()


def test_no_scores_give_no_rows(scores: pd.DataFrame) -> None:
    assert list(macro_means(scores[:0], ["label"]).columns) == list(macro_means(scores, ["label"]).columns)


# Paired differences -----------------------------------------------------------------------------------------


def predictions(seed: int, seeds: tuple[int, ...] = (0, 1), noise: float = 1.0) -> pd.DataFrame:
    """Risks of eighty patients of two cohorts in two folds, the same for every seed."""
    facts = np.random.default_rng(11)
    time, event = facts.exponential(size=80) * 100 + 1, facts.random(80) < 0.6
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "patient_id": [f"p{i:02d}" for i in range(80)],
                "cohort": ["A", "B"] * 40,
                "fold": np.arange(80) // 2 % 2,
                "seed": number,
                "event": event.astype(int),
                "time_days": time,
                "risk": -np.log(time) + noise * rng.normal(size=80),
            }
        )
        for number in seeds
    ]
    return pd.concat(frames, ignore_index=True)


def macro(frame: pd.DataFrame, binary: bool) -> float:
    """Mean over cohorts of the mean over folds of the mean over seeds."""
    cohorts = []
    for _, mine in frame.groupby("cohort"):
        folds = []
        for _, fold in mine.groupby("fold"):
            values = []
            for _, part in fold.groupby("seed"):
                event, risk = part["event"].to_numpy(dtype=bool), part["risk"].to_numpy()
                score = (
                    auroc(event, risk) if binary else concordance(part["time_days"].to_numpy(), event, risk)
                )
                values.append(score.value)
            folds.append(np.mean(values))
        cohorts.append(np.mean(folds))
    return float(np.mean(cohorts))


@pytest.mark.parametrize("binary", [False, True])
def test_the_difference_is_that_of_the_macro_averages(binary: bool) -> None:
    a, b = predictions(1, noise=0.3), predictions(2, seeds=(0, 1, 2), noise=2.0)
    found = paired_difference(a, b, binary, replicates=50)
    assert found.value == pytest.approx(macro(a, binary) - macro(b, binary))
    assert found.low < found.value < found.high
    swapped = paired_difference(b, a, binary, replicates=50)
    assert swapped.value == pytest.approx(-found.value)


def test_a_method_does_not_differ_from_itself() -> None:
    found = paired_difference(predictions(1), predictions(1), False, replicates=50)
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_interval_against_plain_resampling() -> None:
    """Patients are drawn within each fold of each cohort, the same for both methods."""
    a, b = predictions(1, seeds=(0,), noise=0.5), predictions(2, seeds=(0,), noise=1.5)
    found = paired_difference(a, b, False, replicates=2000)
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(250):
        rows = np.concatenate(
            [rng.choice(part.index, len(part)) for _, part in a.groupby(["cohort", "fold"])]
        )
        draws.append(macro(a.loc[rows], False) - macro(b.loc[rows], False))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.03)
    assert found.high == pytest.approx(high, abs=0.03)


def test_only_patients_of_both_methods_count() -> None:
    a, b = predictions(1), predictions(2)
    mine, other = a[a["patient_id"] != "p03"], b[~b["patient_id"].isin(["p08", "p10"])]
    shared = set(mine["patient_id"]) & set(other["patient_id"])
    assert sum(len(group.event) for group in paired_cohorts(mine, other, False)) == len(shared) == 77
    both = [frame[frame["patient_id"].isin(shared)] for frame in (a, b)]
    assert paired_difference(mine, other, False, 5) == paired_difference(both[0], both[1], False, 5)


def test_a_cohort_of_one_method_alone_does_not_count() -> None:
    a, b = predictions(1), predictions(2)
    found = paired_difference(a, b[b["cohort"] == "A"], False, 5)
    assert found == paired_difference(a[a["cohort"] == "A"], b[b["cohort"] == "A"], False, 5)


def test_seeds_with_folds_of_their_own_fall_back_to_one() -> None:
    a, b = predictions(1), predictions(2)
    moved = [
        frame.assign(fold=frame["fold"].where(frame["seed"] == 0, 1 - frame["fold"])) for frame in (a, b)
    ]
    found = paired_cohorts(moved[0], moved[1], False)
    assert [group.risk_a.shape for group in found] == [(40, 1), (40, 1)]
    first = [frame[frame["seed"] == 0] for frame in (a, b)]
    assert paired_difference(moved[0], moved[1], False, 20) == paired_bootstrap(
        "concordance", paired_cohorts(first[0], first[1], False), 20
    )


def test_a_fold_that_a_seed_could_not_fit_is_left_out() -> None:
    a, b = predictions(1), predictions(2)
    gap = (a["cohort"] == "A") & (a["fold"] == 1)
    partial = a[~(gap & (a["seed"] == 1))]
    found = paired_difference(partial, b, False, 20)
    assert found == paired_difference(a[~gap], b[~gap], False, 20)
    assert np.isfinite(found.value)
