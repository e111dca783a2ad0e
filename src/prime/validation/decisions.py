"""Decision curves of a model on a labelled cohort: over all and by pattern of what was observed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.decision_curve import DecisionCurve, survival_decision_curve
from prime.evaluation.horizon_scores import HorizonCases
from prime.render.figure import Figure, Panel, Series
from prime.render.tables import ABSENT, Table
from prime.validation.labelled import Labelled
from prime.validation.performance import EVERYONE, Draws, horizon_name

THRESHOLDS = np.round(np.arange(0.02, 0.81, 0.02), 2)
SHOWN = (0.1, 0.2, 0.3, 0.5)
DELAYED = ", at risk from the entry on; shares are of all patients, those who died before their entry too"
UNDEFINED = (
    "net benefit is undefined where those flagged are not followed up to the horizon or, with delayed entry,"
    " the first of them at risk all died before others entered"
)
MIN_EVENTS = 20  # of a pattern that has a curve of its own


def decision_rows(
    labelled: Labelled, patterns: NDArray[np.str_], horizons: Sequence[float], draws: Draws
) -> pd.DataFrame:
    """Net benefit by horizon, pattern (`everyone` first) and threshold."""
    parts: list[pd.DataFrame] = []
    for days in horizons:
        cases, known = labelled.cases(days)
        parts.append(_rows(cases, EVERYONE, draws))
        mine = patterns[known]
        for name in sorted(set(mine.tolist())):
            part = cases.take(mine == name)
            if part.events >= MIN_EVENTS and len(part.time) < len(cases.time):
                parts.append(_rows(part, name, draws))
    return pd.concat(parts, ignore_index=True)


def _rows(cases: HorizonCases, pattern: str, draws: Draws) -> pd.DataFrame:
    found = _curve(cases)
    low, high = _interval(cases, draws)
    return pd.DataFrame(
        {
            "horizon_days": cases.horizon,
            "pattern": pattern,
            "n": len(cases.time),
            "events": cases.events,
            "threshold": found.threshold,
            "net_benefit": found.net_benefit,
            "low": low,
            "high": high,
            "treat_all": found.treat_all,
            "gain": found.gain,
            "flagged": found.flagged,
            "number_flagged": found.number_flagged,
            "number_tested": found.number_tested,
            "avoided": found.avoided,
        }
    )


def _curve(cases: HorizonCases) -> DecisionCurve:
    return survival_decision_curve(
        cases.time, cases.event, cases.chance, cases.horizon, THRESHOLDS, cases.entry
    )


def _interval(cases: HorizonCases, draws: Draws) -> tuple[Floats, Floats]:
    """95% interval of the net benefit at each threshold, over patients drawn with replacement."""
    if not draws.replicates:
        return np.full(len(THRESHOLDS), np.nan), np.full(len(THRESHOLDS), np.nan)
    generator, n = np.random.default_rng(draws.seed), len(cases.time)
    drawn = np.empty((draws.replicates, len(THRESHOLDS)))
    for place in range(draws.replicates):
        drawn[place] = _curve(cases.take(generator.integers(0, n, n))).net_benefit
    ends = np.full((2, len(THRESHOLDS)), np.nan)
    able = ~np.isnan(drawn).all(axis=0)
    ends[:, able] = np.nanquantile(drawn[:, able], [0.025, 0.975], axis=0)
    return ends[0], ends[1]


def decision_table(rows: pd.DataFrame, late: bool = False) -> Table:
    """Net benefit at a few thresholds, and the numbers needed; `late` with delayed entry."""
    shown: dict[tuple[str, str, str], dict[str, str]] = {}
    for _, row in rows[rows["threshold"].isin(SHOWN)].iterrows():
        key = (horizon_name(row["horizon_days"]), str(row["pattern"]), f"{100 * row['threshold']:g} %")
        ends = "" if np.isnan(row["low"]) else f" ({row['low']:.3f} to {row['high']:.3f})"
        shown[key] = {
            "net benefit": ABSENT if np.isnan(row["net_benefit"]) else f"{row['net_benefit']:.3f}{ends}",
            "acting on all": _number(row["treat_all"], 3),
            "above both": _number(row["gain"], 3),
            "flagged": _number(100 * row["flagged"], 0, " %"),
            "flagged for one event": _number(row["number_flagged"], 1),
            "predicted for one more event": _number(row["number_tested"], 0),
            "actions spared per 100": _number(100 * row["avoided"], 0),
        }
    display = pd.DataFrame.from_dict(shown, orient="index")
    display.index = pd.MultiIndex.from_tuples(list(shown), names=["Horizon", "Observed", "Threshold"])
    return Table(
        "decisions",
        "Net benefit of acting on the prediction",
        "Net benefit per patient of acting on those whose predicted risk reaches the threshold, with a 95% "
        "bootstrap interval. Above both: less that of the better of acting on everybody and on nobody; "
        "predicted for one more event: patients to be predicted for a net gain of one event acted on. "
        f"Censoring by Kaplan-Meier{DELAYED if late else ''}. Patterns with fewer than {MIN_EVENTS} events "
        "are left out.",
        rows,
        display,
        [UNDEFINED] if rows["net_benefit"].isna().any() else [],
    )


def _number(value: float, digits: int, unit: str = "") -> str:
    return ABSENT if not np.isfinite(value) else f"{value:.{digits}f}{unit}"


def decision_figure(rows: pd.DataFrame) -> Figure:
    """Decision curves, a panel a horizon."""
    panels: list[Panel] = []
    floor = -0.05
    for days, part in rows[rows["pattern"] == EVERYONE].groupby("horizon_days", sort=False):
        x = 100 * part["threshold"].to_numpy(dtype=np.float64)
        everybody = part["treat_all"].to_numpy(dtype=np.float64)
        drawn = [part[name].to_numpy(dtype=np.float64) for name in ("net_benefit", "low", "high")]
        shown_all = np.where(everybody < floor, np.nan, everybody)
        counts = f"{int(part['n'].iloc[0]):,} patients, {int(part['events'].iloc[0]):,} events by then"
        panels.append(
            Panel(
                horizon_name(float(str(days))),
                "threshold, %",
                "net benefit",
                (
                    Series("model", x, *drawn),
                    Series("act on all", x, shown_all, colour="#7F7F7F"),
                    Series("act on nobody", x, np.zeros(len(x)), colour="#000000"),
                ),
                notes=(counts,),
            )
        )
    return Figure(
        "decision_curves",
        "Decision curves",
        "Net benefit by the threshold at which one would act, with a 95% bootstrap band. The model is of use "
        "where it lies above both acting on everybody and on nobody.",
        tuple(panels),
        columns=min(3, len(panels)),
    )
