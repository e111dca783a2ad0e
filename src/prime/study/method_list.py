"""The methods of the comparison: what they read, what they cost, what validation chose for them."""

from collections import Counter
from typing import Any

import pandas as pd

from prime.catalogue.methods import METHODS, Method
from prime.downstream.fit import PRIME
from prime.parsing import parse_json
from prime.render.tables import Table
from prime.study.arms import Arm
from prime.study.context import Context, Output, Results, Study, method_label

EVERYTHING = "all"


def uses(context: Context, method: Method) -> str:
    """The modalities that a method reads, and the covariates: `image, rna`; `all`."""
    if method.roles is None:
        names = [EVERYTHING]
    else:
        available = {m: tuple(sources) for m, sources in context.store.modalities.items()}
        names = list(method.modalities(available, context.config.comparison.roles))
    return ", ".join([*names, *(["clinical"] if method.covariates else [])])


def uses_by_label(context: Context) -> dict[str, str]:
    """What each method reads, and the heads of PRIME that read covariates; others of PRIME read all."""
    asked = context.config.evaluate
    found = {METHODS[name].title: uses(context, METHODS[name]) for name in asked.methods}
    if found and "lp_shared_clinical" in asked.modes:
        found |= {
            method_label(PRIME, i, "lp_shared_clinical"): f"{EVERYTHING}, clinical" for i in asked.inits
        }
    return found


def arms(context: Context) -> list[Arm]:
    """The other methods alone."""
    return [arm for arm in context.main_arms() if arm.config.evaluate.methods]


def _point_text(point: dict[str, Any]) -> str:
    return f"lr {point['learning_rate']:g}, decay {point['weight_decay']:g}, dropout {point['dropout']:g}"


def chosen_points(costs: pd.DataFrame) -> pd.DataFrame:
    """A row a fold: method, task, cohort, seed, fold; what validation chose, or why nothing; the number of
    points of the grid whose training diverged."""
    rows: list[dict[str, Any]] = []
    for _, fit in costs.iterrows():
        for fold, found in parse_json(fit["chosen"], "chosen").items():
            row = {key: fit[key] for key in ("method", "task", "cohort", "seed")} | {"fold": int(fold)}
            losses = found.get("validation_losses", [])
            row |= {"epochs": found.get("epochs"), "validation_loss": min(losses, default=float("nan"))}
            row |= {"diverged": len(found.get("diverged", []))}
            rows.append(row | found.get("point", {}) | {"not_fitted": found.get("not_fitted", "")})
    columns = ["method", "task", "cohort", "seed", "fold", "learning_rate", "weight_decay", "dropout"]
    return pd.DataFrame(rows, columns=[*columns, "epochs", "validation_loss", "diverged", "not_fitted"])


def _facts(context: Context, costs: pd.DataFrame) -> Table:
    shown: dict[str, dict[str, str]] = {}
    for name in context.config.evaluate.methods:
        method, mine = METHODS[name], costs[costs["method"] == name]
        shown[method.title] = {
            "Uses": uses(context, method),
            "Parameters": f"{int(mine['trainable_parameters'].max()):,}",
            "Seconds a fold": f"{(mine['seconds'] / mine['folds']).median():.2f}",
            "Total minutes": f"{mine['seconds'].sum() / 60:.1f}",
            "With what is missing": method.missing,
        }
    display = pd.DataFrame.from_dict(shown, orient="index")
    display.index.name = "Method"
    return Table(
        "methods",
        "The methods of the comparison",
        "Parameters: fitted numbers, the largest over cohorts. Seconds: median over folds and tasks, every"
        " point of the grid included; total: of all folds, tasks and seeds. A patient who has nothing that a"
        " method reads gets the survival of the training patients as a whole, so all are scored on the same"
        " patients.",
        display.reset_index(),
        display,
    )


def _choices(context: Context, points: pd.DataFrame) -> Table | None:
    tuned = points[points["learning_rate"].notna()]
    grid = [_point_text(point.model_dump()) for point in context.config.comparison.grid]
    shown: dict[str, dict[str, str]] = {}
    for name, part in tuned.groupby("method", sort=False):
        counts = Counter(_point_text(dict(row)) for _, row in part.iterrows())
        shown[METHODS[str(name)].title] = {text: f"{counts[text] / len(part):.0%}" for text in grid}
    if not shown:
        return None
    display = pd.DataFrame.from_dict(shown, orient="index")
    display.index.name = "Method"
    return Table(
        "chosen",
        "What validation patients chose",
        "Share of folds in which each point of the grid had the lowest validation loss; every network had the"
        " same grid, epochs and patience. The file beside this table has the choice of every fold.",
        points,
        display,
    )


def build(context: Context, results: Results) -> Output:
    """Facts and costs, and the points chosen."""
    if not results.arms:
        return Output(notes=["evaluate.methods names no other method"])
    costs = results.costs[results.costs["method"] != PRIME]
    points = chosen_points(costs)
    tables = [_facts(context, costs), _choices(context, points)]
    unable = points[points["not_fitted"] != ""].groupby(["method", "task", "cohort"], sort=False).size()
    notes = [
        f"{METHODS[str(m)].title}, {task}, {cohort}: {n} folds had too few patients to fit it; all got"
        " the survival of the training patients"
        for (m, task, cohort), n in unable.items()  # pyright: ignore[reportGeneralTypeIssues]
    ]
    diverged = points[points["diverged"] > 0].groupby("method", sort=False)["diverged"].sum()
    notes += [
        f"{METHODS[str(m)].title}: {n} trainings diverged and were not chosen" for m, n in diverged.items()
    ]
    return Output([table for table in tables if table is not None], notes=notes)


STUDY = Study("methods", "The methods of the comparison", arms, build)
