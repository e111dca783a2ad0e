"""Means over folds, seeds and cohorts, and what is printed beside them."""

import numpy as np
import pandas as pd
import pytest

from prime.errors import InputError
from prime.evaluation.averages import CONSTANT
from prime.evaluation.summary import (
    FOLD_COLUMNS,
    POOLED_COLUMNS,
    SETTING,
    SUMMARY_COLUMNS,
    macro_table,
    primary_macro,
    summarise,
)


def row(cohort: str, fold: int, value: float, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "method": "prime",
        "init": "pretrained",
        "mode": "lp",
        "train_on": "everyone",
        "share": 1.0,
        "task": "os",
        "cohort": cohort,
        "fold": fold,
        "seed": 0,
        "pattern": "all",
        "test_on": "everyone",
        "metric": "c_index",
        "value": value,
        "n": 50,
        "events": 20,
        "pairs": None,
        "reason": None,
        "note": None,
    }
    return base | changes


def pick(summary: pd.DataFrame, cohort: str) -> pd.Series:
    found = summary[summary["cohort"] == cohort]
    assert len(found) == 1
    return found.iloc[0]


def test_folds_then_cohorts_by_hand() -> None:
    rows = [row("A", fold, value) for fold, value in enumerate([0.6, 0.7, 0.8])]
    rows += [row("B", fold, value) for fold, value in enumerate([0.4, 0.5])]
    summary = summarise(pd.DataFrame(rows))
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert summary["cohort"].tolist() == ["A", "B", "macro"]
    a, macro = pick(summary, "A"), pick(summary, "macro")
    assert a["mean"] == pytest.approx(0.7)
    assert a["std"] == pytest.approx(0.1)
    assert (a["n_folds"], a["n"], a["events"]) == (3, 150, 60)
    assert macro["mean"] == pytest.approx((0.7 + 0.45) / 2)  # of cohorts, not of the five folds
    assert macro["std"] == pytest.approx(np.std([0.7, 0.45], ddof=1))
    assert (macro["n_folds"], macro["n_cohorts"], macro["n"]) == (5, 2, 250)


def test_folds_count_by_their_comparable_pairs() -> None:
    """A fold with one negative: 0.2 on 29 pairs beside 0.8 on 171 is 0.713 and not one half."""
    rows = [row("A", 0, 0.2, pairs=29), row("A", 1, 0.8, pairs=171), row("B", 0, 0.6, pairs=7)]
    summary = summarise(pd.DataFrame(rows))
    a, b, macro = (pick(summary, name) for name in ("A", "B", "macro"))
    assert a["mean"] == pytest.approx((0.2 * 29 + 0.8 * 171) / 200)
    assert a["fold_mean"] == pytest.approx(0.5)
    assert (a["pairs"], a["fewest_pairs"]) == (200, 29)
    assert macro["mean"] == pytest.approx((0.713 + 0.6) / 2)
    assert macro["fold_mean"] == pytest.approx(0.55)
    assert macro["std"] == pytest.approx(np.std([0.713, 0.6], ddof=1))
    assert a["std"] == pytest.approx(np.std([0.2, 0.8], ddof=1)), "over folds it says how folds differ"
    assert b["note"] == macro["note"] == "a fold with 7 comparable pairs"
    assert a["note"] is None
    assert np.isnan(pick(summarise(pd.DataFrame([row("A", 0, 0.6)])), "A")["pairs"])


def test_the_interval_draws_folds_with_their_pairs() -> None:
    """Of two folds a quarter of the draws are twice the one, a quarter twice the other, half both."""
    rows = [row("A", 0, 0.2, pairs=29), row("A", 1, 0.8, pairs=171)]
    a = pick(summarise(pd.DataFrame(rows)), "A")
    assert (a["low"], a["high"]) == pytest.approx((0.2, 0.8))
    rows = [
        row("A", fold, value, pairs=pairs) for fold, (value, pairs) in enumerate([(0.5, 1)] + [(0.8, 99)] * 9)
    ]
    a = pick(summarise(pd.DataFrame(rows)), "A")
    assert a["low"] > 0.79, "the fold with one pair hardly counts, however often it is drawn"


