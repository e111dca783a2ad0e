"""Paired differences of methods against a direct calculation."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.downstream.differences import (
    COLUMNS,
    MethodPredictions,
    compare,
    every_difference,
    nearest,
    paired_difference,
    share_tested,
)
from prime.evaluation.fold_tests import corrected_paired_test, wilcoxon_folds
from prime.evaluation.metrics import auroc, concordance
from prime.splits.folds import Fold


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
    """Mean over cohorts of the mean over seeds of the folds pooled: right pairs over comparable pairs."""
    cohorts = []
    for _, mine in frame.groupby("cohort"):
        values = []
        for _, seed in mine.groupby("seed"):
            scores = []
            for _, part in seed.groupby("fold"):
                event, risk = part["event"].to_numpy(dtype=bool), part["risk"].to_numpy()
                time = part["time_days"].to_numpy()
                scores.append(auroc(event, risk) if binary else concordance(time, event, risk))
            right = sum(score.value * (score.pairs or 0) for score in scores)
            values.append(right / sum(score.pairs or 0 for score in scores))
        cohorts.append(np.mean(values))
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
    assert len(shared) == 77
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
    assert [cohort.risk.shape for cohort in MethodPredictions.of(moved[0], False, 5).cohorts] == [
        (40, 1),
        (40, 1),
    ]
    first = [frame[frame["seed"] == 0] for frame in (a, b)]
    assert paired_difference(*moved, False, 20) == paired_difference(*first, False, 20)


def test_a_fold_that_a_seed_could_not_fit_is_left_out() -> None:
    a, b = predictions(1), predictions(2)
    gap = (a["cohort"] == "A") & (a["fold"] == 1)
    partial = a[~(gap & (a["seed"] == 1))]
    found = paired_difference(partial, b, False, 20)
    assert found == paired_difference(a[~gap], b[~gap], False, 20)
    assert np.isfinite(found.value)


def scores_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of folds.csv of the primary metric."""
    rows: list[dict[str, Any]] = []
    for (label, cohort, fold, seed), part in frame.groupby(["label", "cohort", "fold", "seed"]):
        score = concordance(
            part["time_days"].to_numpy(), part["event"].to_numpy() == 1, part["risk"].to_numpy()
        )
        named = {"label": label, "cohort": cohort, "fold": fold, "seed": seed}
        rows.append(named | {"value": score.value, "pairs": score.pairs})
    return pd.DataFrame(rows)


def folds_of(train: int, validation: int, test: int) -> list[Fold]:
    return [
        Fold(cohort, fold, *(np.arange(count) for count in (train, validation, test)))
        for cohort in "AB"
        for fold in (0, 1)
    ]


def test_pairs_of_methods_are_compared_as_each_test_says() -> None:
    frames = {
        name: predictions(seed, noise=0.3 * seed).assign(label=name)
        for seed, name in ((1, "a"), (2, "b"), (9, "c"))
    }
    frame = pd.concat(frames.values(), ignore_index=True)
    scores, folds = scores_of(frame), folds_of(70, 10, 20)
    assert share_tested(folds) == pytest.approx(20 / 90)
    found = compare(frame, scores, [("a", "b"), ("c", "a")], folds, False, 100)
    assert list(zip(found["a"], found["b"], strict=True)) == [("a", "b"), ("c", "a")]
    values = scores.groupby(["label", "cohort", "fold"])["value"].mean()
    for row in found.itertuples():
        boot = paired_difference(frames[row.a], frames[row.b], False, 100)
        assert (row.difference, row.low, row.high, row.bootstrap_p) == (
            boot.value,
            boot.low,
            boot.high,
            boot.p_value,
        )
        one, other = values[row.a].to_numpy(), values[row.b].to_numpy()
        assert row.corrected_t_p == pytest.approx(corrected_paired_test(one - other, 20 / 90).p_value)
        assert row.wilcoxon_p == pytest.approx(wilcoxon_folds(one, other).p_value)
        assert row.folds == 4
    fewer_trained = compare(frame, scores, [("a", "b")], folds_of(20, 10, 70), False, 5)
    assert fewer_trained["corrected_t_p"][0] > found["corrected_t_p"][0]


def test_every_pair_of_a_setting_and_the_few_that_matter() -> None:
    """Three methods of which two are the same fit, at two shares; the best stands against the next."""
    modes = {"lp": predictions(1, noise=0.1), "lp_missing": predictions(1, noise=0.1), "ft": predictions(2)}
    shared = {"method": "prime", "init": "pretrained", "task": "os", "train_on": "everyone", "pattern": "all"}
    frames = [f.assign(**shared, mode=mode, share=share) for mode, f in modes.items() for share in (1, 0.5)]
    other = frames[0].assign(method="late_ridge", init="scratch", mode="fit", task="other")
    frame = pd.concat([*frames, other], ignore_index=True)
    keys = [*shared, "mode", "share"]
    parts = [
        scores_of(part.assign(label="x")).assign(**dict(zip(keys, key, strict=True)))
        for key, part in frame.groupby(keys, sort=False)
    ]
    scores = pd.concat(parts).assign(metric="c_index", test_on="everyone")
    noise = [scores.assign(**{key: "x"}) for key in ("metric", "test_on", "pattern")]
    folds = folds_of(70, 10, 20)
    fits: Any = [
        SimpleNamespace(task=SimpleNamespace(name=task), train_on="everyone", share=share, folds=folds)
        for task, share in (("os", 1.0), ("os", 0.5), ("other", 1.0))
    ]
    found = every_difference(
        lambda task: frame[frame["task"] == task], pd.concat([scores, *noise], ignore_index=True), fits, 20
    )
    assert list(found.columns) == ["task", "train_on", "share", "metric", *COLUMNS]
    assert len(found) == 2 * 3, "no pair where there is one method"
    whole = found[found["share"] == 1.0].set_index(["a", "b"])
    row = whole.loc[("prime pretrained lp", "prime pretrained ft")]
    boot = paired_difference(modes["lp"], modes["ft"], False, 20)
    assert (row["difference"], row["low"], row["high"]) == (boot.value, boot.low, boot.high)
    near = nearest(found)
    assert near["a"].tolist() == ["prime pretrained lp"] * 2
    assert near["b"].tolist() == ["prime pretrained ft"] * 2, "not against the one that is the same"
    turned = found.rename(columns={"a": "b", "b": "a", "low": "high", "high": "low"})
    turned[["difference", "low", "high"]] = -turned[["difference", "low", "high"]]
    again = nearest(turned[found.columns])
    assert again["difference"].tolist() == near["difference"].tolist()
    assert again["low"].tolist() == near["low"].tolist()
    assert nearest(found[:0]).empty
    assert nearest(found.assign(difference=np.nan)).empty
