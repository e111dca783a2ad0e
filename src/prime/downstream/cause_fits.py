"""Heads of competing events: a score of each cause, and discrete cause-specific hazards from them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prime.arrays import Floats, Indices
from prime.days import MONTH
from prime.downstream.scoring import entry_of
from prime.evaluation.competing_risks import aalen_johansen
from prime.evaluation.product_limit import product_limit
from prime.methods.statistics.cause_hazards import CauseHazards, fit_cause_hazards
from prime.methods.statistics.cohort_heads import CohortHead, EndpointLabels
from prime.methods.statistics.within_type import Types
from prime.objectives.survival import bin_edges
from prime.splits.outcomes import Outcome

MONTHS = (12, 36, 60)  # at which the cumulative incidence stands in predictions.csv
BINS, AT_RISK = 30, 10  # time bins; patients at risk at a month that ends one
CAUSE = "cause"  # the column of which event came first


def cause_labels(outcome: Outcome, rows: Indices, number: int) -> EndpointLabels:
    """Labels of all P patients at the event of `outcome.causes[number]`, known for `rows`; others censor."""
    known = np.zeros(len(outcome.usable), dtype=np.bool_)
    known[rows] = True
    return EndpointLabels(
        1.0, known & outcome.usable, outcome.time_days, outcome.of_cause(number), False, outcome.entry_days
    )


def hazards_of(outcome: Outcome, rows: Indices, scores: Floats, ends: Floats) -> CauseHazards:
    """Cause-specific hazards of these patients, from scores (n, C) of heads that were fitted without them."""
    assert outcome.cause is not None
    entry = None if outcome.entry_days is None else outcome.entry_days[rows]
    return fit_cause_hazards(scores, outcome.time_days[rows], outcome.cause[rows], ends, entry)


def cause_ends(outcome: Outcome, rows: Indices) -> Floats:
    """Ends of time bins (T,) in days that all causes share, the last one at the last event of any.

    They are quantiles of these patients' events, and the `MONTHS` while enough are still followed.
    """
    assert outcome.cause is not None
    time, came = outcome.time_days[rows], outcome.cause[rows] > 0
    entry = np.zeros(len(rows)) if outcome.entry_days is None else outcome.entry_days[rows]
    last = float(time[came].max())
    asked = [days for days in np.array(MONTHS) * MONTH if ((time > days) & (entry < days)).sum() >= AT_RISK]
    ends = np.concatenate([bin_edges(time, came, BINS)[1:-1], asked])
    return np.append(np.unique(ends[ends < last]), last)


@dataclass(frozen=True)
class CauseHeads:
    """What is predicted of competing events.

    Attributes:
        names: of the C causes, the task's own first.
        heads: the weights of those that compete with it.
        hazards: of all.
    """

    names: tuple[str, ...]
    heads: tuple[CohortHead, ...]
    hazards: CauseHazards

    def columns(self, x: Floats, own: Floats, types: Types) -> dict[str, Floats]:
        """Columns `incidence_NAME_12m` and so on, of features x (n, p) and the task's own scores (n,)."""
        scores = np.stack([own, *(head(x, types) for head in self.heads)], axis=1)
        found = self.hazards.incidence_at(scores, np.array(MONTHS) * MONTH)
        return {
            incidence_name(name, months): found[:, c, k]
            for c, name in enumerate(self.names)
            for k, months in enumerate(MONTHS)
        }


def incidence_name(cause: str, months: float) -> str:
    """The column of a cause's cumulative incidence by so many months."""
    return f"incidence_{cause}_{months:g}m"


# The table --------------------------------------------------------------------------------------------------


def incidence_rows(
    predictions: Iterable[pd.DataFrame], causes: Callable[[str], Sequence[str]], keys: Sequence[str]
) -> pd.DataFrame:
    """Predicted and observed cumulative incidence: the rows of competing.csv.

    Columns: `keys`, cause, months, n (patients whose prediction reaches so far), events (of the cause by
    then), incidence (Aalen-Johansen), one_minus_kaplan_meier (other events taken for censorings), predicted
    (mean), observed_expected. With delayed entry the last two have no value: who entered late had to be free
    of events until then, so these patients are not those whose incidence is estimated.

    Args:
        predictions: rows of predictions.csv, a cohort and way of training at a time.
        causes: the names of a task's causes; none of a task without competing events.
        keys: what a row is one of.
    """
    rows: list[dict[str, object]] = []
    for part in predictions:
        if not (names := causes(str(part["task"].iloc[0]))):
            continue
        for key, mine in part.groupby(list(keys), sort=False):
            named: dict[str, object] = dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType]
            rows += [
                {**named, CAUSE: name, "months": months, **_observed(mine, number, name, months)}
                for number, name in enumerate(names, start=1)
                for months in MONTHS
            ]
    return pd.DataFrame(rows)


def _observed(frame: pd.DataFrame, number: int, name: str, months: float) -> dict[str, object]:
    column, days = incidence_name(name, months), np.array([months * MONTH])
    known = frame[frame[column].notna()]
    if known.empty:
        return {"n": 0}
    time, cause = known["time_days"].to_numpy(dtype=np.float64), known[CAUSE].to_numpy(dtype=np.int64)
    entry = entry_of(known)
    incidence = aalen_johansen(time, cause, max(number, int(cause.max())), entry).at(days)[number - 1, 0]
    predicted = float(known[column].mean()) if entry is None else float("nan")
    return {
        "n": len(known),
        "events": int(((cause == number) & (time <= days[0])).sum()),
        "incidence": float(incidence),
        "one_minus_kaplan_meier": 1.0 - float(product_limit(time, cause == number, entry=entry).at(days)[0]),
        "predicted": predicted,
        "observed_expected": float(incidence) / predicted if predicted > 0 else float("nan"),
    }