def test_seeds_with_folds_of_their_own_count_by_their_pairs() -> None:
    rows = [row("A", 0, 0.0, pairs=1), row("A", 0, 0.7, seed=1, pairs=99), row("A", 1, 0.5, pairs=50)]
    a = pick(summarise(pd.DataFrame(rows)), "A")
    first, weight = 0.7 * 99 / 100, (1 + 99) / 2
    assert a["mean"] == pytest.approx((first * weight + 0.5 * 50) / (weight + 50))
    assert a["fold_mean"] == pytest.approx((0.35 + 0.5) / 2)
    by_seed = [(0.0 * 1 + 0.5 * 50) / 51, 0.7]
    assert a["std_seeds"] == pytest.approx(np.std(by_seed, ddof=1))


def test_constant_predictions_are_counted() -> None:
    rows = [row("A", 0, 0.5, note=CONSTANT), row("A", 1, 0.7), row("B", 0, 0.5, note=CONSTANT)]
    rows += [row("A", 0, 0.6, seed=1), row("B", 0, 0.5, note=CONSTANT, seed=1)]
    summary = summarise(pd.DataFrame(rows))
    a, b, macro = (pick(summary, name) for name in ("A", "B", "macro"))
    assert [found["constant_folds"] for found in (a, b, macro)] == [0, 1, 1], "with every seed"
    assert b["note"] == "constant prediction in 1 of 1 folds"
    assert macro["note"] == "constant prediction in 1 of 3 folds"


def test_p_values_have_no_mean() -> None:
    """A metric with one value in a cohort: the macro row counts the cohorts that are compatible at 5%."""
    setting = {name: row("A", 0, 0.0)[name] for name in SETTING} | {"metric": "d_calibration_p"}
    facts = {"n": 100, "events": 40, "n_folds": 5, "n_seeds": 3}
    values = {"B": 0.05, "A": 0.04, "C": float("nan"), "D": 0.9}
    pooled = pd.DataFrame(
        [
            setting | facts | {"cohort": name, "value": value, "reason": None if value == value else "nobody"}
            for name, value in values.items()
        ],
        columns=list(POOLED_COLUMNS),
    )
    summary = summarise(pd.DataFrame([row("A", 0, 0.6)]), pooled)
    summary = summary[summary["metric"] == "d_calibration_p"].set_index("cohort")
    assert list(summary.index) == ["A", "B", "C", "D", "macro"]
    assert summary["mean"].tolist()[:2] == [0.04, 0.05]
    assert summary.loc["C", "note"] == "nobody"
    macro = summary.loc["macro"]
    assert np.isnan(macro["mean"])
    assert (macro["compatible"], macro["n_cohorts"], macro["undefined"]) == (2, 3, 1)
    assert (macro["n"], macro["events"], macro["n_folds"], macro["n_seeds"]) == (400, 160, 20, 3)
    assert summary["compatible"].isna().tolist() == [True] * 4 + [False]
    high = pooled.assign(metric="a share of the cohort")
    macro = summarise(pd.DataFrame([row("A", 0, 0.6)]), high).iloc[-1]
    assert macro["mean"] == pytest.approx(np.mean([0.05, 0.04, 0.9]))


def test_macro_std_is_the_one_that_the_paper_prints() -> None:
    """Table II of the paper: five cohort means, printed 0.653 with 0.086 beside it."""
    means = [0.699, 0.578, 0.780, 0.622, 0.584]
    summary = summarise(pd.DataFrame([row(f"c{index}", 0, value) for index, value in enumerate(means)]))
    macro = pick(summary, "macro")
    assert round(macro["mean"], 3) == 0.653
    assert round(macro["std"], 3) == 0.086


