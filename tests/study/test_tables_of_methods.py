"""Tables of methods from made-up results: what is marked, counted, noted and compared, without a fit."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.downstream.scoring import score_folds
from prime.evaluation.averages import CONSTANT
from prime.evaluation.fold_tests import corrected_paired_test
from prime.evaluation.metrics import Score
from prime.evaluation.reported import REPORTED, FoldPredictions, Metric
from prime.render.tables import ABSENT
from prime.settings.evaluation import TaskConfig
from prime.splits.folds import Fold
from prime.study import comparison_tables, label_efficiency, method_tables, metric_tables

EARLY = TaskConfig(name="early", endpoint="os", horizon_days=600)
OS = TaskConfig(name="os", endpoint="os")
LABELS = {"Pretrained LP": ("prime", 0.4), "Late ridge": ("late_ridge", 0.8), "Blind": ("image_only", np.inf)}


def predictions(
    task: TaskConfig, folds: int = 5, cohorts: str = "AB", patterns: tuple[str, ...] = ("all", "image", "rna")
) -> pd.DataFrame:
    """Rows of predictions.csv of three methods, one of which gives everybody the same risk."""
    facts = np.random.default_rng(7)
    n = 24 * folds
    frames: list[pd.DataFrame] = []
    for cohort in cohorts:
        time, event = facts.exponential(size=n) * 500 + 1, facts.random(n) < 0.5
        for label, (method, noise) in LABELS.items():
            rng = np.random.default_rng(len(label))
            score = np.zeros(n) if np.isinf(noise) else noise * rng.normal(size=n) - np.where(event, 0.6, 0.0)
            survival = 1 / (1 + np.exp(-score))
            curve = {"survival_1": survival, "edge_days_1": 600.0}
            if task is OS:
                curve |= {"survival_2": survival**2, "edge_days_2": 900.0}
                curve |= {"survival_3": survival**3, "edge_days_3": np.inf}
            frame = pd.DataFrame({
                "method": method, "init": "pretrained", "mode": "lp", "train_on": "everyone", "share": 1.0,
                "task": task.name, "patient_id": [f"{cohort}{i:03d}" for i in range(n)], "cohort": cohort,
                "fold": np.arange(n) % folds, "seed": 0, "complete": True, "label": label,
                "event": event.astype(int), "time_days": time, "risk": -survival, **curve,
            })  # fmt: skip
            frames += [frame.assign(pattern=pattern) for pattern in patterns]
    return pd.concat(frames, ignore_index=True)


def scores_of(frame: pd.DataFrame) -> pd.DataFrame:
    training = (np.linspace(1, 4000, 80), np.arange(80) % 2 == 0)
    found = score_folds(frame, dict.fromkeys(set(zip(frame["cohort"], frame["fold"], strict=True)), training))
    labels = {method: label for label, (method, _) in LABELS.items()}
    return found.assign(label=found["method"].map(labels))


class Made:
    """What a study reads of its results."""

    def __init__(self, frame: pd.DataFrame, folds: list[Fold], task: TaskConfig) -> None:
        self.frame, self.scores = frame, scores_of(frame)
        self.evaluations = [SimpleNamespace(fits=[SimpleNamespace(task=task, folds=tuple(folds))])]

    def predictions(self, task: str, pattern: str = "all", curves: bool = False) -> pd.DataFrame:
        frame = self.frame[(self.frame["task"] == task) & (self.frame["pattern"] == pattern)]
        return frame if curves else frame[[name for name in frame if name[:5] not in ("edge_", "survi")]]

    @property
    def primary(self) -> pd.DataFrame:
        return self.scores[
            self.scores["metric"].isin(["auroc", "c_index"]) & (self.scores["test_on"] == "everyone")
        ]


def context(*tasks: TaskConfig, fold_count: int = 5) -> Any:
    evaluate = SimpleNamespace(tasks=tasks, fold_count=fold_count, methods=())
    modalities = {"image": ("tiles",), "rna": ("genes",)}
    store = SimpleNamespace(modalities=modalities)
    return SimpleNamespace(
        config=SimpleNamespace(evaluate=evaluate), reference=None, store=store, quick=False
    )


def ten_folds() -> list[Fold]:
    """Ten folds: a tenth tested, an eighth of the rest validates."""
    parts = [np.arange(count) for count in (189, 27, 24)]
    return [Fold(cohort, number, *parts) for cohort in "AB" for number in range(10)]


def test_the_corrected_test_takes_the_folds_that_were_used() -> None:
    """Ten folds in a file, five in the settings: a tenth is tested, not a fifth."""
    results: Any = Made(predictions(EARLY, folds=10), ten_folds(), EARLY)
    tables = {table.name: table for table in comparison_tables.build(context(EARLY), results).tables}
    row = tables["rivals_early"].frame.set_index("b").loc["Late ridge"]
    values = results.primary[results.primary["pattern"] == "all"].pivot(
        index=["cohort", "fold"], columns="label", values="value"
    )
    differences = (values["Pretrained LP"] - values["Late ridge"]).to_numpy()
    assert row["corrected_t_p"] == pytest.approx(corrected_paired_test(differences, 24 / 213).p_value)
    assert row["corrected_t_p"] < corrected_paired_test(differences, 0.2 / 0.9).p_value


def test_a_constant_is_said_and_never_best() -> None:
    """AUROC 0.5 of the blind method is above the others', which are made worse than chance."""
    frame = predictions(EARLY)
    worse = frame.assign(survival_1=1 - frame["survival_1"], risk=-1 - frame["risk"])
    results: Any = Made(worse, [], EARLY)
    table = method_tables.by_cohort(context(EARLY), results, EARLY).display
    assert table.loc["Blind", "A"] == "0.500 ± 0.000 (constant)"
    assert table.loc["Blind", "Avg"] == "0.500 ± 0.000 (constant)"
    for column in ("A", "B", "Avg"):
        marks = table[column].str.slice(0, 2)
        assert sorted(marks[["Pretrained LP", "Late ridge"]]) == ["**", "<u"]
    patterns = method_tables.by_pattern(context(EARLY), results, EARLY).display
    assert patterns.loc["Blind", "incomplete"] == "0.500 (constant)"


