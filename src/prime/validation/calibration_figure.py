"""Calibration curves of a model on a labelled cohort: smooth, and in groups of predicted risk."""

from collections.abc import Sequence

import numpy as np

from prime.evaluation.calibration import survival_calibration_curve
from prime.evaluation.smooth_calibration import smooth_survival_calibration
from prime.render.figure import Figure, Panel, Series
from prime.validation.labelled import Labelled
from prime.validation.performance import horizon_name

PER_GROUP = 40  # patients in a group of predicted risk, at least
MOST_GROUPS = 10


def calibration_figure(labelled: Labelled, horizons: Sequence[float]) -> Figure:
    """Predicted against observed risk, a panel a horizon."""
    return Figure(
        "calibration",
        "Predicted and observed risk",
        "Line: observed risk by a Cox regression on a spline of the predicted risk, from its 1st to its 99th "
        "percentile. Points: Kaplan-Meier risk of equal groups by predicted risk, with 95% intervals.",
        tuple(_panel(labelled, days) for days in horizons),
        columns=min(3, len(horizons)),
    )


def _panel(labelled: Labelled, days: float) -> Panel:
    cases, _ = labelled.cases(days)
    smooth = smooth_survival_calibration(cases.time, cases.event, cases.chance, days, entry=cases.entry)
    groups = max(1, min(MOST_GROUPS, len(cases.time) // PER_GROUP))
    points = survival_calibration_curve(cases.time, cases.event, cases.chance, days, groups, cases.entry)
    note = smooth.reason or f"ICI {smooth.ici:.3f}, E50 {smooth.e50:.3f}, E90 {smooth.e90:.3f}"
    ends = np.array([0.0, 1.0])
    return Panel(
        horizon_name(days),
        "predicted risk",
        "observed risk",
        (
            Series("ideal", ends, ends, colour="#7F7F7F"),
            Series("smooth", smooth.predicted, smooth.observed),
            Series("groups", points.predicted, points.observed, points.low, points.high, kind="points"),
        ),
        y_range=(0.0, 1.0),
        notes=(note,),
    )