def test_seeds_are_averaged_before_folds() -> None:
    rows = [row("A", 0, 0.5, seed=0), row("A", 0, 0.7, seed=1), row("A", 0, 0.9, seed=2)]
    rows += [row("A", 1, 0.8, seed=0)]
    a = pick(summarise(pd.DataFrame(rows)), "A")
    assert a["mean"] == pytest.approx((0.7 + 0.8) / 2)
    assert a["std"] == pytest.approx(np.std([0.7, 0.8], ddof=1))
    assert (a["n_folds"], a["n_seeds"]) == (2, 3)
    assert (a["n"], a["events"]) == (100, 40)  # patients are not counted again for each seed


def test_spread_over_seeds_is_that_of_the_macro_mean() -> None:
    values = {("A", 0): [0.5, 0.7], ("A", 1): [0.6, 0.6], ("B", 0): [0.8, 0.6], ("B", 1): [0.9, 0.9]}
    rows = [
        row(cohort, fold, value, seed=seed)
        for (cohort, fold), by_fold in values.items()
        for seed, value in enumerate(by_fold)
    ]
    macro = pick(summarise(pd.DataFrame(rows)), "macro")
    by_seed = [((0.5 + 0.6) / 2 + (0.8 + 0.9) / 2) / 2, ((0.7 + 0.6) / 2 + (0.6 + 0.9) / 2) / 2]
    assert macro["std_seeds"] == pytest.approx(np.std(by_seed, ddof=1))
    assert macro["n_seeds"] == 2


def test_undefined_folds_are_left_out_and_counted() -> None:
    rows = [row("A", 0, 0.6), row("A", 1, float("nan")), row("B", 0, float("nan"))]
    summary = summarise(pd.DataFrame(rows))
    a, b, macro = (pick(summary, name) for name in ("A", "B", "macro"))
    assert a["mean"] == pytest.approx(0.6)
    assert (a["n_folds"], a["undefined"]) == (1, 1)
    assert np.isnan(b["mean"])
    assert (b["n_folds"], b["n_cohorts"], b["undefined"]) == (0, 0, 1)
    assert macro["mean"] == pytest.approx(0.6)
    assert (macro["n_cohorts"], macro["undefined"]) == (1, 2)


def test_nothing_defined_is_nan_throughout() -> None:
    macro = pick(summarise(pd.DataFrame([row("A", 0, float("nan"))])), "macro")
    assert macro[["mean", "std", "std_seeds", "low", "high"]].isna().all()
    assert (macro["n_cohorts"], macro["undefined"]) == (0, 1)


def test_interval_holds_the_mean_and_stays_within_the_folds() -> None:
    generator = np.random.default_rng(0)
    rows = [
        row(cohort, fold, value)
        for cohort in "AB"
        for fold, value in enumerate(generator.normal(0.6, 0.05, 5))
    ]
    frame = pd.DataFrame(rows)
    summary = summarise(frame)
    for name in ("A", "B", "macro"):
        found = pick(summary, name)
        assert found["low"] < found["mean"] < found["high"]
    a = pick(summary, "A")
    values = frame[frame["cohort"] == "A"]["value"]
    assert values.min() <= a["low"] < a["high"] <= values.max()
    single = pick(summarise(pd.DataFrame([row("A", 0, 0.6)])), "A")
    assert np.isnan(single["low"])


def test_order_of_rows_has_no_effect() -> None:
    generator = np.random.default_rng(1)
    rows = [
        row(cohort, fold, generator.random(), seed=seed, pattern=pattern)
        for pattern in ("all", "image")
        for cohort in "ABC"
        for fold in range(3)
        for seed in range(2)
    ]
    frame = pd.DataFrame(rows)
    key = ["pattern", "cohort"]
    shuffled = summarise(frame.sample(frac=1, random_state=0)).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(summarise(frame).sort_values(key, ignore_index=True), shuffled)


