"""The columns of predictions of a task with competing events: who will have which event first, and when."""

import numpy as np

from prime.arrays import Floats
from prime.downstream.cause_fits import incidence_name
from prime.methods.statistics.within_type import Types
from prime.predict.asked import Asked
from prime.predict.competing import CompetingHead
from prime.predict.prognosis import Calibration


def free_name(months: float) -> str:
    """A column for the probability to be free of all events at so many months."""
    return f"free_{months:g}m"


def incidence_columns(causes: tuple[str, ...], asked: Asked) -> list[str]:
    """Their names, in order: at each of the months the causes, the task's own with an interval, and free."""
    names: list[str] = []
    for months in asked.months:
        own, *others = (incidence_name(cause, months) for cause in causes)
        names += [own, f"{own}_low", f"{own}_high", *others, free_name(months)]
    return names


def score_intervals(
    calibration: Calibration, score: Floats, reach: Floats, pattern: str
) -> tuple[Floats, Floats, Floats]:
    """The scores (n,) and the ends of the interval that is `reach` (n,) of the risk on either side."""
    slope = float(calibration.scores[pattern].model.weight[0])
    return score, score - reach / slope, score + reach / slope


def incidence_values(
    competing: CompetingHead,
    x: Floats,
    own: tuple[Floats, Floats, Floats],
    types: Types,
    asked: Asked,
    pattern: str,
) -> dict[str, Floats]:
    """Columns (n,) of `incidence_columns`, of features x (n, p), from the task's scores and their ends."""
    middle, low, high = (
        competing.incidence(competing.scores(x, score, types), types, asked.days, pattern) for score in own
    )
    found: dict[str, Floats] = {}
    for k, months in enumerate(asked.months):
        for c, cause in enumerate(competing.names):
            name = incidence_name(cause, months)
            found[name] = middle[:, c, k]
            if not c:
                found[f"{name}_low"], found[f"{name}_high"] = low[:, c, k], high[:, c, k]
        found[free_name(months)] = 1.0 - np.sum(middle[:, :, k], axis=1)
    return {name: found[name] for name in incidence_columns(competing.names, asked)}