def test_notes_say_what_a_mean_rests_on() -> None:
    """One cohort without a pattern, one fold with four patients, and a method that is blind in one fold."""
    frame = predictions(EARLY)
    gone = (frame["pattern"] == "rna") & (frame["cohort"] == "B")
    gone |= (frame["cohort"] == "A") & (frame["fold"] == 0) & (frame["patient_id"] > "A015")
    blind = (frame["label"] == "Late ridge") & (frame["fold"] == 1) & (frame["pattern"] == "all")
    frame = frame.assign(
        survival_1=frame["survival_1"].mask(blind, 0.5), risk=frame["risk"].mask(blind, -0.5)
    )[~gone]
    results: Any = Made(frame, [], EARLY)
    few = "a fold has 4 comparable pairs; alone it says next to nothing"
    assert method_tables.by_pattern(context(EARLY), results, EARLY).notes == [
        *(f"{pattern}: {few}" for pattern in ("all", "image", "rna")),
        "Late ridge: everybody has the same risk in some folds: all 2 of 10",
        "rna: mean over 1 of 2 cohorts",
    ]
    assert method_tables.by_cohort(context(EARLY), results, EARLY).notes == [
        f"A: {few}",
        "Late ridge: everybody has the same risk in some folds: A 1 of 5, B 1 of 5",
    ]


@pytest.mark.parametrize("undefined", [False, True])
def test_a_registered_metric_is_in_the_table_of_metrics(
    undefined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undefined, it has its column too, and a note; before, it needed a readable name of its own there."""

    def size(fold: FoldPredictions) -> Score:
        n = len(fold.time)
        return Score(float("nan"), n, 0, "for no reason") if undefined else Score(float(n), n, 0)

    monkeypatch.setitem(REPORTED, "size", Metric("size", "Patients", "low", {"survival": size}))
    results: Any = Made(predictions(OS), [], OS)
    (table,) = metric_tables.build(context(OS), results).tables
    assert list(table.display["Patients"]) == ["-" if undefined else "24.000"] * 3
    assert ("Patients: undefined on 30 folds: for no reason" in table.notes) == undefined
    assert "Low is best: integrated Brier, Patients." in table.caption


def test_d_calibration_counts_cohorts() -> None:
    results: Any = Made(predictions(OS), [], OS)
    (table,) = metric_tables.build(context(OS), results).tables
    rows = table.frame[table.frame["metric"] == "d_calibration_p"].set_index(["label", "cohort"])
    for label in LABELS:
        p_values = rows.loc[label]["mean"][["A", "B"]]
        compatible = int((p_values >= 0.05).sum())
        assert rows.loc[(label, "macro"), "compatible"] == compatible
        assert np.isnan(rows.loc[(label, "macro"), "mean"])
        assert table.display.loc[label, "D-calibration"] == f"{compatible} of 2"


def test_fewer_labels_shows_the_other_methods() -> None:
    frame = predictions(EARLY, patterns=("all",))
    scores = pd.concat([scores_of(frame).assign(share=share) for share in label_efficiency.SHARES])
    results: Any = SimpleNamespace(primary=scores[scores["metric"] == "auroc"])
    output = label_efficiency.build(context(EARLY), results)
    (table,) = output.tables
    assert set(table.display.index) == set(LABELS)
    assert list(table.display.columns) == ["100%", "90%", "70%", "50%", "25%", "10%", "5%"]
    assert table.display.loc["Blind", "10%"] == "0.500 (constant)"
    assert [series.label for series in output.figures[0].panels[0].series] == list(LABELS)
    unfit: Any = SimpleNamespace(primary=results.primary.query("label != 'Blind' or share > 0.1"))
    output = label_efficiency.build(context(EARLY), unfit)
    assert "Blind" not in output.tables[0].display.index
    assert output.notes == ["Blind, early: no fold can be fitted at every share down to 10 %"]
    scarce: Any = SimpleNamespace(primary=results.primary.query("label != 'Blind' or share >= 0.1"))
    kept = label_efficiency.build(context(EARLY), scarce).tables[0].display
    assert kept.loc["Blind", "10%"] == "0.500 (constant)"
    assert kept.loc["Blind", "5%"] == ABSENT
    nothing: Any = SimpleNamespace(primary=results.primary[:0])
    assert label_efficiency.build(context(EARLY), nothing).figures == []
    assert CONSTANT in set(scores["note"])
