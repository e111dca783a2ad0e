"""From predictions to scores: which patients, which training set, and data on which nothing is defined."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.downstream.scoring import cohort_intervals, curve_columns, score_cohorts, score_folds
from prime.evaluation.averages import CONSTANT
from prime.evaluation.d_calibration import d_calibration
from prime.evaluation.metrics import Score, concordance
from prime.evaluation.reported import REPORTED, FoldPredictions, Metric
from prime.evaluation.step_curves import own_time_survival, step_survival
from prime.evaluation.summary import summarise
from prime.evaluation.survival_metrics import integrated_brier_score, ipcw_concordance

TRAIN = (np.linspace(10.0, 2000.0, 60), np.arange(60) % 3 > 0)
EDGES = np.array([-np.inf, 200.0, 500.0, 900.0, np.inf])


def rows(n: int, seed: int = 0, edges: np.ndarray = EDGES, fold: int = 0, **changes: Any) -> pd.DataFrame:
    """Predictions of one fold: made-up curves, times and events."""
    rng = np.random.default_rng(seed)
    survival = np.cumprod(rng.uniform(0.4, 0.99, (n, len(edges) - 1)), axis=1)
    facts: dict[str, Any] = {
        "method": "prime", "init": "scratch", "mode": "lp", "train_on": "everyone", "share": 1.0,
        "task": "os", "pattern": "all", "patient_id": [f"f{fold}p{i}" for i in range(n)], "cohort": "A",
        "fold": fold, "seed": 0, "complete": rng.random(n) < 0.5, "risk": -survival.sum(axis=1),
        "event": rng.integers(0, 2, n), "time_days": rng.uniform(1, 1500, n).round(),
    }  # fmt: skip
    frame = pd.DataFrame({**facts, **changes})
    for k in range(len(edges) - 1):
        frame[f"edge_days_{k + 1}"] = edges[k + 1]
        frame[f"survival_{k + 1}"] = survival[:, k]
    return frame


def scored(frame: pd.DataFrame, train: Any = TRAIN) -> pd.DataFrame:
    folds = {("A", int(fold)): train for fold in frame["fold"].unique()}
    return score_folds(frame, folds)


def value(table: pd.DataFrame, metric: str, test_on: str = "everyone", fold: int = 0) -> float:
    chosen = (table["metric"] == metric) & (table["test_on"] == test_on) & (table["fold"] == fold)
    (found,) = table.loc[chosen, "value"]
    return float(found)


def test_each_score_is_that_of_its_patients() -> None:
    frame = rows(80)
    table = scored(frame)
    for name, part in (("everyone", frame), ("complete", frame[frame["complete"]])):
        time, event = part["time_days"].to_numpy(), part["event"].to_numpy() == 1
        risk = part["risk"].to_numpy()
        survival = part[[f"survival_{k}" for k in range(1, 5)]].to_numpy()
        at = EDGES[1:-1]
        curve = step_survival(EDGES, survival, at)
        expected = {
            "c_index": concordance(time, event, risk),
            "ipcw_c_index": ipcw_concordance(*TRAIN, time, event, risk),
            "integrated_brier_score": integrated_brier_score(*TRAIN, time, event, curve, at),
        }
        for metric, score in expected.items():
            assert value(table, metric, name) == pytest.approx(score.value)
            assert np.isfinite(score.value)
    whole = table[table["test_on"] == "everyone"]
    assert (whole["n"] <= 80).all()
    everyone = table[(table["metric"] == "c_index") & (table["test_on"] == "everyone")].iloc[0]
    time, event = frame["time_days"].to_numpy(), frame["event"].to_numpy() == 1
    assert everyone["pairs"] == sum((event[i] & (time[i] < time)).sum() for i in range(80))
    assert table.loc[table["metric"] != "c_index", "pairs"].isna().all()
    assert "d_calibration_p" not in set(table["metric"]), "one in a cohort"


def test_training_patients_give_the_censoring() -> None:
    frame = rows(80)
    other = (TRAIN[0], np.arange(60) % 3 == 0)
    one, two = scored(frame), scored(frame, other)
    assert value(one, "c_index") == value(two, "c_index")
    assert value(one, "ipcw_c_index") != value(two, "ipcw_c_index")
    assert value(one, "integrated_brier_score") != value(two, "integrated_brier_score")


def test_a_fold_with_fewer_bins_than_others() -> None:
    """Its last columns are empty beside another fold's; its scores are as if it stood alone."""
    few = rows(60, seed=1, edges=np.array([-np.inf, 300.0, np.inf]), fold=1)
    both = pd.concat([rows(60), few], ignore_index=True)
    edges, survival = curve_columns(both[both["fold"] == 1])
    assert edges.tolist() == [-np.inf, 300.0, np.inf]
    assert survival.shape == (60, 2)
    alone = scored(few)
    together = scored(both)
    for metric in alone["metric"].unique():
        assert value(together, metric, fold=1) == pytest.approx(value(alone, metric, fold=1), nan_ok=True)


def test_nobody_complete_gives_no_row() -> None:
    table = scored(rows(30, complete=False))
    assert set(table["test_on"]) == {"everyone"}


