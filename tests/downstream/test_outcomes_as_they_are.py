"""Delayed entry and competing events through the whole evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.downstream.cause_fits import MONTH, MONTHS
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.evaluation.calibration import survival_calibration_slope
from prime.evaluation.competing_risks import aalen_johansen
from prime.evaluation.metrics import concordance
from prime.store.store import Store
from tests.downstream.joint_cohort import OS, joint_experiment, write_joint_store
from tests.late_outcomes import with_deaths, with_entry


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_joint_store(tmp_path_factory.mktemp("joint"))


def run(store: Store, out: Path, **evaluate: Any) -> Evaluation:
    evaluation = Evaluation(store, joint_experiment(store, ["shared_ridge"], None, **evaluate), None, out)
    evaluation.run(progress=False)
    return evaluation


@pytest.fixture(scope="module")
def delayed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("delayed")
    run(with_entry(store), out, tasks=[OS], bootstrap=5)
    return out


def test_metrics_know_of_delayed_entry_or_say_why_they_have_no_value(delayed: Path) -> None:
    predictions = pd.read_csv(delayed / "predictions.csv")
    folds = pd.read_csv(delayed / "folds.csv")
    assert (predictions["entry_days"] < predictions["time_days"]).all()
    whole = predictions[(predictions["pattern"] == "all")]
    for (cohort, fold), part in whole.groupby(["cohort", "fold"]):
        mine = folds[
            (folds["cohort"] == cohort) & (folds["fold"] == fold) & (folds["pattern"] == "all")
            & (folds["test_on"] == "everyone")
        ].set_index("metric")  # fmt: skip
        time, event, risk, entry = (
            part[name].to_numpy() for name in ("time_days", "event", "risk", "entry_days")
        )
        expected = concordance(time, event == 1, risk, entry=entry)
        assert float(mine["value"]["c_index"]) == pytest.approx(expected.value)
        assert float(mine["pairs"]["c_index"]) == expected.pairs
        edges = part[[c for c in part if str(c).startswith("edge_days_")]].iloc[0].dropna()
        middle = len(edges) // 2  # of the inner edges, from 1
        slope = survival_calibration_slope(
            time, event == 1, part[f"survival_{middle}"].to_numpy(), entry=entry
        )
        np.testing.assert_allclose(float(mine["value"]["calibration_slope"]), slope.value, rtol=1e-6)
        for name in ("ipcw_c_index", "mean_time_dependent_auc", "integrated_brier_score"):
            assert np.isnan(float(mine["value"][name]))
            assert "delayed entry" in str(mine["reason"][name])
    assert len(pd.read_csv(delayed / "intervals.csv"))


def test_entries_change_the_fit(store: Store, delayed: Path, tmp_path: Path) -> None:
    run(store, tmp_path, tasks=[OS], bootstrap=0)
    without = pd.read_csv(tmp_path / "predictions.csv")
    late = pd.read_csv(delayed / "predictions.csv")
    assert "entry_days" not in without
    both = without.merge(late, on=["patient_id", "cohort", "fold", "pattern"])
    assert np.abs(both["survival_1_x"] - both["survival_1_y"]).max() > 0.005


def test_what_cannot_use_them_is_refused(store: Store) -> None:
    for changed, tasks, what in (
        (with_entry(store), [OS], "delayed entry"),
        (with_deaths(store), [OS | {"competing": ["death"]}], "competing events"),
    ):
        config = joint_experiment(changed, ["shared_ridge"], None, tasks=tasks)
        for update, unable in (
            ({"methods": ("shared_ridge", "late_ridge", "abmil")}, "method late_ridge, method abmil"),
            ({"modes": ("lp", "lp_shared"), "inits": ("scratch",)}, "mode lp"),
        ):
            other = config.model_copy(update={"evaluate": config.evaluate.model_copy(update=update)})
            with pytest.raises(InputError, match=f"{what}, which {unable} can't use"):
                Evaluation(changed, other, None, Path("unused"))


def test_cumulative_incidence_of_each_cause(store: Store, tmp_path: Path) -> None:
    changed = with_deaths(store)
    run(changed, tmp_path, tasks=[OS | {"competing": ["death"]}], bootstrap=0)
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    names = [f"incidence_{name}_{m}m" for name in ("os", "death") for m in MONTHS]
    values = predictions[names].to_numpy()
    assert np.isfinite(values[:, 0]).all()
    known = np.isfinite(values).all(axis=1)
    assert ((values[known] >= 0) & (values[known] <= 1)).all()
    table = pd.read_csv(tmp_path / "competing.csv")
    for _, row in table.iterrows():
        mine = predictions[
            (predictions["cohort"] == row["cohort"]) & (predictions["pattern"] == row["pattern"])
        ]
        column = f"incidence_{row['cause']}_{row['months']}m"
        mine = mine[mine[column].notna()]
        number = ["os", "death"].index(row["cause"])
        found = aalen_johansen(mine["time_days"].to_numpy(), mine["cause"].to_numpy(), 2)
        expected = found.at(np.array([row["months"] * MONTH]))[number, 0]
        np.testing.assert_allclose(row["incidence"], expected)
        assert row["predicted"] == pytest.approx(mine[column].mean())
        assert row["n"] == len(mine)
    whole = table[(table["pattern"] == "all") & (table["months"] == 12)]
    assert (whole["incidence"] < whole["one_minus_kaplan_meier"]).all()
    np.testing.assert_allclose(whole["predicted"], whole["incidence"], atol=0.12)