def test_settings_are_kept_apart() -> None:
    rows = [row("A", 0, 0.6), row("A", 0, 0.7, mode="ft"), row("A", 0, 0.8, init="scratch")]
    summary = summarise(pd.DataFrame(rows))
    assert len(summary) == 6
    scratch = summary[(summary["init"] == "scratch") & (summary["cohort"] == "macro")]
    assert scratch["mean"].tolist() == [0.8]


def test_macro_table_is_a_row_a_mode_and_a_column_a_pattern() -> None:
    rows = [
        row(cohort, 0, base + 0.01 * place, init=init, pattern=pattern)
        for init, base in (("scratch", 0.5), ("pretrained", 0.6))
        for cohort in "AB"
        for place, pattern in enumerate(["image", "all", "-rna", "-image"])
    ]
    table = macro_table(summarise(pd.DataFrame(rows)))
    assert table.columns.tolist() == ["all", "-rna", "-image", "image"]
    assert table.index.tolist() == [("prime", "scratch", "lp"), ("prime", "pretrained", "lp")]
    assert table.loc[("prime", "pretrained", "lp"), "all"] == pytest.approx(0.61)
    two = macro_table(summarise(pd.DataFrame([*rows, row("A", 0, 0.7, task="pfi")])))
    assert two.index.names == ["task", "method", "init", "mode"]
    assert np.isnan(two.loc[("pfi", "prime", "pretrained", "lp"), "image"])


def test_whom_heads_are_trained_and_tested_on_is_kept_apart() -> None:
    changes = [{}, {"train_on": "complete"}, {"share": 0.5}, {"test_on": "complete"}, {"metric": "auroc"}]
    values = [0.5, 0.6, 0.7, 0.8, 0.9]
    rows = [row("A", 0, value, **change) for value, change in zip(values, changes, strict=True)]
    summary = summarise(pd.DataFrame(rows))
    found = summary[summary["cohort"] == "macro"]
    assert found["mean"].tolist() == values
    assert found["train_on"].tolist().count("complete") == 1
    assert found["share"].tolist() == [1.0, 1.0, 0.5, 1.0, 1.0]


def test_primary_rows_and_the_table_of_them() -> None:
    rows = [
        row("A", 0, 0.6),
        row("A", 0, 0.7, test_on="complete"),
        row("A", 0, 0.2, metric="integrated_brier_score"),
        row("A", 0, 0.8, task="early", metric="auroc"),
        row("A", 0, 0.3, task="early", metric="average_precision"),
        row("A", 0, 0.65, train_on="complete"),
    ]
    summary = summarise(pd.DataFrame(rows))
    primary = primary_macro(summary)
    assert sorted(primary["mean"]) == [0.6, 0.65, 0.8]
    assert set(primary["cohort"]) == {"macro"}
    assert set(primary["test_on"]) == {"everyone"}
    table = macro_table(summary)
    assert table.index.names == ["task", "metric", "train_on", "method", "init", "mode"]
    assert table.loc[("early", "auroc", "everyone", "prime", "pretrained", "lp"), "all"] == 0.8
    assert table.loc[("os", "c_index", "complete", "prime", "pretrained", "lp"), "all"] == 0.65


def test_bad_tables_are_refused() -> None:
    frame = pd.DataFrame([row("A", 0, 0.6)])
    for column in FOLD_COLUMNS:
        with pytest.raises(InputError, match=f"no column {column}"):
            summarise(frame.drop(columns=column))
    with pytest.raises(InputError, match="repeat"):
        summarise(pd.concat([frame, frame]))
    with pytest.raises(InputError, match="macro"):
        summarise(frame.assign(cohort="macro"))


def test_an_empty_table_gives_an_empty_summary() -> None:
    empty = summarise(pd.DataFrame(columns=list(FOLD_COLUMNS)))
    assert len(empty) == 0
    assert tuple(empty.columns) == SUMMARY_COLUMNS
