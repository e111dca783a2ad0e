"""One figure a patient: what to expect, why, and what a missing test could change."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from prime.arrays import Floats
from prime.downstream.cause_fits import incidence_name
from prime.file_names import file_name
from prime.files import write_text
from prime.predict.asked import MONTH
from prime.predict.model_folder import FittedModel
from prime.predict.prognosis import ANYONE, Calibration
from prime.render.draw import svg
from prime.render.figure import Figure, Panel, Reference, Series

BAND = (10, 90)  # percentiles of the risks of the cancer type
GRID = 40  # points of a curve
LEAST_GRID = 3.0  # months between them
FEATURES = 8
LONGEST = 26  # letters of a feature's name
PATIENT, TYPE = "this patient", "the type: median and middle 80 %"
INK, GREY, UP, DOWN = "#0072B2", "#9A9A9A", "#D55E00", "#009E73"


def grid_months(model: FittedModel) -> tuple[float, ...]:
    """Months of a curve, up to where the model predicts; none of a task with a horizon."""
    if model.description.task.horizon_days is not None:
        return ()
    last = max(each.ends[-1] for each in model.prognosis.calibrations.values()) / MONTH
    step = max(LEAST_GRID, np.ceil(last / GRID))
    return tuple(np.arange(step, last, step).tolist()) or (last,)


def patient_figures(
    model: FittedModel,
    months: tuple[float, ...],
    patients: pd.DataFrame,
    tests: pd.DataFrame,
    reasons: pd.DataFrame,
) -> Iterator[tuple[str, Figure]]:
    """The id and the figure of every patient who has a score.

    Args:
        model: the fitted model.
        months: of the curves, `grid_months`.
        patients: of `score_patients`, with survival (or incidence) at these months.
        tests, reasons: of `score_patients`.
    """
    tests_of, reasons_of = _by_patient(tests), _by_patient(reasons)
    for _, row in patients[patients["status"] == "scored"].iterrows():
        name = str(row["patient_id"])
        panels = [_outlook(model, row, months), _modalities(row)]
        if name in reasons_of:
            panels.append(_features(reasons_of[name]))
        panels.append(_tests(row, tests_of.get(name)))
        title = f"{name}, {row['cohort'] or 'type not stated'}: {str(row['pattern']).replace('+', ', ')}"
        yield name, Figure("patient", title, "", tuple(panels), columns=2, share_y=False)


def survival_figure(
    patients: pd.DataFrame, months: tuple[float, ...], shown: tuple[str, ...], title: str = ""
) -> Figure:
    """Survival of some patients, each with its interval.

    Args:
        patients: of `score_patients`, with survival at these months; by patient_id.
        months: rising; `grid_months` has those that a model gives.
        shown: ids of the patients.
        title: above the picture.
    """
    series: list[Series] = []
    for name in shown:
        row = cast(pd.Series, patients.loc[name])
        curve = np.array([_ends(row, f"survival_{m:g}m") for m in months]).T
        middle, low, high = np.concatenate([np.ones((3, 1)), curve], axis=1)
        there = ~np.isnan(middle)
        years = np.append(0.0, np.array(months) / 12)[there]
        label = f"{name}: {str(row['pattern']).replace('+', ', ')}"
        series.append(Series(label, years, middle[there], low[there], high[there], kind="step"))
    panel = Panel("", "years", "surviving", tuple(series), y_range=(0.0, 1.0))
    return Figure("survival", title, "", (panel,))


def _by_patient(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if table.empty:
        return {}
    return {str(name): part for name, part in table.groupby("patient_id", sort=False)}


def write_patient_figures(figures: Iterator[tuple[str, Figure]], folder: Path) -> int:
    """Each figure as SVG, under the name of its patient. Returns their number."""
    count = 0
    for name, figure in figures:
        write_text(folder / f"{file_name(name)}.svg", svg(figure))
        count += 1
    return count


# What to expect ---------------------------------------------------------------------------------------------


def _outlook(model: FittedModel, row: pd.Series, months: tuple[float, ...]) -> Panel:
    """A curve, curves of competing events, or a probability."""
    known = f"risk {row['risk']:+.2f}, higher than {row['percentile']:.0f} % of the type"
    if model.description.task.horizon_days is not None:
        return _probability(row, known)
    if model.prognosis.competing is not None:
        return _incidences(model.prognosis.competing.names, row, months, known)
    calibration = model.prognosis.calibrations.get(row["cohort"], model.prognosis.calibrations[ANYONE])
    curve = [_ends(row, f"survival_{m:g}m") for m in months]
    if all(np.isnan(y) for y, _, _ in curve):
        return Panel("Survival", "years", "surviving", (), notes=(known, "no survival is given, see reason"))
    years = np.append(0.0, np.array(months) / 12)
    middle, low, high = (np.append(1.0, values) for values in zip(*curve, strict=True))
    band = _band(model, calibration, months, str(row["pattern"]))
    shown = ~np.isnan(middle)
    median = "" if np.isnan(row["median_months"]) else f"; median {row['median_months']:.0f} months"
    return Panel(
        "Survival, with its interval",
        "years",
        "surviving",
        (
            Series(TYPE, years, band[1], band[0], band[2], kind="step", colour=GREY),
            Series(PATIENT, years[shown], middle[shown], low[shown], high[shown], kind="step", colour=INK),
        ),
        y_range=(0.0, 1.0),
        notes=(f"{known}{median}",),
    )


def _band(
    model: FittedModel, calibration: Calibration, months: tuple[float, ...], label: str
) -> tuple[Floats, Floats, Floats]:
    """Survival at the high, middle and low percentile of the type's risks, from month 0 on, (1 + h,) each."""
    pattern = _pattern(model, label)
    risks = calibration.reference[pattern][[BAND[1], 50, BAND[0]]]
    curves = calibration.survival(risks, np.array(months) * MONTH, pattern)
    low, middle, high = np.concatenate([np.ones((3, 1)), curves], axis=1)
    return low, middle, high


