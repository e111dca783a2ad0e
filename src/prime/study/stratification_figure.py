"""Fig. 2: risk groups. Kaplan-Meier curves, log-rank tests and hazard ratios."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.days import YEAR
from prime.downstream.fit import SHARED_MODES
from prime.downstream.scoring import entry_of
from prime.evaluation.kaplan_meier import kaplan_meier, numbers_at_risk
from prime.evaluation.stratification import hazard_ratio, high_risk, log_rank
from prime.render.figure import AtRisk, Figure, Panel, Series
from prime.render.tables import ABSENT, Table
from prime.settings.evaluation import TaskConfig
from prime.splits.outcomes import read_outcome
from prime.study.arms import Arm
from prime.study.context import MODES, Context, Output, Results, Study

COLOURS = {"low risk": "#0072B2", "high risk": "#D55E00"}
GROUPINGS = {
    "within_fold": "median of the fold's own test risks; log-rank and Cox stratified by fold",
    "pooled": "one median of all test risks pooled over folds, as in the paper",
}


def survival_tasks(context: Context) -> list[TaskConfig]:
    """The tasks with a time to event."""
    return [task for task in context.config.evaluate.tasks if task.horizon_days is None]


def head_of(context: Context) -> str:
    """`lp`, or where patients of a task came under observation late a head that knows of it."""
    late = (read_outcome(context.store, task).entry_days is not None for task in survival_tasks(context))
    return SHARED_MODES[0] if any(late) else "lp"


def arms(context: Context) -> list[Arm]:
    """A pretrained head for the survival tasks."""
    tasks = [task.model_dump(mode="json") for task in survival_tasks(context)]
    if not tasks:
        return []
    return [context.probe_arm(evaluate={"modes": [head_of(context)], "tasks": tasks})]


def held_out(results: Results, task: TaskConfig) -> pd.DataFrame:
    """One row a patient: the held-out risk of the first seed, everything observed."""
    frame = results.predictions(task.name)
    return frame[frame["seed"] == frame["seed"].iloc[0]]


def _compare(frame: pd.DataFrame, mode: str) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Who is at high risk, and the tests of the two groups."""
    time, event = frame["time_days"].to_numpy(np.float64), frame["event"].to_numpy(dtype=bool)
    fold, entry = frame["fold"].to_numpy() if mode == "within_fold" else None, entry_of(frame)
    high = high_risk(frame["risk"].to_numpy(np.float64), fold)
    test = log_rank(time, event, high, fold, entry)
    ratio = hazard_ratio(time, event, high, fold, entry=entry)
    return high, {
        "cohort": frame["cohort"].iloc[0], "grouping": mode, "n_high": int(high.sum()),
        "n_low": int((~high).sum()), "events_high": int(event[high].sum()),
        "events_low": int(event[~high].sum()), "log_rank_statistic": test.statistic,
        "log_rank_p": test.p_value, "hazard_ratio": ratio.ratio, "low": ratio.low, "high": ratio.high,
        "reason": test.reason or ratio.reason,
    }  # fmt: skip


def p_text(value: float) -> str:
    """`p = 0.012`, `p < 0.001`."""
    return "p undefined" if np.isnan(value) else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def ratio_text(row: dict[str, Any] | pd.Series) -> str:
    """`2.10 (1.50 to 2.95)`."""
    if np.isnan(row["hazard_ratio"]):
        return ABSENT
    return f"{row['hazard_ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _panel(frame: pd.DataFrame, high: NDArray[np.bool_], row: dict[str, Any]) -> Panel:
    years = frame["time_days"].to_numpy(np.float64) / YEAR
    event, entry = frame["event"].to_numpy(dtype=bool), entry_of(frame)
    end = float(np.quantile(years, 0.98))
    ticks = np.arange(0.0, end + 1e-9, 1.0 if end <= 6 else 2.0 if end <= 12 else 4.0)
    series: list[Series] = []
    counts: dict[str, Any] = {}
    for label, chosen in (("low risk", ~high), ("high risk", high)):
        late = None if entry is None else entry[chosen] / YEAR
        curve = kaplan_meier(years[chosen], event[chosen], entry=late)
        shown = curve.times <= end
        censored = years[chosen & ~event & (years <= end)]
        series.append(
            Series(
                label, curve.times[shown], curve.survival[shown], curve.low[shown], curve.high[shown],
                kind="step", censored=np.sort(censored), colour=COLOURS[label],
            )
        )  # fmt: skip
        counts[label] = numbers_at_risk(years[chosen], ticks, late)
    return Panel(
        str(row["cohort"]), "years", "surviving", tuple(series), x_ticks=ticks, y_range=(0.0, 1.0),
        notes=(f"HR {ratio_text(row)}, log-rank {p_text(row['log_rank_p'])}",),
        at_risk=AtRisk(ticks, counts),
    )  # fmt: skip


def build(context: Context, results: Results) -> Output:
    """A panel a cohort for both groupings, and the tests as a table."""
    tables: list[Table] = []
    figures: list[Figure] = []
    head = MODES[head_of(context)]
    for task in survival_tasks(context):
        frame = held_out(results, task)
        rows: list[dict[str, Any]] = []
        for mode, meaning in GROUPINGS.items():
            panels: list[Panel] = []
            for _, part in frame.groupby("cohort", sort=False):
                high, row = _compare(part, mode)
                rows.append(row)
                panels.append(_panel(part, high, row))
            figures.append(
                Figure(
                    f"kaplan_meier_{task.name}_{mode}",
                    f"Fig. 2: {task.name} by predicted risk ({mode.replace('_', ' ')} median)",
                    f"Kaplan-Meier curves of held-out test patients with 95% intervals, cut at the {meaning}."
                    f" Ticks: censored. Pretrained {head}, first seed, whatever each patient has.",
                    tuple(panels),
                    columns=min(3, len(panels)),
                )
            )
        tables.append(_tests(task, pd.DataFrame(rows)))
    return Output(tables, figures)


def _tests(task: TaskConfig, rows: pd.DataFrame) -> Table:
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for _, row in rows.iterrows():
        shown[str(row["cohort"]), str(row["grouping"]).replace("_", " ")] = {
            "n high / low": f"{row['n_high']} / {row['n_low']}",
            "events high / low": f"{row['events_high']} / {row['events_low']}",
            "hazard ratio (95%)": ratio_text(row),
            "log-rank": p_text(row["log_rank_p"]).removeprefix("p = ").removeprefix("p "),
        }
    display = pd.DataFrame.from_dict(shown, orient="index")
    display.index.names = ["Cohort", "Grouping"]
    return Table(
        f"risk_groups_{task.name}",
        f"Fig. 2, its tests: high against low risk, {task.name}",
        "Groupings: " + "; ".join(f"{m.replace('_', ' ')}: {text}" for m, text in GROUPINGS.items()) + ".",
        rows,
        display,
    )


STUDY = Study("figure2", "Fig. 2: risk groups", arms, build)
