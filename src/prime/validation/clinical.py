"""What a model adds to the clinical variables of a labelled cohort."""

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from prime.arrays import Floats, Indices
from prime.evaluation.comparison import CohortPredictions, bootstrap_draws, difference
from prime.evaluation.cox import fit_cox, partial_likelihood
from prime.methods.classical.clinical_cox import fit_design
from prime.render.tables import Table
from prime.splits.folds import stratified_folds
from prime.store.store import Store
from prime.validation.labelled import Labelled
from prime.validation.performance import Draws, interval_cell

FOLDS = 5
PENALTY = 0.1  # against the mean log partial likelihood, on standardised variables
MIN_EVENTS = 30
MODELS = {
    "model": "model alone",
    "clinical": "clinical variables alone",
    "both": "clinical variables and model",
}


def clinical_table(store: Store, labelled: Labelled, draws: Draws) -> Table | None:
    """C-index of the model, of the clinical variables, and of both; None without covariates or events.

    The clinical variables have no model of their own to be validated: a ridge Cox regression is fitted on
    four fifths of these very patients and scored on the rest, in turn, with and without the model's risk.
    """
    names = [str(name) for name in store.patients if str(name).startswith("x_")]
    if not names or int(labelled.event.sum()) < MIN_EVENTS:
        return None
    covariates = store.patients[names].to_numpy(dtype=np.float64)[labelled.rows]
    fold, risks = cross_validated(covariates, labelled, draws.seed)
    rows = _rows(labelled, fold, risks, draws)
    statistic, p = added_value(covariates, labelled)
    display = pd.DataFrame(
        {"C-index": [interval_cell(row) for _, row in rows.iterrows()]}, index=rows["title"].tolist()
    )
    display.index.name = "Prediction"
    listed = ", ".join(name.removeprefix("x_") for name in names)
    return Table(
        "beyond_clinical",
        "Beyond clinical variables",
        f"Clinical variables: {listed}. Ridge Cox regressions cross-validated in this cohort ({FOLDS} folds, "
        "pairs of one fold), so they are fitted for it and the model is not. 95% bootstrap intervals over "
        "patients, drawn within folds.",
        rows,
        display,
        [f"Likelihood ratio test of the model's risk beside them: {statistic:.1f} on 1 degree, p {p:.2g}."],
    )


def cross_validated(covariates: Floats, labelled: Labelled, seed: int) -> tuple[Indices, dict[str, Floats]]:
    """The fold of each of the n patients, and held-out risks of each of `MODELS`.

    covariates (n, c), NaN where unknown.
    """
    n = len(labelled.time)
    fold = np.zeros(n, dtype=np.int64)
    for part in stratified_folds("all", np.arange(n), labelled.time, labelled.event, FOLDS, seed):
        fold[part.test] = part.fold
    risks = {"model": labelled.risk, "clinical": np.zeros(n), "both": np.zeros(n)}
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        for name, x in (("clinical", covariates), ("both", _with_risk(covariates, labelled.risk))):
            design = fit_design(x[train])
            late = None if labelled.entry is None else labelled.entry[train]
            weight = fit_cox(
                design(x[train]), labelled.time[train], labelled.event[train], PENALTY * train.sum(), late
            )
            risks[name][test] = design(x[test]) @ weight
    return fold, risks


def _rows(labelled: Labelled, fold: Indices, risks: dict[str, Floats], draws: Draws) -> pd.DataFrame:
    found = {
        name: bootstrap_draws(
            "concordance",
            [CohortPredictions(fold, labelled.event, risk, labelled.time, labelled.entry)],
            max(1, draws.replicates),
            draws.seed,
        )
        for name, risk in risks.items()
    }
    rows: list[dict[str, object]] = []
    for name, title in MODELS.items():
        low, high = np.nanquantile(found[name].drawn, [0.025, 0.975])
        rows.append(
            {"name": name, "title": title, "value": found[name].observed[0], "low": low, "high": high}
        )
    gain = difference(found["both"], found["clinical"])
    rows.append(
        {
            "name": "gain", "title": "gain of the model over clinical variables", "value": gain.value,
            "low": gain.low, "high": gain.high,
        }
    )  # fmt: skip
    return pd.DataFrame(rows).assign(n=len(labelled.time), events=int(labelled.event.sum()))


def added_value(covariates: Floats, labelled: Labelled) -> tuple[float, float]:
    """Likelihood ratio statistic and p value of the model's risk beside covariates in a Cox regression."""
    heights: list[float] = []
    for x in (covariates, _with_risk(covariates, labelled.risk)):
        features = fit_design(x)(x)
        weight = fit_cox(features, labelled.time, labelled.event, 1e-6, labelled.entry)
        likelihood = partial_likelihood(features, labelled.time, labelled.event, entry=labelled.entry)
        heights.append(likelihood(weight).value)
    statistic = max(0.0, 2.0 * (heights[1] - heights[0]))
    return statistic, float(chdtrc(1, statistic))


def _with_risk(covariates: Floats, risk: Floats) -> Floats:
    return np.column_stack([covariates, risk])
