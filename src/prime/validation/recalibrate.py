"""Fitting a model's recalibration on local patients, and writing the recalibrated model folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from sklearn.isotonic import IsotonicRegression

from prime.arrays import Flags, Floats
from prime.errors import InputError
from prime.evaluation.logistic import logistic_constant, logistic_regression
from prime.evaluation.recalibration import LEAST_HAZARD, hazard_recalibration, known_by
from prime.files import sha256_file
from prime.model.checkpoint import MANIFEST
from prime.predict.model_folder import load_model, save_model
from prime.predict.recalibration import IsotonicMap, Method, Recalibration, log_hazard_at
from prime.sealed import DIGESTS
from prime.store.manifest import PATIENTS
from prime.store.store import Store
from prime.validation.labelled import Labelled, curves, read_labelled

CPU = torch.device("cpu")
YEAR = 365.25
REFERENCE_DAYS = 3 * YEAR
HORIZON_YEARS = (1, 3, 5)
ALIKE = "the slope has no finite estimate: predictions are all alike; try --method intercept"
FEWEST: dict[Method, int] = {"intercept": 20, "slope": 50, "isotonic": 100}


def recalibrate(
    model_dir: Path,
    store: Store,
    out: Path,
    method: Method = "slope",
    cohort_names: Sequence[str] = (),
    device: torch.device = CPU,
) -> Recalibration:
    """Recalibrate a model folder to the labelled patients of a store; write the new model folder `out`.

    The ranking stays: risks and percentiles are those of the old model, survival and probabilities change.

    Raises InputError for a damaged model folder or one that is recalibrated already, an `out` that exists, a
    cohort that cannot be scored or has no outcome, and too few events for the method.
    """
    model = load_model(model_dir)
    if model.recalibration is not None:
        raise InputError(f"{model_dir}: recalibrated already; give the model folder that prime fit wrote")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: holds something; name a new folder for the recalibrated model")
    labelled = read_labelled(model, store, cohort_names, device)
    found = fit_recalibration(labelled, method, str(store.manifest["name"]))
    manifest: dict[str, Any] = {
        **model.checkpoint.manifest,
        "recalibrated_from": sha256_file(model_dir / MANIFEST),
        "recalibration": found.model_dump(mode="json", exclude={"maps"}),
        "recalibration_left_out": labelled.left_out,
        "recalibration_patients": store.manifest[DIGESTS][PATIENTS],
    }
    save_model(out, replace(model, recalibration=found), manifest)
    return found


def fit_recalibration(labelled: Labelled, method: Method, cohort: str) -> Recalibration:
    """The map that these patients ask for. Raises InputError where they are too few for the method."""
    horizon = labelled.task.horizon_days
    facts: dict[str, Any] = {"method": method, "horizon_days": horizon, "cohort": cohort}
    facts |= {"patients": len(labelled.time), "events": int(labelled.event.sum())}
    if method == "isotonic":
        return Recalibration(maps=_isotonic_maps(labelled), **facts)
    if horizon is not None:
        return Recalibration(**facts, **_logit_map(labelled, method, horizon))
    return Recalibration(**facts, **_hazard_map(labelled, method))


def _hazard_map(labelled: Labelled, method: Method) -> dict[str, Any]:
    """Intercept, and slope of the log cumulative hazard at a day that every curve reaches."""
    _, event, own = labelled.followed()
    _require(int(event.sum()), method, "within the time that the model predicts")
    reference = min(REFERENCE_DAYS, labelled.last_day())
    line = np.full(len(event), np.nan)
    for mine, edges, curve in curves(labelled.table):
        line[mine] = log_hazard_at(edges, curve, reference)
    known = ~np.isnan(line)
    centre = float(line[known].mean())
    expected = -np.log(np.maximum(own[known], LEAST_HAZARD))
    found = hazard_recalibration(expected, event[known], line[known] - centre if method == "slope" else None)
    if found is None:
        raise InputError(ALIKE)
    facts = {"intercept": found[0], "slope": 1.0 + found[1], "centre": centre, "reference_days": reference}
    return _rising(facts)


def _logit_map(labelled: Labelled, method: Method, horizon: float) -> dict[str, Any]:
    label, weight = known_by(labelled.time, labelled.event, horizon)
    known = weight > 0
    _require(min(int(label[known].sum()), int((~label[known]).sum())), method, "and as many without it")
    line = logit(np.clip(labelled.chance(horizon)[known], LEAST_HAZARD, 1.0 - LEAST_HAZARD))
    if method == "intercept":
        return {"intercept": logistic_constant(line, int(label[known].sum()))}
    found = logistic_regression(label[known], line) if np.ptp(line) > 0 else None
    if found is None:
        raise InputError(ALIKE)
    return _rising({"intercept": found[0], "slope": found[1]})


def _rising(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as they are. Raises InputError where the slope would turn the order of patients around."""
    if facts["slope"] <= 0:
        raise InputError(
            f"the slope is {facts['slope']:.2f}: patients do worse the lower their predicted risk is, so"
            " the model does not serve them and no recalibration will mend it"
        )
    return facts


def _isotonic_maps(labelled: Labelled) -> tuple[IsotonicMap, ...]:
    """A map for every horizon with enough events and enough patients followed beyond it."""
    horizon = labelled.task.horizon_days
    asked = [years * YEAR for years in HORIZON_YEARS] if horizon is None else [horizon]
    found: list[IsotonicMap] = []
    most = 0
    for days in asked:
        chance = labelled.chance(days)
        known = ~np.isnan(chance)
        beyond = int((labelled.time[known] > days).sum())
        events = int((labelled.event & (labelled.time <= days))[known].sum())
        most = max(most, min(events, beyond))
        if known.all() and min(events, beyond) >= FEWEST["isotonic"]:
            found.append(isotonic_map(labelled.time, labelled.event, chance, days))
    if not found:
        _require(most, "isotonic", "by a horizon, and as many followed beyond it")
        raise InputError("--method isotonic: the model predicts no survival at 1, 3 or 5 years; try slope")
    return tuple(found)


def isotonic_map(time: Floats, event: Flags, chance: Floats, days: float) -> IsotonicMap:
    """Isotonic regression of the event by a horizon on the predicted risk, weighted for censoring.

    Its values keep away from 0 and 1 by half a patient.
    """
    label, weight = known_by(time, event, days)
    known = weight > 0
    fitted = IsotonicRegression(out_of_bounds="clip").fit(chance[known], label[known], weight[known])
    least = 0.5 / len(time)
    observed = np.clip(fitted.y_thresholds_, least, 1.0 - least)
    return IsotonicMap(
        horizon_days=days, predicted=tuple(fitted.X_thresholds_.tolist()), observed=tuple(observed.tolist())
    )


def _require(events: int, method: Method, where: str) -> None:
    if events < FEWEST[method]:
        weaker = [name for name, fewest in FEWEST.items() if fewest <= events and name != method]
        hint = f"try --method {weaker[-1]}" if weaker else "gather more patients, or use the model as it is"
        raise InputError(
            f"--method {method}: {events} events {where}, at least {FEWEST[method]} are needed; {hint}"
        )


def summary_line(found: Recalibration) -> str:
    """What was done, for the screen."""
    if found.method == "isotonic":
        days = ", ".join(f"{each.horizon_days:g}" for each in found.maps)
        return f"isotonic by {days} days"
    if found.horizon_days is not None:
        return f"intercept {found.intercept:+.3f} and slope {found.slope:.3f} of the logit"
    return f"hazard x {np.exp(found.intercept):.3f} at the mean, slope {found.slope:.3f}"
