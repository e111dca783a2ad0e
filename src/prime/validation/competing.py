"""A model's risks where another event can come first, such as death before a recurrence.

Other patients' deaths are no censorings: who died will not recur. The observed risk is then the cumulative
incidence (Aalen-Johansen), which one minus Kaplan-Meier overstates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats, Indices
from prime.errors import InputError
from prime.evaluation.competing_risks import CumulativeIncidence, aalen_johansen
from prime.evaluation.decision_curve import competing_decision_curve
from prime.evaluation.metrics import Score, bootstrap_interval
from prime.evaluation.product_limit import died_out, product_limit
from prime.render.figure import Figure, Panel, Series
from prime.render.tables import ABSENT, Table
from prime.store.store import Store
from prime.validation.decisions import THRESHOLDS
from prime.validation.labelled import Labelled
from prime.validation.performance import YEAR, Draws, horizon_name

EVENT, OTHER = 1, 2
UNLIKE = "delayed entry: who entered late had to be free of events until then, so these patients differ"
THIRDS = ("lowest third of predicted risk", "middle third", "highest third")
COLOURS = ("#009E73", "#0072B2", "#D55E00")  # of the thirds, observed and predicted


@dataclass(frozen=True)
class Competing:
    """The outcome with the event that came first.

    Attributes:
        endpoint: the name of the competing one.
        time: (n,) days to whichever came first, or to the end of follow-up.
        cause: (n,) int64: 0 censored, 1 the model's event, 2 the competing one.
        entry: (n,) days at which each came under observation; None where all did at the beginning.
    """

    endpoint: str
    time: Floats
    cause: Indices
    entry: Floats | None = None

    def take(self, rows: Indices | Flags) -> "Competing":
        """Some of the patients."""
        entry = None if self.entry is None else self.entry[rows]
        return Competing(self.endpoint, self.time[rows], self.cause[rows], entry)

    def incidence(self) -> CumulativeIncidence:
        """Of both events, by Aalen-Johansen."""
        return aalen_johansen(self.time, self.cause, OTHER, self.entry)

    @classmethod
    def of_model(cls, labelled: Labelled) -> "Competing":
        """Of a model of competing events; those that compete with its own are one."""
        assert labelled.causes is not None
        cause = np.minimum(labelled.causes.cause, OTHER)
        return cls(" or ".join(labelled.causes.names[1:]), labelled.time, cause, labelled.entry)


def read_competing(labelled: Labelled, store: Store, endpoint: str) -> tuple[Labelled, Competing]:
    """The competing events of the labelled patients, and who they are.

    A competing event counts where it comes before the model's event, or by the end of follow-up for it: what
    came later is not known to have come first. Who had it before the entry is left out. Raises InputError for
    an endpoint that the cohort lacks, the model's own, and one that never comes first.
    """
    if endpoint not in store.endpoints or endpoint == labelled.task.endpoint:
        others = ", ".join(name for name in store.endpoints if name != labelled.task.endpoint)
        raise InputError(
            f"--competing {endpoint}: choose another endpoint of the cohort: {others or 'it has none'}"
        )
    frame = store.patients.iloc[labelled.rows]
    start = labelled.task.landmark_days or 0.0
    when = frame[f"{endpoint}_time_days"].to_numpy(dtype=np.float64) - start
    came = frame[f"{endpoint}_event"].to_numpy(dtype=np.float64) == 1.0
    first = came & np.where(labelled.event, when < labelled.time, when <= labelled.time)
    if not first.any():
        raise InputError(f"--competing {endpoint}: it comes first for nobody; nothing competes")
    cause = np.where(first, OTHER, np.where(labelled.event, EVENT, 0)).astype(np.int64)
    found = Competing(endpoint, np.where(first, when, labelled.time), cause, labelled.entry)
    if found.entry is None:
        return labelled, found
    kept = found.entry < found.time
    return labelled.take(kept, f"{endpoint} before the entry"), found.take(kept)


def competing_rows(
    labelled: Labelled, other: Competing, horizons: Sequence[float], draws: Draws
) -> pd.DataFrame:
    """Observed and predicted risk at each horizon.

    With delayed entry the mean predicted risk has no value: who entered late had to be free of events until
    then, so the patients are not those whose incidence is estimated.
    """
    rows: list[dict[str, object]] = []
    for days in horizons:
        chance = first_chance(labelled, days)
        known = ~np.isnan(chance)
        mine, predicted = other.take(known), chance[known]
        ratio = _ratio(mine, predicted, days).value
        low = high = float("nan")
        if draws.replicates and not np.isnan(ratio):
            interval = bootstrap_interval(
                lambda who, of=mine, p=predicted, at=days: _ratio(of.take(who), p[who], at),
                np.arange(len(predicted)), replicates=draws.replicates, seed=draws.seed,
            )  # fmt: skip
            low, high = interval.low, interval.high
        by_then = mine.time <= days
        rows.append(
            {
                "horizon_days": days, "n": len(predicted),
                "events": int((by_then & (mine.cause == EVENT)).sum()),
                "competing": int((by_then & (mine.cause == OTHER)).sum()),
                "incidence": _incidence(mine, days), "one_minus_kaplan_meier": _censored_risk(mine, days),
                "predicted": _mean_predicted(mine, predicted), "observed_expected": ratio, "low": low,
                "high": high, "reason": "" if other.entry is None else UNLIKE,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def first_chance(labelled: Labelled, days: float) -> Floats:
    """(n,) predicted risk that the model's event comes first, within so many days.

    Of a model without competing events its risk, which takes them for censorings.
    """
    return labelled.chance(days) if labelled.causes is None else labelled.causes.at(days)[:, 0]


def _incidence(other: Competing, days: float) -> float:
    return float(other.incidence().at(np.array([days]))[EVENT - 1, 0])


def _censored_risk(other: Competing, days: float) -> float:
    """The risk with competing events taken for censorings."""
    found = product_limit(other.time, other.cause == EVENT, entry=other.entry)
    return 1.0 - float(found.at(np.array([days]))[0])


def _mean_predicted(other: Competing, predicted: Floats) -> float:
    return float(predicted.mean()) if other.entry is None else float("nan")


def _ratio(other: Competing, predicted: Floats, days: float) -> Score:
    ratio = _incidence(other, days) / _mean_predicted(other, predicted)
    return Score(ratio, len(predicted), 0)


def competing_table(rows: pd.DataFrame, task: str, endpoint: str, of_causes: bool = False) -> Table:
    """Observed and predicted risks as they are read."""
    display = pd.DataFrame(
        {
            "patients": [f"{n:,}" for n in rows["n"]],
            "events": [f"{n:,}" for n in rows["events"]],
            f"{endpoint} first": [f"{n:,}" for n in rows["competing"]],
            "cumulative incidence": [_cell(value) for value in rows["incidence"]],
            "1 - Kaplan-Meier": [_cell(value) for value in rows["one_minus_kaplan_meier"]],
            "predicted": [_cell(value) for value in rows["predicted"]],
            "observed / expected": [
                _cell(row["observed_expected"])
                + ("" if np.isnan(row["low"]) else f" ({row['low']:.3f} to {row['high']:.3f})")
                for _, row in rows.iterrows()
            ],
        },
        index=pd.Index([horizon_name(days) for days in rows["horizon_days"]], name="Horizon"),
    )
    return Table(
        "competing",
        f"{task} where {endpoint} can come first",
        "Cumulative incidence by Aalen-Johansen; 1 - Kaplan-Meier takes the competing events for censorings"
        " and overstates it. Observed / expected: cumulative incidence over the mean predicted risk, with a"
        " 95% bootstrap interval; a model that took them for censorings predicts too much."
        + (" This model predicts which event comes first." if of_causes else ""),
        rows,
        display,
        [f"predicted, observed / expected: {why}" for why in dict.fromkeys(rows["reason"]) if why],
    )


def _cell(value: float) -> str:
    return ABSENT if np.isnan(value) else f"{value:.3f}"


def incidence_figure(labelled: Labelled, other: Competing) -> Figure:
    """Cumulative incidence of both events in thirds of the model's risk."""
    cuts = np.quantile(labelled.risk, [1 / 3, 2 / 3])
    third = np.searchsorted(cuts, labelled.risk, side="left")
    end = float(np.quantile(other.time, 0.95)) / YEAR
    panels: list[Panel] = []
    for cause, title in ((EVENT, labelled.task.endpoint), (OTHER, f"{other.endpoint} first")):
        series: list[Series] = []
        for place, name in enumerate(THIRDS):
            if (mine := third == place).any():
                colour = COLOURS[place]
                series.append(_curve(other, mine, cause, end, (name, colour)))
                series += _predicted(labelled, mine, cause, end, (f"{name}, predicted", colour))
        panels.append(Panel(title, "years", "cumulative incidence", tuple(series), y_range=(0.0, 1.0)))
    return Figure(
        "cumulative_incidence",
        "Which event comes first",
        "Cumulative incidence (Aalen-Johansen) in thirds of the predicted risk, up to the 95th percentile of"
        " follow-up. Lines with points: means of what a model of competing events predicts. Of every patient"
        " one event comes first; the curves of both panels and those free of either add up to one.",
        tuple(panels),
        columns=2,
    )