def _pattern(model: FittedModel, label: str) -> str:
    """The name of a pattern that a table calls by its modalities."""
    there = set(label.split("+"))
    keep = tuple(name in there for name in model.modalities)
    if all(keep):
        return "all"
    found = (p for p in model.prognosis.bounds if p != "all" and _modalities_of(model, p) == there)
    return next(found)


def _modalities_of(model: FittedModel, pattern: str) -> set[str]:
    if pattern.startswith("-"):
        return set(model.modalities) - {pattern[1:]}
    return set(pattern.split("+"))


def _ends(row: pd.Series, column: str) -> tuple[float, float, float]:
    return float(row[column]), float(row[f"{column}_low"]), float(row[f"{column}_high"])


def _incidences(causes: tuple[str, ...], row: pd.Series, months: tuple[float, ...], note: str) -> Panel:
    years = np.append(0.0, np.array(months) / 12)
    series: list[Series] = []
    for number, cause in enumerate(causes):
        columns = [incidence_name(cause, m) for m in months]
        y = np.append(0.0, row[columns].to_numpy(dtype=np.float64))
        ends = ()
        if not number:
            ends = tuple(
                np.append(0.0, row[[f"{c}_{end}" for c in columns]].to_numpy(dtype=np.float64))
                for end in ("low", "high")
            )
        shown = ~np.isnan(y)
        series.append(
            Series(f"{cause} first", years[shown], y[shown], *(e[shown] for e in ends), kind="step")
        )
    title = "Which event comes first, and when"
    return Panel(title, "years", "cumulative incidence", tuple(series), y_range=(0.0, 1.0), notes=(note,))


def _probability(row: pd.Series, note: str) -> Panel:
    middle, low, high = _ends(row, "probability")
    series = Series(PATIENT, [0], [middle], [low], [high], kind="points", colour=INK)
    return Panel(
        "Probability of the event by the horizon", "", "probability", (series,),
        categories=("event",), horizontal=True, y_range=(0.0, 1.0), notes=(note,),
    )  # fmt: skip


# Why, and what could change ---------------------------------------------------------------------------------


def _bars(title: str, names: list[str], values: Floats, note: str) -> Panel:
    """Contributions to the risk, those that raise it and those that lower it in two colours."""
    places = np.arange(len(names))
    series = [
        Series(label, places[mine], values[mine], kind="bars", colour=colour)
        for label, mine, colour in (("raises", values >= 0, UP), ("lowers", values < 0, DOWN))
        if mine.any()
    ]
    return Panel(
        title, "", "share of the risk (log hazard)", tuple(series), categories=tuple(names),
        horizontal=True, references=(Reference(0.0, axis="x"),), notes=(note,),
    )  # fmt: skip


def _modalities(row: pd.Series) -> Panel:
    columns = [str(c) for c in row.index if str(c).startswith("why_")]
    there = {*str(row["pattern"]).split("+"), "clinical"}
    names = [c.removeprefix("why_") for c in columns]
    shown = [name if name in there else f"{name} (missing)" for name in names]
    values = row[columns].to_numpy(dtype=np.float64)
    return _bars("What each modality adds", shown, values, "Shapley values; they sum to the risk")


def _features(reasons: pd.DataFrame) -> Panel:
    own = reasons[reasons["source"] != ""].head(FEATURES)
    names = _cut([f"{s}: {f}" for s, f in zip(own["source"], own["feature"], strict=True)])
    rest = float(reasons.loc[reasons["feature"] == "rest", "contribution"].sum())
    return _bars(
        "Largest features", names, own["contribution"].to_numpy(dtype=np.float64),
        f"all others together {rest:+.2f}",
    )  # fmt: skip


def _cut(names: list[str]) -> list[str]:
    """Long names without their end, those that are then alike with their place."""
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    return [
        name if short.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(short, start=1)
    ]


def _tests(row: pd.Series, tests: pd.DataFrame | None) -> Panel:
    """The risk now, and where it would be once each missing test had come."""
    names, values = ["now"], [(row["risk"], row["risk_low"], row["risk_high"])]
    notes = ["intervals: of the fit, and of what is missing"]
    for _, test in () if tests is None else tests.iterrows():
        names.append(f"with {test['test']}")
        values.append((test["risk_now"], test["risk_low"], test["risk_high"]))
        notes.append(f"{test['test']}: group changes with probability {test['group_changes']:.2f}")
    y, low, high = np.array(values, dtype=np.float64).T
    series = Series("risk", np.arange(len(names)), y, low, high, kind="points", colour=INK)
    title = "The risk, and what a missing test could make of it" if len(names) > 1 else "The risk"
    return Panel(
        title, "", "risk (log hazard ratio to the type's average)", (series,), categories=tuple(names),
        horizontal=True, references=(Reference(0.0, axis="x"),), notes=tuple(notes),
    )  # fmt: skip
