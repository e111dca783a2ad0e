"""Averages of the tables against plain loops."""

import numpy as np
import pandas as pd
import pytest

from prime.evaluation.averages import fold_means
from prime.study.averages import cohort_means, entries, macro_means, one_entry_each

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
    frame = pd.DataFrame(rows).assign(n=20, events=5, pairs=None, note=None)
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


def test_both_averages_weigh_folds_by_their_pairs(scores: pd.DataFrame) -> None:
    weighed = scores.assign(pairs=1 + 10 * scores["fold"])
    means = cohort_means(weighed, ["label"]).set_index(["label", "cohort"])
    expected = []
    for cohort in COHORTS:
        mine = weighed[(weighed["label"] == "x") & (weighed["cohort"] == cohort)]
        folds = mine.dropna(subset="value").groupby("fold")[["value", "pairs"]].mean()
        expected.append(np.average(folds["value"], weights=folds["pairs"]))
        row = means.loc[("x", cohort)]
        assert row["mean"] == pytest.approx(expected[-1])
        assert row["fold_mean"] == pytest.approx(folds["value"].mean())
        assert (row["pairs"], row["fewest_pairs"]) == (folds["pairs"].sum(), 1)
    macro = macro_means(weighed, ["label"]).set_index("label").loc["x"]
    assert macro["mean"] == pytest.approx(np.mean(expected))
    plain = macro_means(scores, ["label"]).set_index("label").loc["x"]
    assert macro["fold_mean"] == pytest.approx(plain["mean"]) == plain["fold_mean"]


def test_methods_with_the_same_values_are_one_entry(scores: pd.DataFrame) -> None:
    x, y = (scores[scores["label"] == label].assign(task="os") for label in ("x", "y"))
    labels = {
        "Pretrained LP": x,
        "Scratch LP": y,
        "Pretrained LP+Missing": x,
        "Late": y.assign(value=y["value"] + 1e-9),
    }
    frame = pd.concat([part.assign(label=label) for label, part in labels.items()], ignore_index=True)
    named = entries(frame)
    assert list(named.values()) == ["Pretrained LP = LP+Missing"] * 2 + ["Scratch LP", "Late"]
    shown = one_entry_each(frame, named)
    assert shown["label"].unique().tolist() == ["Pretrained LP = LP+Missing", "Scratch LP", "Late"]
    assert len(shown) == 3 * len(x)
    other = pd.concat([frame, x.assign(label="Pretrained LP", task="early")])
    assert set(entries(other).values()) == set(labels), "one was not tested in a task of the other"
    both = frame[frame["label"] != "Pretrained LP+Missing"].replace({"label": {"Late": "Early"}})
    same = pd.concat([both, x.assign(label="Late")])
    assert set(entries(same).values()) == {"Pretrained LP = Late", "Scratch LP", "Early"}
