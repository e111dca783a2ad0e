"""Fitting a model's recalibration on local patients, and writing the recalibrated model folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import logit
from sklearn.isotonic import IsotonicRegression

from prime.arrays import Flags, Floats
from prime.days import YEAR
from prime.errors import InputError
from prime.evaluation.logistic import logistic_constant, logistic_regression
from prime.evaluation.lower_bounds import death_weights, depth_quantiles, label_quantiles
from prime.evaluation.recalibration import LEAST_HAZARD, HorizonMap, hazard_recalibration, known_by
from prime.files import sha256_file
from prime.model.checkpoint import CONFIG, MANIFEST, WEIGHTS
from prime.predict.model_folder import ARRAYS, HEAD, load_model, save_model
from prime.predict.prognosis import Prognosis
from prime.predict.recalibration import Method, mapped, rebounded, rescaled
from prime.sealed import DIGESTS, SEAL
from prime.store.store import Store
from prime.validation.labelled import Labelled, read_labelled

CPU = torch.device("cpu")
HORIZON_YEARS = (1, 3, 5)
ALIKE = "the slope has no finite estimate: predictions are all alike; try --method intercept"
FEWEST: dict[Method, int] = {"intercept": 20, "slope": 50, "isotonic": 100}
RECALIBRATION = "recalibration"  # in the manifest


@dataclass(frozen=True)
class Recalibration:
    """What was fitted, and on whom.

    Attributes:
        method: of `FEWEST`.
        intercept, slope: of the log hazard (of the log odds for a task with a horizon).
        map_days: days with a map of their own.
        cohort: name of the local cohort.
        patients, events: that it rests on.
    """

    method: Method
    intercept: float
    slope: float
    map_days: tuple[float, ...]
    cohort: str
    patients: int
    events: int


def recalibrate(
    model_dir: Path,
    store: Store,
    out: Path,
    method: Method = "slope",
    cohort_names: Sequence[str] = (),
    device: torch.device = CPU,
) -> Recalibration:
    """Recalibrate a model folder to the labelled patients of a store; write the new model folder `out`.

    The order of patients of a cancer type and pattern stays; so do percentiles.

    Raises InputError for a damaged model folder or one that is recalibrated already, an `out` that exists, a
    cohort that cannot be scored or has no outcome, too few events for the method, and isotonic maps of
    delayed entry.
    """
    model = load_model(model_dir)
    if RECALIBRATION in model.checkpoint.manifest:
        raise InputError(f"{model_dir}: recalibrated already; give the model folder that prime fit wrote")
    _require_free(out)
    if model.prognosis.competing is not None:
        raise InputError(f"{model_dir}: a model of competing events, which is not recalibrated; fit it here")
    labelled = read_labelled(model, store, cohort_names, device)
    found, prognosis = fit_recalibration(labelled, method, str(store.manifest["name"]))
    rest = {key: value for key, value in model.checkpoint.manifest.items() if key not in (SEAL, DIGESTS)}
    ids = store.patients["patient_id"].iloc[labelled.rows].astype(str).tolist()
    manifest = {
        **rest,
        "recalibrated_from": sha256_file(model_dir / MANIFEST),
        RECALIBRATION: asdict(found) | {"left_out": labelled.left_out, "patient_ids": ids},
    }
    save_model(out, replace(model, prognosis=prognosis), manifest)
    return found


def _require_free(out: Path) -> None:
    """Raise InputError for a folder with anything but parts of a model, which a killed run leaves.

    The manifest is written last: where it is, the model is whole, and is not written over.
    """
    left = {WEIGHTS, CONFIG, ARRAYS, HEAD}
    if out.exists() and any(path.name not in left and path.name[0] != "." for path in out.iterdir()):
        raise InputError(f"{out}: holds something; name a new folder for the recalibrated model")


def fit_recalibration(labelled: Labelled, method: Method, cohort: str) -> tuple[Recalibration, Prognosis]:
    """What these patients ask for, and the prognosis with it. Raises InputError where they are too few."""
    intercept, slope, maps = 0.0, 1.0, tuple[HorizonMap, ...]()
    if method == "isotonic":
        maps = _isotonic_maps(labelled)
    elif labelled.task.horizon_days is not None:
        intercept, slope = _logit_line(labelled, method, labelled.task.horizon_days)
    else:
        intercept, slope = _hazard_line(labelled, method)
    if slope <= 0:
        raise InputError(
            f"the slope is {slope:.2f}: patients do worse the lower their predicted risk is, so the model"
            " does not serve them and no recalibration will mend it"
        )
    before = labelled.model.prognosis
    prognosis = mapped(before, maps) if maps else rescaled(before, intercept, slope)
    found = Recalibration(
        method, intercept, slope, tuple(each.days for each in maps), cohort, len(labelled.time),
        int(labelled.event.sum()),
    )  # fmt: skip
    return found, rebounded(prognosis, _bound(labelled, prognosis, slope))


def _hazard_line(labelled: Labelled, method: Method) -> tuple[float, float]:
    """Intercept and slope of the log hazard, by Poisson regression of events on those expected."""
    _, event, expected = labelled.followed()
    _require(int(event.sum()), method, "within the time that the model predicts")
    found = hazard_recalibration(expected, event, labelled.risk if method == "slope" else None)
    if found is None:
        raise InputError(ALIKE)
    return found[0], 1.0 + found[1]


def _logit_line(labelled: Labelled, method: Method, horizon: float) -> tuple[float, float]:
    """Intercept and slope of the log odds, from patients whose label is known."""
    label, weight = known_by(labelled.time, labelled.event, horizon)
    known = weight > 0
    _require(min(int(label[known].sum()), int((~label[known]).sum())), method, "and as many without it")
    line = logit(np.clip(labelled.chance(horizon)[known], LEAST_HAZARD, 1.0 - LEAST_HAZARD))
    if method == "intercept":
        return logistic_constant(line, int(label[known].sum())), 1.0
    found = logistic_regression(label[known], line) if np.ptp(line) > 0 else None
    if found is None:
        raise InputError(ALIKE)
    return found


def _isotonic_maps(labelled: Labelled) -> tuple[HorizonMap, ...]:
    """A map for every horizon with enough events and enough patients followed beyond it.

    Raises InputError where there is none, and with delayed entry.
    """
    if labelled.entry is not None:
        raise InputError(
            f"--method isotonic: endpoint {labelled.task.endpoint} has delayed entry, where its weights for"
            " censoring do not hold; take slope or intercept"
        )
    horizon = labelled.task.horizon_days
    asked = [years * YEAR for years in HORIZON_YEARS] if horizon is None else [horizon]
    found: list[HorizonMap] = []
    most = 0
    ends = [each.ends[-1] for each in labelled.model.prognosis.calibrations.values()]
    for days in asked if horizon is not None else [d for d in asked if d <= min(ends)]:
        beyond = int((labelled.time > days).sum())
        events = int((labelled.event & (labelled.time <= days)).sum())
        most = max(most, min(events, beyond))
        if min(events, beyond) >= FEWEST["isotonic"]:
            found.append(isotonic_map(labelled.time, labelled.event, labelled.chance(days), days))
    if not found:
        _require(most, "isotonic", "by a horizon, and as many followed beyond it")
    return tuple(found)


def isotonic_map(time: Floats, event: Flags, chance: Floats, days: float) -> HorizonMap:
    """Isotonic regression of the event by a horizon on the predicted risk, weighted for censoring.

    Its values keep away from 0 and 1 by half a patient.
    """
    label, weight = known_by(time, event, days)
    known = weight > 0
    fitted = IsotonicRegression(out_of_bounds="clip").fit(chance[known], label[known], weight[known])
    least = 0.5 / len(time)
    observed = np.clip(fitted.y_thresholds_, least, 1.0 - least)
    return HorizonMap(days, np.asarray(fitted.X_thresholds_, dtype=np.float64), observed)


def _bound(labelled: Labelled, prognosis: Prognosis, slope: float) -> Floats:
    """How far the new curves had fallen (how high the new probabilities were) at the local outcomes."""
    model = replace(labelled.model, prognosis=prognosis)
    table = labelled.table.assign(risk=slope * labelled.risk)
    new = replace(labelled, model=model, table=table)
    depth = np.empty(len(new.time))
    for calibration, pattern, rows in new.parts():
        if new.task.horizon_days is not None:
            depth[rows] = calibration.probability(new.risk[rows], pattern)
            continue
        days = np.minimum(new.time[rows], calibration.ends[-1])
        depth[rows] = -np.expm1(-calibration.own_hazard(new.risk[rows], days, pattern))
    if new.task.horizon_days is not None:
        label, weight = known_by(new.time, new.event, new.task.horizon_days)
        return label_quantiles(depth[weight > 0], label[weight > 0])
    return depth_quantiles(depth, death_weights(new.time, new.event, new.entry))


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
        return f"isotonic by {', '.join(f'{days:g}' for days in found.map_days)} days"
    return f"intercept {found.intercept:+.3f}, slope {found.slope:.3f}"