def _predicted(
    labelled: Labelled, rows: Flags, cause: int, end: float, look: tuple[str, str]
) -> list[Series]:
    """The mean predicted incidence of the model's event, or of the others together, at half years."""
    if labelled.causes is None or labelled.entry is not None:
        return []
    days, found = labelled.causes.days[::2], labelled.causes.incidence[rows][:, :, ::2]
    parts = found[:, 0] if cause == EVENT else found[:, 1:].sum(axis=1)
    shown = (days / YEAR <= end) & ~np.isnan(parts).all(axis=0)
    name, colour = look
    return [Series(name, days[shown] / YEAR, np.nanmean(parts[:, shown], axis=0), colour=colour)]


def _curve(other: Competing, rows: Flags, cause: int, end: float, look: tuple[str, str]) -> Series:
    found = other.take(rows).incidence()
    years = found.times / YEAR
    shown = (years <= end) & (found.times < died_out(found.times, found.survival))
    return Series(
        look[0],
        np.append(0.0, years[shown]),
        np.append(0.0, found.incidence[cause - 1][shown]),
        kind="step",
        colour=look[1],
    )


def competing_decision_figure(labelled: Labelled, other: Competing, horizons: Sequence[float]) -> Figure:
    """Decision curves whose timely actions are counted by cumulative incidence."""
    panels: list[Panel] = []
    for days in horizons:
        chance = first_chance(labelled, days)
        known = ~np.isnan(chance)
        found = competing_decision_curve(
            other.time[known], other.cause[known], chance[known], days, THRESHOLDS, EVENT,
            None if other.entry is None else other.entry[known],
        )  # fmt: skip
        x = 100 * found.threshold
        everybody = np.where(found.treat_all < -0.05, np.nan, found.treat_all)
        series = (
            Series("model", x, found.net_benefit),
            Series("act on all", x, everybody, colour="#7F7F7F"),
            Series("act on nobody", x, np.zeros(len(x)), colour="#000000"),
        )
        panels.append(Panel(horizon_name(days), "threshold, %", "net benefit", series))
    return Figure(
        "competing_decision_curves",
        f"Decision curves where {other.endpoint} can come first",
        "Net benefit by the threshold at which one acts, with the events among those flagged by"
        " Aalen-Johansen.",
        tuple(panels),
        columns=min(3, len(panels)),
    )
