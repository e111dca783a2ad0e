"""Studies of a task whose patients came under observation late."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from rich.console import Console

from prime.days import YEAR
from prime.errors import InputError
from prime.evaluation.metrics import concordance_within
from prime.evaluation.missingness import patterns
from prime.job_pool import JobPool
from prime.parsing import read_json
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from prime.study.context import Context
from prime.study.intervals import coverage
from prime.study.next_test import pairs, worth
from prime.study.registry import STUDIES
from prime.study.run import run_studies
from prime.study.same_site import scores_of
from tests.late_outcomes import with_entry
from tests.study.test_intervals import held_out

Configure = Callable[..., ExperimentConfig]
OS = {"name": "os", "endpoint": "os"}
ABLE = ("table1", "table4", "figure2", "comparison", "metrics", "same_site", "intervals", "next_test")


def run(store: Store, config: ExperimentConfig, out: Path, *names: str) -> list[str]:
    context = Context(store, config, preset="quick", protocol="transductive")
    studies = [STUDIES[name] for name in names]
    return run_studies(studies, context, out, JobPool(), "prime study", Console(file=StringIO()))


@pytest.fixture(scope="module")
def late(study_store: Store) -> Store:
    return with_entry(study_store)


@pytest.fixture(scope="module")
def made(late: Store, study_config: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("late")
    config = study_config(tasks=[OS], modes=["lp_shared"], methods=["shared_ridge"], inits=["pretrained"])
    assert run(late, config, out, *ABLE) == []
    return out


def test_curves_and_tests_of_risk_groups_are_those_of_lifelines(made: Path) -> None:
    table = pd.read_csv(made / "figure2" / "risk_groups_os.csv")
    assert (table["reason"].isna()).all()
    parts = list((made / "cache").rglob("*.parquet"))
    frames = [f for f in map(pd.read_parquet, parts) if {"risk", "pattern", "mode"} <= set(f)]
    whole = pd.concat([f[(f["mode"] == "lp_shared") & (f["pattern"] == "all")] for f in frames])
    whole = whole.drop_duplicates("patient_id")
    drawn = (made / "figure2" / "kaplan_meier_os_pooled.json").read_text(encoding="utf-8")
    assert "Pretrained LP shared" in drawn
    for cohort, mine in whole.groupby("cohort"):
        row = table[(table["cohort"] == cohort) & (table["grouping"] == "pooled")].iloc[0]
        high = mine["risk"] > mine["risk"].median()
        assert row["n_high"] == high.sum()
        frame = mine[["time_days", "event", "entry_days"]].assign(high=high).astype(float)
        options = {"entry_col": "entry_days", "fit_options": {"precision": 1e-12}}
        fitted = CoxPHFitter().fit(frame, "time_days", "event", **options)
        assert np.log(row["hazard_ratio"]) == pytest.approx(float(fitted.params_["high"]), abs=1e-6)
        own = mine[high]
        curve = KaplanMeierFitter().fit(own["time_days"] / YEAR, own["event"], entry=own["entry_days"] / YEAR)
        half = float(curve.survival_function_.iloc[len(own) // 2, 0])
        assert f"{half:.6f}"[:7] in drawn


def test_metrics_without_a_value_say_why(made: Path) -> None:
    text = (made / "metrics" / "metrics_os.md").read_text(encoding="utf-8")
    assert "delayed entry: weights for censoring do not hold" in text
    scores = pd.read_csv(made / "metrics" / "metrics_os.csv").set_index("metric")
    assert np.isfinite(scores.loc[["c_index"], "mean"].to_numpy()).all()
    for name in ("intervals/intervals_os.csv", "same_site/same_site_os.csv", "comparison/rivals_os.csv"):
        assert len(pd.read_csv(made / name))


def test_a_way_of_training_that_cannot_is_named(late: Store, study_config: Configure, tmp_path: Path) -> None:
    config = study_config(tasks=[OS], modes=["lp_shared"])
    with pytest.raises(InputError, match="task os: endpoint os has delayed entry, which mode lp can't use"):
        run(late, config, tmp_path, "table5")
    failed = run(late, config, tmp_path, "table5", "table1")
    assert len(failed) == 1
    assert failed[0].startswith("table5: task os")
    assert read_json(tmp_path / "table1" / "manifest.json")["tables"]


def with_late(frame: pd.DataFrame) -> pd.DataFrame:
    """Half of the patients enter by 1200 days; who does not reach that is never seen."""
    rng = np.random.default_rng(3)
    people = frame["patient_id"].unique()
    drawn = np.where(rng.random(len(people)) < 0.5, rng.uniform(0, 1200, len(people)), 0.0)
    entry = frame["patient_id"].map(dict(zip(people, drawn, strict=True)))
    return frame.assign(entry_days=entry)[entry < frame["time_days"]].reset_index(drop=True)


def test_bounds_hold_for_all_patients_not_for_those_who_were_seen() -> None:
    seen = with_late(held_out(6000))
    found = coverage(seen, 0.8)
    kept = found[found["calibrated"] == "by pattern"]["covered"]
    assert (abs(kept - 0.8) < 0.03).all()
    blind = coverage(seen.drop(columns="entry_days"), 0.8)
    wide, own = (f[f["calibrated"] == "by pattern"]["width"].to_numpy() for f in (blind, found))
    assert (wide > 1.1 * own).all()  # who was seen late lived longer than all do


def test_pairs_are_those_under_observation() -> None:
    seen = with_late(held_out(600))
    whole = seen[seen["pattern"] == "all"].assign(label="a way")
    sites = {str(name): str(k % 3) for k, name in enumerate(whole["patient_id"])}
    found = scores_of(whole, sites, binary=False).set_index(["cohort", "pairs"])
    for cohort, mine in whole.groupby("cohort"):
        time, event, entry = (mine[c].to_numpy() for c in ("time_days", "event", "entry_days"))
        strata, risk = mine["fold"].to_numpy(), mine["risk"].to_numpy()
        expected = concordance_within(time, event, risk, strata, entry=entry)
        assert found.loc[(cohort, "all"), "value"] == pytest.approx(expected.value)
        assert found.loc[(cohort, "all"), "n_pairs"] == expected.pairs
    pair = next(pairs(seen, patterns(["image", "rna"])))
    assert "entry_days" in pair.table
    row, blind = (
        worth(pair),
        worth(type(pair)(pair.without, pair.having, pair.table.drop(columns="entry_days"))),
    )
    assert row is not None
    assert blind is not None
    assert row["nobody"] != blind["nobody"]