HARD: dict[str, dict[str, Any]] = {
    "all censored": {"event": 0},
    "all with an event": {"event": 1},
    "all at one time": {"time_days": 100.0},
    "all after training": {"time_days": 5000.0},
    "all risks alike": {"risk": -1.0},
}


@pytest.mark.parametrize("n", [1, 2, 25])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("changes", HARD.values(), ids=[name.replace(" ", "-") for name in HARD])
def test_what_is_undefined_has_a_reason(n: int, binary: bool, changes: dict[str, Any]) -> None:
    edges = np.array([-np.inf, 365.0]) if binary else EDGES
    table = scored(rows(n, edges=edges, complete=True, **changes))
    assert len(table) == (4 if binary else 5) * 2
    assert (table["value"].isna() == table["reason"].notna()).all()
    undefined = {"auroc", "average_precision"} if binary else {"c_index", "ipcw_c_index"}
    constant = n > 1 and changes == {"risk": -1.0}
    assert (table["note"] == CONSTANT).all() if constant else table["note"].isna().all()
    if changes == {"event": 0}:
        assert table[table["metric"].isin(undefined)]["value"].isna().all()


@pytest.mark.parametrize("sure", [0.0, 1.0, 1e-300])
def test_certain_predictions_are_scored(sure: float) -> None:
    """Survival of exactly 0 or 1, which saturated logits give."""
    for edges in (EDGES, np.array([-np.inf, 365.0])):
        frame = rows(25, edges=edges)
        frame.loc[:5, [c for c in frame if c.startswith("survival_")]] = sure
        table = scored(frame)
        assert (table["value"].isna() == table["reason"].notna()).all()


def test_intervals_hold_their_value() -> None:
    frame = pd.concat([rows(40), rows(40, seed=1, fold=1)], ignore_index=True)
    (row,) = cohort_intervals(frame, 200).to_dict("records")
    assert row["metric"] == "c_index_within_fold"
    assert row["low"] < row["value"] < row["high"]
    assert row["n"] == 80


def test_d_calibration_pools_the_folds_of_a_cohort() -> None:
    """Each fold by its own edges, each patient once for all seeds, events beyond the last edge censored."""
    other = np.array([-np.inf, 300.0, 800.0, np.inf])
    frame = pd.concat(
        [
            rows(60, seed=s + 2 * fold, edges=(EDGES, other)[fold], fold=fold).assign(seed=s)
            for fold in (0, 1)
            for s in (0, 1)
        ]
    )
    facts = frame[["patient_id", "event", "time_days"]].groupby("patient_id").transform("first")
    frame = frame.assign(**facts)
    table = score_cohorts(frame).set_index("test_on")
    parts = []
    for _, part in frame.groupby(["fold", "seed"]):
        edges, survival = curve_columns(part)
        time, event = part["time_days"].to_numpy(), part["event"].to_numpy() == 1
        parts.append((time, event & (time <= edges[-2]), own_time_survival(edges, survival, time)))
    expected = d_calibration(
        *(np.concatenate(column) for column in zip(*parts, strict=True)), weight=np.full(240, 0.5)
    )
    assert table.loc["everyone", "value"] == pytest.approx(expected.p_value)
    assert table.loc["everyone", ["n", "n_folds", "n_seeds"]].tolist() == [120, 2, 2]
    assert table["metric"].tolist() == ["d_calibration_p"] * 2
    single = score_cohorts(rows(20, edges=np.array([-np.inf, np.inf])))
    assert single["value"].isna().all()
    assert single["reason"].tolist()[0].startswith("a single time bin")
    assert score_cohorts(rows(20, edges=np.array([-np.inf, 365.0]))).empty, "none of a binary task"
    assert score_cohorts(frame.assign(label="x"), ["label"])["value"].tolist() == table["value"].tolist()


@pytest.mark.parametrize("scope", ["fold", "cohort"])
def test_a_metric_is_one_function_and_one_entry(scope: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def youth(folds: FoldPredictions | list[FoldPredictions]) -> Score:
        given = folds if isinstance(folds, list) else [folds]
        time = np.concatenate([fold.time for fold in given])
        return (
            Score(float("nan"), len(time), 0, "nobody is young")
            if len(given) == 1
            else Score(time.mean(), len(time), 0)
        )

    toy = Metric("toy", "Mean time", "low", {"survival": youth}, scope)
    monkeypatch.setitem(REPORTED, "toy", toy)
    frame = pd.concat([rows(30), rows(30, seed=1, fold=1)], ignore_index=True)
    folds, cohorts = scored(frame), score_cohorts(frame)
    mine, other = (folds, cohorts) if scope == "fold" else (cohorts, folds)
    assert "toy" not in set(other["metric"])
    mine = mine[(mine["metric"] == "toy") & (mine["test_on"] == "everyone")]
    summary = summarise(folds, cohorts).query("metric == 'toy' and test_on == 'everyone'").set_index("cohort")
    if scope == "cohort":
        assert mine["value"].tolist() == [frame["time_days"].mean()] == [summary.loc["macro", "mean"]]
    else:
        assert mine["reason"].tolist() == ["nobody is young"] * 2
        assert summary.loc["macro", "undefined"] == 2
    assert "toy" not in set(scored(rows(30, edges=np.array([-np.inf, 365.0])))["metric"]), "of survival alone"
